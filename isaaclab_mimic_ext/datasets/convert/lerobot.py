"""Export a dataset as a LeRobot dataset (v3). The `lerobot` library writes it."""

# T steps of one demo

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from isaaclab_mimic_ext.config.deprecated import renamed_arguments
from isaaclab_mimic_ext.datasets.convert.images import ImageLayout
from isaaclab_mimic_ext.errors import ConfigError, DependencyMissing, OutputError, choices
from isaaclab_mimic_ext.files.dataset_file import DIGEST
from isaaclab_mimic_ext.files.demo import Demo, is_image
from isaaclab_mimic_ext.files.digest import ORIGINAL_DIGEST
from isaaclab_mimic_ext.files.selection import Chosen
from isaaclab_mimic_ext.files.stream import FileFacts, read_facts, stream_demos
from isaaclab_mimic_ext.files.writing import created_folder, part_path, replacing
from isaaclab_mimic_ext.progress import tracked

_STATE, _ACTION, _CAMERA = "observation.state", "action", "observation.images."
_SCALARS = {"rewards": ("next.reward", np.float32), "dones": ("next.done", np.bool_)}
"""Dataset of a demo -> (name of the LeRobot feature, dtype)."""
_INFO = "datagen_info/"
_RECOMPUTED = {"num_samples", DIGEST, ORIGINAL_DIGEST}
"""Attributes of a demo that follow from its data."""
_AXES = "xyz"
_RATE_TOLERANCE = 1e-3
"""Largest deviation of a control rate from a whole number [Hz]."""


@dataclass(frozen=True)
class LeRobotOptions:
    """Options of the LeRobot export.

    Attributes:
        state_keys: observations that form `observation.state`, in this order; None: all low-dimensional observations
            except `actions`, in alphabetical order.
        instruction: language instruction of the task; None: name of the environment.
        fps: frames per second; None: control rate of the file's env_args.
        repo_id: `<user>/<name>`; None: `local/<folder>`.
        videos: encode images as videos (lossy); False: as PNG files.
        camera_keys: image observations to export; None: all.
    """

    state_keys: tuple[str, ...] | None = None
    instruction: str | None = None
    fps: int | None = None
    repo_id: str | None = None
    videos: bool = True
    camera_keys: tuple[str, ...] | None = None


@dataclass(frozen=True)
class LeRobotExport:
    """Result of a LeRobot export: counts, rate [Hz], names of the features, and contents of the file that are left out."""

    num_episodes: int
    num_frames: int
    fps: int
    repo_id: str
    features: tuple[str, ...]
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Columns:
    """Datasets that the features are read from.

    Attributes:
        state_keys: observations of `observation.state`.
        cameras: name of a camera -> layout of its images.
        scalars: keys of `_SCALARS` that the demos have.
    """

    state_keys: tuple[str, ...]
    cameras: dict[str, ImageLayout]
    scalars: tuple[str, ...]


@renamed_arguments(path="input_file", output="output_dir")
def export_lerobot(
    input_file: str | Path,
    output_dir: str | Path,
    options: LeRobotOptions,
    overwrite: bool = False,
    demos: Chosen = None,
) -> LeRobotExport:
    """Convert a dataset, demo by demo, to a LeRobot dataset in the folder `output_dir`.

    The folder has the name `<output_dir>.part` until it is complete.

    Args:
        demos: demos to export: names of demos and masks, with `-` in front to exclude them; None: all.

    Raises:
        DependencyMissing: `lerobot` cannot be imported.
        ConfigError: an option is wrong, or is required because the file lacks its value.
        SourceDataError: the file is missing or damaged, or its demos have different datasets.
        OutputError: the folder exists or cannot be written.
    """
    dataset_class = _lerobot_dataset()
    facts = read_facts(input_file, demos)
    first = next(stream_demos(input_file, demos, is_quiet=True))
    columns = _columns(first, options)
    features = _features(first, columns, facts.is_xyzw, options.videos)
    fps, output_dir = _fps(facts, options.fps), Path(output_dir)
    repo_id = options.repo_id or f"local/{output_dir.resolve().name}"
    eef_names = facts.env_args.get("eef_names")
    robot = "_".join(map(str, eef_names)) if isinstance(eef_names, list) and eef_names else None
    instruction = options.instruction or str(facts.env_args.get("env_name") or Path(input_file).stem).replace("_", " ")
    with _new_folder(output_dir, overwrite) as part:
        dataset = dataset_class.create(
            repo_id=repo_id, fps=fps, features=features, root=part, robot_type=robot, use_videos=options.videos
        )
        try:
            for demo in tracked(stream_demos(input_file, demos), "exporting", len(facts.demo_names)):
                for frame in _frames(demo, columns):
                    dataset.add_frame(frame | {"task": instruction})
                dataset.save_episode()
        finally:
            # Also after an error: otherwise the dataset writes again when it is garbage-collected.
            dataset.finalize()
        counts = int(dataset.meta.total_episodes), int(dataset.meta.total_frames)
    return LeRobotExport(*counts, fps, repo_id, tuple(features), _left_out(first, facts, columns))


def _lerobot_dataset() -> Any:
    try:
        from datasets import disable_progress_bars
        from lerobot.datasets.lerobot_dataset import LeRobotDataset
    except ImportError as error:
        raise DependencyMissing(
            f"format: lerobot requires the lerobot library, which cannot be imported ({error}); install with "
            '`pip install -e ".[lerobot]"` (in the checkout) in a separate environment, because it requires an older torch'
        ) from error
    disable_progress_bars()  # They would write one line per episode to a log.
    return LeRobotDataset


def _columns(demo: Demo, options: LeRobotOptions) -> _Columns:
    observations = {name: leaf for name, leaf in demo.below("obs").items() if not name.startswith(_INFO)}
    vectors = {name: leaf for name, leaf in observations.items() if not is_image(leaf) and leaf.dtype.kind in "fbiu"}
    state_keys = options.state_keys
    if state_keys is None:
        state_keys = tuple(sorted(name for name in vectors if name != "actions"))
    for name in state_keys:
        if name not in vectors:
            rule = f"'{name}' is not a low-dimensional observation of {demo.place}"
            raise ConfigError(f"state_keys: {rule}; {choices(name, sorted(vectors))}")
    if not state_keys:
        raise ConfigError(f"state_keys: {_STATE} requires at least one observation; {choices('', sorted(vectors))}")
    scalars = tuple(name for name in _SCALARS if name in demo.leaves)
    return _Columns(state_keys, _cameras(demo, observations, options.camera_keys), scalars)


def _cameras(demo: Demo, observations: Mapping[str, np.ndarray], wanted: Sequence[str] | None) -> dict[str, ImageLayout]:
    """Name of a camera -> layout of its images.

    Raises:
        ConfigError: a key in `wanted` is not an image.
        SourceDataError: images cannot be converted to RGB.
    """
    images = sorted(name for name, leaf in observations.items() if is_image(leaf))
    for name in wanted or ():
        if name not in images:
            raise ConfigError(f"camera_keys: '{name}' is not an image of {demo.place}; {choices(name, images)}")
    remedy = "choose the images to export with camera_keys=[<name>,...], camera_keys=[] for none"
    chosen = images if wanted is None else wanted
    return {name.replace("/", "_"): ImageLayout.of(demo, f"obs/{name}", remedy) for name in chosen}


def _left_out(demo: Demo, facts: FileFacts, columns: _Columns) -> tuple[str, ...]:
    """Contents of the file that LeRobot's layout has no place for, or that were not chosen."""
    used = {"actions", *columns.scalars, *(f"obs/{key}" for key in columns.state_keys)}
    used |= {layout.key for layout in columns.cameras.values()}
    rest = {path if path.startswith("obs/") and not path.startswith(f"obs/{_INFO}") else path.partition("/")[0]
            for path in demo.leaves if path not in used and not path.startswith(f"obs/{_INFO}")}  # fmt: skip
    has_info = any(path.startswith(f"obs/{_INFO}") for path in demo.leaves)
    names = sorted(demo.attributes.keys() - _RECOMPUTED)
    attributes = [f"attributes of the demos ({', '.join(names)})"] if names else []
    masks = [f"mask/{name}" for name in sorted(facts.masks)]
    return (*sorted(rest), *([f"obs/{_INFO[:-1]}"] if has_info else []), *masks, *attributes)


def _features(demo: Demo, columns: _Columns, is_xyzw: bool, videos: bool) -> dict[str, dict[str, Any]]:
    """LeRobot's description of the features of a frame."""
    names = [name for key in columns.state_keys for name in _column_names(key, _width(demo, key), is_xyzw)]
    action_names = [f"action.{index}" for index in range(demo.leaves["actions"].shape[1])]
    features: dict[str, dict[str, Any]] = {
        _STATE: {"dtype": "float32", "shape": (len(names),), "names": names},
        _ACTION: {"dtype": "float32", "shape": (len(action_names),), "names": action_names},
    }
    for camera, layout in columns.cameras.items():
        shape = layout.to_rgb(demo).shape[1:]
        kind = "video" if videos else "image"
        features[_CAMERA + camera] = {"dtype": kind, "shape": shape, "names": ["height", "width", "channels"]}
    for scalar in columns.scalars:
        name, dtype = _SCALARS[scalar]
        features[name] = {"dtype": np.dtype(dtype).name, "shape": (1,), "names": None}
    return features


def _width(demo: Demo, key: str) -> int:
    return int(np.prod(demo.leaves[f"obs/{key}"].shape[1:], dtype=np.int64))


def _column_names(key: str, width: int, is_xyzw: bool) -> list[str]:
    """Names of the columns of an observation, for example `eef_pos.x`, `eef_quat.w`, `joint_pos.0`."""
    axes: Sequence[str] = [str(index) for index in range(width)]
    if key.endswith("_pos") and width == len(_AXES) and not key.startswith("joint"):
        axes = _AXES
    if key.endswith("_quat") and width == len(_AXES) + 1:
        axes = f"{_AXES}w" if is_xyzw else f"w{_AXES}"
    return [f"{key}.{axis}" for axis in axes]


def _frames(demo: Demo, columns: _Columns) -> Iterator[dict[str, Any]]:
    """Frames of a demo, one dict per step."""
    rows = _rows(demo, columns)
    for step in range(demo.num_steps):
        yield {name: values[step] for name, values in rows.items()}


def _rows(demo: Demo, columns: _Columns) -> dict[str, np.ndarray]:
    """Values of each feature, name -> (T, ...). `stream_demos` checks that all demos have the datasets of the first one."""
    leaves, num_steps = demo.leaves, demo.num_steps
    parts = [leaves[f"obs/{key}"].reshape(num_steps, -1) for key in columns.state_keys]
    rows = {_STATE: np.concatenate(parts, axis=1, dtype=np.float32), _ACTION: leaves["actions"].astype(np.float32)}
    rows |= {_CAMERA + camera: layout.to_rgb(demo) for camera, layout in columns.cameras.items()}
    for scalar in columns.scalars:
        name, dtype = _SCALARS[scalar]
        rows[name] = leaves[scalar].reshape(num_steps, 1).astype(dtype)
    return rows


def _fps(facts: FileFacts, fps: int | None) -> int:
    if fps is not None:
        if fps < 1:
            raise ConfigError(f"fps: must be >= 1 Hz (got {fps})")
        return fps
    sim_args = facts.env_args.get("sim_args")
    try:
        rate = 1.0 / (float(sim_args["dt"]) * int(sim_args["decimation"]))  # type: ignore[index]
    except (TypeError, KeyError, ValueError, ZeroDivisionError) as error:
        raise ConfigError(
            f"fps: {facts.path} does not specify its control rate (env_args.sim_args); set fps=<rate>"
        ) from error
    if not abs(rate - round(rate)) < _RATE_TOLERANCE or rate < 1:
        raise ConfigError(f"fps: LeRobot requires a whole number ({facts.path} has {rate:.4g} Hz); set fps=<rate>")
    return round(rate)


@contextmanager
def _new_folder(output: Path, overwrite: bool) -> Iterator[Path]:
    """Folder `<output>.part`, which is renamed to `output` after the block."""
    part = part_path(output)
    for folder in (output, part):
        is_lerobot = (folder / "meta" / "info.json").is_file()
        if folder.exists() and not (overwrite and is_lerobot):
            note = "" if is_lerobot else " and is not a LeRobot dataset, so it is never replaced"
            remedy = "use another output_dir" + (", or overwrite=true" if is_lerobot else "")
            raise OutputError(f"output_dir: {folder} already exists{note}; {remedy}")
    with created_folder(output.parent, "output_dir", kind=OutputError), replacing(output, "output_dir", kind=OutputError):
        shutil.rmtree(part, ignore_errors=True)
        yield part

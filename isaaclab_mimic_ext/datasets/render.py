"""Add pictures to a finished dataset: draw its recorded states again, with chosen cameras and sizes."""

# T steps of a demo, H x W pixels

import json
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from isaaclab_mimic_ext.config.cameras import modalities_fault
from isaaclab_mimic_ext.config.recorded_task import check_recorded_task, find_recorded_task, recorded_task
from isaaclab_mimic_ext.datasets.demo_pictures import Painter, PictureJob, drawn_by_workers, names_of_copies
from isaaclab_mimic_ext.envs.appearance import check_kinds
from isaaclab_mimic_ext.envs.cameras import description, merged_cameras
from isaaclab_mimic_ext.errors import ConfigError, OutputError, SourceDataError, choices
from isaaclab_mimic_ext.files.demo import Demo
from isaaclab_mimic_ext.files.faults import DAMAGE
from isaaclab_mimic_ext.files.hdf5 import demo_names, open_hdf5, text_of
from isaaclab_mimic_ext.files.lock import FolderLock
from isaaclab_mimic_ext.files.selection import Chosen
from isaaclab_mimic_ext.files.stream import FileFacts, new_dataset, read_facts, stream_converted
from isaaclab_mimic_ext.files.writing import check_output, created_folder, write_json
from isaaclab_mimic_ext.progress import phase
from isaaclab_mimic_ext.task.cameras import DEPTH, RENDERING_MODES, RGB, CameraCfg
from isaaclab_mimic_ext.task.definition import load_task
from isaaclab_mimic_ext.texts import counted

log = logging.getLogger(__name__)

_SETTINGS = "settings.json"
"""File in the folder of an unfinished rendering that states its settings."""


@dataclass(frozen=True)
class RenderOptions:
    """Cameras and pictures.

    Attributes:
        cameras: names of cameras; `wrist` stands for the cameras at the hands of all arms.
        size: height and width of a picture [pixels].
        rendering_mode: `policy` (fast), or `film`, as `enable_cameras=true` draws pictures during a generation.
        camera_cfgs: values that replace those of the cameras, and further cameras.
        copies: number of copies of each demo, each in a random look.
        appearance: random parts of the looks of copies, see `KINDS_OF_LOOKS`, or `all`.
        seed: with the name of a demo and the number of a copy, decides its look.
        modalities: pictures of each camera, see `MODALITIES`.
    """

    cameras: tuple[str, ...] = ("agentview", "wrist")
    size: tuple[int, int] = (84, 84)
    rendering_mode: str = "policy"
    camera_cfgs: Mapping[str, CameraCfg] = field(default_factory=dict)
    copies: int = 0
    appearance: tuple[str, ...] = ("all",)
    seed: int = 1
    modalities: tuple[str, ...] = (RGB,)


@dataclass(frozen=True)
class Rendered:
    """Result of a rendering.

    Attributes:
        cameras: names of the cameras.
        observations: names of the new observations.
        renderer: name and version of MuJoCo and OpenGL.
        replaced: observations of the input that the new ones replace.
    """

    num_demos: int
    num_steps: int
    cameras: tuple[str, ...]
    observations: tuple[str, ...]
    renderer: str
    replaced: tuple[str, ...]


def render_dataset(
    input_file: str | Path,
    output_file: str | Path,
    options: RenderOptions | None = None,
    *,
    task: str | None = None,
    num_workers: int = 2,
    compress: bool = False,
    overwrite: bool = False,
    resume: bool = False,
    demos: Chosen = None,
) -> Rendered:
    """Copy a dataset, with pictures of its recorded states as further observations.

    They are `obs/<camera>`, colors (T, H, W, 3) uint8; `obs/<camera>_depth`, (T, H, W, 1) float32 [m]; and
    `obs/<camera>_segmentation`, (T, H, W, 1) uint8.

    The bytes do not depend on `num_workers`. Pictures are kept in the folder `<output_file>.pictures` until the dataset is
    complete, so that a killed rendering can be resumed.

    Args:
        task: name of the task whose scene is drawn; None: the task that the file records.
        num_workers: number of processes that draw, one demo at a time each.
        demos: demos to copy: names of demos and masks, with `-` in front to exclude them; None: all.

    Raises:
        ConfigError: an option is not valid.
        SourceDataError: the file is damaged, belongs to a different task, or has no states.
        OutputError: the output exists, or cannot be written.
        SimulatorUnavailable: MuJoCo is not installed, or no OpenGL backend works.
    """
    options = options or RenderOptions()
    _check(options, num_workers)
    facts, output = read_facts(input_file, demos), Path(output_file)
    task_name = _task_name(facts, task)
    if output.exists() and output.samefile(facts.path):
        raise OutputError(f"output_file: must differ from input_file (got {output}); use another output_file")
    folder = output.with_name(f"{output.name}.pictures")
    _check_folder(folder, overwrite, resume)
    check_output(output, overwrite or (resume and not output.exists()))
    job = PictureJob(
        facts.path, folder, task_name, options.cameras, options.size, options.rendering_mode, options.camera_cfgs,
        options.copies, check_kinds(options.appearance, "appearance") if options.copies else (), options.seed,
        tuple(options.modalities),
    )  # fmt: skip
    with Painter(job) as painter:
        _check_names(facts, painter.observations)
        with (
            created_folder(output.parent, "output_file", kind=OutputError),
            FolderLock(output.with_name(f"{output.name}.lock"), file=output).hold(),
            _unfinished(folder, _settings(job, painter.renderer.name), resume),
        ):
            return _render(facts, output, job, painter, num_workers, compress)


def _check_names(facts: FileFacts, names: Mapping[str, str]) -> None:
    """Check that pictures replace only pictures.

    Args:
        names: names of new observations -> their modality.

    Raises:
        ConfigError: the first demo has a different observation with one of the names.
    """
    found: dict[str, Any] = {}
    # A damaged demo is reported where its data is copied.
    with open_hdf5(facts.path) as file, suppress(*DAMAGE):
        observations = file["data"][facts.demo_names[0]]["obs"]
        found = {name: _is_pictures(observations[name], kind) for name, kind in names.items() if name in observations}
    for name, is_pictures in found.items():
        if not is_pictures:
            place = f"cameras: '{name}' is the name of an observation in {facts.path} without pictures"
            raise ConfigError(f"{place}; use another name for the camera")


def _is_pictures(item: h5py.Group | h5py.Dataset, kind: str) -> bool:
    return isinstance(item, h5py.Dataset) and item.ndim == 4 and item.dtype == (np.float32 if kind == DEPTH else np.uint8)


def _check(options: RenderOptions, num_workers: int) -> None:
    mode = options.rendering_mode
    if mode not in RENDERING_MODES:
        raise ConfigError(f"rendering_mode: '{mode}' is not valid; {choices(mode, RENDERING_MODES)}")
    if fault := modalities_fault(options.modalities):
        raise ConfigError(f"modalities: {fault}")
    if len(options.size) != 2:
        raise ConfigError(f"size: must be [height,width] in pixels (got {list(options.size)})")
    if num_workers < 1:
        raise ConfigError(f"num_workers: must be >= 1 (got {num_workers})")
    kinds = check_kinds(options.appearance, "appearance")
    if options.copies and not kinds:
        raise ConfigError("appearance: must name a kind of appearance, e.g. [all] (got []); with copies=0 it has no effect")
    if not options.copies and tuple(options.appearance) != RenderOptions().appearance:
        raise ConfigError(f"appearance: requires copies (got {list(options.appearance)}); set copies=1 or more")


def _task_name(facts: FileFacts, given: str | None) -> str:
    """Name of the task whose scene is drawn; it is available after the call."""
    recorded = recorded_task(facts.env_args)
    name = given or recorded
    if name is None:
        raise SourceDataError(
            f"{facts.path}: does not record a task of this package, so its scene is not known; set task=<task> if it "
            "has the objects of the task"
        )
    find_recorded_task(name, facts.env_args, facts.path)
    check_recorded_task(facts.path, facts.env_args, load_task(name))
    return name


def _check_folder(folder: Path, overwrite: bool, resume: bool) -> None:
    if folder.exists() and not (overwrite or resume):
        raise OutputError(
            f"output_file: an unfinished rendering is in {folder}; continue it with resume=true, or start again with "
            "overwrite=true"
        )


def _settings(job: PictureJob, renderer: str) -> dict[str, Any]:
    """Settings that the pictures depend on, as JSON."""
    file, cameras = job.input_file.stat(), merged_cameras(load_task(job.task_name), job.camera_cfgs)
    settings = {
        "input_file": f"{file.st_size} bytes, changed at {file.st_mtime_ns} ns",
        "task": job.task_name,
        "cameras": list(job.cameras),
        "size": list(job.size),
        "rendering_mode": job.rendering_mode,
        "camera_cfgs": {name: asdict(cfg) for name, cfg in cameras.items()},
        "renderer": renderer,
        "modalities": list(job.modalities),
        **({"copies": job.copies, "appearance": list(job.looks), "seed": job.seed} if job.copies else {}),
    }
    return json.loads(json.dumps(settings))  # Lists in the place of tuples, as in the file.


@contextmanager
def _unfinished(folder: Path, settings: dict[str, Any], resume: bool) -> Iterator[None]:
    """Folder of the pictures during the block. It is kept if the block fails after some demos were drawn."""
    stated = folder / _SETTINGS
    if resume and stated.exists():
        _check_settings(folder, json.loads(stated.read_text()), settings)
    else:
        shutil.rmtree(folder, ignore_errors=True)
    with created_folder(folder, "output_file", kind=OutputError):
        write_json(stated, settings)
    try:
        yield
    except BaseException:
        if num_drawn := len([*folder.glob("*.npz")]):
            log.warning("The pictures of %s are kept in %s; continue with resume=true", counted(num_drawn, "demo"), folder)
        else:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)


def _check_settings(folder: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    changed = [f"{name}: {before.get(name)}, now {now[name]}" for name in now if before.get(name) != now[name]]
    if changed:
        raise OutputError(
            f"resume: {folder} was started with a different configuration ({'; '.join(changed)}); use the old values, or "
            "overwrite=true"
        )


def _render(facts: FileFacts, output: Path, job: PictureJob, painter: Painter, num_workers: int, compress: bool) -> Rendered:
    names = facts.demo_names
    missing = [name for name in names if not job.path(name).exists()]
    replaced: set[str] = set()
    copied = names_of_copies(names, job.copies, _all_names(facts))
    with ExitStack() as stack:
        draw = _drawing(stack, job, painter, missing, min(num_workers, len(missing)))

        def convert(demo: Demo) -> dict[str, np.ndarray]:
            draw(demo.name)
            replaced.update(painter.observations.keys() & demo.below("obs").keys())
            return demo.leaves

        sink = stack.enter_context(new_dataset(facts, output, compress, overwrite=True, update=_progress(job, names)))
        for demo, leaves in stream_converted(facts, convert):
            for copy, name in enumerate([demo.name, *copied[demo.name]]):
                pictures = {f"obs/{each}": values for each, values in job.load(demo.name, copy).items()}
                sink.add_demo(name, {**leaves, **pictures}, {**demo.attributes, **painter.look_attributes(demo.name, copy)})
        masks = {name: _with_copies(demos, copied) if job.copies else demos for name, demos in facts.masks.items()}
        sink.describe(facts.attributes, _data_attributes(facts, job, painter), masks)
    new = tuple(painter.cameras), tuple(painter.observations)
    return Rendered(sink.num_demos, sink.num_steps, *new, painter.renderer.name, tuple(sorted(replaced)))


def _with_copies(mask: np.ndarray, copied: Mapping[str, Sequence[str]]) -> np.ndarray:
    """Names of the demos in a mask, each followed by its copies."""
    names = [name for each in np.atleast_1d(mask) if (name := text_of(each)) in copied]
    return np.array([each.encode() for name in names for each in (name, *copied[name])])


def _all_names(facts: FileFacts) -> list[str]:
    with open_hdf5(facts.path) as file:
        return demo_names(file)


def _drawing(
    stack: ExitStack, job: PictureJob, painter: Painter, missing: list[str], num_workers: int
) -> Callable[[str], None]:
    """Return a function that returns when the pictures of a demo are drawn."""
    if num_workers > 1:
        drawn = stack.enter_context(drawn_by_workers(job, missing, num_workers))
        return lambda name: drawn[name].result() if name in drawn else None
    return lambda name: None if job.path(name).exists() else painter.draw(name)


def _progress(job: PictureJob, names: list[str]) -> Callable[..., None]:
    """Return a function that reports drawn demos. Demos that an earlier process has drawn do not count for the rate."""
    update = phase("rendering")
    num_drawn = sum(job.path(name).exists() for name in names)
    update(num_drawn, len(names))

    def report(num_written: int, total: int, *_: object) -> None:
        update(max(num_drawn, num_written // (job.copies + 1)), total)

    return report


def _data_attributes(facts: FileFacts, job: PictureJob, painter: Painter) -> dict[str, Any]:
    """Attributes of `data`, with the cameras and their calibration in env_args."""
    before = facts.env_args.get("cameras", {})
    model, renderer = painter.renderer.model, painter.renderer.name
    drawn = description(model, painter.task, painter.cameras, job.size, renderer, job.rendering_mode, job.modalities)
    cameras = {
        **{name: before[name] for name in ("segments",) if name in before},
        **drawn,
        "names": [*dict.fromkeys([*before.get("names", ()), *drawn["names"]])],
        "modalities": [*dict.fromkeys([*before.get("modalities", ()), *drawn["modalities"]])],
        "calibration": {**before.get("calibration", {}), **drawn["calibration"]},
    }
    return {**facts.data_attributes, "env_args": json.dumps({**facts.env_args, "cameras": cameras})}

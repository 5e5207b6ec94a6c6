"""Features of a LeRobot dataset, and their values, from the demos of a file."""

# T steps of one demo

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from isaaclab_mimic_ext.datasets.convert.images import ImageLayout
from isaaclab_mimic_ext.datasets.convert.targets import DELTA, FORMS, converted_actions
from isaaclab_mimic_ext.errors import ConfigError, choices
from isaaclab_mimic_ext.files.dataset_file import DIGEST
from isaaclab_mimic_ext.files.demo import Demo, is_image
from isaaclab_mimic_ext.files.digest import ORIGINAL_DIGEST
from isaaclab_mimic_ext.files.stream import FileFacts
from isaaclab_mimic_ext.files.subtasks import NUM_STEPS, demo_subtasks, subtask_names
from isaaclab_mimic_ext.task.robot import is_robot_observation

log = logging.getLogger(__name__)

STATE, ENVIRONMENT, ACTION = "observation.state", "observation.environment_state", "action"
CAMERA = "observation.images."
SUCCESS, SUBTASK, PROGRESS = "next.success", "subtask_index", "subtask_progress"
SPLITS = ("train", "valid")
"""Masks that become splits, in the order of their episodes."""
MAX_STATE = 32
"""Largest number of entries of `observation.state` that pi0, SmolVLA and X-VLA accept."""
_SCALARS = {"rewards": ("next.reward", np.float32), "dones": ("next.done", np.bool_)}
"""Dataset of a demo -> (name of the LeRobot feature, dtype)."""
_INFO = "datagen_info/"
_RECOMPUTED = {"num_samples", DIGEST, ORIGINAL_DIGEST}
"""Attributes of a demo that follow from its data."""
_CLEAN = "actions_clean"
_AXES = "xyz"


@dataclass(frozen=True)
class LeRobotOptions:
    """Options of the LeRobot export.

    Attributes:
        state_keys: observations that form `observation.state`, in this order; None: those of the robot itself.
        environment_keys: observations that form `observation.environment_state`; None: without pictures all other
            low-dimensional observations except `actions`, with pictures none.
        instruction: language instruction of the task; None: name of the environment.
        instructions: several instructions; one is drawn for each demo.
        fps: frames per second; None: control rate of the file's env_args.
        repo_id: `<user>/<name>`; None: `local/<folder>`.
        videos: encode images as videos (lossy); False: as PNG files.
        video_codec: codec of the videos.
        camera_keys: image observations to export; None: all.
        actions: form of the actions, one of `FORMS`.
        action_key: dataset of the actions; None: `actions_clean` if the demos have it, otherwise `actions`.
    """

    state_keys: tuple[str, ...] | None = None
    instruction: str | None = None
    fps: int | None = None
    repo_id: str | None = None
    videos: bool = True
    camera_keys: tuple[str, ...] | None = None
    environment_keys: tuple[str, ...] | None = None
    instructions: tuple[str, ...] = ()
    video_codec: str = "libsvtav1"
    actions: str = DELTA
    action_key: str | None = None


@dataclass(frozen=True)
class Columns:
    """Datasets that the features are read from.

    Attributes:
        facts: contents of the file without its demos.
        state_keys, environment_keys: observations of both states.
        cameras: name of a camera -> layout of its images.
        scalars: keys of `_SCALARS` that the demos have.
        action_key, action_form: dataset and form of the actions.
        has_success: the success of the demos is known.
        subtasks: label of a subtask -> its index, in the order of the indices; None: not recorded.
    """

    facts: FileFacts
    state_keys: tuple[str, ...]
    environment_keys: tuple[str, ...]
    cameras: dict[str, ImageLayout]
    scalars: tuple[str, ...]
    action_key: str
    action_form: str
    has_success: bool
    subtasks: dict[str, int] | None = field(compare=False)


def choose_columns(demo: Demo, facts: FileFacts, options: LeRobotOptions) -> Columns:
    """Choose the datasets of the features by the options and the first demo.

    Raises:
        ConfigError: an option is wrong.
        SourceDataError: images cannot be converted to RGB.
    """
    observations = {name: leaf for name, leaf in demo.below("obs").items() if not name.startswith(_INFO)}
    vectors = [name for name, leaf in observations.items() if not is_image(leaf) and leaf.dtype.kind in "fbiu"]
    cameras = _cameras(demo, observations, options.camera_keys)
    state, environment = _states(demo, facts, vectors, bool(cameras), options)
    if options.actions not in FORMS:
        raise ConfigError(f"actions: '{options.actions}' is not a form of actions; {choices(options.actions, FORMS)}")
    names = subtask_names(facts.data_attributes)
    labels = next(iter(names.values())) if len(names) == 1 else ()
    return Columns(
        facts,
        state,
        environment,
        cameras,
        scalars=tuple(name for name in _SCALARS if name in demo.leaves),
        action_key=_action_key(demo, options.action_key),
        action_form=options.actions,
        has_success=demo.success is not None,
        subtasks={label: index for index, label in enumerate(labels)} if names and NUM_STEPS in demo.attributes else None,
    )


def _states(
    demo: Demo, facts: FileFacts, vectors: Sequence[str], has_cameras: bool, options: LeRobotOptions
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Observations of `observation.state` and of `observation.environment_state`."""
    named = sorted(name for name in vectors if name != "actions")
    own = [name for name in named if is_robot_observation(name, facts.env_args)] or named
    for field_name, keys in (("state_keys", options.state_keys), ("environment_keys", options.environment_keys)):
        for name in keys or ():
            if name not in vectors:
                rule = f"'{name}' is not a low-dimensional observation of {demo.place}"
                raise ConfigError(f"{field_name}: {rule}; {choices(name, sorted(vectors))}")
    state = tuple(own) if options.state_keys is None else options.state_keys
    if not state:
        raise ConfigError(f"state_keys: {STATE} requires at least one observation; {choices('', sorted(vectors))}")
    others = () if has_cameras else tuple(name for name in named if name not in (*own, *state))
    return state, others if options.environment_keys is None else options.environment_keys


def _action_key(demo: Demo, wanted: str | None) -> str:
    found = [name for name in (_CLEAN, "actions") if name in demo.leaves]
    if wanted is not None and wanted not in found:
        raise ConfigError(f"action_key: '{wanted}' not found in {demo.place}; {choices(wanted, found)}")
    return wanted or found[0]


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


def left_out(demo: Demo, columns: Columns) -> tuple[str, ...]:
    """Contents of the file that LeRobot's layout has no place for, or that were not chosen."""
    used = {columns.action_key, *columns.scalars}
    used |= {f"obs/{key}" for key in (*columns.state_keys, *columns.environment_keys)}
    used |= {layout.key for layout in columns.cameras.values()}
    rest = {path if path.startswith("obs/") and not path.startswith(f"obs/{_INFO}") else path.partition("/")[0]
            for path in demo.leaves if path not in used and not path.startswith(f"obs/{_INFO}")}  # fmt: skip
    has_info = any(path.startswith(f"obs/{_INFO}") for path in demo.leaves)
    masks = [f"mask/{name}" for name in sorted(columns.facts.masks) if name not in SPLITS]
    return (*sorted(rest), *([f"obs/{_INFO[:-1]}"] if has_info else []), *masks)


def features(demo: Demo, columns: Columns, videos: bool) -> dict[str, dict[str, Any]]:
    """LeRobot's description of the features of a frame."""
    is_xyzw = columns.facts.is_xyzw
    found = {STATE: _vector(_entries(demo, columns.state_keys, is_xyzw))}
    if columns.environment_keys:
        found[ENVIRONMENT] = _vector(_entries(demo, columns.environment_keys, is_xyzw))
    found[ACTION] = _vector(_actions(demo, columns).names)
    for camera, layout in columns.cameras.items():
        shape = layout.to_rgb(demo).shape[1:]
        kind = "video" if videos else "image"
        found[CAMERA + camera] = {"dtype": kind, "shape": shape, "names": ["height", "width", "channels"]}
    scalars: dict[str, Any] = dict(_SCALARS[scalar] for scalar in columns.scalars)
    scalars |= {SUCCESS: np.bool_} if columns.has_success else {}
    scalars |= {} if columns.subtasks is None else {SUBTASK: np.int64, PROGRESS: np.float32}
    for name, dtype in scalars.items():
        found[name] = {"dtype": np.dtype(dtype).name, "shape": (1,), "names": None}
    return found


def warn_of_width(found: Mapping[str, Mapping[str, Any]]) -> None:
    """Log a warning if `observation.state` has more entries than common policies accept."""
    (width,) = found[STATE]["shape"]
    if width > MAX_STATE:
        log.warning(
            "%s has %s entries; pi0, SmolVLA and X-VLA accept %s; choose fewer observations with state_keys=",
            STATE, width, MAX_STATE,
        )  # fmt: skip


def _vector(names: Sequence[str]) -> dict[str, Any]:
    return {"dtype": "float32", "shape": (len(names),), "names": list(names)}


def _entries(demo: Demo, keys: Sequence[str], is_xyzw: bool) -> list[str]:
    return [name for key in keys for name in _entry_names(key, _width(demo, key), is_xyzw)]


def _width(demo: Demo, key: str) -> int:
    return int(np.prod(demo.leaves[f"obs/{key}"].shape[1:], dtype=np.int64))


def _entry_names(key: str, width: int, is_xyzw: bool) -> list[str]:
    """Names of the entries of an observation, for example `eef_pos.x`, `eef_quat.w`, `joint_pos.0`."""
    axes: Sequence[str] = [str(index) for index in range(width)]
    if key.endswith("_pos") and width == len(_AXES) and not key.startswith("joint"):
        axes = _AXES
    if key.endswith("_quat") and width == len(_AXES) + 1:
        axes = f"{_AXES}w" if is_xyzw else f"w{_AXES}"
    return [f"{key}.{axis}" for axis in axes]


def rows(demo: Demo, columns: Columns) -> dict[str, np.ndarray]:
    """Values of each feature, name -> (T, ...). `stream_demos` checks that all demos have the datasets of the first one.

    Raises:
        SourceDataError: the success or the subtasks of the demo are not known, but those of the first demo are.
    """
    leaves, num_steps = demo.leaves, demo.num_steps
    found = {STATE: _concatenated(demo, columns.state_keys), ACTION: _actions(demo, columns).values}
    if columns.environment_keys:
        found[ENVIRONMENT] = _concatenated(demo, columns.environment_keys)
    found |= {CAMERA + camera: layout.to_rgb(demo) for camera, layout in columns.cameras.items()}
    for scalar in columns.scalars:
        name, dtype = _SCALARS[scalar]
        found[name] = leaves[scalar].reshape(num_steps, 1).astype(dtype)
    if columns.has_success:
        if demo.success is None:
            demo.refuse(f"attribute 'success': not found; add it, or leave the demo out (demos=-{demo.name})")
        is_last = np.arange(1, num_steps + 1) == num_steps
        found[SUCCESS] = (is_last & demo.success)[:, None]
    if columns.subtasks is not None:
        found |= _subtask_rows(demo, columns.facts, columns.subtasks)
    return found


def _subtask_rows(demo: Demo, facts: FileFacts, known: dict[str, int]) -> dict[str, np.ndarray]:
    """Index and progress of the subtask of each step. New labels are added to `known`; several hands have one progress."""
    found = demo_subtasks(subtask_names(facts.data_attributes), demo.attributes, demo.num_steps, demo.place)
    if found is None:
        demo.refuse(f"attribute '{NUM_STEPS}': not found; generate the demo again, or leave it out (demos=-{demo.name})")
    index = [known.setdefault(label, len(known)) for label in found.labels()]
    return {
        SUBTASK: np.array(index, dtype=np.int64)[:, None],
        PROGRESS: found.progress.mean(1, keepdims=True, dtype=np.float32),
    }


def _concatenated(demo: Demo, keys: Sequence[str]) -> np.ndarray:
    parts = [demo.leaves[f"obs/{key}"].reshape(demo.num_steps, -1) for key in keys]
    return np.concatenate(parts, axis=1, dtype=np.float32)


def _actions(demo: Demo, columns: Columns) -> Any:
    values, facts = demo.leaves[columns.action_key], columns.facts
    return converted_actions(demo, values, columns.action_form, facts.env_args, facts.is_xyzw)


def provenance_of(demo: Demo) -> dict[str, Any]:
    """Attributes of a demo that do not follow from its data."""
    return {name: value for name, value in demo.attributes.items() if name not in _RECOMPUTED}

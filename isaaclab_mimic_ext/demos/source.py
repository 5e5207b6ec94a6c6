"""Reader of source demos from annotated files in Isaac Lab's layout: checked NumPy arrays."""

# D demos, T time steps of a demo, A action entries

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import h5py
import numpy as np
from numpy.typing import NDArray

from isaaclab_mimic_ext.command_lines import command_line
from isaaclab_mimic_ext.errors import SourceDataError, choices
from isaaclab_mimic_ext.files.attributes import attribute
from isaaclab_mimic_ext.files.demo import Demo, open_demo
from isaaclab_mimic_ext.files.hdf5 import demo_names, open_hdf5
from isaaclab_mimic_ext.files.selection import Chosen, LeftOut, choose_demos, read_masks
from isaaclab_mimic_ext.files.writing import annotated_path

MAX_STEPS = 1_000_000
"""Largest number of steps of a demo; more would not fit in memory and indicate a damaged file."""
ROTATION_TOLERANCE = 1e-3
"""Largest error of an entry of R^T R, or of a pose's last row."""

_INFO = "obs/datagen_info"
_STARTS = "subtask_start_signals"
_REPLACE = "record the demo again, or leave out the demo"


@dataclass(frozen=True)
class SourceDemo:
    """One annotated source demo. Poses are homogeneous matrices in the env frame [m].

    Attributes:
        name: name in the file, such as `demo_0`.
        actions: (T, A) float32, recorded actions.
        eef_pose: end effector -> (T, 4, 4) float32, pose before each action.
        target_eef_pose: end effector -> (T, 4, 4) float32, target pose of each action.
        object_pose: object -> (T, 4, 4) float32, pose before each action.
        subtask_term_signals: signal -> (T,) bool.
        subtask_start_signals: signal -> (T,) bool, with the names of the term signals; empty unless requested.
        file: path of the file, for messages.
    """

    name: str
    actions: NDArray[np.float32]
    eef_pose: dict[str, NDArray[np.float32]]
    target_eef_pose: dict[str, NDArray[np.float32]]
    object_pose: dict[str, NDArray[np.float32]]
    subtask_term_signals: dict[str, NDArray[np.bool_]]
    file: str = ""
    subtask_start_signals: dict[str, NDArray[np.bool_]] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """File and name of the demo, for messages."""
        return f"{self.file}: {self.name}" if self.file else self.name

    @property
    def num_steps(self) -> int:
        return len(self.actions)


def load_source_demos(
    path: str | Path,
    eef_names: Iterable[str],
    object_names: Iterable[str],
    signal_names_needed: Iterable[str],
    action_dim: int,
    action_spec: Mapping[str, Any] | None = None,
    start_signal_names_needed: Iterable[str] = (),
    demos: Chosen = None,
    check: Callable[[SourceDemo], object] = lambda _: None,
) -> list[SourceDemo]:
    """Read the demos of an annotated file, in natural order of their names. Demos with faults are left out with a warning.

    `format_version` (the order of quaternions) does not matter: only matrices are read.

    Args:
        path: HDF5 file in Isaac Lab's layout with `obs/datagen_info`.
        eef_names, object_names, signal_names_needed: required data; the reader ignores all other data.
        action_dim: A, number of action entries of the env.
        action_spec: description of the env's actions (`env_args()["action"]`); compared with that of the file, if present.
        start_signal_names_needed: required start signals (SkillGen).
        demos: demos to read, see `choose_demos`; None: all.
        check: further check of a demo, which raises a SourceDataError.

    Raises:
        ConfigError: a chosen demo is not in the file.
        SourceDataError: the file is missing, or belongs to different actions; or no demo can be used: all are damaged, not
            annotated, or belong to different objects.
    """
    starts = tuple(start_signal_names_needed)
    needed = RequiredData(tuple(eef_names), tuple(object_names), tuple(signal_names_needed), action_dim, starts)
    with open_hdf5(path) as file:
        names = choose_demos(str(path), demo_names(file), read_masks(file), demos)
        if action_spec is not None:
            check_action_spec(file, action_spec)

        def read(name: str) -> SourceDemo:
            demo = source_demo(open_demo(file, name), needed)
            check(demo)
            return demo

        return [demo for _, demo in LeftOut(str(path)).usable(names, read)]


@dataclass(frozen=True)
class RequiredData:
    """Data that a demo must contain for a task and its env."""

    eef_names: tuple[str, ...]
    object_names: tuple[str, ...]
    signal_names: tuple[str, ...]
    action_dim: int
    start_signal_names: tuple[str, ...] = ()


def source_demo(demo: Demo, needed: RequiredData) -> SourceDemo:
    """Read an annotated demo; check shape and type of each array before reading it, and its values afterwards.

    Raises:
        SourceDataError: the demo is not annotated, or belongs to different objects or actions; its `step` is the first wrong
            step, if known.
    """
    reader = _DemoReader(demo)
    actions = reader.actions(needed.action_dim)
    num_steps = len(actions)
    reader.check_annotated()
    return SourceDemo(
        name=demo.name,
        actions=actions,
        eef_pose=reader.poses("eef_pose", "end effector", needed.eef_names, num_steps),
        target_eef_pose=reader.poses("target_eef_pose", "end effector", needed.eef_names, num_steps),
        object_pose=reader.poses("object_pose", "object", needed.object_names, num_steps),
        subtask_term_signals=reader.signals("subtask_term_signals", needed.signal_names, num_steps),
        file=demo.file,
        subtask_start_signals=reader.start_signals(needed.start_signal_names, num_steps),
    )


def check_action_spec(file: h5py.File, expected: Mapping[str, Any]) -> None:
    """Compare the description of a file's actions, if it has one, with that of the env's actions.

    Raises:
        SourceDataError: the descriptions differ.
    """
    text = attribute(file["data"], "env_args")
    if text is None:
        return
    try:
        found = json.loads(text).get("action")
    except (ValueError, TypeError, AttributeError) as error:
        message = f"data.attrs['env_args'] is not a JSON object ({error}); write the file again"
        raise SourceDataError(f"{file.filename}: {message}") from error
    if found is None:
        return
    # Convert through JSON, so that tuples equal lists, and 1 equals 1.0.
    wanted = json.loads(json.dumps(dict(expected)))
    if found != wanted:
        message = f"was recorded with a different action space (env_args: {found}, this env: {wanted})"
        raise SourceDataError(f"{file.filename}: {message}; use demos recorded with this env's actions")


class _DemoReader:
    """Reads the datasets of one demo. All errors contain the file, the demo and the dataset."""

    def __init__(self, demo: Demo):
        self._demo = demo

    def actions(self, action_dim: int) -> NDArray[np.float32]:
        """Actions, (T, A) float32."""
        dataset = self._dataset("actions", _REPLACE)
        if len(dataset.shape) != 2:
            self._refuse("actions", f"must have the shape (T, {action_dim}) (got {dataset.shape})", _REPLACE)
        num_steps, found_dim = dataset.shape
        if num_steps == 0:
            self._refuse("actions", "must have at least one step (got 0)", _REPLACE)
        if num_steps > MAX_STEPS:
            self._refuse("actions", f"must have at most {MAX_STEPS} steps (got {num_steps})", "record the file again")
        if found_dim != action_dim:
            reason = f"must have {action_dim} entries per action, like those of this env (got {found_dim})"
            self._refuse("actions", reason, "use demos recorded with this env's actions")
        return self._floats("actions", dataset)

    def check_annotated(self) -> None:
        if not self._demo.below(_INFO):
            self._refuse(_INFO, "not found, the demo is not annotated", self._annotate())

    def poses(self, part: str, kind: str, names: tuple[str, ...], num_steps: int) -> dict[str, NDArray[np.float32]]:
        """Name -> rigid poses, (T, 4, 4) float32."""
        self._check_names(part, kind, names)
        poses = {}
        for name in names:
            key = f"{_INFO}/{part}/{name}"
            dataset = self._dataset(key, self._annotate())
            self._check_shape(key, dataset, (num_steps, 4, 4))
            poses[name] = self._floats(key, dataset)
            self._check_rigid(key, poses[name])
        return poses

    def start_signals(self, names: tuple[str, ...], num_steps: int) -> dict[str, NDArray[np.bool_]]:
        """Start signals, name -> (T,) bool; the error for a missing one contains the command that adds start signals."""
        present = self._demo.below(f"{_INFO}/{_STARTS}")
        missing = [name for name in names if name not in present]
        if missing:
            found = choices(missing[0], present) if present else "the demo has no start signals"
            reason = f"start signal '{missing[0]}' not found, which SkillGen requires; {found}"
            self._refuse(f"{_INFO}/{_STARTS}", reason, self._annotate_starts())
        return self.signals(_STARTS, names, num_steps) if names else {}

    def signals(self, part: str, names: tuple[str, ...], num_steps: int) -> dict[str, NDArray[np.bool_]]:
        """Name -> (T,) bool; zeros and ones of other types, and a last axis of size 1, are accepted."""
        self._check_names(part, "signal", names)
        signals = {}
        for name in names:
            key = f"{_INFO}/{part}/{name}"
            dataset = self._dataset(key, self._annotate())
            if dataset.shape != (num_steps, 1):
                self._check_shape(key, dataset, (num_steps,))
            if dataset.dtype.kind not in "biuf":
                self._refuse(key, f"must have the dtype bool (got {dataset.dtype})", self._annotate())
            values = dataset[()].reshape(num_steps)
            if not np.isin(values, (0, 1)).all():
                self._refuse(key, "must contain only false and true (got other values)", self._annotate())
            signals[name] = values.astype(np.bool_)
        return signals

    def _check_names(self, part: str, kind: str, names: tuple[str, ...]) -> None:
        present = sorted(self._demo.below(f"{_INFO}/{part}"))
        if names and not present:
            self._refuse(f"{_INFO}/{part}", "not found, the demo is not fully annotated", self._annotate())
        for name in names:
            if name not in present:
                reason = f"{kind} '{name}' not found; {choices(name, present)}"
                self._refuse(f"{_INFO}/{part}", reason, "use demos of this task, or change the name in the task")

    def _dataset(self, key: str, remedy: str) -> Any:
        """Array, or HDF5 dataset that has not been read."""
        dataset = self._demo.leaves.get(key)
        if dataset is None:
            self._refuse(key, "must be a dataset (got a group)" if self._demo.below(key) else "not found", remedy)
        if dataset.shape is None:
            self._refuse(key, "must not be empty", remedy)
        return dataset

    def _check_shape(self, key: str, dataset: Any, expected: tuple[int, ...]) -> None:
        if dataset.shape == expected:
            return
        reason = f"must have the shape {expected}"
        if dataset.shape[:1] != expected[:1]:
            reason += f", with one row for each of the demo's {expected[0]} actions"
        self._refuse(key, f"{reason} (got {dataset.shape})", self._annotate())

    def _floats(self, key: str, dataset: Any) -> NDArray[np.float32]:
        if dataset.dtype.kind != "f":
            self._refuse(key, f"must have the dtype float32 (got {dataset.dtype})", _REPLACE)
        with np.errstate(over="ignore"):
            values = np.asarray(dataset[()], dtype=np.float32)
        finite = np.isfinite(values).reshape(len(values), -1).all(-1)
        if not finite.all():
            step = int(finite.argmin())
            self._refuse(key, f"must be finite (got NaN or infinity at step {step})", _REPLACE, step)
        return values

    def _check_rigid(self, key: str, poses: NDArray[np.float32]) -> None:
        """Refuse poses (T, 4, 4) whose rotation matrix is invalid, or whose last row is not (0, 0, 0, 1)."""
        rot = poses[:, :3, :3].astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            off = np.abs(rot.swapaxes(-1, -2) @ rot - np.eye(3)).max((-1, -2))
            last_row = np.abs(poses[:, 3].astype(np.float64) - [0.0, 0.0, 0.0, 1.0]).max(-1)
            mirrored = np.linalg.det(rot) <= 0.0
        rigid = (off <= ROTATION_TOLERANCE) & (last_row <= ROTATION_TOLERANCE) & ~mirrored
        if rigid.all():
            return
        step = int(rigid.argmin())
        found = f"error of R^T R {off[step]:.2g}, of the last row {last_row[step]:.2g}, at most {ROTATION_TOLERANCE:g}"
        found += ", mirrored" if mirrored[step] else ""
        reason = f"must be a rigid pose, but is not at step {step} ({found})"
        self._refuse(key, reason, "annotate again with an env that returns homogeneous matrices", step)

    def _annotate(self) -> str:
        return f"annotate the file with `{self._annotation_command()}`"

    def _annotate_starts(self) -> str:
        command = self._annotation_command(annotate_subtask_start_signals=True)
        return f"annotate it again with `{command}` (by hand: marks_file=<yaml>), or set datagen_config.use_skillgen=false"

    def _annotation_command(self, **fields: Any) -> str:
        path = Path(self._demo.file)
        return command_line("annotate", input_file=path, output_file=annotated_path(path), **fields)

    def _refuse(self, key: str, reason: str, remedy: str, step: int | None = None) -> NoReturn:
        self._demo.refuse(f"{key}: {reason}; {remedy}", step)

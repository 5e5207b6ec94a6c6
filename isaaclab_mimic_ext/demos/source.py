"""Source demonstrations from Isaac Lab's annotated layout: read, checked, and left as plain arrays."""

# D demos, T time steps of a demo, A action entries

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import h5py
import numpy as np
from numpy.typing import NDArray

from isaaclab_mimic_ext.errors import SourceDataError, choices
from isaaclab_mimic_ext.files.demo import Demo, open_demo
from isaaclab_mimic_ext.files.hdf5 import attribute, demo_names, open_hdf5

MAX_STEPS = 1_000_000
"""A longer demo is taken for a damaged file: it would not fit in memory."""
ROTATION_TOLERANCE = 1e-3
"""By how much an entry of R^T R, or of a pose's last row, may be off."""

_INFO = "obs/datagen_info"
_STARTS = "subtask_start_signals"
_ANNOTATE = "annotate the file with scripts/annotate_demos.py"
_ANNOTATE_STARTS = (
    "annotate it again with scripts/annotate_demos.py annotate_subtask_start_signals=true (by hand: marks_file=<yaml>), "
    "or set datagen_config.use_skillgen=false"
)
_REPLACE = "record the demo again, or leave it out"


@dataclass(frozen=True)
class SourceDemo:
    """One annotated demonstration. Poses are homogeneous matrices in the env frame [m].

    Attributes:
        actions: (T, A) float32, as the operator gave them.
        eef_pose: end effector -> (T, 4, 4) float32, where it was before each action.
        target_eef_pose: end effector -> (T, 4, 4) float32, where each action sent it.
        object_pose: object -> (T, 4, 4) float32.
        subtask_term_signals: signal -> (T,) bool.
        subtask_start_signals: likewise, under the term signals' names; only where they were asked for.
        file: that it is from, for messages.
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
        """What a message calls it."""
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
) -> list[SourceDemo]:
    """All demos of an annotated file, in natural order of their names.

    Files with and without `format_version` read alike: what is read are matrices, which have no quaternion order.

    Args:
        path: the file, in Isaac Lab's layout with `obs/datagen_info`.
        eef_names, object_names, signal_names_needed: what must be there; anything else is left unread.
        action_dim: A, of the env that the demos are for.
        action_spec: what the env says of its actions (`env_args()["action"]`); compared where the file says it too.
        start_signal_names_needed: subtask start signals that must be there (SkillGen).

    Raises:
        SourceDataError: the file is missing, damaged, not annotated, or made for other objects or actions.
    """
    starts = tuple(start_signal_names_needed)
    needed = Needed(tuple(eef_names), tuple(object_names), tuple(signal_names_needed), action_dim, starts)
    with open_hdf5(path) as file:
        names = demo_names(file)
        if action_spec is not None:
            check_action_spec(file, action_spec)
        return [source_demo(open_demo(file, name), needed) for name in names]


@dataclass(frozen=True)
class Needed:
    """What a demo must have, for a task and its env."""

    eef_names: tuple[str, ...]
    object_names: tuple[str, ...]
    signal_names: tuple[str, ...]
    action_dim: int
    start_signal_names: tuple[str, ...] = ()


def source_demo(demo: Demo, needed: Needed) -> SourceDemo:
    """An annotated demo as the arrays that planning needs, of their types, each checked before and after it is read.

    Raises:
        SourceDataError: it is not annotated, or made for other objects or actions; `step` is that of the fault, if known.
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
    """Compare what a file says of its actions, if it says anything, with what the env's are.

    Raises:
        SourceDataError: they differ.
    """
    text = attribute(file["data"], "env_args")
    if text is None:
        return
    try:
        found = json.loads(text).get("action")
    except (ValueError, TypeError, AttributeError) as error:
        message = f"data.attrs['env_args'] is no JSON object ({error}); write the file again"
        raise SourceDataError(f"{file.filename}: {message}") from error
    if found is None:
        return
    # Through JSON, so that tuples and lists, or 1 and 1.0, do not differ.
    wanted = json.loads(json.dumps(dict(expected)))
    if found != wanted:
        message = f"made for another action space: its env_args say {found}, this env's actions are {wanted}"
        raise SourceDataError(f"{file.filename}: {message}; use demos recorded with these actions")


class _DemoReader:
    """Reads the datasets of one demo; every refusal names the file, the demo and the dataset."""

    def __init__(self, demo: Demo):
        self._demo = demo

    def actions(self, action_dim: int) -> NDArray[np.float32]:
        """(T, A) float32."""
        dataset = self._dataset("actions", _REPLACE)
        if len(dataset.shape) != 2:
            self._refuse("actions", f"shape {dataset.shape}, expected (T, {action_dim})", _REPLACE)
        num_steps, found_dim = dataset.shape
        if num_steps == 0:
            self._refuse("actions", "has no steps (T = 0)", _REPLACE)
        if num_steps > MAX_STEPS:
            self._refuse("actions", f"{num_steps} steps, expected at most {MAX_STEPS}", "make the file again")
        if found_dim != action_dim:
            reason = f"made for another action space: {found_dim} entries an action, this env takes {action_dim}"
            self._refuse("actions", reason, "use demos recorded with this env's actions")
        return self._floats("actions", dataset)

    def check_annotated(self) -> None:
        if not self._demo.below(_INFO):
            self._refuse(_INFO, "missing, the demo is not annotated", _ANNOTATE)

    def poses(self, part: str, kind: str, names: tuple[str, ...], num_steps: int) -> dict[str, NDArray[np.float32]]:
        """Name -> rigid poses (T, 4, 4) float32."""
        self._check_names(part, kind, names)
        poses = {}
        for name in names:
            key = f"{_INFO}/{part}/{name}"
            dataset = self._dataset(key, _ANNOTATE)
            self._check_shape(key, dataset, (num_steps, 4, 4))
            poses[name] = self._floats(key, dataset)
            self._check_rigid(key, poses[name])
        return poses

    def start_signals(self, names: tuple[str, ...], num_steps: int) -> dict[str, NDArray[np.bool_]]:
        """Name -> (T,) bool, as `signals`; a demo without any is told how it gets them."""
        present = self._demo.below(f"{_INFO}/{_STARTS}")
        missing = [name for name in names if name not in present]
        if missing:
            found = choices(missing[0], present) if present else "the demo has none at all"
            reason = f"no start signal '{missing[0]}', which SkillGen needs; {found}"
            self._refuse(f"{_INFO}/{_STARTS}", reason, _ANNOTATE_STARTS)
        return self.signals(_STARTS, names, num_steps) if names else {}

    def signals(self, part: str, names: tuple[str, ...], num_steps: int) -> dict[str, NDArray[np.bool_]]:
        """Name -> (T,) bool; zeros and ones of other types, and a trailing axis of 1, are taken too."""
        self._check_names(part, "signal", names)
        signals = {}
        for name in names:
            key = f"{_INFO}/{part}/{name}"
            dataset = self._dataset(key, _ANNOTATE)
            if dataset.shape != (num_steps, 1):
                self._check_shape(key, dataset, (num_steps,))
            if dataset.dtype.kind not in "biuf":
                self._refuse(key, f"dtype {dataset.dtype}, expected bool", _ANNOTATE)
            values = dataset[()].reshape(num_steps)
            if not np.isin(values, (0, 1)).all():
                self._refuse(key, "has values other than false and true", _ANNOTATE)
            signals[name] = values.astype(np.bool_)
        return signals

    def _check_names(self, part: str, kind: str, names: tuple[str, ...]) -> None:
        present = sorted(self._demo.below(f"{_INFO}/{part}"))
        if names and not present:
            self._refuse(f"{_INFO}/{part}", "missing, the demo is not fully annotated", _ANNOTATE)
        for name in names:
            if name not in present:
                reason = f"the file has no {kind} '{name}'; {choices(name, present)}"
                self._refuse(f"{_INFO}/{part}", reason, "use demos of this task, or name what the file has in the task")

    def _dataset(self, key: str, remedy: str) -> Any:
        """An array, or a dataset that is not read yet."""
        dataset = self._demo.leaves.get(key)
        if dataset is None:
            self._refuse(key, "a group, expected a dataset" if self._demo.below(key) else "missing", remedy)
        if dataset.shape is None:
            self._refuse(key, "is empty", remedy)
        return dataset

    def _check_shape(self, key: str, dataset: Any, expected: tuple[int, ...]) -> None:
        if dataset.shape == expected:
            return
        reason = f"shape {dataset.shape}, expected {expected}"
        if dataset.shape[:1] != expected[:1]:
            reason += f": the demo has {expected[0]} actions"
        self._refuse(key, reason, "every dataset of a demo needs one row for each action; " + _ANNOTATE)

    def _floats(self, key: str, dataset: Any) -> NDArray[np.float32]:
        if dataset.dtype.kind != "f":
            self._refuse(key, f"dtype {dataset.dtype}, expected float32", _REPLACE)
        with np.errstate(over="ignore"):
            values = np.asarray(dataset[()], dtype=np.float32)
        finite = np.isfinite(values).reshape(len(values), -1).all(-1)
        if not finite.all():
            step = int(finite.argmin())
            self._refuse(key, f"not finite at step {step}", _REPLACE, step)
        return values

    def _check_rigid(self, key: str, poses: NDArray[np.float32]) -> None:
        """Refuse poses (T, 4, 4) whose rotation is none, or whose last row is not (0, 0, 0, 1)."""
        rot = poses[:, :3, :3].astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            off = np.abs(rot.swapaxes(-1, -2) @ rot - np.eye(3)).max((-1, -2))
            last_row = np.abs(poses[:, 3].astype(np.float64) - [0.0, 0.0, 0.0, 1.0]).max(-1)
            mirrored = np.linalg.det(rot) <= 0.0
        rigid = (off <= ROTATION_TOLERANCE) & (last_row <= ROTATION_TOLERANCE) & ~mirrored
        if rigid.all():
            return
        step = int(rigid.argmin())
        found = f"R^T R is off by {off[step]:.2g}, the last row by {last_row[step]:.2g}"
        found += ", mirrored" if mirrored[step] else ""
        reason = f"no rigid pose at step {step} ({found}; at most {ROTATION_TOLERANCE:g})"
        self._refuse(key, reason, "annotate again with an env that gives homogeneous matrices", step)

    def _refuse(self, key: str, reason: str, remedy: str, step: int | None = None) -> NoReturn:
        self._demo.refuse(f"{key}: {reason}; {remedy}", step)

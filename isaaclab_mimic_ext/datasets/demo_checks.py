"""Checks of one demo of a dataset: readable, complete, arrays of equal length, same datasets as the other demos."""

# T steps of the demo

from collections.abc import Mapping
from math import prod
from typing import Any

import h5py
import numpy as np

from isaaclab_mimic_ext.datasets.findings import Findings
from isaaclab_mimic_ext.demos.source import MAX_STEPS
from isaaclab_mimic_ext.files.attributes import truth_value
from isaaclab_mimic_ext.files.demo import has_limits, largest_action
from isaaclab_mimic_ext.files.digest import matches_digest
from isaaclab_mimic_ext.files.faults import DAMAGE
from isaaclab_mimic_ext.files.hdf5 import datasets_below

MAX_BYTES = 2**32
"""Size above which a dataset of one demo is reported as damaged [bytes]."""
MAX_SPEED = 10.0
"""Speed above which a state is reported as a jump: objects [m/s], also when thrown, and joints [rad/s]."""
QUAT_TOLERANCE = 1e-3
"""Largest deviation of the norm of a quaternion from 1."""
STATE_TOLERANCE = 1e-4
"""Largest deviation of an observation from the state that it shows [m, rad, or entries of a quaternion]."""

_BLOCK = 16 * 2**20
"""Number of bytes of an image dataset that are read at a time."""
_SCENE_GROUPS = ("initial_state", "states")
_GROUPS = ("obs", *_SCENE_GROUPS)
_RECORD_AGAIN = "generate or record the demo again, or leave it out (demos=-<name>)"
_COPY_AGAIN = "copy the file again, or create it again"

Schema = dict[str, tuple[str, tuple[int, ...]]]
"""Path of a dataset -> dtype and shape of a row."""
Leaves = Mapping[str, np.ndarray]
"""Path of a dataset -> values (T, ...)."""


class DemoChecker:
    """Checks demos one after the other. All demos must have the datasets of the first one.

    Args:
        env_args: env_args of the file. Checks whose settings they lack (actions, control rate) are skipped.
        is_converted: whether the file was converted to or from a layout without states of the scene.
    """

    def __init__(self, findings: Findings, env_args: Mapping[str, Any], is_converted: bool = False):
        self.findings, self._is_converted = findings, is_converted
        sim = env_args.get("sim_args")
        self._is_relative = has_limits(env_args)
        self._step_dt = _step_dt(sim) if isinstance(sim, dict) else None
        self._schema: Schema | None = None
        self._first = ""

    def check(self, name: str, demo: h5py.Group) -> np.ndarray | None:
        """Check one demo and return its actions, shape (T, A); None if they cannot be used."""
        try:
            datasets = dict(datasets_below(demo))
            _read_attributes(demo)
            self._check_attributes(name, demo)
            actions = self._actions(name, datasets)
            if actions is None:
                return None
            self._check_num_samples(name, demo, len(actions))
            self._check_groups(name, datasets)
            leaves = {path: self._read(name, path, each, len(actions)) for path, each in datasets.items()}
            self._check_digest(name, demo)
        except DAMAGE as error:
            reason = " ".join(str(error).split())[:160]
            self.findings.error("damage", name, f"cannot be read ({reason})", "a readable demo", _COPY_AGAIN)
            return None
        self._compare_schema(name, datasets)
        self._check_values(name, {path: leaf for path, leaf in leaves.items() if leaf is not None})
        return actions

    def _actions(self, name: str, datasets: Mapping[str, h5py.Dataset]) -> np.ndarray | None:
        actions = datasets.get("actions")
        found = "missing" if actions is None else f"{actions.dtype} {actions.shape}"
        usable = actions is not None and actions.shape is not None and len(actions.shape) == 2
        if actions is None or not usable or actions.dtype.kind != "f" or not 0 < len(actions) <= MAX_STEPS:
            self.findings.error("actions", f"{name}/actions", found, "float32 (T, A), T at least 1", _RECORD_AGAIN)
            return None
        if not self._check_size(name, "actions", actions):
            return None
        return actions[()]

    def _check_attributes(self, name: str, demo: h5py.Group) -> None:
        success = truth_value(demo.attrs.get("success"))
        if success is None:
            is_wrong = "success" in demo.attrs
            found = f"attribute 'success' is {demo.attrs['success']!r}" if is_wrong else "no attribute 'success'"
            self.findings.error("success", name, found, "true or false", "write the attribute")
        elif not success:
            self.findings.warning("success", name, "a failed demo", "successful demos", "exclude it from training")

    def _check_digest(self, name: str, demo: h5py.Group) -> None:
        if not matches_digest(demo):
            remedy = f"if you changed it, accept the change with renew_digests=true; otherwise {_COPY_AGAIN}"
            self.findings.error("digest", name, "data changed since it was written", "data that match the digest", remedy)

    def _check_num_samples(self, name: str, demo: h5py.Group, num_steps: int) -> None:
        found = demo.attrs.get("num_samples")
        if found is None or np.ndim(found) or found != num_steps:
            text = "missing" if found is None else str(found)
            self.findings.error("num_samples", name, text, f"{num_steps}, the number of actions", "correct the attribute")

    def _check_groups(self, name: str, datasets: Mapping[str, h5py.Dataset]) -> None:
        for group in _GROUPS:
            if any(path.startswith(f"{group}/") for path in datasets):
                continue
            if self._is_converted and group in _SCENE_GROUPS:
                remedy = "to replay or draw demos, use the file that it was converted from"
                self.findings.warning("structure", f"{name}/{group}", "left out by the conversion", "states", remedy)
            else:
                self.findings.error("structure", f"{name}/{group}", "missing", "a group with datasets", _RECORD_AGAIN)

    def _read(self, name: str, path: str, dataset: h5py.Dataset, num_steps: int) -> np.ndarray | None:
        """Check a dataset and return its values; None if they are not valid, or are images (read only to check them)."""
        place, expected = f"{name}/{path}", 1 if path.startswith("initial_state/") else num_steps
        if dataset.dtype.kind not in "biuf":
            self.findings.error("dtype", place, str(dataset.dtype), "numbers", _RECORD_AGAIN)
            return None
        if dataset.dtype.kind == "f" and dataset.dtype != np.float32:
            self.findings.warning("dtype", place, str(dataset.dtype), "float32", "write it as float32")
        if not dataset.shape or dataset.shape[0] != expected:
            found, rule = f"shape {dataset.shape}", f"{expected} rows (the demo has {num_steps} actions)"
            self.findings.error("shape", place, found, rule, _RECORD_AGAIN)
            return None
        if not self._check_size(name, path, dataset):
            return None
        if dataset.ndim == 4:
            rows = max(1, _BLOCK // max(1, dataset.dtype.itemsize * prod(dataset.shape[1:])))
            for start in range(0, expected, rows):
                self._check_finite(place, dataset[start : start + rows], start)
            return None
        values = dataset[()]
        return values if self._check_finite(place, values, 0) else None

    def _check_size(self, name: str, path: str, dataset: h5py.Dataset) -> bool:
        """Return whether the dataset is small enough to be read."""
        size = dataset.dtype.itemsize * prod(dataset.shape)
        if size > MAX_BYTES:
            self.findings.error("size", f"{name}/{path}", f"{size:.3g} bytes", f"at most {MAX_BYTES:.3g}", _COPY_AGAIN)
        return size <= MAX_BYTES

    def _check_finite(self, place: str, values: np.ndarray, first_step: int) -> bool:
        """Return whether all values are finite; `first_step` is the step of the first row."""
        if values.dtype.kind != "f" or np.isfinite(values).all():
            return True
        step = first_step + int(np.isfinite(values).reshape(len(values), -1).all(1).argmin())
        self.findings.error("finite", place, f"NaN or infinity at step {step}", "finite numbers", _RECORD_AGAIN)
        return False

    def _compare_schema(self, name: str, datasets: Mapping[str, h5py.Dataset]) -> None:
        schema = {path: (str(each.dtype), tuple(each.shape or ())[1:]) for path, each in datasets.items()}
        if self._schema is None:
            self._schema, self._first = schema, name
            return
        for path in sorted({*schema, *self._schema}):
            found, expected = schema.get(path), self._schema.get(path)
            if found != expected:
                texts = [
                    "missing" if each is None else f"{each[0]} (T, {', '.join(map(str, each[1]))})"
                    for each in (found, expected)
                ]
                expected_text = f"{texts[1]} as in {self._first}"
                self.findings.error("schema", f"{name}/{path}", texts[0], expected_text, _RECORD_AGAIN)

    def _check_values(self, name: str, leaves: Mapping[str, np.ndarray]) -> None:
        check_quaternions(self.findings, name, leaves)
        if self._is_relative and "actions" in leaves:
            check_actions(self.findings, name, leaves["actions"])
        if "dones" in leaves and leaves["dones"].ndim == 1:
            check_dones(self.findings, name, leaves["dones"])
        if self._step_dt is not None:
            check_continuity(self.findings, name, leaves, self._step_dt)
        check_observations(self.findings, name, leaves)


def _read_attributes(group: h5py.Group) -> None:
    """Read the attributes of a group and of all items below it. Damaged attributes raise."""

    def read(_: str, item: h5py.Group | h5py.Dataset) -> None:
        dict(item.attrs)

    dict(group.attrs)
    group.visititems(read)


def _step_dt(sim_args: Mapping[str, Any]) -> float | None:
    """Duration of a control step [s]; None if `sim_args` do not specify it."""
    dt, decimation = sim_args.get("dt"), sim_args.get("decimation", 1)
    is_number = isinstance(dt, int | float) and isinstance(decimation, int | float)
    return dt * decimation if is_number and dt * decimation > 0 else None


def check_quaternions(findings: Findings, name: str, leaves: Leaves) -> None:
    """Check that quaternions of `*_quat` (T, 4) and `*_pose` (T, 7) have norm 1."""
    for path, leaf in leaves.items():
        quat = _quaternion(path, leaf)
        if quat is not None:
            deviation = np.abs(np.linalg.norm(quat.astype(np.float64), axis=1) - 1.0)
            if deviation.max(initial=0.0) > QUAT_TOLERANCE:
                step = int(deviation.argmax())
                found = f"norm differs from 1 by {deviation[step]:.2g} at step {step}"
                findings.error("quaternion", f"{name}/{path}", found, f"1 +/- {QUAT_TOLERANCE:g}", _RECORD_AGAIN)


def check_actions(findings: Findings, name: str, actions: np.ndarray) -> None:
    """Check that relative task-space actions are within [-1, 1]."""
    if (too_large := largest_action(actions)) is not None:
        step, largest = too_large
        remedy = "clip the actions to this range, as the env does"
        findings.error("action range", f"{name}/actions", f"{largest:.3g} at step {step}", "-1 to 1", remedy)


def check_dones(findings: Findings, name: str, dones: np.ndarray) -> None:
    """Check that `dones` is true only in the last step."""
    early = np.flatnonzero(dones[:-1])
    if len(early):
        found = f"true at step {early[0]} of {len(dones)}"
        findings.error("dones", f"{name}/dones", found, "true in the last step only", _RECORD_AGAIN)
    elif not dones[-1]:
        findings.warning("dones", f"{name}/dones", "false throughout", "true in the last step", _RECORD_AGAIN)


def check_continuity(findings: Findings, name: str, leaves: Leaves, step_dt: float) -> None:
    """Check that no object or joint moves faster than `MAX_SPEED` between states, beginning at the initial state.

    Args:
        step_dt: duration of a control step [s].
    """
    for path, leaf in leaves.items():
        if not path.startswith("states/"):
            continue
        if path.endswith("_pose") and leaf.shape[1:] == (7,):
            values = leaf[:, :3]
        elif path.endswith("joint_position"):
            values = leaf
        else:
            continue
        initial = leaves.get(f"initial_state/{path.removeprefix('states/')}")
        if initial is not None and initial.shape[1:] == leaf.shape[1:]:
            values = np.concatenate((initial[:, : values.shape[1]], values))
        _check_jumps(findings, f"{name}/{path}", values, step_dt, first_step=len(leaf) - len(values))


def _check_jumps(findings: Findings, place: str, values: np.ndarray, step_dt: float, first_step: int) -> None:
    if len(values) < 2:
        return
    change = np.diff(values.astype(np.float64), axis=0)
    is_position = values.shape[1] == 3
    size = np.linalg.norm(change, axis=1) if is_position else np.abs(change).max(1)
    unit, bound = "m" if is_position else "rad", MAX_SPEED * step_dt
    if size.max() > bound:
        index = int(size.argmax())
        before = "the initial state" if first_step + index < 0 else f"step {first_step + index}"
        found = f"a jump of {size[index]:.3g} {unit} after {before}"
        expected = f"at most {bound:.3g} {unit} per step ({MAX_SPEED:g} {unit}/s)"
        findings.error("jump", place, found, expected, _RECORD_AGAIN)


def check_observations(findings: Findings, name: str, leaves: Leaves) -> None:
    """Check that `obs[t + 1]` shows `states[t]`, and `obs[0]` the initial state, for quantities that are in both."""
    for path, leaf in leaves.items():
        shown = _shown_state(path, leaves)
        if shown is None or leaf.shape != shown.shape:
            continue
        seen, shown = leaf.astype(np.float64), shown.astype(np.float64)
        if path.endswith("joint_pos"):
            # The file does not contain the default joint positions that the observation is relative to.
            seen, shown = seen - seen[:1], shown - shown[:1]
        deviation = np.abs(seen - shown).max(1)
        if path.endswith("_quat"):
            deviation = np.minimum(deviation, np.abs(seen + shown).max(1))
        if deviation.max() > STATE_TOLERANCE:
            step = int(deviation.argmax())
            found = f"differs from the state before step {step} by {deviation[step]:.3g}"
            expected = f"the recorded state +/- {STATE_TOLERANCE:g}"
            findings.error("obs and states", f"{name}/{path}", found, expected, _RECORD_AGAIN)


def _shown_state(path: str, leaves: Leaves) -> np.ndarray | None:
    """State that an observation shows, shape (T, ...): initial state, then all states but the last; None if not recorded."""
    if path.count("/") != 1 or not path.startswith("obs/"):
        return None
    term = path.removeprefix("obs/")
    entity, _, quantity = term.rpartition("_")
    if term.endswith(("joint_pos", "joint_vel")):
        arm = term.removesuffix("joint_pos").removesuffix("joint_vel").rstrip("_") or "robot"
        state = f"articulation/{arm}/joint_{'position' if term.endswith('pos') else 'velocity'}"
        columns = slice(None)
    elif quantity in ("pos", "quat"):
        state, columns = f"rigid_object/{entity}/root_pose", slice(0, 3) if quantity == "pos" else slice(3, 7)
    else:
        return None
    initial, states = leaves.get(f"initial_state/{state}"), leaves.get(f"states/{state}")
    if initial is None or states is None or initial.shape[1:] != states.shape[1:]:
        return None
    return np.concatenate((initial, states[:-1]))[:, columns]


def _quaternion(path: str, leaf: np.ndarray) -> np.ndarray | None:
    """Quaternions in a dataset, shape (T, 4); None if it has none."""
    if path.endswith("_quat") and leaf.shape[1:] == (4,):
        return leaf
    return leaf[:, 3:] if path.endswith("_pose") and leaf.shape[1:] == (7,) else None

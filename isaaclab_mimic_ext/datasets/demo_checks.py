"""What one demo of a dataset must be: complete, of one length, like the others, and readable."""

# T steps of the demo

from collections.abc import Mapping
from math import prod
from typing import Any

import h5py
import numpy as np

from isaaclab_mimic_ext.datasets import demo_checks as check_values
from isaaclab_mimic_ext.datasets.findings import Findings
from isaaclab_mimic_ext.demos.source import MAX_STEPS
from isaaclab_mimic_ext.errors import SourceDataError
from isaaclab_mimic_ext.files.digest import check_demo_digest
from isaaclab_mimic_ext.files.hdf5 import DAMAGE, datasets_below

MAX_BYTES = 2**32

"""A larger dataset of one demo is taken for damage."""

_BLOCK = 16 * 2**20

"""Bytes of an image that are read at a time."""

_SCENE_GROUPS = ("initial_state", "states")

_GROUPS = ("obs", *_SCENE_GROUPS)

_AGAIN = "generate or record the demo again, or leave it out"

_COPY = "copy or make the file again"

Schema = dict[str, tuple[str, tuple[int, ...]]]

"""Path of a dataset -> dtype and shape of a row."""


class DemoChecker:
    """Checks demos in turn; the first one says what the others must look like.

    Args:
        env_args: of the file; what they do not say is not checked.
        is_converted: it was exported to, or imported from, a layout that has no states of the scene.
    """

    def __init__(self, findings: Findings, env_args: Mapping[str, Any], is_converted: bool = False):
        self.findings, self._is_converted = findings, is_converted
        action, sim = env_args.get("action"), env_args.get("sim_args")
        self._is_relative = isinstance(action, dict) and action.get("type") == "ik_rel"
        self._step_dt = _step_dt(sim) if isinstance(sim, dict) else None
        self._schema: Schema | None = None
        self._first = ""

    def check(self, name: str, demo: h5py.Group) -> np.ndarray | None:
        """Check one demo; its actions (T, A), or None where it has none that can be used."""
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
            self.findings.error("damage", name, f"cannot be read ({reason})", "a readable demo", _COPY)
            return None
        self._compare_schema(name, datasets)
        self._check_values(name, {path: leaf for path, leaf in leaves.items() if leaf is not None})
        return actions

    def _actions(self, name: str, datasets: Mapping[str, h5py.Dataset]) -> np.ndarray | None:
        actions = datasets.get("actions")
        found = "missing" if actions is None else f"{actions.dtype} {actions.shape}"
        usable = actions is not None and actions.shape is not None and len(actions.shape) == 2
        if actions is None or not usable or actions.dtype.kind != "f" or not 0 < len(actions) <= MAX_STEPS:
            self.findings.error("actions", f"{name}/actions", found, "float32 (T, A), T at least 1", _AGAIN)
            return None
        if not self._is_plausible(name, "actions", actions):
            return None
        return actions[()]

    def _check_attributes(self, name: str, demo: h5py.Group) -> None:
        success = demo.attrs.get("success")
        if success is None:
            self.findings.error("success", name, "no attribute 'success'", "true or false", "say whether it succeeded")
        elif not np.all(success):
            self.findings.warning("success", name, "a failed demo", "successes", "leave it out of what a policy imitates")

    def _check_digest(self, name: str, demo: h5py.Group) -> None:
        try:
            check_demo_digest(demo)
        except SourceDataError:
            self.findings.error("digest", name, "data other than was written", "what its digest is of", _COPY)

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
                remedy = "replay and draw the file that it was made from"
                self.findings.warning("structure", f"{name}/{group}", "left out in conversion", "states", remedy)
            else:
                self.findings.error("structure", f"{name}/{group}", "missing", "a group with datasets", _AGAIN)

    def _read(self, name: str, path: str, dataset: h5py.Dataset, num_steps: int) -> np.ndarray | None:
        """A dataset's values if they are numbers of the right shape; images are read and dropped."""
        place, expected = f"{name}/{path}", 1 if path.startswith("initial_state/") else num_steps
        if dataset.dtype.kind not in "biuf":
            self.findings.error("dtype", place, str(dataset.dtype), "numbers", _AGAIN)
            return None
        if dataset.dtype.kind == "f" and dataset.dtype != np.float32:
            self.findings.warning("dtype", place, str(dataset.dtype), "float32", "write it as float32")
        if not dataset.shape or dataset.shape[0] != expected:
            found, wanted = f"shape {dataset.shape}", f"{expected} rows, the demo has {num_steps} actions"
            self.findings.error("shape", place, found, wanted, _AGAIN)
            return None
        if not self._is_plausible(name, path, dataset):
            return None
        if dataset.ndim == 4:
            rows = max(1, _BLOCK // max(1, dataset.dtype.itemsize * prod(dataset.shape[1:])))
            for start in range(0, expected, rows):
                self._check_finite(place, dataset[start : start + rows], start)
            return None
        values = dataset[()]
        return values if self._check_finite(place, values, 0) else None

    def _is_plausible(self, name: str, path: str, dataset: h5py.Dataset) -> bool:
        size = dataset.dtype.itemsize * prod(dataset.shape)
        if size > MAX_BYTES:
            self.findings.error("size", f"{name}/{path}", f"{size:.3g} bytes", f"at most {MAX_BYTES:.3g}", _COPY)
        return size <= MAX_BYTES

    def _check_finite(self, place: str, values: np.ndarray, first_step: int) -> bool:
        if values.dtype.kind != "f" or np.isfinite(values).all():
            return True
        step = first_step + int(np.isfinite(values).reshape(len(values), -1).all(1).argmin())
        self.findings.error("finite", place, f"NaN or infinity at step {step}", "finite numbers", _AGAIN)
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
                self.findings.error("schema", f"{name}/{path}", texts[0], f"{texts[1]} as in {self._first}", _AGAIN)

    def _check_values(self, name: str, leaves: Mapping[str, np.ndarray]) -> None:
        check_values.check_quaternions(self.findings, name, leaves)
        if self._is_relative and "actions" in leaves:
            check_values.check_actions(self.findings, name, leaves["actions"])
        if "dones" in leaves and leaves["dones"].ndim == 1:
            check_values.check_dones(self.findings, name, leaves["dones"])
        if self._step_dt is not None:
            check_values.check_continuity(self.findings, name, leaves, self._step_dt)
        check_values.check_observations(self.findings, name, leaves)


def _read_attributes(group: h5py.Group) -> None:
    """Read the attributes of a group and of all that is below it, so that damage to any of them is found."""

    def read(_: str, item: h5py.Group | h5py.Dataset) -> None:
        dict(item.attrs)

    dict(group.attrs)
    group.visititems(read)


def _step_dt(sim_args: Mapping[str, Any]) -> float | None:
    """Time of a control step [s]."""
    dt, decimation = sim_args.get("dt"), sim_args.get("decimation", 1)
    is_number = isinstance(dt, int | float) and isinstance(decimation, int | float)
    return dt * decimation if is_number and dt * decimation > 0 else None


MAX_SPEED = 10.0

"""No object of a table-top scene is as fast, even thrown [m/s]; nor is a joint [rad/s]."""

QUAT_TOLERANCE = 1e-3

STATE_TOLERANCE = 1e-4

"""By how much an observation may differ from the state that it shows [m, rad, or entries of a quaternion]."""

_ACTION_TOLERANCE = 1e-6

_MAKE_AGAIN = "generate or record the demo again, or leave it out"

Leaves = Mapping[str, np.ndarray]


def check_quaternions(findings: Findings, name: str, leaves: Leaves) -> None:
    """Those of `*_quat` (T, 4) and `*_pose` (T, 7) have norm 1."""
    for path, leaf in leaves.items():
        quat = _quaternion(path, leaf)
        if quat is not None:
            off = np.abs(np.linalg.norm(quat.astype(np.float64), axis=1) - 1.0)
            if off.max(initial=0.0) > QUAT_TOLERANCE:
                step = int(off.argmax())
                found = f"norm off by {off[step]:.2g} at step {step}"
                findings.error("quaternion", f"{name}/{path}", found, f"1 within {QUAT_TOLERANCE:g}", _MAKE_AGAIN)


def check_actions(findings: Findings, name: str, actions: np.ndarray) -> None:
    """Relative task-space actions are within [-1, 1]."""
    largest = np.abs(actions).max(initial=0.0)
    if largest > 1.0 + _ACTION_TOLERANCE:
        step = int(np.abs(actions).max(1).argmax())
        remedy = "clip the actions, as the env does"
        findings.error("action range", f"{name}/actions", f"{largest:.3g} at step {step}", "-1 to 1", remedy)


def check_dones(findings: Findings, name: str, dones: np.ndarray) -> None:
    """True in the last step only."""
    early = np.flatnonzero(dones[:-1])
    if len(early):
        found = f"true at step {early[0]} of {len(dones)}"
        findings.error("dones", f"{name}/dones", found, "true in the last step only", _MAKE_AGAIN)
    elif not dones[-1]:
        findings.warning("dones", f"{name}/dones", "false throughout", "true in the last step", _MAKE_AGAIN)


def check_continuity(findings: Findings, name: str, leaves: Leaves, step_dt: float) -> None:
    """From one state to the next, the initial one included, nothing moves faster than anything can."""
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
        findings.error("jump", place, found, f"at most {bound:.3g} {unit} a step ({MAX_SPEED:g} {unit}/s)", _MAKE_AGAIN)


def check_observations(findings: Findings, name: str, leaves: Leaves) -> None:
    """`obs[t + 1]` shows `states[t]`, and `obs[0]` the initial state, where both have the same thing."""
    for path, leaf in leaves.items():
        shown = _shown_state(path, leaves)
        if shown is None or leaf.shape != shown.shape:
            continue
        seen, shown = leaf.astype(np.float64), shown.astype(np.float64)
        if path.endswith("joint_pos"):
            # Relative to a default pose that the file does not name.
            seen, shown = seen - seen[:1], shown - shown[:1]
        off = np.abs(seen - shown).max(1)
        if path.endswith("_quat"):
            off = np.minimum(off, np.abs(seen + shown).max(1))
        if off.max() > STATE_TOLERANCE:
            step = int(off.argmax())
            found = f"differs from the state before step {step} by {off[step]:.3g}"
            expected = f"what states say, within {STATE_TOLERANCE:g}"
            findings.error("obs and states", f"{name}/{path}", found, expected, _MAKE_AGAIN)


def _shown_state(path: str, leaves: Leaves) -> np.ndarray | None:
    """What an observation shows, (T, ...): the initial state, then all states but the last; None if nothing recorded."""
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
    if path.endswith("_quat") and leaf.shape[1:] == (4,):
        return leaf
    return leaf[:, 3:] if path.endswith("_pose") and leaf.shape[1:] == (7,) else None

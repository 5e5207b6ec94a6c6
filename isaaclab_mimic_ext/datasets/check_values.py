"""What the values of one demo must be: within bounds, continuous, and consistent with each other."""

# T steps of the demo

from collections.abc import Mapping

import numpy as np

from isaaclab_mimic_ext.datasets.findings import Findings

MAX_SPEED = 10.0
"""No object of a table-top scene is as fast, even thrown [m/s]; nor is a joint [rad/s]."""
QUAT_TOLERANCE = 1e-3
STATE_TOLERANCE = 1e-4
"""By how much an observation may differ from the state that it shows [m, rad, or entries of a quaternion]."""
_ACTION_TOLERANCE = 1e-6
_AGAIN = "generate or record the demo again, or leave it out"

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
                findings.error("quaternion", f"{name}/{path}", found, f"1 within {QUAT_TOLERANCE:g}", _AGAIN)


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
        findings.error("dones", f"{name}/dones", found, "true in the last step only", _AGAIN)
    elif not dones[-1]:
        findings.warning("dones", f"{name}/dones", "false throughout", "true in the last step", _AGAIN)


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
        findings.error("jump", place, found, f"at most {bound:.3g} {unit} a step ({MAX_SPEED:g} {unit}/s)", _AGAIN)


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
            findings.error("obs and states", f"{name}/{path}", found, expected, _AGAIN)


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

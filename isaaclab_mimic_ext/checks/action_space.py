"""Whether the targets that were reconstructed from actions are where the arm went: the sign of a wrong action space.

Thresholds are measured on the shipped demos of the desktop organizer, with faults planted into all ten of them and 40 trials
generated from each on MuJoCo (`benchmarks/demo_faults.py`). Where the hand stands still, its target must be at the hand:
shipped demos are off by 0.5 mm; off by 1, 2 and 3 cm, 85, 28 and 0 % of the trials succeed (100 % as shipped). In motion,
targets lead the hand: shipped demos' are reached to within 7 mm (95 % of the steps) half a second later; with motions scaled
by 5, 10 and 20 it is 3, 11 and 32 cm, and 100, 90 and 70 % succeed. Motions scaled by 0.05 to 5, or turned about z by any
angle, leave every trial a success (the hand's standing places are right), so these are warnings.
"""

# T steps of the demo

import numpy as np

from isaaclab_mimic_ext.checks.findings import DemoFindings
from isaaclab_mimic_ext.checks.motion import EefView, Floats, angles
from isaaclab_mimic_ext.datasets.findings import ERROR, WARNING

MAX_OFF_AT_REST = 0.01
"""[m]"""
MAX_ANGLE_AT_REST = 0.2
"""[rad]"""
MAX_OFF_IN_MOTION = 0.05
"""Of 95 % of the steps [m]."""
REST_SPEED = 0.01
"""Slower is standing still [m/s]."""
SCALE_RANGE = (0.3, 3.0)
"""Commanded motion, as a multiple of what the hand does in 0.1 s; 0.72 to 0.79 in the shipped demos. The rest is room for
controllers that are quicker or slower."""
MIN_COSINE = 0.9
"""Between commanded and executed motion; 0.997 in the shipped demos, 0.88 with motions turned by 45 degrees."""
MAX_ACTION_OFF = 0.002
"""Between a target and what its action says, 95 % of the steps [m]; float32's rounding is 1e-7."""

_HORIZON, _DELAY = 0.5, 0.1
"""Within which a target must be reached, and how long an arm usually takes [s]."""
_MIN_REST, _MIN_MOTION = 5, 0.02
"""Fewer still steps, or less motion [m], say nothing."""
_REMEDY = (
    "annotate again with an env whose action_to_target_eef_pose fits how the demos were recorded (relative or absolute, "
    "units and scale of the actions, frame, order of quaternions)"
)


def check_tracking(findings: DemoFindings, view: EefView) -> None:
    """Compare each step's target with where the hand is then and later; one finding, the worst."""
    off = np.linalg.norm(view.target_eef_pose[:, :3, 3] - view.eef_pose[:, :3, 3], axis=1)
    angle = angles(view.target_eef_pose, view.eef_pose)
    rest = np.append(view.speed, 0.0) < REST_SPEED
    later = _off_within(view, max(1, round(_HORIZON / view.step_dt)))
    judged = rest.sum() >= _MIN_REST
    if judged and np.median(off[rest]) > MAX_OFF_AT_REST:
        frame = _worst(off * rest)
        found = f"at rest the target is {np.median(off[rest]):.3f} m off the hand ({_nature(view, rest)})"
        _add(findings, ERROR, view, frame, found, f"at most {MAX_OFF_AT_REST} m")
    elif judged and np.median(angle[rest]) > MAX_ANGLE_AT_REST:
        found = f"at rest the target is turned by {np.median(angle[rest]):.2f} rad against the hand"
        _add(findings, ERROR, view, _worst(angle * rest), found, f"at most {MAX_ANGLE_AT_REST} rad")
    elif np.percentile(later, 95) > MAX_OFF_IN_MOTION:
        found = f"targets are not reached: {np.percentile(later, 95):.3f} m off after {_HORIZON} s ({_nature(view, rest)})"
        _add(findings, ERROR, view, _worst(later), found, f"at most {MAX_OFF_IN_MOTION} m")
    else:
        _check_motion(findings, view)


def check_actions(findings: DemoFindings, view: EefView, asked: Floats) -> None:
    """Compare targets with what the env makes of the actions, `asked` (T, 4, 4)."""
    off = np.linalg.norm(view.target_eef_pose[:, :3, 3] - asked[:, :3, 3], axis=1)
    if np.percentile(off, 95) > MAX_ACTION_OFF:
        found = f"targets are {np.percentile(off, 95):.3f} m off what the actions say in this env"
        remedy = "annotate again with this env; replays of the demo will go elsewhere"
        findings.add(
            WARNING, "actions", found, f"at most {MAX_ACTION_OFF} m", remedy, eef=view.name, frame=_worst(off)
        )  # fmt: skip


def _check_motion(findings: DemoFindings, view: EefView) -> None:
    scale, cosine = _scale_and_cosine(view)
    if scale is None:
        return
    commanded = np.linalg.norm(view.target_eef_pose[:, :3, 3] - view.eef_pose[:, :3, 3], axis=1)
    low, high = SCALE_RANGE
    if cosine < MIN_COSINE:
        found = f"the hand moves {np.degrees(np.arccos(np.clip(cosine, -1, 1))):.0f} degrees off where its targets lead it"
        _add(findings, WARNING, view, _worst(commanded), found, f"at most {np.degrees(np.arccos(MIN_COSINE)):.0f} degrees")
    elif not low <= scale <= high:
        found = f"targets lead the hand by {scale:.2g} times what it moves in {_DELAY} s"
        _add(findings, WARNING, view, _worst(commanded), found, f"{low} to {high} times")


def _off_within(view: EefView, horizon: int) -> Floats:
    """How near the hand comes to each step's target within so many steps (T,) [m]."""
    target, reached = view.target_eef_pose[:, :3, 3], view.eef_pose[:, :3, 3]
    nearest = np.full(len(target), np.inf)
    for delay in range(min(horizon, len(target) - 1) + 1):
        off = np.linalg.norm(reached[delay:] - target[: len(target) - delay], axis=1)
        nearest[: len(off)] = np.minimum(nearest[: len(off)], off)
    # The last targets had no time to be reached.
    return nearest[: max(1, len(target) - horizon)]


def _scale_and_cosine(view: EefView) -> tuple[float | None, float]:
    """Commanded motion as a multiple of the executed one, and the cosine between both; None where nothing moves."""
    delay = max(1, round(_DELAY / view.step_dt))
    if view.num_steps <= delay:
        return None, 1.0
    executed = view.eef_pose[delay:, :3, 3] - view.eef_pose[:-delay, :3, 3]
    commanded = (view.target_eef_pose - view.eef_pose)[:-delay, :3, 3]
    size, asked = float(np.linalg.norm(executed)), float(np.linalg.norm(commanded))
    if size < _MIN_MOTION:
        return None, 1.0
    if asked < 1e-9:
        return 0.0, 1.0
    product = float((commanded * executed).sum())
    return product / size**2, product / (size * asked)


def _nature(view: EefView, rest: np.ndarray) -> str:
    """What kind of fault it looks like."""
    difference = (view.target_eef_pose - view.eef_pose)[:, :3, 3]
    standing = difference[rest] if rest.any() else difference
    center = np.median(standing, axis=0)
    spread = np.median(np.linalg.norm(standing - center, axis=1))
    if np.ptp(view.target_eef_pose[:, :3, 3], axis=0).max() < 0.5 * np.ptp(view.eef_pose[:, :3, 3], axis=0).max():
        return "targets stay together while the hand travels: relative actions taken for absolute ones"
    if np.linalg.norm(center) > MAX_OFF_AT_REST and spread < max(0.002, 0.1 * np.linalg.norm(center)):
        x, y, z = center
        return f"always about ({x:+.3f}, {y:+.3f}, {z:+.3f}) m: another frame"
    scale, cosine = _scale_and_cosine(view)
    if scale is not None and scale > SCALE_RANGE[1] and cosine > MIN_COSINE:
        return f"{scale:.0f} times as far as the hand goes in {_DELAY} s: units or scale"
    return "targets lie elsewhere altogether: relative or absolute"


def _worst(values: Floats) -> int:
    return int(values.argmax())


def _add(findings: DemoFindings, level: str, view: EefView, frame: int, found: str, expected: str) -> None:
    findings.add(level, "action space", found, expected, _REMEDY, eef=view.name, frame=frame)

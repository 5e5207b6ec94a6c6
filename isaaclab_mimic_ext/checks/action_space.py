"""Check of the action space: targets reconstructed from actions must agree with the motion of the hand.

Thresholds are measured on the included demos of the desktop organizer. Faults were planted into all ten demos, and 40 trials
were generated from each variant on MuJoCo (`benchmarks/demo_faults.py`).

- At rest, the target must be at the hand. In the included demos the error is 0.5 mm, and 100 % of the trials succeed. With
  errors of 1, 2 and 3 cm, 85, 28 and 0 % succeed.
- In motion, targets lead the hand. In the included demos, the hand reaches 95 % of the targets within 7 mm half a second
  later. With motions scaled by 5, 10 and 20, the distance is 3, 11 and 32 cm, and 100, 90 and 70 % of the trials succeed.
- All trials succeed with motions scaled by 0.05 to 5, or rotated about z by any angle, because poses at rest are correct.
  These faults are warnings.
"""

# T steps of the demo

import numpy as np

from isaaclab_mimic_ext.checks.findings import DemoFindings
from isaaclab_mimic_ext.checks.motion import EefView, Floats, angles
from isaaclab_mimic_ext.datasets.findings import ERROR, WARNING

MAX_OFF_AT_REST = 0.01
"""Largest median distance between target and hand at rest [m]."""
MAX_ANGLE_AT_REST = 0.2
"""Largest median angle between target and hand at rest [rad]."""
MAX_OFF_IN_MOTION = 0.05
"""Largest distance to which the hand approaches 95 % of the targets within 0.5 s [m]."""
REST_SPEED = 0.01
"""Speed below which the hand is at rest [m/s]."""
SCALE_RANGE = (0.3, 3.0)
"""Range of the commanded motion, relative to the motion of the hand in 0.1 s; 0.72 to 0.79 in the included demos. The range
is wide because controllers are of different speeds."""
MIN_COSINE = 0.9
"""Smallest cosine between commanded and executed motion; 0.997 in the included demos, 0.88 if rotated by 45 degrees."""
MAX_ACTION_OFF = 0.002
"""Largest distance between a target and the pose that its action commands, for 95 % of the steps [m]; float32 rounding is
1e-7."""

_HORIZON, _DELAY = 0.5, 0.1
"""Time within which a target must be reached, and usual delay of an arm [s]."""
_MIN_REST, _MIN_MOTION = 5, 0.02
"""Smallest number of steps at rest, and smallest motion [m], for a reliable result."""
_REMEDY = (
    "annotate again with an env whose action_to_target_eef_pose matches the recording (relative or absolute actions, their "
    "units and scale, frame, order of quaternions)"
)


def check_tracking(findings: DemoFindings, view: EefView) -> None:
    """Compare each step's target with the pose of the hand in the same and in later steps. Adds at most one finding."""
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
        found = f"at rest the target is rotated by {np.median(angle[rest]):.2f} rad relative to the hand"
        _add(findings, ERROR, view, _worst(angle * rest), found, f"at most {MAX_ANGLE_AT_REST} rad")
    elif np.percentile(later, 95) > MAX_OFF_IN_MOTION:
        distance = np.percentile(later, 95)
        found = f"the hand stays {distance:.3f} m away from its targets after {_HORIZON} s ({_nature(view, rest)})"
        _add(findings, ERROR, view, _worst(later), found, f"at most {MAX_OFF_IN_MOTION} m")
    else:
        _check_motion(findings, view)


def check_actions(findings: DemoFindings, view: EefView, commanded: Floats) -> None:
    """Compare targets with the poses that the actions command in this env, `commanded` (T, 4, 4)."""
    off = np.linalg.norm(view.target_eef_pose[:, :3, 3] - commanded[:, :3, 3], axis=1)
    if np.percentile(off, 95) > MAX_ACTION_OFF:
        found = f"targets differ from the actions in this env by {np.percentile(off, 95):.3f} m"
        remedy = "annotate again with this env; replays of the demo will deviate"
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
        angle = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
        found = f"the hand moves in a direction {angle:.0f} degrees from that to its targets"
        _add(findings, WARNING, view, _worst(commanded), found, f"at most {np.degrees(np.arccos(MIN_COSINE)):.0f} degrees")
    elif not low <= scale <= high:
        found = f"targets lead the hand by {scale:.2g} times its motion in {_DELAY} s"
        _add(findings, WARNING, view, _worst(commanded), found, f"{low} to {high} times")


def _off_within(view: EefView, horizon: int) -> Floats:
    """Smallest distance of the hand from each step's target within the next `horizon` steps, (T - horizon,) [m]."""
    target, reached = view.target_eef_pose[:, :3, 3], view.eef_pose[:, :3, 3]
    nearest = np.full(len(target), np.inf)
    for delay in range(min(horizon, len(target) - 1) + 1):
        off = np.linalg.norm(reached[delay:] - target[: len(target) - delay], axis=1)
        nearest[: len(off)] = np.minimum(nearest[: len(off)], off)
    # Omit the last targets: the demo ends before they can be reached.
    return nearest[: max(1, len(target) - horizon)]


def _scale_and_cosine(view: EefView) -> tuple[float | None, float]:
    """Ratio of commanded to executed motion, and the mean cosine between them; None if the hand does not move.

    The cosine of each step counts by the size of both motions. Their sizes may differ: with short presses of keys, the
    target starts and stops before the hand.
    """
    delay = max(1, round(_DELAY / view.step_dt))
    if view.num_steps <= delay:
        return None, 1.0
    executed = view.eef_pose[delay:, :3, 3] - view.eef_pose[:-delay, :3, 3]
    commanded = (view.target_eef_pose - view.eef_pose)[:-delay, :3, 3]
    executed_size, commanded_size = float(np.linalg.norm(executed)), float(np.linalg.norm(commanded))
    if executed_size < _MIN_MOTION:
        return None, 1.0
    if commanded_size < 1e-9:
        return 0.0, 1.0
    product = float((commanded * executed).sum())
    sizes = float((np.linalg.norm(commanded, axis=1) * np.linalg.norm(executed, axis=1)).sum())
    return product / executed_size**2, product / max(sizes, 1e-12)


def _nature(view: EefView, rest: np.ndarray) -> str:
    """Probable kind of fault, for the finding."""
    difference = (view.target_eef_pose - view.eef_pose)[:, :3, 3]
    at_rest = difference[rest] if rest.any() else difference
    center = np.median(at_rest, axis=0)
    spread = np.median(np.linalg.norm(at_rest - center, axis=1))
    if np.ptp(view.target_eef_pose[:, :3, 3], axis=0).max() < 0.5 * np.ptp(view.eef_pose[:, :3, 3], axis=0).max():
        return "targets stay in one place while the hand moves: relative actions read as absolute"
    if np.linalg.norm(center) > MAX_OFF_AT_REST and spread < max(0.002, 0.1 * np.linalg.norm(center)):
        x, y, z = center
        return f"always about ({x:+.3f}, {y:+.3f}, {z:+.3f}) m: a different frame"
    scale, cosine = _scale_and_cosine(view)
    if scale is not None and scale > SCALE_RANGE[1] and cosine > MIN_COSINE:
        return f"{scale:.0f} times the motion of the hand in {_DELAY} s: units or scale"
    return "targets are far from the path of the hand: relative or absolute actions"


def _worst(values: Floats) -> int:
    return int(values.argmax())


def _add(findings: DemoFindings, level: str, view: EefView, frame: int, found: str, expected: str) -> None:
    findings.add(level, "action space", found, expected, _REMEDY, eef=view.name, frame=frame)

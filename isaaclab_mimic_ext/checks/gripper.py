"""Check of gripper commands: a command >= 0 must open the fingers, a negative one must close them.

Commands are compared with the positions of the fingers. In files without them, they are compared with the objects: a gripper
that carries an object is closed. Other conventions agree with one or the other at once, so the finding names the conversion.
"""

# T steps of the demo

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from isaaclab_mimic_ext.checks.findings import NOTE, DemoFindings, conversion_command
from isaaclab_mimic_ext.checks.motion import DemoView, EefView, Floats
from isaaclab_mimic_ext.checks.scene import HOLD_DISTANCE
from isaaclab_mimic_ext.datasets.findings import ERROR, WARNING
from isaaclab_mimic_ext.files.grippers import CONVENTIONS
from isaaclab_mimic_ext.task.definition import MAX_HOLDING_FINGER_POS, Arm, Task
from isaaclab_mimic_ext.texts import counted

MIN_AGREEMENT = 0.8
"""Smallest fraction of steps in which commands agree with fingers or objects; 1.0 in the included demos."""

_FINGER_TIME = 0.75
"""Time that fingers need to follow a command [s]."""
_MIN_FINGER_MOTION = 0.005
"""Motion of the fingers in a demo from which their positions say something about commands [m]."""
_MIN_CARRY_SPEED, _MAX_SLIP = 0.03, 0.3
"""Speed of a carried object [m/s], and its velocity relative to the hand, as a fraction."""
_EXPECTED = "a command >= 0 opens, a negative one closes"
_NAMES = {
    "flip": "positive commands close the gripper, as in robosuite",
    "zero_one": "0 closes the gripper and larger commands open it",
    "one_zero": "0 opens the gripper and larger commands close it",
    "zero_closes": "a command of exactly 0 closes the gripper",
}

Mask = NDArray[np.bool_]


def check_gripper_commands(findings: DemoFindings, view: DemoView, task: Task) -> None:
    """Compare the commands of each gripper with its fingers, or with the objects that it carries."""
    arms = {arm.eef_name: arm for arm in task.arms}
    for eef in view.eefs.values():
        commands = eef.gripper_action[:, 0]
        is_open, is_judged, judge = _evidence(view, eef, arms.get(eef.name), task)
        agreement = {name: _agreement(opens(commands), is_open, is_judged) for name, opens in _conventions(commands).items()}
        found = agreement.pop("keep")
        if found is None:
            _check_range(findings, view, eef, commands)
        elif found < MIN_AGREEMENT:
            best = max(agreement, key=lambda name: agreement[name] or 0.0)
            frame = int((is_judged & ((commands >= 0) != is_open)).argmax())
            convention = best if (agreement[best] or 0.0) >= MIN_AGREEMENT else None
            _add_disagreement(findings, view, eef, frame, f"{judge} in {found:.0%}", convention)
        elif (num_zeros := int((commands == 0).sum())) and (commands < 0).any():
            text = f"the command is exactly 0 in {counted(num_zeros, 'step')}, which opens the gripper"
            remedy = f"if 0 must close it, convert the file: `{conversion_command(view.demo.file, gripper='zero_closes')}`"
            findings.add(NOTE, "gripper", text, _EXPECTED, remedy, eef=eef.name, frame=int((commands == 0).argmax()))


def _conventions(commands: Floats) -> dict[str, Callable[[Floats], Mask]]:
    """Conventions that the commands (T,) may follow: commands without a sign follow others than those with a sign."""
    names = ("zero_one", "one_zero") if commands.min() >= 0 else ("flip", "zero_closes")
    return {name: CONVENTIONS[name] for name in ("keep", *names)}


def _add_disagreement(
    findings: DemoFindings, view: DemoView, eef: EefView, frame: int, judge: str, convention: str | None
) -> None:
    if convention is None:
        text = f"the commands agree with {judge} of the steps"
        remedy = "record the demo again, or leave out the demo (demos=-<name>)"
        findings.add(ERROR, "gripper", text, f"at least {MIN_AGREEMENT:.0%}", remedy, eef=eef.name, frame=frame)
        return
    remedy = f"convert the file: `{conversion_command(view.demo.file, gripper=convention)}`"
    findings.add(ERROR, "gripper", _NAMES[convention], _EXPECTED, remedy, eef=eef.name, frame=frame)


def _check_range(findings: DemoFindings, view: DemoView, eef: EefView, commands: Floats) -> None:
    """Without fingers and carried objects: report commands that change but never close the gripper."""
    if commands.min() < 0 or commands.max() == commands.min():
        return
    text = f"the commands are from {commands.min():.2g} to {commands.max():.2g}: they never close the gripper"
    remedy = f"if 0 must close it, convert the file: `{conversion_command(view.demo.file, gripper='zero_one')}`"
    findings.add(WARNING, "gripper", text, _EXPECTED, remedy, eef=eef.name, frame=int(commands.argmin()))


def _agreement(opens: Mask, is_open: Mask, is_judged: Mask) -> float | None:
    """Mean fraction of agreeing steps, of open and of closed grippers; None if no step can be judged."""
    parts = [(opens == state)[is_judged & (is_open == state)] for state in (False, True)]
    fractions = [float(part.mean()) for part in parts if len(part)]
    return min(fractions) if fractions else None


def _evidence(view: DemoView, eef: EefView, arm: Arm | None, task: Task) -> tuple[Mask, Mask, str]:
    """Whether the gripper is open in each step, whether this is known, (T,) bool each, and what shows it."""
    if view.joint_position is not None and arm is not None:
        fingers = view.joint_position[arm.name][:, -2:].max(1)
        if np.ptp(fingers) >= _MIN_FINGER_MOTION:
            return fingers > MAX_HOLDING_FINGER_POS, _is_settled(view, eef), "the fingers"
    return np.zeros(view.num_steps, dtype=bool), _carries(view, eef, task), "the objects that the gripper carries"


def _is_settled(view: DemoView, eef: EefView) -> Mask:
    """Return whether the fingers have followed the last change of the command, (T,) bool."""
    num_steps = max(1, round(_FINGER_TIME / view.step_dt))
    is_settled = np.ones(view.num_steps, dtype=bool)
    for frame in (0, *eef.gripper_transitions):
        is_settled[frame : frame + num_steps] = False
    return is_settled


def _carries(view: DemoView, eef: EefView, task: Task) -> Mask:
    """Return whether the hand moves together with an object near it, (T,) bool."""
    carries = np.zeros(view.num_steps, dtype=bool)
    if view.num_steps < 2:  # A velocity needs two steps.
        return carries
    hand = np.gradient(eef.eef_pose[:, :3, 3], view.step_dt, axis=0)
    for name, pose in view.object_pose.items():
        velocity = np.gradient(pose[:, :3, 3], view.step_dt, axis=0)
        speed = np.linalg.norm(velocity, axis=1)
        distance = np.linalg.norm(pose[:, :3, 3] - eef.eef_pose[:, :3, 3], axis=1)
        is_near = distance < HOLD_DISTANCE + task.objects[task.object_id(name)].footprint_radius
        carries |= is_near & (speed > _MIN_CARRY_SPEED) & (np.linalg.norm(velocity - hand, axis=1) < _MAX_SLIP * speed)
    return carries

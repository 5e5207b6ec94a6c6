"""Check of gripper commands: a command >= 0 must open the fingers, a negative one must close them.

Commands are compared with the positions of the fingers. In files without them, they are compared with the objects: a gripper
that lifts an object is closed. Other conventions agree with one or the other at once, so the finding names the conversion.
"""

# T steps of the demo

import numpy as np

from isaaclab_mimic_ext.checks.findings import NOTE, DemoFindings
from isaaclab_mimic_ext.checks.motion import DemoView, EefView, Floats
from isaaclab_mimic_ext.datasets.findings import ERROR, WARNING
from isaaclab_mimic_ext.demos.grippers import (
    EXPECTED,
    IF_RIGHT,
    MIN_AGREEMENT,
    NAMES,
    Mask,
    agreement,
    carries,
    conventions,
    conversion_command,
)
from isaaclab_mimic_ext.task.definition import MAX_HOLDING_FINGER_POS, Arm, Task, graspable_radii
from isaaclab_mimic_ext.texts import counted

_FINGER_TIME = 0.75
"""Time that fingers need to follow a command [s]."""
_MIN_FINGER_MOTION = 0.005
"""Motion of the fingers in a demo from which their positions say something about commands [m]."""


def check_gripper_commands(findings: DemoFindings, view: DemoView, task: Task) -> None:
    """Compare the commands of each gripper with its fingers, or with the objects that it carries."""
    arms = {arm.eef_name: arm for arm in task.arms}
    for eef in view.eefs.values():
        commands = eef.gripper_action[:, 0]
        is_open, is_judged, judge = _evidence(view, eef, arms.get(eef.name), task)
        found_by = {name: agreement(opens(commands), is_open, is_judged) for name, opens in conventions(commands).items()}
        found = found_by.pop("keep")
        if found is None:
            _check_range(findings, view, eef, commands)
        elif found < MIN_AGREEMENT:
            best = max(found_by, key=lambda name: found_by[name] or 0.0)
            frame = int((is_judged & ((commands >= 0) != is_open)).argmax())
            convention = best if (found_by[best] or 0.0) >= MIN_AGREEMENT else None
            _add_disagreement(findings, view, eef, frame, f"{judge} in {found:.0%}", convention)
        elif (num_zeros := int((commands == 0).sum())) and (commands < 0).any():
            text = f"the command is exactly 0 in {counted(num_zeros, 'step')}, which opens the gripper"
            remedy = f"if 0 must close it, convert the file: `{conversion_command(view.demo.file, gripper='zero_closes')}`"
            findings.add(NOTE, "gripper", text, EXPECTED, remedy, eef=eef.name, frame=int((commands == 0).argmax()))


def _add_disagreement(
    findings: DemoFindings, view: DemoView, eef: EefView, frame: int, judge: str, convention: str | None
) -> None:
    if convention is None:
        text = f"the commands agree with {judge} of the steps"
        remedy = f"record the demo again, leave out the demo (demos=-<name>), {IF_RIGHT}"
        findings.add(ERROR, "gripper", text, f"at least {MIN_AGREEMENT:.0%}", remedy, eef=eef.name, frame=frame)
        return
    remedy = f"convert the file: `{conversion_command(view.demo.file, gripper=convention)}`, {IF_RIGHT}"
    findings.add(ERROR, "gripper", NAMES[convention], EXPECTED, remedy, eef=eef.name, frame=frame)


def _check_range(findings: DemoFindings, view: DemoView, eef: EefView, commands: Floats) -> None:
    """Without fingers and carried objects: report commands that change but never close the gripper."""
    if commands.min() < 0 or commands.max() == commands.min():
        return
    text = f"the commands are from {commands.min():.2g} to {commands.max():.2g}: they never close the gripper"
    remedy = f"if 0 must close it, convert the file: `{conversion_command(view.demo.file, gripper='zero_one')}`"
    findings.add(WARNING, "gripper", text, EXPECTED, remedy, eef=eef.name, frame=int(commands.argmin()))


def _evidence(view: DemoView, eef: EefView, arm: Arm | None, task: Task) -> tuple[Mask, Mask, str]:
    """Whether the gripper is open in each step, whether this is known, (T,) bool each, and what shows it."""
    if view.joint_position is not None and arm is not None:
        fingers = view.joint_position[arm.name][:, -2:].max(1)
        if np.ptp(fingers) >= _MIN_FINGER_MOTION:
            return fingers > MAX_HOLDING_FINGER_POS, _is_settled(view, eef), "the fingers"
    is_carrying = carries(eef.eef_pose, view.object_pose, graspable_radii(task).get(eef.name, {}), view.step_dt)
    return np.zeros(view.num_steps, dtype=bool), is_carrying, "the objects that the gripper lifts"


def _is_settled(view: DemoView, eef: EefView) -> Mask:
    """Return whether the fingers have followed the last change of the command, (T,) bool."""
    num_steps = max(1, round(_FINGER_TIME / view.step_dt))
    is_settled = np.ones(view.num_steps, dtype=bool)
    for frame in (0, *eef.gripper_transitions):
        is_settled[frame : frame + num_steps] = False
    return is_settled

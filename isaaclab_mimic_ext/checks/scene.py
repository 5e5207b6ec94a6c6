"""What objects do in a demo: where they start, who moves them, and whether the task is solved at the end."""

# T steps of the demo, E end effectors, O objects, J joints of an arm

import numpy as np
import torch
from numpy.typing import NDArray

from isaaclab_mimic_ext.checks.findings import NOTE, DemoFindings
from isaaclab_mimic_ext.checks.motion import DemoView, Floats, step_sizes
from isaaclab_mimic_ext.datasets.findings import ERROR, WARNING
from isaaclab_mimic_ext.math import quat_xyzw_from_matrix
from isaaclab_mimic_ext.task.definition import SceneState, Task

MAX_OUTSIDE = 0.005
"""So far an object may start outside of its range [m]: objects settle by a millimetre or two after a reset."""
MAX_YAW_OUTSIDE = 0.05
"""[rad]"""
MAX_PUSHED = 0.01
"""An object farther from its place before anything holds it was pushed [m]; in the shipped demos it settles by 1 mm."""
HOLD_DISTANCE = 0.12
"""A closed gripper whose frame is nearer than this and the object's footprint to its frame may be what moves it [m]."""
MAX_WAY_CLOSING = 0.04
"""So far a hand may go while its gripper closes and nothing moves with it [m]. With all closings of the shipped demos 20 and
24 steps early it is 2.0 and 4.2 cm (the median), and 100 and 22 % of the trials succeed; as shipped it is 1 mm."""
MAX_OBJECT_SPEED = 5.0
"""[m/s]: an object that falls from a metre above reaches 4.4."""

_CLOSING_TIME, _FOLLOWS = 0.5, 0.005
"""How long a gripper may take [s], and an object that has moved so far moves with it [m]."""
_COORDINATES = (("x", "m"), ("y", "m"), ("yaw", "rad"))


def check_start(findings: DemoFindings, view: DemoView, low: Floats, high: Floats, referenced: set[str]) -> None:
    """Every object starts where the task's randomization may put it; ranges are (O, 3): x, y [m], yaw [rad]."""
    for index, (name, pose) in enumerate(view.object_pose.items()):
        rot = pose[0, :3, :3]
        found = np.array([*pose[0, :2, 3], np.arctan2(rot[1, 0], rot[0, 0])])
        outside = np.maximum(np.maximum(low[index] - found, found - high[index]), 0.0)
        outside[2] = _yaw_outside(found[2], low[index, 2], high[index, 2])
        is_out = outside > np.array([MAX_OUTSIDE, MAX_OUTSIDE, MAX_YAW_OUTSIDE])
        if not is_out.any():
            continue
        axes = [(axis, *_COORDINATES[axis]) for axis in np.flatnonzero(is_out)]
        told = ", ".join(f"{letter} = {found[axis]:.3f} {unit}" for axis, letter, unit in axes)
        ranges = [f"{letter} {low[index, axis]:.3f} to {high[index, axis]:.3f} {unit}" for axis, letter, unit in axes]
        remedy = f"widen the pose_range of {name} in events, or record with it inside"
        level = WARNING if name in referenced else NOTE
        findings.add(level, "outside range", f"{name} starts at {told}", ", ".join(ranges), remedy, frame=0)


def _yaw_outside(yaw: float, low: float, high: float) -> float:
    """By how much an angle is outside of a range, whichever way round [rad]."""
    turns = yaw + 2 * np.pi * np.array([-1, 0, 1])
    return float(np.maximum(np.maximum(low - turns, turns - high), 0.0).min())


def check_moved(findings: DemoFindings, view: DemoView, task: Task, referenced: set[str]) -> None:
    """Objects stand still until a gripper holds them, and none jumps."""
    for name, pose in view.object_pose.items():
        moved = np.linalg.norm(pose[:, :3, 3] - pose[0, :3, 3], axis=1) > MAX_PUSHED
        reach = HOLD_DISTANCE + task.objects[task.object_id(name)].footprint_radius
        if moved.any() and not _may_be_held(view, pose, reach, frame := int(moved.argmax())):
            found = f"{name} moves before a gripper holds it"
            remedy = "record without touching it first: trials repeat the push where the object no longer is"
            level = WARNING if name in referenced else NOTE
            findings.add(level, "moved early", found, f"at most {MAX_PUSHED} m", remedy, frame=frame)
        jumps = np.flatnonzero(step_sizes(pose) > MAX_OBJECT_SPEED * view.step_dt)
        if len(jumps):
            found = f"{name} jumps by {step_sizes(pose)[jumps[0]]:.2f} m"
            remedy = "leave the demo out, or cut it before the jump"
            expected = f"at most {MAX_OBJECT_SPEED * view.step_dt:.2g} m a step"
            findings.add(ERROR, "jump", found, expected, remedy, frame=jumps[0] + 1)


def _may_be_held(view: DemoView, pose: Floats, reach: float, frame: int) -> bool:
    """Whether some gripper was told to close, near to the object, by the time it has moved."""
    for eef in view.eefs.values():
        distance = np.linalg.norm(eef.eef_pose[frame, :3, 3] - pose[frame, :3, 3])
        if eef.is_closed(frame) and distance < reach:
            return True
    return False


def check_closing(findings: DemoFindings, view: DemoView) -> None:
    """A gripper closes where the hand grasps, not on the way there."""
    for eef in view.eefs.values():
        for frame in eef.gripper_transitions:
            window = slice(frame, frame + max(1, round(_CLOSING_TIME / view.step_dt)) + 1)
            way = np.linalg.norm(eef.eef_pose[window, :3, 3] - eef.eef_pose[frame, :3, 3], axis=1)
            alone = np.ones(len(way), dtype=bool)
            for pose in view.object_pose.values():
                moved = np.linalg.norm(pose[window, :3, 3] - pose[frame, :3, 3], axis=1)
                alone &= np.maximum.accumulate(moved) <= _FOLLOWS
            if eef.is_closed(frame) and way[alone].max() > MAX_WAY_CLOSING:
                found = f"the hand goes on for {way[alone].max():.3f} m after the gripper closes, and nothing with it"
                remedy = "close where the hand grasps: record the demo again, or leave it out"
                expected = f"at most {MAX_WAY_CLOSING} m"
                findings.add(ERROR, "gripper early", found, expected, remedy, eef=eef.name, frame=frame)


def check_success(findings: DemoFindings, view: DemoView, task: Task, num_success_steps: int) -> None:
    """The task is solved in the last steps; only where the file has the arms' joints."""
    success = _success(view, task)
    if success is None:
        return
    last = view.num_steps - 1
    held = int((~success[::-1]).argmax()) if not success.all() else len(success)
    if held >= num_success_steps:
        return
    never_opens = any(eef.is_closed(last) for eef in view.eefs.values())
    end = "the gripper is still closed" if never_opens else "the task is not solved"
    remedy = "record until the task is solved and the hand rests, or leave the demo out"
    if held == 0:
        expected = f"the task solved in the last {num_success_steps} steps"
        findings.add(ERROR, "cropped end", f"at the last step {end}", expected, remedy, frame=last)
    else:
        found = f"solved in the last {held} steps only"
        findings.add(WARNING, "cropped end", found, f"{num_success_steps} or more", remedy, frame=last)


def _success(view: DemoView, task: Task) -> NDArray[np.bool_] | None:
    """Whether the task is solved before each step (T,)."""
    if view.joint_position is None:
        return None
    joints = torch.stack([torch.from_numpy(view.joint_position[arm.name]) for arm in task.arms], dim=1)
    eef_pose = torch.stack([torch.from_numpy(view.demo.eef_pose[name]) for name in task.eef_names], dim=1)
    object_pose = torch.stack([torch.from_numpy(view.demo.object_pose[name]) for name in task.object_names], dim=1)
    root_pose = torch.cat((object_pose[..., :3, 3], quat_xyzw_from_matrix(object_pose[..., :3, :3])), dim=-1)
    velocity = torch.zeros_like(root_pose[..., :6])
    velocity[:-1, :, :3] = (root_pose[1:, :, :3] - root_pose[:-1, :, :3]) / view.step_dt
    scene = SceneState(joints, torch.zeros_like(joints), eef_pose, object_pose, root_pose, velocity)
    return task.success(scene).numpy()

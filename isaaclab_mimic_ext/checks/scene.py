"""Checks of the objects in a demo: initial poses, unwanted motion, early grasps, and success at the end."""

# T steps of the demo, O objects

import numpy as np
import torch
from numpy.typing import NDArray

from isaaclab_mimic_ext.checks.findings import NOTE, DemoFindings
from isaaclab_mimic_ext.checks.motion import DemoView, Floats, step_sizes
from isaaclab_mimic_ext.datasets.findings import ERROR, WARNING
from isaaclab_mimic_ext.demos.grippers import HOLD_DISTANCE
from isaaclab_mimic_ext.envs.articulations import Articulations
from isaaclab_mimic_ext.math import quat_xyzw_from_matrix
from isaaclab_mimic_ext.task.definition import SceneState, Task
from isaaclab_mimic_ext.task.objects import SLIDE, jointed_objects
from isaaclab_mimic_ext.texts import counted

MAX_OUTSIDE = 0.005
"""Largest distance of an initial position from its range [m]; objects settle by 1 or 2 mm after a reset."""
MAX_YAW_OUTSIDE = 0.05
"""Largest difference of an initial yaw from its range [rad]."""
MAX_PUSHED = 0.01
"""Largest displacement of an object before a gripper holds it [m]; objects settle by 1 mm in the included demos."""
MAX_CLOSING_DISTANCE = 0.04
"""Largest motion of a hand while its gripper closes and no object moves with it [m]; 1 mm in the included demos. If all
closings are 20 or 24 steps early, its median is 2.0 or 4.2 cm, and 100 or 22 % of the trials succeed."""
MAX_OBJECT_SPEED = 5.0
"""Largest speed of an object [m/s]; an object that falls from a height of 1 m reaches 4.4."""

_CLOSING_TIME, _MOVED_WITH_HAND = 0.5, 0.005
"""Time that a gripper needs to close [s], and displacement from which an object counts as moved with the hand [m]."""
_COORDINATES = (("x", "m"), ("y", "m"), ("yaw", "rad"))


def check_start(findings: DemoFindings, view: DemoView, task: Task, low: Floats, high: Floats, referenced: set[str]) -> None:
    """Check that each object starts within its range of randomization. Objects on joints follow their bases.

    Args:
        low, high: (O, 3), bounds of x, y [m] and yaw [rad].
        referenced: objects that subtasks refer to; for all other objects, the finding is only a note.
    """
    for index, (name, pose) in enumerate(view.object_pose.items()):
        if name in task.jointed_names:
            continue
        rot = pose[0, :3, :3]
        found = np.array([*pose[0, :2, 3], np.arctan2(rot[1, 0], rot[0, 0])])
        outside = np.maximum(np.maximum(low[index] - found, found - high[index]), 0.0)
        outside[2] = _yaw_outside(found[2], low[index, 2], high[index, 2])
        is_out = outside > np.array([MAX_OUTSIDE, MAX_OUTSIDE, MAX_YAW_OUTSIDE])
        if not is_out.any():
            continue
        axes = [(axis, *_COORDINATES[axis]) for axis in np.flatnonzero(is_out)]
        start = ", ".join(f"{letter} = {found[axis]:.3f} {unit}" for axis, letter, unit in axes)
        ranges = [f"{letter} {low[index, axis]:.3f} to {high[index, axis]:.3f} {unit}" for axis, letter, unit in axes]
        remedy = f"widen the pose_range of {name} in events, or record with the object inside its range"
        level = WARNING if name in referenced else NOTE
        findings.add(level, "outside range", f"{name} starts at {start}", ", ".join(ranges), remedy, frame=0)


def check_joint_start(findings: DemoFindings, view: DemoView, task: Task, ranges: torch.Tensor) -> None:
    """Check that objects on joints start within their ranges `ranges` (Q, 2) [m, rad], if the file has joint positions."""
    if view.joint_position is None:
        return
    start = _object_joint_pos(view, task)[0]
    for obj, found, (low, high) in zip(jointed_objects(task.objects), start.tolist(), ranges.tolist(), strict=True):
        unit, tolerance = ("m", MAX_OUTSIDE) if obj.kind == SLIDE else ("rad", MAX_YAW_OUTSIDE)
        if max(low - found, found - high) > tolerance:
            remedy = f"widen the joint_range of {obj.name} in events, or record with the joint inside its range"
            expected = f"{low:.3f} to {high:.3f} {unit}"
            findings.add(WARNING, "outside range", f"{obj.name} starts at {found:.3f} {unit}", expected, remedy, frame=0)


def _object_joint_pos(view: DemoView, task: Task) -> torch.Tensor:
    """Positions of the joints of objects before each step, (T, Q) [m, rad]."""
    assert view.joint_position is not None
    states = {name: {"joint_position": values} for name, values in view.joint_position.items()}
    return Articulations(task).joints_of({"articulation": states}, view.num_steps)[0]


def _yaw_outside(yaw: float, low: float, high: float) -> float:
    """Smallest difference of an angle from a range, modulo a full turn [rad]; 0 inside."""
    turns = yaw + 2 * np.pi * np.array([-1, 0, 1])
    return float(np.maximum(np.maximum(low - turns, turns - high), 0.0).min())


def check_moved(findings: DemoFindings, view: DemoView, task: Task, referenced: set[str]) -> None:
    """Check that free objects do not move before a gripper holds them, and that no object jumps."""
    for name, pose in view.object_pose.items():
        moved = np.linalg.norm(pose[:, :3, 3] - pose[0, :3, 3], axis=1) > MAX_PUSHED
        reach = HOLD_DISTANCE + task.objects[task.object_id(name)].footprint_radius
        is_free = task.objects[task.object_id(name)].is_free
        if is_free and moved.any() and not _may_be_held(view, pose, reach, frame := int(moved.argmax())):
            found = f"{name} moves before a gripper holds it"
            remedy = "record without pushing the object; trials repeat the push, but at a different place"
            level = WARNING if name in referenced else NOTE
            findings.add(level, "moved early", found, f"at most {MAX_PUSHED} m", remedy, frame=frame)
        jumps = np.flatnonzero(step_sizes(pose) > MAX_OBJECT_SPEED * view.step_dt)
        if len(jumps):
            found = f"{name} jumps by {step_sizes(pose)[jumps[0]]:.2f} m"
            remedy = "leave out the demo, or cut it before the jump"
            expected = f"at most {MAX_OBJECT_SPEED * view.step_dt:.2g} m per step"
            findings.add(ERROR, "jump", found, expected, remedy, frame=jumps[0] + 1)


def _may_be_held(view: DemoView, pose: Floats, reach: float, frame: int) -> bool:
    """Return whether a gripper is closed within `reach` [m] of the object (T, 4, 4) at step `frame`."""
    for eef in view.eefs.values():
        distance = np.linalg.norm(eef.eef_pose[frame, :3, 3] - pose[frame, :3, 3])
        if eef.is_closed(frame) and distance < reach:
            return True
    return False


def check_early_closing(findings: DemoFindings, view: DemoView) -> None:
    """Check that grippers close at the grasp pose, not while the hand approaches it."""
    for eef in view.eefs.values():
        for frame in eef.gripper_transitions:
            window = slice(frame, frame + max(1, round(_CLOSING_TIME / view.step_dt)) + 1)
            distance = np.linalg.norm(eef.eef_pose[window, :3, 3] - eef.eef_pose[frame, :3, 3], axis=1)
            alone = np.ones(len(distance), dtype=bool)
            for pose in view.object_pose.values():
                moved = np.linalg.norm(pose[window, :3, 3] - pose[frame, :3, 3], axis=1)
                alone &= np.maximum.accumulate(moved) <= _MOVED_WITH_HAND
            if eef.is_closed(frame) and distance[alone].max() > MAX_CLOSING_DISTANCE:
                found = f"the hand moves on by {distance[alone].max():.3f} m while the gripper closes, without an object"
                remedy = "close the gripper at the grasp pose: record the demo again, or leave out the demo"
                expected = f"at most {MAX_CLOSING_DISTANCE} m"
                findings.add(ERROR, "gripper early", found, expected, remedy, eef=eef.name, frame=frame)


def check_success(findings: DemoFindings, view: DemoView, task: Task, num_success_steps: int) -> None:
    """Check that the task is solved in the last steps. Requires joint positions in the file."""
    success = _success(view, task)
    if success is None:
        return
    last = view.num_steps - 1
    held = int((~success[::-1]).argmax()) if not success.all() else len(success)
    if held >= num_success_steps:
        return
    never_opens = any(eef.is_closed(last) for eef in view.eefs.values())
    end = "the gripper is still closed" if never_opens else "the task is not solved"
    remedy = "record until the task is solved and the hand rests, or leave out the demo"
    if held == 0:
        expected = f"the task solved in the last {counted(num_success_steps, 'step')}"
        findings.add(ERROR, "cropped end", f"at the last step {end}", expected, remedy, frame=last)
    else:
        found = f"the task is solved only in the last {counted(held, 'step')}"
        findings.add(WARNING, "cropped end", found, f"at least {num_success_steps}", remedy, frame=last)


def _success(view: DemoView, task: Task) -> NDArray[np.bool_] | None:
    """Return whether the task is solved before each step, (T,) bool; None without joint positions in the file."""
    if view.joint_position is None:
        return None
    joints = torch.stack([torch.from_numpy(view.joint_position[arm.name]) for arm in task.arms], dim=1)
    eef_pose = torch.stack([torch.from_numpy(view.demo.eef_pose[name]) for name in task.eef_names], dim=1)
    object_pose = torch.stack([torch.from_numpy(view.demo.object_pose[name]) for name in task.object_names], dim=1)
    root_pose = torch.cat((object_pose[..., :3, 3], quat_xyzw_from_matrix(object_pose[..., :3, :3])), dim=-1)
    velocity = torch.zeros_like(root_pose[..., :6])
    velocity[:-1, :, :3] = (root_pose[1:, :, :3] - root_pose[:-1, :, :3]) / view.step_dt
    object_joint_pos = _object_joint_pos(view, task)
    scene = SceneState(joints, torch.zeros_like(joints), eef_pose, object_pose, root_pose, velocity, object_joint_pos)
    return task.success(scene).numpy()

"""Checks of another robot against source demos: width of its gripper, and reach of its arm."""

from collections.abc import Sequence

import numpy as np

from isaaclab_mimic_ext.checks.findings import DemoFindings
from isaaclab_mimic_ext.checks.motion import DemoView
from isaaclab_mimic_ext.datasets.findings import ERROR, WARNING
from isaaclab_mimic_ext.envs.robots import robot_of_arm
from isaaclab_mimic_ext.envs.robots.reach import MAX_DISTANCE, distances_of_hand, opening_fault
from isaaclab_mimic_ext.task.definition import Task, graspable_of
from isaaclab_mimic_ext.task.objects import num_variants
from isaaclab_mimic_ext.texts import counted


def check_robot(findings: DemoFindings, task: Task, views: Sequence[DemoView]) -> None:
    """Check that the robot of a task can hold its objects, and reach the poses of source demos.

    Raises:
        ConfigError: the description of the robot does not fit its file.
    """
    _check_opening(findings, task)
    _check_width(findings, task)
    for eef_name in task.eef_names:
        _check_reach(findings, task, eef_name, views)


def _check_opening(findings: DemoFindings, task: Task) -> None:
    if fault := opening_fault(task):
        needed = f"more than {2000 * (task.open_finger_pos or 0.0):.1f} mm"
        remedy = "correct the control range of the gripper in the file, or use a wider gripper"
        findings.add(ERROR, "gripper opening", fault, needed, remedy)


def _check_width(findings: DemoFindings, task: Task) -> None:
    by_mesh = [graspable_of(task, mesh) for mesh in range(num_variants(task.objects))]
    for eef_name in by_mesh[0]:
        robot = robot_of_arm(task, eef_name)
        opening = 2000 * robot.finger_open
        for grip in dict.fromkeys(grip for grips in by_mesh for grip in grips[eef_name]):
            width = 2000 * grip.half_width
            if width >= opening:
                found = f"the gripper of {robot.name} opens to {opening:.1f} mm, {grip.object_name} is {width:.1f} mm wide"
                remedy = "use a robot with a wider gripper, or a smaller object"
                findings.add(ERROR, "grasp width", found, f"more than {width:.1f} mm", remedy, eef=eef_name)


def _check_reach(findings: DemoFindings, task: Task, eef_name: str, views: Sequence[DemoView]) -> None:
    robot = robot_of_arm(task, eef_name)
    distances = distances_of_hand(task, eef_name, [view.eefs[eef_name].target_eef_pose for view in views])
    is_out = [(each > MAX_DISTANCE).any() for each in distances]
    if any(is_out):
        every = np.concatenate(distances)
        found = (
            f"{robot.name} does not reach {100 * np.mean(every > MAX_DISTANCE):.0f} % of the poses of the demos, in "
            f"{sum(is_out)} of {counted(len(is_out), 'demo')}; the hand stays up to {1000 * every.max():.0f} mm away"
        )
        remedy = "move the base (robot.base_pos), or narrow the pose_range of the objects in events"
        findings.add(WARNING, "reach", found, f"within {1000 * MAX_DISTANCE:.0f} mm", remedy, eef=eef_name)

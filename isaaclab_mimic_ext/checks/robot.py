"""Checks of another robot against source demos: width of its gripper, and reach of its arm."""

# T poses of a demo

from collections.abc import Sequence

import numpy as np
import torch

from isaaclab_mimic_ext.checks.findings import DemoFindings
from isaaclab_mimic_ext.checks.motion import DemoView
from isaaclab_mimic_ext.datasets.findings import ERROR, WARNING
from isaaclab_mimic_ext.envs.panda.kinematics import base_poses
from isaaclab_mimic_ext.envs.robots import Robot, robot_of
from isaaclab_mimic_ext.task.definition import Task
from isaaclab_mimic_ext.texts import counted

MAX_DISTANCE = 0.005
"""Distance of the hand from a pose of a demo above which the pose is out of reach [m]."""
_NUM_POSES = 40
"""Number of poses per demo that are checked."""


def check_robot(findings: DemoFindings, task: Task, views: Sequence[DemoView]) -> None:
    """Check that the robot of a task can hold its objects, and reach the poses of source demos.

    Raises:
        ConfigError: the description of the robot does not fit its file.
    """
    robot = robot_of(task)
    _check_width(findings, task, robot)
    for arm, base_pose in zip(task.arms, base_poses(task.arms), strict=True):
        _check_reach(findings, robot, arm.eef_name, base_pose, views)


def _check_width(findings: DemoFindings, task: Task, robot: Robot) -> None:
    opening = 2000 * robot.finger_open
    for eef_name, grips in task.graspable().items():
        for grip in grips:
            width = 2000 * grip.half_width
            if width >= opening:
                found = f"the gripper of {robot.name} opens to {opening:.1f} mm, {grip.object_name} is {width:.1f} mm wide"
                remedy = "use a robot with a wider gripper, or a smaller object"
                findings.add(ERROR, "grasp width", found, f"more than {width:.1f} mm", remedy, eef=eef_name)


def _check_reach(
    findings: DemoFindings, robot: Robot, eef_name: str, base_pose: torch.Tensor, views: Sequence[DemoView]
) -> None:
    distances = []
    for view in views:
        poses = torch.from_numpy(view.eefs[eef_name].target_eef_pose).double()
        steps = np.unique(np.linspace(0, len(poses) - 1, _NUM_POSES).round().astype(int))
        distances.append(robot.distances(torch.linalg.inv(base_pose.double()) @ poses[steps]).numpy())
    is_out = [(each > MAX_DISTANCE).any() for each in distances]
    if any(is_out):
        every = np.concatenate(distances)
        found = (
            f"{robot.name} does not reach {100 * np.mean(every > MAX_DISTANCE):.0f} % of the poses of the demos, in "
            f"{sum(is_out)} of {counted(len(is_out), 'demo')}; the hand stays up to {1000 * every.max():.0f} mm away"
        )
        remedy = "move the base (robot.base_pos), or narrow the pose_range of the objects in events"
        findings.add(WARNING, "reach", found, f"within {1000 * MAX_DISTANCE:.0f} mm", remedy, eef=eef_name)

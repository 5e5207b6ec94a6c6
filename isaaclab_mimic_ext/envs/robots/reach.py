"""Reach of the arms of a task along the paths of demos."""

# T poses of a demo

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from isaaclab_mimic_ext.envs.panda.kinematics import base_poses
from isaaclab_mimic_ext.envs.robots.load import arms_of, robot_of_arm
from isaaclab_mimic_ext.errors import ConfigError
from isaaclab_mimic_ext.task.definition import Graspable, Task, graspable_of
from isaaclab_mimic_ext.task.objects import num_variants

MAX_DISTANCE = 0.005
"""Distance of the hand from a pose of a demo above which the pose is out of reach [m]."""
_NUM_POSES = 40
"""Number of poses per demo that are checked."""


def opening_fault(task: Task) -> str | None:
    """Reason why no trial can succeed with the robot of a task: its gripper never counts as open; None if it does."""
    needed = 2000 * (task.open_finger_pos or 0.0)
    robot = min(arms_of(task).robots, key=lambda each: each.finger_open)
    opening = 2000 * robot.finger_open
    if opening > needed:
        return None
    return f"the gripper of {robot.name} opens to {opening:.1f} mm, the task counts it as open above {needed:.1f} mm"


def check_mesh_widths(task: Task) -> None:
    """Check that the grippers of a task can hold its meshes.

    Raises:
        ConfigError: a mesh is wider than the open gripper where it is gripped.
    """
    for mesh in range(num_variants(task.objects)):
        for eef_name, grips in graspable_of(task, mesh).items():
            for grip in grips:
                _check_mesh_width(task, eef_name, grip, mesh)


def _check_mesh_width(task: Task, eef_name: str, grip: Graspable, mesh: int) -> None:
    robot = robot_of_arm(task, eef_name)
    width, opening, obj = 2000 * grip.half_width, 2000 * robot.finger_open, task.objects[task.object_id(grip.object_name)]
    if obj.mesh is None or width < opening:
        return
    files = task.object_cfgs[obj.name].files if obj.name in task.object_cfgs else ()
    file = f"'{files[mesh]}' " if len(files) > mesh and obj.variants else ""
    remedy = "remove it from the list" if file else f"reduce objects.{obj.name}.scale"
    raise ConfigError(
        f"objects.{obj.name}.mesh: {file}is {width:.1f} mm wide where it is gripped, the gripper of "
        f"{robot.name} opens to {opening:.1f} mm; {remedy}, or widen the gripper"
    )


def distances_of_hand(task: Task, eef_name: str, target_eef_poses: Sequence[NDArray[Any]]) -> list[NDArray[np.float64]]:
    """Distances of the hand from some poses of each demo, if the arm follows the demo [m].

    Args:
        target_eef_poses: (T, 4, 4) of each demo, env frame [m].
    """
    robot, base_pose = robot_of_arm(task, eef_name), base_poses(task.arms)[task.eef_names.index(eef_name)].double()
    found = []
    for targets in target_eef_poses:
        steps = np.unique(np.linspace(0, len(targets) - 1, _NUM_POSES).round().astype(int))
        poses = torch.from_numpy(targets[steps]).double()
        found.append(robot.distances(torch.linalg.inv(base_pose) @ poses).numpy())
    return found

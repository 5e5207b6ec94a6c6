"""Picture of a robot: its start posture, its open and its closed gripper, with the frames of base and end effector."""

# J = A + 2 entries of a joint state

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from isaaclab_mimic_ext.config.compose import load_task
from isaaclab_mimic_ext.envs import drawing
from isaaclab_mimic_ext.envs.drawing import Color, Frame
from isaaclab_mimic_ext.envs.playback import check_picture, import_imageio
from isaaclab_mimic_ext.envs.rendering import Renderer
from isaaclab_mimic_ext.envs.robots.load import load_robot
from isaaclab_mimic_ext.envs.robots.robot import Robot
from isaaclab_mimic_ext.envs.views import View, fit_view
from isaaclab_mimic_ext.errors import OutputError
from isaaclab_mimic_ext.files.writing import created_folder, replacing
from isaaclab_mimic_ext.math import pose_from_pos_rot, yaw_matrix
from isaaclab_mimic_ext.task.definition import Task
from isaaclab_mimic_ext.task.robot import RobotCfg

_TASK = "stack_cube"
"""Task whose table and cubes show the size of the robot."""
_SIZE = 420
"""Width and height of a picture [pixels]."""
_AXIS_COLORS: tuple[Color, ...] = ((214, 48, 49), (39, 174, 96), (45, 108, 223))
"""Colors of the x, y and z axes."""
_BASE_AXIS, _EEF_AXIS, _NEAR_AXIS = 0.15, 0.1, 0.04
"""Lengths of the drawn axes [m]: of the base, of the end effector, and of the end effector from near."""


def draw_robot(cfg: RobotCfg, picture_path: str | Path, overwrite: bool = False) -> Robot:
    """Draw a robot at the table of `stack_cube`, and return it.

    Args:
        picture_path: picture (PNG) to write.
        overwrite: replace `picture_path` if it exists.

    Raises:
        ConfigError: the description does not fit its file.
        OutputError: the picture exists or cannot be written.
        SimulatorUnavailable: MuJoCo, its model or OpenGL is missing.
    """
    robot = load_robot(cfg)
    imageio, path = import_imageio(video=False), check_picture(picture_path, ".png", overwrite)
    task = load_task(_TASK, robot=cfg)
    picture = _picture(task, robot)
    with (
        created_folder(path.parent, remedy="use another path", kind=OutputError),
        replacing(path, remedy="use another path", kind=OutputError, keep_suffix=True) as part,
    ):
        imageio.imwrite(part, picture)
    return robot


def _picture(task: Task, robot: Robot) -> Frame:
    base = _base_pose(task)
    eef = base @ robot.forward_kinematics(torch.tensor(robot.home[:-2])[None])[0].double().numpy()
    open_state, closed_state = _state(task, robot.home), _state(task, (*robot.home[:-2], 0.0, 0.0))
    arm_view = fit_view(_corners(base, eef), 1.0, azimuth=140.0, elevation=-20.0)
    hand_view = View(tuple(eef[:3, 3] - 0.05 * eef[:3, 2]), 0.4, 180.0 + _direction(eef[:3, 0]), -10.0)
    with Renderer(task, _SIZE, _SIZE, arm_view) as renderer:
        arm, opened = renderer.frames(open_state, [arm_view, hand_view])
        closed = renderer.frames(closed_state, [hand_view])[0]
    arm = _with_axes(_with_axes(arm, arm_view, base, _BASE_AXIS), arm_view, eef, _EEF_AXIS)
    titles = (f"{robot.name} at its start, {robot.num_joints} joints", "gripper open", "gripper closed")
    notes = ("x red, y green, z blue", f"{2e3 * robot.finger_open:.0f} mm", "")
    frames = (arm, *(_with_axes(frame, hand_view, eef, _NEAR_AXIS) for frame in (opened, closed)))
    tiles = [
        np.concatenate((drawing.bar(_SIZE, title, note), frame))
        for title, note, frame in zip(titles, notes, frames, strict=True)
    ]
    return np.concatenate(tiles, axis=1)


def _base_pose(task: Task) -> NDArray[np.float64]:
    """Pose of the base of the arm (4, 4), env frame [m]."""
    arm = task.arms[0]
    return pose_from_pos_rot(torch.tensor(arm.base_pos), yaw_matrix(torch.tensor(arm.base_yaw))).double().numpy()


def _state(task: Task, joint_pos: tuple[float, ...]) -> dict[str, Any]:
    """State of the scene with all objects at their default positions, and joints (J,) of the arm."""
    objects = {obj.name: {"root_pose": [*obj.default_pos, obj.rest_height, 0.0, 0.0, 0.0, 1.0]} for obj in task.objects}
    return {"articulation": {task.arms[0].name: {"joint_position": joint_pos}}, "rigid_object": objects}


def _corners(base: NDArray[np.float64], eef: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points (K, 3) around the arm that the picture must show [m]."""
    low = np.minimum(base[:3, 3], eef[:3, 3]) - np.array((0.15, 0.25, 0.05))
    high = np.maximum(base[:3, 3], eef[:3, 3]) + np.array((0.1, 0.25, 0.45))
    return np.stack(np.meshgrid(*zip(low, high, strict=True)), axis=-1).reshape(-1, 3)


def _direction(axis: NDArray[np.float64]) -> float:
    """Direction of a horizontal axis [deg]."""
    return float(np.degrees(np.arctan2(axis[1], axis[0])))


def _with_axes(frame: Frame, view: View, pose: NDArray[np.float64], length: float) -> Frame:
    """Draw the axes of a pose (4, 4), each `length` [m] long."""
    for axis, color in enumerate(_AXIS_COLORS):
        ends = np.stack((pose[:3, 3], pose[:3, 3] + length * pose[:3, axis]))
        frame = drawing.add_path(frame, view.project(ends, _SIZE, _SIZE), color, width=2.0)
    return frame

"""Scripted operator that opens the door. It records source demos without a teleoperation device."""

# D demos, F frames, C = 6 coordinates of a hand pose: x, y, z [m], yaw, pitch, roll [rad]

import math
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from isaaclab_mimic_ext.math import matrix_from_axis_angle, pose_from_pos_rot
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.task.strokes import Hand, HandPlan, draw_habits, hand_coordinates, tremor
from isaaclab_mimic_ext.tasks.robosuite_door.task import GRIP, HINGE

MAX_FRAMES = 300

# Lowest and highest value of each quantity that varies between demos: m, rad, and times in frames of 0.05 s.
_HABITS = {
    "start_wait": (2, 5),
    "approach_time": (40, 50),
    "hover_distance": (0.08, 0.11),
    "hover_wait": (4, 8),
    "descend_time": (20, 26),
    "grasp_along": (-0.008, 0.004),
    "grasp_height": (-0.002, 0.002),
    "grasp_depth": (0.0, 0.006),
    "grasp_yaw": (-0.05, 0.05),
    "settle_wait": (5, 7),
    "close_wait": (9, 11),
    "turn_time": (36, 44),
    "turn_angle": (1.32, 1.38),
    "turn_wait": (4, 6),
    "pull_time": (36, 44),
    "pull_angle": (0.38, 0.42),
    "end_wait": (10, 12),
    "tremor": (0.2, 1.0),
}


def plan_demos(object_poses: Mapping[str, Tensor], eef_pose: Tensor, draws: Draws) -> HandPlan:
    """Plan one demo for each of D initial scenes.

    Args:
        object_poses: initial poses, name -> (D, 4, 4), env frame [m].
        eef_pose: initial poses of the end effector, (D, 4, 4), env frame [m].
        draws: random numbers of the D trials. Their stream `Stream.OPERATOR` selects the habits of the operator.
    """
    habit, hand = draw_habits(draws, _HABITS), Hand(hand_coordinates(eef_pose), MAX_FRAMES)
    door, handle = object_poses["door"], object_poses["handle"]
    grasp = _grasp(handle, habit)
    before = grasp.clone()
    before[:, :3] -= habit["hover_distance"][:, None] * handle[:, :3, 1]
    hand.wait(habit["start_wait"])
    hand.move_to(before, habit["approach_time"])
    hand.wait(habit["hover_wait"])
    hand.move_to(grasp, habit["descend_time"])
    hand.wait(habit["settle_wait"])
    hand.close()
    hand.wait(habit["close_wait"])

    motion = _Opening(door, handle, hand.now, habit)
    hand.wait(motion.end - hand.now + habit["end_wait"])
    hand.open()  # after the demo
    plan = hand.plan(tremor(draws, habit["tremor"], MAX_FRAMES))
    num_frames = plan.target_eef_pose.shape[1]
    return replace(plan, target_eef_pose=motion.poses()[:, :num_frames] @ plan.target_eef_pose)


def _grasp(handle: Tensor, habit: Mapping[str, Tensor]) -> Tensor:
    """Coordinates (D, C) of the hand at the end of the handle (D, 4, 4): it points at the door, fingers above each other."""
    in_handle = handle.new_tensor(GRIP).repeat(len(handle), 1)
    in_handle += torch.stack((habit["grasp_along"], habit["grasp_depth"], habit["grasp_height"]), dim=-1)
    grasp = torch.zeros(len(handle), 6, device=handle.device)
    grasp[:, :3] = handle[:, :3, 3] + (handle[:, :3, :3] @ in_handle[..., None])[..., 0]
    to_front = torch.atan2(-handle[:, 1, 1], -handle[:, 0, 1])
    grasp[:, 3] = to_front + habit["grasp_yaw"]
    grasp[:, 4] = 0.5 * math.pi
    return grasp


class _Opening:
    """Motion of a hand that holds the handle: it turns with the handle, then with the door.

    Args:
        door, handle: poses at rest, (D, 4, 4), env frame [m].
        start: (D,), frame in which the handle begins to turn.
        habit: name -> (D,).
    """

    def __init__(self, door: Tensor, handle: Tensor, start: Tensor, habit: Mapping[str, Tensor]):
        self._door, self._handle = door, handle
        angles = Hand(torch.zeros(len(door), 6, device=door.device), MAX_FRAMES)  # handle, door, unused
        angles.now = start.clone()
        goal = torch.zeros_like(angles.goal)
        goal[:, 0] = habit["turn_angle"]
        angles.move_to(goal, habit["turn_time"])
        angles.wait(habit["turn_wait"])
        goal = goal.clone()
        goal[:, 1] = habit["pull_angle"]
        angles.move_to(goal, habit["pull_time"])
        self.end, self._angles = angles.now.clone(), angles

    def poses(self) -> Tensor:
        """Transform of the hand from its pose at the grasp, (D, F, 4, 4), env frame [m]."""
        angles = self._angles.poses(torch.zeros(1, 1, 6, device=self._door.device))[..., :2, 3]
        pivot = self._door[:, :3, 3] + (self._door[:, :3, :3] * self._door.new_tensor(HINGE)).sum(-1)
        turned = _rotation_about(self._handle[:, :3, 3], -self._handle[:, :3, 1], angles[..., 0])
        return _rotation_about(pivot, self._door[:, :3, 2], angles[..., 1]) @ turned


def _rotation_about(pivot: Tensor, axis: Tensor, angle: Tensor) -> Tensor:
    """Rotations by `angle` (D, F) [rad] about `axis` (D, 3) through `pivot` (D, 3) [m], (D, F, 4, 4)."""
    rot = matrix_from_axis_angle(angle[..., None] * axis[:, None])
    pos = pivot[:, None] - (rot @ pivot[:, None, :, None])[..., 0]
    return pose_from_pos_rot(pos, rot)

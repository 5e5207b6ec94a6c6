"""Scripted operator that stacks the cubes. It records source demos without a teleoperation device."""

# D demos, C = 6 coordinates of a hand pose: x, y, z [m], yaw, pitch, roll [rad]

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.task.strokes import Hand, HandPlan, draw_habits, hand_coordinates, raised, tremor
from isaaclab_mimic_ext.tasks.robosuite_stack.task import HALF_A, HALF_B

MAX_FRAMES = 260
_QUARTER = 0.5 * math.pi

# Lowest and highest value of each quantity that varies between demos: m, rad, and times in frames of 0.05 s.
_HABITS = {
    "start_wait": (2, 5),
    "bow_x": (-0.02, 0.02),
    "bow_y": (-0.02, 0.02),
    "approach_time": (20, 26),
    "hover_height": (0.07, 0.10),
    "hover_wait": (0, 3),
    "descend_time": (12, 16),
    "grasp_height": (-0.003, 0.003),
    "grasp_yaw": (-0.06, 0.06),
    "settle_wait": (4, 6),
    "close_wait": (6, 8),
    "lift_time": (12, 15),
    "lift_height": (0.12, 0.14),
    "carry_time": (20, 26),
    "align_wait": (3, 6),
    "place_x": (-0.002, 0.002),
    "place_y": (-0.002, 0.002),
    "lower_time": (14, 18),
    "release_height": (0.001, 0.003),
    "release_wait": (4, 6),
    "open_wait": (4, 6),
    "retreat_time": (12, 15),
    "retreat_height": (0.09, 0.11),
    "end_wait": (8, 10),
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
    lower, upper = object_poses["cubeB"], object_poses["cubeA"]
    start_yaw = hand.goal[:, 3]
    grasp = torch.zeros_like(hand.goal)
    grasp[:, :2] = upper[:, :2, 3]
    grasp[:, 2] = upper[:, 2, 3] + habit["grasp_height"]
    grasp[:, 3] = nearest_side(upper, start_yaw) + habit["grasp_yaw"]

    release = torch.zeros_like(grasp)
    release[:, :2] = lower[:, :2, 3] + torch.stack((habit["place_x"], habit["place_y"]), dim=-1)
    release[:, 2] = lower[:, 2, 3] + HALF_A + HALF_B + habit["grasp_height"] + habit["release_height"]
    release[:, 3] = nearest_side(lower, grasp[:, 3])

    hand.pick_up(grasp, habit)
    hand.place(raised(release, habit["hover_height"]), release, habit)
    hand.wait(habit["end_wait"])
    return hand.plan(tremor(draws, habit["tremor"], MAX_FRAMES))


def nearest_side(cube: Tensor, yaw: Tensor) -> Tensor:
    """Yaw of the hand along an edge of a cube (D, 4, 4) that is nearest to `yaw` (D,) [rad]."""
    edge = torch.atan2(cube[:, 1, 0], cube[:, 0, 0])
    return yaw + torch.remainder(edge - yaw + _QUARTER / 2, _QUARTER) - _QUARTER / 2

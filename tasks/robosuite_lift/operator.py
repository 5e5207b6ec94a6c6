"""Scripted operator that lifts the cube. It records source demos without a teleoperation device."""

# D demos

from collections.abc import Mapping

import torch
from torch import Tensor

from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.task.strokes import Hand, HandPlan, draw_habits, hand_coordinates, tremor
from isaaclab_mimic_ext.tasks.robosuite_lift.task import HALF_SIZE, TABLE_HEIGHT
from isaaclab_mimic_ext.tasks.robosuite_stack.operator import nearest_side

MAX_FRAMES = 160

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
    "close_wait": (8, 10),
    "lift_time": (14, 18),
    "lift_height": (0.10, 0.14),
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
    cube = object_poses["cube"]
    grasp = torch.zeros_like(hand.goal)
    grasp[:, :2] = cube[:, :2, 3]
    # robosuite drops the cube from above the table.
    grasp[:, 2] = TABLE_HEIGHT + HALF_SIZE[2] + habit["grasp_height"]
    grasp[:, 3] = nearest_side(cube, hand.goal[:, 3]) + habit["grasp_yaw"]

    hand.pick_up(grasp, habit)
    hand.wait(habit["end_wait"])
    hand.open()  # after the demo
    return hand.plan(tremor(draws, habit["tremor"], MAX_FRAMES))

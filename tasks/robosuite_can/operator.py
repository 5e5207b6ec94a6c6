"""Scripted operator that puts the can into the bin. It records source demos without a teleoperation device."""

# D demos

from collections.abc import Mapping

import torch
from torch import Tensor

from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.task.strokes import Hand, HandPlan, draw_habits, hand_coordinates, raised, tremor
from isaaclab_mimic_ext.tasks.robosuite_can.task import COMPARTMENT, FLOOR, GRIP_HEIGHT, HALF_HEIGHT

MAX_FRAMES = 280

# Lowest and highest value of each quantity that varies between demos: m, rad, and times in frames of 0.05 s.
_HABITS = {
    "start_wait": (2, 5),
    "bow_x": (-0.02, 0.02),
    "bow_y": (-0.02, 0.02),
    "approach_time": (26, 34),
    "hover_height": (0.09, 0.12),
    "hover_wait": (0, 3),
    "descend_time": (16, 20),
    "grasp_height": (-0.002, 0.004),
    "grasp_yaw": (-0.15, 0.15),
    "settle_wait": (4, 6),
    "close_wait": (8, 10),
    "lift_time": (16, 20),
    "lift_height": (0.15, 0.18),
    "carry_time": (36, 44),
    "align_wait": (3, 6),
    "place_x": (-0.01, 0.01),
    "place_y": (-0.01, 0.01),
    "lower_time": (18, 22),
    "release_height": (0.002, 0.006),
    "release_wait": (4, 6),
    "open_wait": (6, 8),
    "retreat_time": (14, 18),
    "retreat_height": (0.12, 0.14),
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
    can, tray = object_poses["can"], object_poses["bin"]
    grasp = torch.zeros_like(hand.goal)
    grasp[:, :2] = can[:, :2, 3]
    grasp[:, 2] = FLOOR + HALF_HEIGHT + GRIP_HEIGHT + habit["grasp_height"]
    # The can is round: the yaw of the hand does not depend on that of the can.
    grasp[:, 3] = hand.goal[:, 3] + habit["grasp_yaw"]

    release = grasp.clone()
    offset = torch.stack((habit["place_x"], habit["place_y"]), dim=-1)
    release[:, :2] = tray[:, :2, 3] + tray.new_tensor(COMPARTMENT) + offset
    release[:, 2] += habit["release_height"]

    hand.pick_up(grasp, habit)
    hand.place(raised(release, habit["lift_height"]), release, habit)
    hand.wait(habit["end_wait"])
    return hand.plan(tremor(draws, habit["tremor"], MAX_FRAMES))

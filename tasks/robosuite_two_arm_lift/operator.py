"""Scripted operator with two hands that lifts the pot. It records source demos without a teleoperation device."""

# D demos, E = 2 end effectors, C = 6 coordinates of a hand pose: x, y, z [m], yaw, pitch, roll [rad]

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.task.strokes import Hand, draw_habits, hand_coordinates, raised, tremor
from isaaclab_mimic_ext.tasks.robosuite_two_arm_lift.task import HANDLE_Y, HANDLE_Z, SIDES
from isaaclab_mimic_ext.tasks.two_arm_lift_tray.operator import HandPlans

MAX_FRAMES = 240

# Lowest and highest value of each quantity that varies between demos: m, rad, and times in frames of 0.05 s.
_HAND_HABITS = {
    "start_wait": (2, 5),
    "bow_x": (-0.02, 0.02),
    "bow_y": (-0.02, 0.02),
    "approach_time": (34, 42),
    "hover_height": (0.08, 0.10),
    "hover_wait": (0, 4),
    "descend_time": (16, 20),
    "grasp_along": (-0.008, 0.008),
    "grasp_height": (-0.002, 0.002),
    "grasp_yaw": (-0.05, 0.05),
    "settle_wait": (6, 8),
    "close_wait": (9, 11),
    "tremor": (0.2, 1.0),
}
_LIFT_HABITS = {
    "lift_time": (26, 34),
    "lift_height": (0.15, 0.18),
    "end_wait": (8, 10),
}


def plan_demos(object_poses: Mapping[str, Tensor], eef_pose: Tensor, draws: Draws) -> HandPlans:
    """Plan one demo for each of D initial scenes.

    Args:
        object_poses: initial poses, name -> (D, 4, 4), env frame [m].
        eef_pose: initial poses of the end effectors, (D, E, 4, 4), env frame [m].
        draws: random numbers of the D trials. Their stream `Stream.OPERATOR` selects the habits of the operator.
    """
    hands = [Hand(hand_coordinates(eef_pose[:, index]), MAX_FRAMES) for index in range(2)]
    habits = [draw_habits(draws, _HAND_HABITS, step) for step in (0, 2)]
    lift = draw_habits(draws, _LIFT_HABITS, 4)
    for side, hand, habit in zip(SIDES, hands, habits, strict=True):
        grasp = _grasp(object_poses["pot"], hand.goal[:, 3], side, habit)
        hand.wait(habit["start_wait"])
        hand.grasp(raised(grasp, habit["hover_height"]), grasp, habit)
    ready = torch.maximum(hands[0].now, hands[1].now)
    for hand in hands:
        hand.wait(ready - hand.now)
        hand.move_to(raised(hand.goal, lift["lift_height"]), lift["lift_time"])
        hand.wait(lift["end_wait"])
        hand.open()  # after the demo
    plans = [
        hand.plan(tremor(draws, habit["tremor"], MAX_FRAMES, step))
        for hand, habit, step in zip(hands, habits, (1, 3), strict=True)
    ]
    targets = torch.stack([plan.target_eef_pose for plan in plans], dim=2)
    grippers = torch.stack([plan.gripper_action for plan in plans], dim=2)
    return HandPlans(targets, grippers, plans[0].length)


def _grasp(pot: Tensor, start_yaw: Tensor, side: float, habit: Mapping[str, Tensor]) -> Tensor:
    """Coordinates (D, C) of a hand that holds the handle of a pot (D, 4, 4); its fingers close across the bar."""
    handle = side * HANDLE_Y * pot[:, :3, 1] + habit["grasp_along"][:, None] * pot[:, :3, 0]
    grasp = torch.zeros(len(pot), 6, device=pot.device)
    grasp[:, :3] = pot[:, :3, 3] + handle
    grasp[:, 2] += HANDLE_Z + habit["grasp_height"]
    # From the yaw at the start, each hand turns to the left, where its wrist has more room.
    inward = torch.atan2(side * pot[:, 1, 1], side * pot[:, 0, 1])
    grasp[:, 3] = start_yaw + torch.remainder(inward - start_yaw, 2 * math.pi) + habit["grasp_yaw"]
    return grasp

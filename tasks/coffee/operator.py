"""Scripted operator that makes coffee with human-like motion, and so records source demos without a person."""

# D demos, C = 6 coordinates of a hand pose: x, y, z [m], yaw, pitch, roll [rad]

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.task.strokes import Hand, HandPlan, draw_habits, hand_coordinates, raised, tremor
from isaaclab_mimic_ext.tasks.coffee.task import GRIP, HINGE_POS, HOLDER_POS, LID_HALF, POD_HALF_HEIGHT, SEAT

MAX_FRAMES = 600
_HAND_YAW = math.radians(-65.0)
"""Yaw of the hand relative to the machine [rad]: the palm passes in front of the open lid, and joint 7 reaches the yaw."""
_LID_TOP = HINGE_POS[2] + LID_HALF[2]
"""Height of the top of the closed lid above the table [m]."""

# Lowest and highest value of each quantity that varies between demos. Lengths in m, angles in rad, times in frames (1/20 s).
_HABITS = {
    "start_wait": (3, 8),
    "approach_time": (28, 36),
    "hover_height": (0.07, 0.09),
    "descend_time": (22, 28),
    "grasp_height": (-0.001, 0.001),
    "grasp_yaw": (-0.05, 0.05),
    "settle_wait": (8, 11),
    "close_wait": (5, 7),
    "lift_height": (0.21, 0.23),
    "lift_time": (18, 22),
    "carry_time": (48, 56),
    "align_wait": (6, 9),
    "place_x": (-0.0005, 0.0005),
    "place_y": (-0.0005, 0.0005),
    "machine_yaw": (-0.05, 0.05),
    "drop": (0.0105, 0.012),
    "lower_time": (34, 42),
    "open_wait": (4, 6),
    "retreat_height": (0.13, 0.14),
    "retreat_time": (18, 22),
    "behind_time": (34, 40),
    "behind_y": (-0.030, -0.022),
    "push_height": (0.272, 0.278),
    "push_time": (36, 44),
    "press_time": (22, 28),
    "press_depth": (0.001, 0.003),
    "press_wait": (5, 8),
    "leave_height": (0.06, 0.08),
    "leave_time": (14, 18),
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
    habit = draw_habits(draws, _HABITS)
    hand = Hand(hand_coordinates(eef_pose), MAX_FRAMES)
    machine = object_poses["coffee_machine"]
    hand.wait(habit["start_wait"])
    _grasp_pod(hand, object_poses["coffee_pod"], habit)
    _put_pod_into_holder(hand, machine, habit)
    _close_lid(hand, machine, habit)
    hand.wait(habit["end_wait"])
    return hand.plan(tremor(draws, habit["tremor"], MAX_FRAMES))


def _grasp_pod(hand: Hand, pod: Tensor, habit: dict[str, Tensor]) -> None:
    """Grasp the flange of the pod from above, and lift the pod."""
    zero = torch.zeros_like(habit["grasp_yaw"])
    grasp = torch.cat((pod[:, :3, 3], torch.stack((habit["grasp_yaw"], zero, zero), dim=-1)), dim=-1)
    grasp[:, 2] += GRIP[2] + habit["grasp_height"]
    hand.move_to(raised(grasp, habit["hover_height"]), habit["approach_time"])
    hand.move_to(grasp, habit["descend_time"])
    hand.wait(habit["settle_wait"])
    hand.close()
    hand.wait(habit["close_wait"])
    hand.move_to(raised(grasp, habit["lift_height"]), habit["lift_time"])


def _put_pod_into_holder(hand: Hand, machine: Tensor, habit: dict[str, Tensor]) -> None:
    """Carry the pod over the holder, lower it into the hole, let go, move up."""
    height = SEAT + POD_HALF_HEIGHT + GRIP[2] + habit["grasp_height"] + habit["drop"]
    place = _at_machine(machine, HOLDER_POS[1] + habit["place_y"], height, habit, HOLDER_POS[0] + habit["place_x"])
    hand.place(raised(place, habit["hover_height"]), place, {**habit, "release_wait": habit["settle_wait"]})


def _close_lid(hand: Hand, machine: Tensor, habit: dict[str, Tensor]) -> None:
    """Move behind the open lid, close the fingers, push the lid over its hinge, press it down, let go, move up."""
    behind = _at_machine(machine, habit["behind_y"], habit["push_height"], habit)
    hand.move_to(raised(behind, habit["hover_height"]), habit["behind_time"])
    hand.move_to(behind, habit["descend_time"])
    hand.wait(habit["settle_wait"])
    hand.close()
    hand.wait(habit["settle_wait"])
    front = HINGE_POS[1] + LID_HALF[1] + torch.zeros_like(habit["drop"])
    hand.move_to(_at_machine(machine, front, habit["push_height"], habit), habit["push_time"])
    pressed = _LID_TOP + 0.009 - habit["press_depth"]
    hand.move_to(_at_machine(machine, front, pressed, habit), habit["press_time"])
    hand.wait(habit["press_wait"])
    hand.open()
    hand.wait(habit["open_wait"])
    hand.move_to(raised(hand.goal, habit["leave_height"]), habit["leave_time"])


def _at_machine(machine: Tensor, y: Tensor, z: Tensor, habit: dict[str, Tensor], x: Tensor | None = None) -> Tensor:
    """Hand coordinates (D, C) of a point in the frame of the machine, with the palm down and the yaw for the machine."""
    point = torch.stack((torch.zeros_like(y) if x is None else x, y, z), dim=-1)
    pos = machine[:, :3, 3] + (machine[:, :3, :3] * point[:, None]).sum(-1)
    yaw = torch.atan2(machine[:, 1, 0], machine[:, 0, 0]) + _HAND_YAW + habit["machine_yaw"]
    zero = torch.zeros_like(yaw)
    return torch.cat((pos, torch.stack((yaw, zero, zero), dim=-1)), dim=-1)

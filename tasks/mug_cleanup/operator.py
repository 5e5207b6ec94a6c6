"""Scripted operator that tidies up the mug with human-like motion, and so records source demos without a person."""

# D demos, C = 6 coordinates of a hand pose: x, y, z [m], yaw, pitch, roll [rad]

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.task.strokes import Hand, HandPlan, draw_habits, hand_coordinates, raised, tremor
from isaaclab_mimic_ext.tasks.mug_cleanup.task import DRAWER_POS, FLOOR, HANDLE_POS, INSIDE_HIGH, INSIDE_LOW, MUG_HEIGHT

MAX_FRAMES = 800
_FREE_YAW = 0.8
"""Largest yaw of the hand at the mug [rad]. The fingers then still miss the handle of the mug."""

# Lowest and highest value of each quantity that varies between demos. Lengths in m, angles in rad, times in frames (1/20 s).
_HABITS = {
    "start_wait": (3, 8),
    "approach_time": (30, 38),
    "hover_height": (0.08, 0.10),
    "descend_time": (22, 28),
    "handle_x": (-0.012, 0.012),
    "handle_height": (-0.003, 0.002),
    "settle_wait": (8, 11),
    "close_wait": (5, 7),
    "pull": (0.150, 0.160),
    "pull_time": (52, 60),
    "open_wait": (4, 6),
    "leave_time": (13, 16),
    "leave_height": (0.17, 0.19),
    "reach_time": (32, 40),
    "grasp_height": (0.020, 0.023),
    "grasp_yaw": (-0.05, 0.05),
    "lift_time": (11, 13),
    "lift_height": (0.19, 0.21),
    "carry_time": (42, 50),
    "place_x": (-0.003, 0.003),
    "place_y": (-0.003, 0.003),
    "lower_time": (28, 34),
    "release_gap": (0.003, 0.005),
    "retreat_time": (13, 16),
    "retreat_height": (0.13, 0.15),
    "return_time": (24, 30),
    "push_time": (52, 60),
    "overshoot": (0.0, 0.001),
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
    cabinet = object_poses["cabinet"]
    hand.wait(habit["start_wait"])
    _open_drawer(hand, cabinet, habit)
    _grasp_mug(hand, object_poses["mug"], habit)
    _put_mug_into_drawer(hand, cabinet, habit)
    _close_drawer(hand, cabinet, habit)
    hand.wait(habit["end_wait"])
    return hand.plan(tremor(draws, habit["tremor"], MAX_FRAMES))


def _open_drawer(hand: Hand, cabinet: Tensor, habit: dict[str, Tensor]) -> None:
    """Grasp the handle from above, pull, let go, move up."""
    closed, pulled = torch.zeros_like(habit["pull"]), habit["pull"]
    _grasp(hand, _at_handle(cabinet, closed, habit), habit, "approach_time")
    hand.move_to(_at_handle(cabinet, pulled, habit), habit["pull_time"])
    _release(hand, habit, "leave")


def _grasp_mug(hand: Hand, mug: Tensor, habit: dict[str, Tensor]) -> None:
    """Grasp the mug from above, across its handle, and lift it."""
    yaw = torch.atan2(mug[:, 1, 0], mug[:, 0, 0])
    yaw = (yaw - math.pi * (yaw / math.pi).round()).clamp(-_FREE_YAW, _FREE_YAW) + habit["grasp_yaw"]
    grasp = _coordinates(mug[:, :3, 3], yaw)
    grasp[:, 2] += habit["grasp_height"]
    _grasp(hand, grasp, habit, "reach_time")
    hand.move_to(raised(hand.goal, habit["lift_height"]), habit["lift_time"])


def _put_mug_into_drawer(hand: Hand, cabinet: Tensor, habit: dict[str, Tensor]) -> None:
    """Carry the mug over the middle of the open drawer, lower it, let go, move up."""
    middle = [(low + high) / 2 for low, high in zip(INSIDE_LOW, INSIDE_HIGH, strict=True)]
    place = _coordinates(*_in_env(cabinet, middle[0] + habit["place_x"], middle[1] + habit["place_y"] - habit["pull"], 0.0))
    place[:, 2] = cabinet[:, 2, 3] + DRAWER_POS[2] + FLOOR + MUG_HEIGHT / 2 + habit["grasp_height"] + habit["release_gap"]
    hand.move_to(raised(place, habit["hover_height"]), habit["carry_time"])
    hand.move_to(place, habit["lower_time"])
    hand.wait(habit["settle_wait"])
    _release(hand, habit, "retreat")


def _close_drawer(hand: Hand, cabinet: Tensor, habit: dict[str, Tensor]) -> None:
    """Grasp the handle of the open drawer, push until the drawer stops, let go, move up."""
    _grasp(hand, _at_handle(cabinet, habit["pull"], habit), habit, "return_time")
    hand.move_to(_at_handle(cabinet, -habit["overshoot"], habit), habit["push_time"])
    _release(hand, habit, "retreat")


def _grasp(hand: Hand, goal: Tensor, habit: dict[str, Tensor], time: str) -> None:
    """Move above `goal` (D, C), descend, rest, close."""
    hand.move_to(raised(goal, habit["hover_height"]), habit[time])
    hand.move_to(goal, habit["descend_time"])
    hand.wait(habit["settle_wait"])
    hand.close()
    hand.wait(habit["close_wait"])


def _release(hand: Hand, habit: dict[str, Tensor], name: str) -> None:
    """Rest, open, move up."""
    hand.wait(habit["settle_wait"])
    hand.open()
    hand.wait(habit["open_wait"])
    hand.move_to(raised(hand.goal, habit[f"{name}_height"]), habit[f"{name}_time"])


def _at_handle(cabinet: Tensor, pull: Tensor, habit: dict[str, Tensor]) -> Tensor:
    """Hand coordinates (D, C) at the handle of a drawer that is open by `pull` (D,) [m]."""
    x, y, z = (handle + drawer for handle, drawer in zip(HANDLE_POS, DRAWER_POS, strict=True))
    return _coordinates(*_in_env(cabinet, x + habit["handle_x"], y - pull, z + habit["handle_height"]))


def _in_env(cabinet: Tensor, x: Tensor, y: Tensor, z: Tensor | float) -> tuple[Tensor, Tensor]:
    """Positions (D, 3) [m] of points in the frame of the cabinet, and its yaw (D,) [rad], both in the env frame."""
    point = torch.stack((x, y, torch.as_tensor(z).expand_as(x)), dim=-1)
    pos = cabinet[:, :3, 3] + (cabinet[:, :3, :3] * point[:, None]).sum(-1)
    return pos, torch.atan2(cabinet[:, 1, 0], cabinet[:, 0, 0])


def _coordinates(pos: Tensor, yaw: Tensor) -> Tensor:
    """Hand coordinates (D, C) with the palm down."""
    zero = torch.zeros_like(yaw)
    return torch.cat((pos, torch.stack((yaw, zero, zero), dim=-1)), dim=-1)

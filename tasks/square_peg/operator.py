"""Scripted operator that puts the nut on the peg. It records source demos without a teleoperation device."""

# D demos, C = 6 coordinates of a hand pose: x, y, z [m], yaw, pitch, roll [rad], K options of the hand

import math
from collections.abc import Mapping
from itertools import product

import torch
from torch import Tensor

from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.task.strokes import Hand, HandPlan, draw_habits, hand_coordinates, tremor
from isaaclab_mimic_ext.tasks.square_peg.task import GRIP, PEG_HEIGHT, THICKNESS

MAX_FRAMES = 400
_REACH, _REACH_COST = 0.74, 2000.0
"""Distance of the grip from the base of the arm from which the operator prefers another side of the peg [m], and the cost of
a larger distance [1/m^2]. A turn of the hand costs its square [rad^2]."""
_YAWS, _YAW_COST = (-1.85, 3.2), 100.0
"""Range of the yaw of the hand that the wrist of the arm reaches [rad], and the cost of other yaws."""
_QUARTER = 0.5 * math.pi

# Lowest and highest value of each quantity that varies between demos: m, rad, and times in frames of 0.05 s.
HABITS = {
    "start_wait": (3, 8),
    "bow_x": (-0.02, 0.02),
    "bow_y": (-0.02, 0.02),
    "approach_time": (34, 44),
    "hover_height": (0.09, 0.12),
    "hover_wait": (0, 6),
    "descend_time": (22, 30),
    "grasp_along": (-0.003, 0.003),
    "grasp_height": (0.001, 0.003),
    "grasp_yaw": (-0.04, 0.04),
    "settle_wait": (8, 11),
    "close_wait": (3, 4),
    "lift_time": (12, 16),
    "lift_height": (0.19, 0.21),
    "carry_time": (45, 55),
    "align_wait": (6, 10),
    "place_x": (-0.0015, 0.0015),
    "place_y": (-0.0015, 0.0015),
    "lower_time": (34, 42),
    "release_height": (0.025, 0.035),
    "release_wait": (6, 9),
    "open_wait": (6, 8),
    "retreat_time": (18, 22),
    "retreat_height": (0.12, 0.14),
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
    return plan_with(HABITS, object_poses, eef_pose, draws)


def plan_with(
    habits: Mapping[str, tuple[float, float]], object_poses: Mapping[str, Tensor], eef_pose: Tensor, draws: Draws
) -> HandPlan:
    """Plan as `plan_demos` does, with other ranges of habits."""
    habit, hand = draw_habits(draws, habits), Hand(hand_coordinates(eef_pose), MAX_FRAMES)
    nut, peg = object_poses["square_nut"], object_poses["square_peg"]
    grasp_yaw, place_yaw, nut_yaw = _choose_yaws(nut, peg)
    along = GRIP[0] + habit["grasp_along"]

    grasp = torch.zeros_like(hand.goal)
    grasp[:, :2] = nut[:, :2, 3] + along[:, None] * nut[:, :2, 0]
    grasp[:, 2] = nut[:, 2, 3] + habit["grasp_height"]
    grasp[:, 3] = grasp_yaw + habit["grasp_yaw"]

    release = torch.zeros_like(grasp)
    handle = torch.stack((torch.cos(nut_yaw), torch.sin(nut_yaw)), dim=-1)
    release[:, :2] = peg[:, :2, 3] + along[:, None] * handle + torch.stack((habit["place_x"], habit["place_y"]), dim=-1)
    release[:, 2] = habit["release_height"] + habit["grasp_height"]
    # The fingers turn the handle to their own yaw when they close.
    release[:, 3] = place_yaw
    above = release.clone()
    above[:, 2] = PEG_HEIGHT + THICKNESS + 0.03

    hand.pick_up(grasp, habit)
    hand.place(above, release, habit)
    hand.wait(habit["end_wait"])
    return hand.plan(tremor(draws, habit["tremor"], MAX_FRAMES))


def _choose_yaws(nut: Tensor, peg: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Yaw of the hand at grasp and release, and of the nut on the peg, (D,) each [rad].

    The nut fits on the peg in four directions, and the hand holds the handle in two. The operator selects the pair with
    the least turns of the hand from its yaw at the start, for which the arm need not stretch.
    """
    yaw, peg_yaw = torch.atan2(nut[:, 1, 0], nut[:, 0, 0]), torch.atan2(peg[:, 1, 0], peg[:, 0, 0])
    options = []
    for quarter, half in product(range(4), range(2)):
        nut_yaw = peg_yaw + quarter * _QUARTER
        grasp, place = _wrapped(yaw + half * math.pi), _wrapped(nut_yaw + half * math.pi)
        handle = torch.stack((torch.cos(nut_yaw), torch.sin(nut_yaw)), dim=-1)
        distance = (peg[:, :2, 3] + GRIP[0] * handle).norm(dim=-1)
        cost = grasp**2 + place**2 + _REACH_COST * (distance - _REACH).clamp(min=0.0) ** 2
        cost = cost + _YAW_COST * ((grasp > _YAWS[1]).float() + (place > _YAWS[1]).float())
        options.append(torch.stack((grasp, place, nut_yaw, cost), dim=-1))
    stacked = torch.stack(options, dim=1)
    best = stacked[..., 3].argmin(dim=1)
    grasp, place, nut_yaw, _ = stacked[torch.arange(len(best)), best].unbind(-1)
    return grasp, place, nut_yaw


def _wrapped(angle: Tensor) -> Tensor:
    """Angle in the full turn that begins at the lowest yaw of the hand [rad]."""
    return _YAWS[0] + torch.remainder(angle - _YAWS[0], 2 * math.pi)

"""Scripted operator with human-like motion. It records source demos without a teleoperation device."""

# D demos

from collections.abc import Mapping

import torch
from torch import Tensor

from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.task.strokes import Hand, HandPlan, draw_habits, hand_coordinates, hand_pose, raised, tremor
from isaaclab_mimic_ext.tasks.desktop_organizer.task import BASKET_FLOOR, KETCHUP_HEIGHT

MAX_FRAMES = 300

# Lowest and highest value of each quantity that varies by demo. Lengths in m, angles in rad, times in frames of 1/20 s.
_HABITS = {
    "start_wait": (3, 8),
    "approach_time": (30, 42),
    "bow_x": (-0.025, 0.025),
    "bow_y": (-0.025, 0.025),
    "hover_height": (0.095, 0.125),
    "hover_wait": (0, 5),
    "descend_time": (26, 34),
    "grasp_height": (0.016, 0.020),
    "grasp_along": (-0.002, 0.002),
    "grasp_across": (-0.003, 0.003),
    "grasp_yaw": (-0.35, 0.35),
    "grasp_pitch": (-0.10, 0.10),
    "grasp_roll": (-0.03, 0.03),
    "settle_wait": (9, 12),
    "close_wait": (13, 16),
    "lift_time": (24, 32),
    "lift_height": (0.16, 0.20),
    "carry_overlap": (4, 9),
    "carry_time": (42, 54),
    "carry_yaw": (-0.25, 0.25),
    "place_x": (-0.015, 0.015),
    "place_y": (-0.015, 0.015),
    "lower_overlap": (2, 6),
    "lower_time": (26, 32),
    "release_gap": (0.012, 0.018),
    "release_wait": (7, 10),
    "open_wait": (9, 11),
    "retreat_time": (20, 26),
    "retreat_height": (0.12, 0.15),
    "end_wait": (6, 8),
    "tremor": (0.2, 1.0),
}
_FLUENT_HABITS = {
    "start_wait": (-6, -6),
    "approach_time": (33, 35),
    "bow_x": (-0.005, 0.005),
    "bow_y": (-0.005, 0.005),
    "hover_height": (0.108, 0.112),
    "hover_wait": (-7, -7),
    "descend_time": (29, 31),
    "grasp_height": (0.017, 0.019),
    "grasp_along": (-0.001, 0.001),
    "grasp_across": (-0.001, 0.001),
    "grasp_yaw": (-0.05, 0.05),
    "grasp_pitch": (-0.02, 0.02),
    "grasp_roll": (-0.01, 0.01),
    "settle_wait": (-6, -6),
    "close_wait": (0, 0),
    "lift_time": (27, 29),
    "lift_height": (0.175, 0.185),
    "carry_overlap": (13, 13),
    "carry_time": (45, 47),
    "carry_yaw": (-0.04, 0.04),
    "place_x": (-0.004, 0.004),
    "place_y": (-0.004, 0.004),
    "lower_overlap": (15, 15),
    "lower_time": (27, 29),
    "release_gap": (0.012, 0.012),
    "release_wait": (-7, -7),
    "open_wait": (-2, -2),
    "retreat_time": (18, 18),
    "retreat_height": (0.12, 0.15),
    "end_wait": (-2, -2),
    "tremor": (0.0, 0.3),
}
"""Habits of an operator that never rests and moves similarly in all demos.

A negative wait starts the next stroke before the previous one ends. The fingers close while the hand still moves down, and
the hand turns upward while they close; the release is similar. If the hand rested with unchanged fingers, a policy without
memory, which observes neither time nor speed, would stop there forever.
"""


def plan_demos(object_poses: Mapping[str, Tensor], eef_pose: Tensor, draws: Draws) -> HandPlan:
    """Plan one demo for each of D initial scenes.

    Args:
        object_poses: initial poses, name -> (D, 4, 4), env frame [m].
        eef_pose: initial poses of the end effector, (D, 4, 4), env frame [m].
        draws: random numbers of the D trials. Their stream `Stream.OPERATOR` selects the habits of the operator.
    """
    return _plan(object_poses, eef_pose, draws, _HABITS)


def plan_fluent_demos(object_poses: Mapping[str, Tensor], eef_pose: Tensor, draws: Draws) -> HandPlan:
    """Plan demos that a policy without memory can imitate: without pauses and with little variation. Arguments as above.

    While a hand rests, the correct next action depends on the duration of the rest, which such a policy does not observe.
    """
    return _plan(object_poses, eef_pose, draws, _FLUENT_HABITS)


def _plan(
    object_poses: Mapping[str, Tensor], eef_pose: Tensor, draws: Draws, habits: Mapping[str, tuple[float, float]]
) -> HandPlan:
    habit = draw_habits(draws, habits)
    hand = Hand(hand_coordinates(eef_pose), MAX_FRAMES)
    _plan_grasp(hand, object_poses["ketchup"], habit)
    _plan_placement(hand, object_poses["basket"], habit)
    return hand.plan(tremor(draws, habit["tremor"], MAX_FRAMES))


def _plan_grasp(hand: Hand, ketchup: Tensor, habit: dict[str, Tensor]) -> None:
    """Wait, move above the bottle, descend along the axis of the palm, rest, close."""
    grasp = torch.zeros_like(hand.goal)
    cos, sin = torch.cos(habit["grasp_yaw"]), torch.sin(habit["grasp_yaw"])
    along, across = habit["grasp_along"], habit["grasp_across"]
    grasp[:, 0] = ketchup[:, 0, 3] + cos * along - sin * across
    grasp[:, 1] = ketchup[:, 1, 3] + sin * along + cos * across
    grasp[:, 2] = ketchup[:, 2, 3] + habit["grasp_height"]
    # The bottle is round: the yaw of the hand suits the arm and does not depend on the yaw of the bottle.
    grasp[:, 3] = habit["grasp_yaw"]
    grasp[:, 4] = habit["grasp_pitch"]
    grasp[:, 5] = habit["grasp_roll"]
    hover = grasp.clone()
    hover[:, :3] -= habit["hover_height"][:, None] * hand_pose(grasp)[:, :3, 2]

    hand.wait(habit["start_wait"])
    hand.grasp(hover, grasp, habit)


def _plan_placement(hand: Hand, basket: Tensor, habit: dict[str, Tensor]) -> None:
    """Lift, carry, lower into the basket, rest, open, retreat."""
    lifted = raised(hand.goal, habit["lift_height"])
    above = lifted.clone()
    above[:, 0] = basket[:, 0, 3] + habit["place_x"]
    above[:, 1] = basket[:, 1, 3] + habit["place_y"]
    # Pitch and roll stay as at the grasp, so that the bottle is upright when it is released.
    above[:, 3] = above[:, 3] + habit["carry_yaw"]
    release = above.clone()
    release[:, 2] = basket[:, 2, 3] + BASKET_FLOOR + habit["release_gap"] + KETCHUP_HEIGHT / 2 + habit["grasp_height"]

    hand.move_to(lifted, habit["lift_time"])
    hand.move_to(above, habit["carry_time"], overlap=habit["carry_overlap"])
    hand.move_to(release, habit["lower_time"], overlap=habit["lower_overlap"])
    hand.wait(habit["release_wait"])
    hand.open()
    hand.wait(habit["open_wait"])
    hand.move_to(raised(release, habit["retreat_height"]), habit["retreat_time"])
    hand.wait(habit["end_wait"])

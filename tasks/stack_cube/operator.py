"""Scripted operator that stacks cubes with human-like motion. It records source demos without a teleoperation device."""

# D demos, C = 6 coordinates of a hand pose: x, y, z [m], yaw, pitch, roll [rad]

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.task.strokes import Hand, HandPlan, draw_habits, hand_coordinates, hand_pose, raised, tremor
from isaaclab_mimic_ext.tasks.stack_cube.task import CUBE_SIZE

MAX_FRAMES = 500
_FREE_YAW = 1.2
"""Largest yaw of a cube that the hand adopts [rad]. For larger yaws it grasps at the equivalent yaw closest to zero."""

# Lowest and highest value of each quantity that varies between demos and between cubes. Lengths in m, angles in rad, times
# in frames of 1/20 s. Lifts and retreats are fast: at the start of the next segment the hand must be above the other cubes.
_CUBE_HABITS = {
    "bow_x": (-0.025, 0.025),
    "bow_y": (-0.025, 0.025),
    "approach_time": (28, 38),
    "hover_height": (0.095, 0.125),
    "hover_wait": (0, 8),
    "descend_time": (24, 32),
    "grasp_height": (0.010, 0.014),
    "grasp_along": (-0.003, 0.003),
    "grasp_across": (-0.003, 0.003),
    "grasp_yaw": (-0.06, 0.06),
    "grasp_pitch": (-0.04, 0.04),
    "grasp_roll": (-0.02, 0.02),
    "settle_wait": (8, 11),
    "close_wait": (3, 4),
    "lift_time": (9, 11),
    "lift_height": (0.17, 0.20),
    "carry_overlap": (3, 7),
    "carry_time": (32, 42),
    "place_x": (-0.003, 0.003),
    "place_y": (-0.003, 0.003),
    "place_yaw": (-0.06, 0.06),
    "lower_overlap": (0, 3),
    "lower_time": (26, 34),
    "release_gap": (0.003, 0.005),
    "release_wait": (9, 12),
    "open_wait": (3, 5),
    "retreat_time": (10, 13),
    "retreat_height": (0.11, 0.14),
}
_FLUENT_CUBE_HABITS = {
    "approach_wait": (-8, -8),
    "bow_x": (-0.005, 0.005),
    "bow_y": (-0.005, 0.005),
    "approach_time": (33, 35),
    "hover_height": (0.108, 0.112),
    "hover_wait": (-14, -14),
    "descend_time": (27, 29),
    "grasp_height": (-0.010, -0.009),
    "grasp_along": (-0.001, 0.001),
    "grasp_across": (-0.001, 0.001),
    "grasp_yaw": (-0.02, 0.02),
    "grasp_pitch": (-0.01, 0.01),
    "grasp_roll": (-0.01, 0.01),
    "settle_wait": (-9, -9),
    "close_wait": (0, 0),
    "lift_time": (11, 11),
    "lift_height": (0.175, 0.185),
    "carry_overlap": (5, 5),
    "carry_time": (40, 42),
    "place_x": (-0.001, 0.001),
    "place_y": (-0.001, 0.001),
    "place_yaw": (-0.02, 0.02),
    "lower_overlap": (13, 13),
    "lower_time": (27, 29),
    "release_gap": (0.011, 0.011),
    "release_wait": (-8, -8),
    "open_wait": (-1, -1),
    "retreat_time": (13, 13),
    "retreat_height": (0.12, 0.14),
}
"""Habits of an operator that never rests and moves similarly in all demos.

A negative wait starts the next stroke before the previous one ends. The fingers close around a cube in a single step, while
the hand still moves down fast; then the hand immediately moves up. If an open hand slowed down at the cube, or a closed hand
did not yet move up, a policy without memory, which observes neither time nor speed, would stay there forever. The hand does
not reach the goals of its downward strokes: it turns about 2 cm above them, therefore the goals are lower than the grasp.
"""


def _for_both_cubes(habits: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    return {f"{cube}_{name}": values for cube in ("cube_2", "cube_3") for name, values in habits.items()}


_HABITS = {"start_wait": (3, 8), **_for_both_cubes(_CUBE_HABITS), "end_wait": (6, 8), "tremor": (0.2, 1.0)}
_FLUENT_HABITS = {
    "start_wait": (0, 0),
    **_for_both_cubes(_FLUENT_CUBE_HABITS),
    "cube_2_approach_wait": (0, 0),
    # cube_3 goes one cube higher than cube_2, and is lifted higher by the same height. So both are lowered equally far.
    "cube_3_lift_time": (13, 13),
    "cube_3_lift_height": (0.175 + CUBE_SIZE, 0.185 + CUBE_SIZE),
    "end_wait": (-2, -2),
    "tremor": (0.0, 0.3),
}


def plan_demos(object_poses: Mapping[str, Tensor], eef_pose: Tensor, draws: Draws) -> HandPlan:
    """Plan one demo for each of D initial scenes.

    Args:
        object_poses: initial poses, name -> (D, 4, 4), env frame [m].
        eef_pose: initial poses of the end effector, (D, 4, 4), env frame [m].
        draws: random numbers of the D trials. Their stream `Stream.OPERATOR` selects the habits of the operator.
    """
    return _plan(object_poses, eef_pose, draws, _HABITS)


def plan_fluent_demos(object_poses: Mapping[str, Tensor], eef_pose: Tensor, draws: Draws) -> HandPlan:
    """Plan demos that a policy without memory can imitate: without pauses and with little variation. Arguments as above."""
    return _plan(object_poses, eef_pose, draws, _FLUENT_HABITS)


def _plan(
    object_poses: Mapping[str, Tensor], eef_pose: Tensor, draws: Draws, habits: Mapping[str, tuple[float, float]]
) -> HandPlan:
    habit = draw_habits(draws, habits)
    hand = Hand(hand_coordinates(eef_pose), MAX_FRAMES)
    hand.wait(habit["start_wait"])
    target = _coordinates_of_cube(object_poses["cube_1"])
    for cube in ("cube_2", "cube_3"):
        cube_habit = {name.removeprefix(f"{cube}_"): value for name, value in habit.items() if name.startswith(cube)}
        _pick(hand, _coordinates_of_cube(object_poses[cube]), cube_habit)
        # The next cube is placed on this one.
        target = _place(hand, target, cube_habit)
    hand.wait(habit["end_wait"])
    return hand.plan(tremor(draws, habit["tremor"], MAX_FRAMES))


def _pick(hand: Hand, cube: Tensor, habit: dict[str, Tensor]) -> None:
    """Move above a cube (D, C), descend along the axis of the palm, rest, close, lift."""
    grasp = torch.zeros_like(hand.goal)
    grasp[:, 3] = cube[:, 3] + habit["grasp_yaw"]
    grasp[:, 4], grasp[:, 5] = habit["grasp_pitch"], habit["grasp_roll"]
    grasp[:, :2] = cube[:, :2] + _rotate_by_yaw(habit["grasp_along"], habit["grasp_across"], grasp[:, 3])
    grasp[:, 2] = cube[:, 2] + habit["grasp_height"]
    hover = grasp.clone()
    hover[:, :3] -= habit["hover_height"][:, None] * hand_pose(grasp)[:, :3, 2]

    if "approach_wait" in habit:
        hand.wait(habit["approach_wait"])
    hand.grasp(hover, grasp, habit)
    hand.move_to(raised(grasp, habit["lift_height"]), habit["lift_time"])


def _place(hand: Hand, target: Tensor, habit: dict[str, Tensor]) -> Tensor:
    """Carry the held cube above the cube `target` (D, C), lower, rest, open, retreat. Return the final cube coordinates."""
    placed = target.clone()
    placed[:, 0] += habit["place_x"]
    placed[:, 1] += habit["place_y"]
    placed[:, 2] += CUBE_SIZE
    placed[:, 3] += habit["place_yaw"]
    release = hand.goal.clone()
    release[:, 3] = placed[:, 3]
    # Closing the fingers centers the cube between them, but does not move it along them.
    release[:, :2] = placed[:, :2] + _rotate_by_yaw(habit["grasp_along"], torch.zeros_like(placed[:, 3]), placed[:, 3])
    release[:, 2] = placed[:, 2] + habit["release_gap"] + habit["grasp_height"]
    above = release.clone()
    above[:, 2] = torch.maximum(hand.goal[:, 2], release[:, 2] + 0.05)

    hand.move_to(above, habit["carry_time"], overlap=habit["carry_overlap"])
    hand.move_to(release, habit["lower_time"], overlap=habit["lower_overlap"])
    hand.wait(habit["release_wait"])
    hand.open()
    hand.wait(habit["open_wait"])
    hand.move_to(raised(release, habit["retreat_height"]), habit["retreat_time"])
    return placed


def _rotate_by_yaw(along: Tensor, across: Tensor, yaw: Tensor) -> Tensor:
    """Offsets (D, 2), env frame [m], from offsets along and across a hand that is turned by `yaw` (D,)."""
    cos, sin = torch.cos(yaw), torch.sin(yaw)
    return torch.stack((cos * along - sin * across, sin * along + cos * across), dim=-1)


def _coordinates_of_cube(pose: Tensor) -> Tensor:
    """Hand coordinates (D, C) that grasp cubes with poses (D, 4, 4) by two of their faces."""
    yaw = torch.atan2(pose[:, 1, 0], pose[:, 0, 0])
    quarter = 0.5 * math.pi
    yaw = torch.where(yaw.abs() > _FREE_YAW, yaw - quarter * (yaw / quarter).round(), yaw)
    zero = torch.zeros_like(yaw)
    return torch.cat((pose[:, :3, 3], torch.stack((yaw, zero, zero), dim=-1)), dim=-1)

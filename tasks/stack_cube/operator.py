"""A scripted operator that stacks three cubes like a person: source demonstrations without a teleoperation device."""

# D demos, T frames of the longest, C = 6 coordinates of a hand pose: x, y, z [m], yaw, pitch, roll [rad]

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.task.strokes import Hand, HandPlan, draw_habits, hand_coordinates, hand_pose, tremor
from isaaclab_mimic_ext.tasks.stack_cube.task import CUBE_SIZE

MAX_FRAMES = 500
_FREE_YAW = 1.2
"""As long as a cube is turned by less, the hand turns with it; beyond, it takes the nearest quarter turn [rad]."""

# What differs from demo to demo, and from cube to cube: lowest and highest value. Metres, radians, frames of 1/20 s.
# Lifts and retreats are brisk: where the next segment begins, the hand must be above the other cubes.
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
"""Never at rest (a wait below 0: the next stroke begins before the last one ends), and nearly the same in every demo.

The fingers close about a cube in a single step. They do so while the hand still comes down fast, and it is torn upward at
once: where an open hand slowed down at the cube, or a closed one was not yet on its way up, a policy that sees neither time
nor speed would stay for good. The goals that this never reaches lie too deep: the hand turns some 2 cm above them.
"""


def _of_both_cubes(habits: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    return {f"{cube}_{name}": values for cube in ("cube_2", "cube_3") for name, values in habits.items()}


_HABITS = {"start_wait": (3, 8), **_of_both_cubes(_CUBE_HABITS), "end_wait": (6, 8), "tremor": (0.2, 1.0)}
_FLUENT_HABITS = {
    "start_wait": (0, 0),
    **_of_both_cubes(_FLUENT_CUBE_HABITS),
    "cube_2_approach_wait": (0, 0),
    # As much further up as it has further to go, so that it is lowered like the first.
    "cube_3_lift_time": (13, 13),
    "cube_3_lift_height": (0.175 + CUBE_SIZE, 0.185 + CUBE_SIZE),
    "end_wait": (-2, -2),
    "tremor": (0.0, 0.3),
}


def plan_demos(object_poses: Mapping[str, Tensor], eef_pose: Tensor, draws: Draws) -> HandPlan:
    """Plans for D scenes, from where everything stands at the start.

    Args:
        object_poses: name -> (D, 4, 4), env frame.
        eef_pose: (D, 4, 4), env frame.
        draws: of the D trials; who the operator is today (`Stream.OPERATOR`).
    """
    return _plan(object_poses, eef_pose, draws, _HABITS)


def plan_fluent_demos(object_poses: Mapping[str, Tensor], eef_pose: Tensor, draws: Draws) -> HandPlan:
    """Likewise by an operator who does not pause, nor does one thing in many ways, for policies without memory."""
    return _plan(object_poses, eef_pose, draws, _FLUENT_HABITS)


def _plan(
    object_poses: Mapping[str, Tensor], eef_pose: Tensor, draws: Draws, habits: Mapping[str, tuple[float, float]]
) -> HandPlan:
    habit = draw_habits(draws, habits)
    hand = Hand(hand_coordinates(eef_pose), MAX_FRAMES)
    hand.wait(habit["start_wait"])
    target = _coordinates_of_cube(object_poses["cube_1"])
    for cube in ("cube_2", "cube_3"):
        habits_now = {name.removeprefix(f"{cube}_"): value for name, value in habit.items() if name.startswith(cube)}
        _pick(hand, _coordinates_of_cube(object_poses[cube]), habits_now)
        # What it has put down is what the next cube goes on.
        target = _place(hand, target, habits_now)
    hand.wait(habit["end_wait"])
    return hand.plan(tremor(draws, habit["tremor"], MAX_FRAMES))


def _pick(hand: Hand, cube: Tensor, habit: dict[str, Tensor]) -> None:
    """Move above a cube (D, C), come down along the palm's axis, stand still, close, lift."""
    grasp = torch.zeros_like(hand.goal)
    grasp[:, 3] = cube[:, 3] + habit["grasp_yaw"]
    grasp[:, 4], grasp[:, 5] = habit["grasp_pitch"], habit["grasp_roll"]
    grasp[:, :2] = cube[:, :2] + _turned(habit["grasp_along"], habit["grasp_across"], grasp[:, 3])
    grasp[:, 2] = cube[:, 2] + habit["grasp_height"]
    hover = grasp.clone()
    hover[:, :3] -= habit["hover_height"][:, None] * hand_pose(grasp)[:, :3, 2]
    bow = torch.zeros_like(grasp)
    bow[:, 0], bow[:, 1] = habit["bow_x"], habit["bow_y"]
    lifted = grasp.clone()
    lifted[:, 2] += habit["lift_height"]

    if "approach_wait" in habit:
        hand.wait(habit["approach_wait"])
    hand.bow(bow, habit["approach_time"])
    hand.move_to(hover, habit["approach_time"])
    hand.wait(habit["hover_wait"])
    hand.move_to(grasp, habit["descend_time"])
    hand.wait(habit["settle_wait"])
    hand.close()
    hand.wait(habit["close_wait"])
    hand.move_to(lifted, habit["lift_time"])


def _place(hand: Hand, target: Tensor, habit: dict[str, Tensor]) -> Tensor:
    """Carry what is held above the cube `target` (D, C), lower, stand still, open, retreat; where it lies now (D, C)."""
    placed = target.clone()
    placed[:, 0] += habit["place_x"]
    placed[:, 1] += habit["place_y"]
    placed[:, 2] += CUBE_SIZE
    placed[:, 3] += habit["place_yaw"]
    release = hand.goal.clone()
    release[:, 3] = placed[:, 3]
    # The fingers have pushed the cube to the middle between them, but not along themselves.
    release[:, :2] = placed[:, :2] + _turned(habit["grasp_along"], torch.zeros_like(placed[:, 3]), placed[:, 3])
    release[:, 2] = placed[:, 2] + habit["release_gap"] + habit["grasp_height"]
    above = release.clone()
    above[:, 2] = torch.maximum(hand.goal[:, 2], release[:, 2] + 0.05)
    retreat = release.clone()
    retreat[:, 2] += habit["retreat_height"]

    hand.move_to(above, habit["carry_time"], overlap=habit["carry_overlap"])
    hand.move_to(release, habit["lower_time"], overlap=habit["lower_overlap"])
    hand.wait(habit["release_wait"])
    hand.open()
    hand.wait(habit["open_wait"])
    hand.move_to(retreat, habit["retreat_time"])
    return placed


def _turned(along: Tensor, across: Tensor, yaw: Tensor) -> Tensor:
    """Offsets (D, 2) along and across the hand [m], in the env frame, of a hand turned by `yaw` (D,)."""
    cos, sin = torch.cos(yaw), torch.sin(yaw)
    return torch.stack((cos * along - sin * across, sin * along + cos * across), dim=-1)


def _coordinates_of_cube(pose: Tensor) -> Tensor:
    """Hand coordinates (D, C) of a hand over a cube (D, 4, 4) that grips it by its faces."""
    yaw = torch.atan2(pose[:, 1, 0], pose[:, 0, 0])
    quarter = 0.5 * math.pi
    yaw = torch.where(yaw.abs() > _FREE_YAW, yaw - quarter * (yaw / quarter).round(), yaw)
    zero = torch.zeros_like(yaw)
    return torch.cat((pose[:, :3, 3], torch.stack((yaw, zero, zero), dim=-1)), dim=-1)

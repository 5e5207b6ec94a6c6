"""Scripted operator with two hands. It records source demos without a teleoperation device."""

# D demos, T frames of the longest demo, F = MAX_FRAMES, E = 2 end effectors (left, right),
# C = 6 coordinates of a pose: x, y, z [m], yaw, pitch, roll [rad]

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from isaaclab_mimic_ext.math import invert_pose
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.task.strokes import Hand, HandPlan, hand_coordinates, hand_pose, tremor
from isaaclab_mimic_ext.tasks.two_arm_lift_tray.habits import (
    HAND_HABITS,
    PART_HABITS,
    TRAY_HABITS,
    Habits,
    draw_paced,
)
from isaaclab_mimic_ext.tasks.two_arm_lift_tray.task import (
    BIN_FLOOR,
    HANDLE_HEIGHT,
    HANDLE_Y,
    PART_HEIGHT,
    STAND_SIZE,
    TRAY_FLOOR,
)

MAX_FRAMES = 650

_HANDLE_YAW = (math.pi, 0.0)
"""Yaw of each hand relative to the tray [rad]: fingers close across the handle, and the wrist is far from its limits."""
_WAIT_BACK, _WAIT_UP = 0.10, 0.05
"""Distances from home, towards the base and up, at which the right hand waits for the part [m]."""


@dataclass(frozen=True)
class HandPlans:
    """Planned motion of the operator's hands.

    Attributes:
        target_eef_pose: (D, T, E, 4, 4), env frame [m]; the last pose is repeated after the end of a demo.
        gripper_action: (D, T, E, 1), 1 opens, -1 closes.
        length: (D,) int64, number of frames of each demo.
    """

    target_eef_pose: Tensor
    gripper_action: Tensor
    length: Tensor


def plan_demos(object_poses: Mapping[str, Tensor], eef_pose: Tensor, draws: Draws) -> HandPlans:
    """Plan one demo for each of D initial scenes.

    Args:
        object_poses: initial poses, name -> (D, 4, 4), env frame [m].
        eef_pose: initial poses of the end effectors, (D, E, 4, 4), env frame [m].
        draws: random numbers of the D trials. Their stream `Stream.OPERATOR` selects the habits of the operator.
    """
    hands = [Hand(hand_coordinates(eef_pose[:, index]), MAX_FRAMES) for index in range(2)]
    home = [hand.goal for hand in hands]
    habits = [draw_paced(draws, HAND_HABITS, step) for step in (0, 2)]
    tray_habit = draw_paced(draws, TRAY_HABITS, 4)
    part_habits = [draw_paced(draws, PART_HABITS, step) for step in (6, 7)]
    tray = Hand(_upright_coordinates(object_poses["tray"]), MAX_FRAMES)
    for index, hand in enumerate(hands):
        _plan_handle_grasp(hand, _handle_grasp(tray.goal, habits[index], index), habits[index])
    carry = _Carry(hands, tray, object_poses["stand"], tray_habit)
    for hand, habit in zip(hands, habits, strict=True):
        _plan_release(hand, habit["open_wait"], habit["retreat_height"], habit["retreat_time"])
    _plan_part(hands, home, object_poses, tray.goal, part_habits)
    steps = (1, 3)
    plans = [
        hand.plan(tremor(draws, habit["tremor"], MAX_FRAMES, step))
        for hand, habit, step in zip(hands, habits, steps, strict=True)
    ]
    return carry.join(plans, tremor(draws, tray_habit["tremor"], MAX_FRAMES, 5))


class _Carry:
    """Motion of the hands while they carry the tray: each hand stays at its handle, and the tray follows its own strokes.

    It replaces one stroke of each hand, which leads from the pose at the start of the carry to the pose at its end.
    """

    def __init__(self, hands: list[Hand], tray: Hand, stand: Tensor, habit: Habits):
        self._synchronize(hands)
        self.begin = tray.now = hands[0].now.clone()
        start = hand_pose(tray.goal)
        self._tray_to_hand = [invert_pose(start) @ hand_pose(hand.goal) for hand in hands]
        yaw_before = tray.goal[:, 3]
        self._plan_tray(tray, stand, habit)
        self.end, self._tray = tray.now.clone(), tray
        for hand, offset in zip(hands, self._tray_to_hand, strict=True):
            released = hand.goal.clone()
            released[:, :3] = (hand_pose(tray.goal) @ offset)[:, :3, 3]
            released[:, 3] += tray.goal[:, 3] - yaw_before
            hand.move_to(released, self.end - self.begin)

    def _synchronize(self, hands: list[Hand]) -> None:
        ready = torch.maximum(hands[0].now, hands[1].now)
        for hand in hands:
            hand.wait(ready - hand.now)

    def _plan_tray(self, tray: Hand, stand: Tensor, habit: Habits) -> None:
        """Lift, carry above the stand, lower."""
        lifted = tray.goal.clone()
        lifted[:, 2] += habit["lift_height"]
        above = _upright_coordinates(stand)
        above[:, 0] += habit["place_x"]
        above[:, 1] += habit["place_y"]
        above[:, 3] += habit["place_yaw"]
        placed = above.clone()
        placed[:, 2] += STAND_SIZE[2] + habit["release_gap"]
        above[:, 2] = lifted[:, 2]
        tray.move_to(lifted, habit["lift_time"])
        tray.move_to(above, habit["carry_time"], overlap=habit["carry_overlap"])
        tray.move_to(placed, habit["lower_time"], overlap=habit["lower_overlap"])
        tray.wait(habit["release_wait"])

    def join(self, plans: list[HandPlan], tray_tremor: Tensor) -> HandPlans:
        """Combine the plans of the hands; from start to end of the carry, they follow the tray with its tremor (D, F, C)."""
        num_frames = plans[0].target_eef_pose.shape[1]
        tray = self._tray.poses(tray_tremor)[:, :num_frames]
        frame = torch.arange(num_frames, device=tray.device)
        carried = (frame >= self.begin[:, None]) & (frame < self.end[:, None])
        targets = [
            torch.where(carried[..., None, None], tray @ offset[:, None], plan.target_eef_pose)
            for plan, offset in zip(plans, self._tray_to_hand, strict=True)
        ]
        grippers = [plan.gripper_action for plan in plans]
        return HandPlans(torch.stack(targets, dim=2), torch.stack(grippers, dim=2), plans[0].length)


def _handle_grasp(tray: Tensor, habit: Habits, index: int) -> Tensor:
    """Coordinates (D, C) of hand `index` when it holds its handle of the tray (D, C)."""
    along, side = habit["grasp_along"], HANDLE_Y * (2 * index - 1) + habit["grasp_across"]
    cos, sin = torch.cos(tray[:, 3]), torch.sin(tray[:, 3])
    grasp = tray.clone()
    grasp[:, 0] += cos * along - sin * side
    grasp[:, 1] += sin * along + cos * side
    grasp[:, 2] += HANDLE_HEIGHT + habit["grasp_height"]
    grasp[:, 3] += _HANDLE_YAW[index] + habit["grasp_yaw"]
    # Rotation about the bar of the handle is free; the rest of the orientation is that of the handle.
    grasp[:, 5] = habit["grasp_pitch"]
    return grasp


def _plan_handle_grasp(hand: Hand, grasp: Tensor, habit: Habits) -> None:
    """Wait, move above the handle, descend, rest, close."""
    bow = torch.zeros_like(grasp)
    bow[:, 0], bow[:, 2] = habit["bow_x"], habit["bow_z"]
    hand.wait(habit["start_wait"])
    hand.bow(bow, habit["approach_time"])
    hand.move_to(_raise_by(grasp, habit["hover_height"]), habit["approach_time"])
    _plan_close(hand, grasp, habit)


def _plan_close(hand: Hand, grasp: Tensor, habit: Habits) -> None:
    hand.move_to(grasp, habit["descend_time"])
    hand.wait(habit["settle_wait"])
    hand.close()
    hand.wait(habit["close_wait"])


def _plan_release(hand: Hand, open_wait: Tensor, height: Tensor, duration: Tensor) -> None:
    """Open and move up."""
    hand.open()
    hand.wait(open_wait)
    hand.move_to(_raise_by(hand.goal, height), duration)


def _plan_part(
    hands: list[Hand], home: list[Tensor], object_poses: Mapping[str, Tensor], tray: Tensor, habits: list[Habits]
) -> None:
    """The left hand lays the part on the tray and returns home. The right hand waits aside, then moves it to the bin."""
    left, right = hands
    aside = home[1].clone()
    aside[:, 1] += _WAIT_BACK
    aside[:, 2] += _WAIT_UP
    right.move_to(aside, habits[1]["leave_time"])
    part = _upright_coordinates(object_poses["part"])
    on_tray = tray.clone()
    on_tray[:, 2] += TRAY_FLOOR + PART_HEIGHT / 2
    in_bin = _upright_coordinates(object_poses["bin"])
    in_bin[:, 2] += BIN_FLOOR + PART_HEIGHT / 2

    part_on_tray = _plan_part_move(left, part, on_tray, home[0], habits[0])
    left_is_clear = left.now.clone()
    left.move_to(home[0], habits[0]["leave_time"])
    right.wait((left_is_clear - right.now).clamp(min=0))
    right.wait(habits[1]["reach_wait"])
    _plan_part_move(right, part_on_tray, in_bin, home[1], habits[1])
    right.wait(habits[1]["end_wait"])
    last = torch.maximum(left.now, right.now)
    for hand in hands:
        hand.wait(last - hand.now)


def _plan_part_move(hand: Hand, part: Tensor, goal: Tensor, home: Tensor, habit: Habits) -> Tensor:
    """Grasp a part, carry it to a goal, release it, move up. Return the final coordinates (D, C) of the part."""
    along, across = habit["grasp_along"], habit["grasp_across"]
    grasp = part.clone()
    # The part is round: the yaw of the hand suits the arm and does not depend on the yaw of the part.
    grasp[:, 3] = home[:, 3] + habit["grasp_yaw"]
    cos, sin = torch.cos(grasp[:, 3]), torch.sin(grasp[:, 3])
    offset = torch.zeros_like(grasp)
    offset[:, 0], offset[:, 1], offset[:, 2] = cos * along - sin * across, sin * along + cos * across, habit["grasp_height"]
    grasp[:, :3] += offset[:, :3]
    placed = goal.clone()
    placed[:, 0] += habit["place_x"]
    placed[:, 1] += habit["place_y"]
    release = grasp.clone()
    release[:, :3] = placed[:, :3] + offset[:, :3]
    release[:, 2] += habit["release_gap"]
    lifted = _raise_by(grasp, habit["lift_height"])
    above = release.clone()
    above[:, 2] = torch.maximum(lifted[:, 2], release[:, 2] + 0.10)

    hand.move_to(_raise_by(grasp, habit["hover_height"]), habit["reach_time"])
    _plan_close(hand, grasp, habit)
    hand.move_to(lifted, habit["lift_time"])
    hand.move_to(above, habit["carry_time"], overlap=habit["carry_overlap"])
    hand.move_to(release, habit["lower_time"], overlap=habit["lower_overlap"])
    hand.wait(habit["release_wait"])
    _plan_release(hand, habit["open_wait"], habit["retreat_height"], habit["retreat_time"])
    return placed


def _raise_by(coordinates: Tensor, height: Tensor) -> Tensor:
    raised = coordinates.clone()
    raised[:, 2] += height
    return raised


def _upright_coordinates(pose: Tensor) -> Tensor:
    """Coordinates (D, C) of upright objects with poses (D, 4, 4)."""
    coordinates = torch.zeros(len(pose), 6, device=pose.device)
    coordinates[:, :3] = pose[:, :3, 3]
    coordinates[:, 3] = torch.atan2(pose[:, 1, 0], pose[:, 0, 0])
    return coordinates

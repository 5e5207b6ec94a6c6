"""A scripted operator with two hands: source demonstrations without a teleoperation device."""

# D demos, T frames of the longest, F frames that there is room for, E = 2 end effectors (left, right),
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
"""Of each hand relative to the tray, so that its fingers close across the handle and its wrist is far from its limits."""
_WAIT_BACK, _WAIT_UP = 0.10, 0.05
"""How far from home, towards its base and up, the right hand waits for the part [m]."""


@dataclass(frozen=True)
class HandPlans:
    """What the operator's hands do.

    Attributes:
        target_eef_pose: (D, T, E, 4, 4), env frame; the last pose is repeated after a demo's end.
        gripper_action: (D, T, E, 1), 1 opens, -1 closes.
        length: (D,) int64, frames of each demo.
    """

    target_eef_pose: Tensor
    gripper_action: Tensor
    length: Tensor


def plan_demos(object_poses: Mapping[str, Tensor], eef_pose: Tensor, draws: Draws) -> HandPlans:
    """Plans for D scenes, from where everything stands at the start.

    Args:
        object_poses: name -> (D, 4, 4), env frame.
        eef_pose: (D, E, 4, 4), env frame.
        draws: of the D trials; who the operator is today (`Stream.OPERATOR`).
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
    """The hands' way while they hold the tray: that of the tray, each at its handle.

    The hands' own strokes, of which this is no sum, go from where it begins to where it ends.
    """

    def __init__(self, hands: list[Hand], tray: Hand, stand: Tensor, habit: Habits):
        self._wait_for_each_other(hands)
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

    def _wait_for_each_other(self, hands: list[Hand]) -> None:
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

    def join(self, plans: list[HandPlan], trembling: Tensor) -> HandPlans:
        """The hands' plans, with this between its beginning and its end; `trembling` (D, F, C) is the tray's."""
        num_frames = plans[0].target_eef_pose.shape[1]
        tray = self._tray.poses(trembling)[:, :num_frames]
        frame = torch.arange(num_frames, device=tray.device)
        carried = (frame >= self.begin[:, None]) & (frame < self.end[:, None])
        targets = [
            torch.where(carried[..., None, None], tray @ offset[:, None], plan.target_eef_pose)
            for plan, offset in zip(plans, self._tray_to_hand, strict=True)
        ]
        grippers = [plan.gripper_action for plan in plans]
        return HandPlans(torch.stack(targets, dim=2), torch.stack(grippers, dim=2), plans[0].length)


def _handle_grasp(tray: Tensor, habit: Habits, index: int) -> Tensor:
    """Where a hand holds its handle of a tray, coordinates (D, C)."""
    along, side = habit["grasp_along"], HANDLE_Y * (2 * index - 1) + habit["grasp_across"]
    cos, sin = torch.cos(tray[:, 3]), torch.sin(tray[:, 3])
    grasp = tray.clone()
    grasp[:, 0] += cos * along - sin * side
    grasp[:, 1] += sin * along + cos * side
    grasp[:, 2] += HANDLE_HEIGHT + habit["grasp_height"]
    grasp[:, 3] += _HANDLE_YAW[index] + habit["grasp_yaw"]
    # About the handle; the rest of the hand's attitude is the handle's.
    grasp[:, 5] = habit["grasp_pitch"]
    return grasp


def _plan_handle_grasp(hand: Hand, grasp: Tensor, habit: Habits) -> None:
    """Wait, move above the handle, come down, stand still, close."""
    bow = torch.zeros_like(grasp)
    bow[:, 0], bow[:, 2] = habit["bow_x"], habit["bow_z"]
    hand.wait(habit["start_wait"])
    hand.bow(bow, habit["approach_time"])
    hand.move_to(_raised(grasp, habit["hover_height"]), habit["approach_time"])
    _plan_close(hand, grasp, habit)


def _plan_close(hand: Hand, grasp: Tensor, habit: Habits) -> None:
    hand.move_to(grasp, habit["descend_time"])
    hand.wait(habit["settle_wait"])
    hand.close()
    hand.wait(habit["close_wait"])


def _plan_release(hand: Hand, open_wait: Tensor, height: Tensor, duration: Tensor) -> None:
    """Open and go up."""
    hand.open()
    hand.wait(open_wait)
    hand.move_to(_raised(hand.goal, height), duration)


def _plan_part(
    hands: list[Hand], home: list[Tensor], object_poses: Mapping[str, Tensor], tray: Tensor, habits: list[Habits]
) -> None:
    """Left lays the part on the tray and goes home; right waits aside, then takes it from there to the bin."""
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

    handed_over = _plan_part_move(left, part, on_tray, home[0], habits[0])
    is_free = left.now.clone()
    left.move_to(home[0], habits[0]["leave_time"])
    right.wait((is_free - right.now).clamp(min=0))
    right.wait(habits[1]["reach_wait"])
    _plan_part_move(right, handed_over, in_bin, home[1], habits[1])
    right.wait(habits[1]["end_wait"])
    last = torch.maximum(left.now, right.now)
    for hand in hands:
        hand.wait(last - hand.now)


def _plan_part_move(hand: Hand, part: Tensor, goal: Tensor, home: Tensor, habit: Habits) -> Tensor:
    """Grasp a part, carry it to a goal, release it, go up; coordinates (D, C) of the part where it is left."""
    along, across = habit["grasp_along"], habit["grasp_across"]
    grasp = part.clone()
    # The part is round: the hand's yaw is what suits the arm, whatever the part's.
    grasp[:, 3] = home[:, 3] + habit["grasp_yaw"]
    cos, sin = torch.cos(grasp[:, 3]), torch.sin(grasp[:, 3])
    offset = torch.zeros_like(grasp)
    offset[:, 0], offset[:, 1], offset[:, 2] = cos * along - sin * across, sin * along + cos * across, habit["grasp_height"]
    grasp[:, :3] += offset[:, :3]
    left_at = goal.clone()
    left_at[:, 0] += habit["place_x"]
    left_at[:, 1] += habit["place_y"]
    release = grasp.clone()
    release[:, :3] = left_at[:, :3] + offset[:, :3]
    release[:, 2] += habit["release_gap"]
    lifted = _raised(grasp, habit["lift_height"])
    above = release.clone()
    above[:, 2] = torch.maximum(lifted[:, 2], release[:, 2] + 0.10)

    hand.move_to(_raised(grasp, habit["hover_height"]), habit["reach_time"])
    _plan_close(hand, grasp, habit)
    hand.move_to(lifted, habit["lift_time"])
    hand.move_to(above, habit["carry_time"], overlap=habit["carry_overlap"])
    hand.move_to(release, habit["lower_time"], overlap=habit["lower_overlap"])
    hand.wait(habit["release_wait"])
    _plan_release(hand, habit["open_wait"], habit["retreat_height"], habit["retreat_time"])
    return left_at


def _raised(coordinates: Tensor, height: Tensor) -> Tensor:
    raised = coordinates.clone()
    raised[:, 2] += height
    return raised


def _upright_coordinates(pose: Tensor) -> Tensor:
    """Coordinates (D, C) of objects (D, 4, 4) that stand upright."""
    coordinates = torch.zeros(len(pose), 6, device=pose.device)
    coordinates[:, :3] = pose[:, :3, 3]
    coordinates[:, 3] = torch.atan2(pose[:, 1, 0], pose[:, 0, 0])
    return coordinates

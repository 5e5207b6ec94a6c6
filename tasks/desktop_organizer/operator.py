"""A scripted operator that moves like a person: source demonstrations without a teleoperation device."""

# D demos, T frames of the longest, C = 6 coordinates of a hand pose: x, y, z [m], yaw, pitch, roll [rad]

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from isaaclab_mimic_ext.math import matrix_from_axis_angle, pose_from_pos_rot, yaw_matrix
from isaaclab_mimic_ext.rng import Draws, Stream
from isaaclab_mimic_ext.tasks.desktop_organizer.task import BASKET_FLOOR, KETCHUP_HEIGHT

MAX_FRAMES = 300

# What differs from demo to demo: lowest and highest value. Lengths in metres, angles in radians, times in frames of 1/20 s.
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
_TREMOR_POS, _TREMOR_ROT = 0.0008, 0.006
_NUM_TREMOR_WAVES = 3
_TREMOR_FREQUENCY = (0.02, 0.06)
"""Cycles a frame."""


@dataclass(frozen=True)
class OperatorPlan:
    """What the operator's hand does.

    Attributes:
        target_eef_pose: (D, T, 4, 4), env frame; the last pose is repeated after a demo's end.
        gripper_action: (D, T, 1), 1 opens, -1 closes.
        length: (D,) int64, frames of each demo.
        close_frame, open_frame: (D,) int64, the first frames in which the gripper closes and opens.
    """

    target_eef_pose: Tensor
    gripper_action: Tensor
    length: Tensor
    close_frame: Tensor
    open_frame: Tensor


def plan_demos(object_poses: Mapping[str, Tensor], eef_pose: Tensor, draws: Draws) -> OperatorPlan:
    """Plans for D scenes, from where everything stands at the start.

    Args:
        object_poses: name -> (D, 4, 4), env frame.
        eef_pose: (D, 4, 4), env frame.
        draws: of the D trials; who the operator is today (`Stream.OPERATOR`).
    """
    habit = _draw_habits(draws)
    hand = _Timeline(_coordinates(eef_pose))
    _plan_grasp(hand, object_poses["ketchup"], habit)
    close_frame = hand.now.clone()
    hand.wait(habit["close_wait"])
    open_frame = _plan_placement(hand, object_poses["basket"], habit)
    hand.wait(habit["end_wait"])

    coordinates = hand.coordinates() + _tremor(draws, habit["tremor"])
    frame = torch.arange(MAX_FRAMES, device=eef_pose.device)
    closed = (frame >= close_frame[:, None]) & (frame < open_frame[:, None])
    length = hand.now.clamp(max=MAX_FRAMES)
    longest = int(length.max())
    return OperatorPlan(
        target_eef_pose=_pose(coordinates[:, :longest]),
        gripper_action=torch.where(closed, -1.0, 1.0)[:, :longest, None],
        length=length,
        close_frame=close_frame,
        open_frame=open_frame,
    )


def _plan_grasp(hand: "_Timeline", ketchup: Tensor, habit: dict[str, Tensor]) -> None:
    """Wait, move above the bottle, come down along the palm's axis, stand still."""
    grasp = torch.zeros_like(hand.goal)
    cos, sin = torch.cos(habit["grasp_yaw"]), torch.sin(habit["grasp_yaw"])
    along, across = habit["grasp_along"], habit["grasp_across"]
    grasp[:, 0] = ketchup[:, 0, 3] + cos * along - sin * across
    grasp[:, 1] = ketchup[:, 1, 3] + sin * along + cos * across
    grasp[:, 2] = ketchup[:, 2, 3] + habit["grasp_height"]
    # The bottle is round: the hand's yaw is what suits the arm, whatever the bottle's.
    grasp[:, 3] = habit["grasp_yaw"]
    grasp[:, 4] = habit["grasp_pitch"]
    grasp[:, 5] = habit["grasp_roll"]
    hover = grasp.clone()
    hover[:, :3] -= habit["hover_height"][:, None] * _pose(grasp)[:, :3, 2]
    bow = torch.zeros_like(grasp)
    bow[:, 0], bow[:, 1] = habit["bow_x"], habit["bow_y"]

    hand.wait(habit["start_wait"])
    hand.bow(bow, habit["approach_time"])
    hand.move_to(hover, habit["approach_time"])
    hand.wait(habit["hover_wait"])
    hand.move_to(grasp, habit["descend_time"])
    hand.wait(habit["settle_wait"])


def _plan_placement(hand: "_Timeline", basket: Tensor, habit: dict[str, Tensor]) -> Tensor:
    """Lift, carry, lower into the basket, stand still, open, retreat; the first frame (D,) of opening."""
    lifted = hand.goal.clone()
    lifted[:, 2] += habit["lift_height"]
    above = lifted.clone()
    above[:, 0] = basket[:, 0, 3] + habit["place_x"]
    above[:, 1] = basket[:, 1, 3] + habit["place_y"]
    # Pitch and roll stay as at the grasp, so that the bottle stands upright again.
    above[:, 3] = above[:, 3] + habit["carry_yaw"]
    release = above.clone()
    release[:, 2] = basket[:, 2, 3] + BASKET_FLOOR + habit["release_gap"] + KETCHUP_HEIGHT / 2 + habit["grasp_height"]
    retreat = release.clone()
    retreat[:, 2] += habit["retreat_height"]

    hand.move_to(lifted, habit["lift_time"])
    hand.move_to(above, habit["carry_time"], overlap=habit["carry_overlap"])
    hand.move_to(release, habit["lower_time"], overlap=habit["lower_overlap"])
    hand.wait(habit["release_wait"])
    open_frame = hand.now.clone()
    hand.wait(habit["open_wait"])
    hand.move_to(retreat, habit["retreat_time"])
    return open_frame


class _Timeline:
    """A hand's way as a sum of minimum-jerk strokes (Flash and Hogan 1985), which may overlap as a person's do."""

    def __init__(self, start: Tensor):
        self.goal = start.clone()
        self.now = torch.zeros(len(start), dtype=torch.int64, device=start.device)
        self._frame = torch.arange(MAX_FRAMES, device=start.device)
        self._coordinates = start[:, None].repeat(1, MAX_FRAMES, 1)

    def _phase(self, duration: Tensor) -> Tensor:
        return ((self._frame - self.now[:, None] + 1) / duration[:, None]).clamp(0.0, 1.0)[..., None]

    def wait(self, duration: Tensor) -> None:
        self.now = self.now + duration.long()

    def move_to(self, goal: Tensor, duration: Tensor, overlap: Tensor | None = None) -> None:
        """A stroke to `goal` (D, C) in `duration` (D,), begun `overlap` (D,) frames before the last one ended."""
        if overlap is not None:
            self.now = self.now - overlap.long()
        phase = self._phase(duration)
        self._coordinates += phase**3 * (10 - 15 * phase + 6 * phase**2) * (goal - self.goal)[:, None]
        self.goal = goal
        self.wait(duration)

    def bow(self, width: Tensor, duration: Tensor) -> None:
        """Bend the stroke that begins now by `width` (D, C) at its middle."""
        phase = self._phase(duration)
        self._coordinates += 64 * (phase * (1 - phase)) ** 3 * width[:, None]

    def coordinates(self) -> Tensor:
        """(D, MAX_FRAMES, C)."""
        return self._coordinates


def _draw_habits(draws: Draws) -> dict[str, Tensor]:
    """Name -> (D,); times are whole numbers."""
    uniform = draws.uniform(Stream.OPERATOR, (len(_HABITS),))
    habits = {}
    for index, (name, (low, high)) in enumerate(_HABITS.items()):
        value = low + (high - low) * uniform[:, index]
        habits[name] = value.round() if name.endswith(("_time", "_wait", "_overlap")) else value
    return habits


def _tremor(draws: Draws, strength: Tensor) -> Tensor:
    """Small smooth movements (D, MAX_FRAMES, C): a sum of slow waves in every coordinate."""
    frequency, phase = draws.uniform(Stream.OPERATOR, (2, _NUM_TREMOR_WAVES, 6), step=1).unbind(1)
    low, high = _TREMOR_FREQUENCY
    frequency = low + (high - low) * frequency
    frame = torch.arange(MAX_FRAMES, device=strength.device)[:, None, None]
    waves = torch.sin(2 * torch.pi * (frequency[:, None] * frame + phase[:, None])).sum(-2) / _NUM_TREMOR_WAVES
    size = torch.tensor([_TREMOR_POS] * 3 + [_TREMOR_ROT] * 3, device=strength.device)
    return waves * size * strength[:, None, None]


def _pose(coordinates: Tensor) -> Tensor:
    """Poses (..., 4, 4) of hand coordinates (..., C); at zero angles the palm looks down, fingers along y."""
    zero = torch.zeros_like(coordinates[..., 0])
    pitch = matrix_from_axis_angle(torch.stack((zero, coordinates[..., 4], zero), dim=-1))
    roll = matrix_from_axis_angle(torch.stack((coordinates[..., 5], zero, zero), dim=-1))
    down = torch.diag(torch.tensor([1.0, -1.0, -1.0], device=coordinates.device)).expand_as(pitch)
    return pose_from_pos_rot(coordinates[..., :3], yaw_matrix(coordinates[..., 3]) @ pitch @ roll @ down)


def _coordinates(pose: Tensor) -> Tensor:
    """Hand coordinates (D, C) of poses (D, 4, 4); the inverse of `_pose` for pitch within a quarter turn."""
    rot = pose[:, :3, :3] * torch.tensor([1.0, -1.0, -1.0], device=pose.device)
    yaw = torch.atan2(rot[:, 1, 0], rot[:, 0, 0])
    pitch = torch.asin((-rot[:, 2, 0]).clamp(-1.0, 1.0))
    roll = torch.atan2(rot[:, 2, 1], rot[:, 2, 2])
    return torch.cat((pose[:, :3, 3], torch.stack((yaw, pitch, roll), dim=-1)), dim=-1)

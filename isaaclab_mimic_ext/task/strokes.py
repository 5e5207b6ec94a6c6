"""What scripted operators share: a hand that moves like a person's, in strokes, pauses and tremor."""

# D demos, T frames of the longest, F frames that there is room for, K grasps, C = 6 coordinates of a hand pose: x, y, z [m],
# yaw, pitch, roll [rad]

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from isaaclab_mimic_ext.math import matrix_from_axis_angle, pose_from_pos_rot, yaw_matrix
from isaaclab_mimic_ext.rng import Draws, Stream

_TREMOR_POS, _TREMOR_ROT = 0.0008, 0.006
_NUM_TREMOR_WAVES = 3
_TREMOR_FREQUENCY = (0.02, 0.06)
"""Cycles a frame."""


@dataclass(frozen=True)
class HandPlan:
    """What an operator's hand does.

    Attributes:
        target_eef_pose: (D, T, 4, 4), env frame; the last pose is repeated after a demo's end.
        gripper_action: (D, T, 1), 1 opens, -1 closes.
        length: (D,) int64, frames of each demo.
        close_frames, open_frames: (D, K) int64, the first frames in which the gripper closes and opens.
    """

    target_eef_pose: Tensor
    gripper_action: Tensor
    length: Tensor
    close_frames: Tensor
    open_frames: Tensor


class Hand:
    """A hand's way as a sum of minimum-jerk strokes (Flash and Hogan 1985), which may overlap as a person's do.

    Attributes:
        goal: (D, C), where the last stroke ends.
        now: (D,) int64, the frame in which it ends, and the next thing begins.
    """

    def __init__(self, start: Tensor, max_frames: int):
        self.goal = start.clone()
        self.now = torch.zeros(len(start), dtype=torch.int64, device=start.device)
        self._frame = torch.arange(max_frames, device=start.device)
        self._coordinates = start[:, None].repeat(1, max_frames, 1)
        self._close_frames: list[Tensor] = []
        self._open_frames: list[Tensor] = []

    def wait(self, duration: Tensor) -> None:
        """Stand still for `duration` (D,) frames."""
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

    def close(self) -> None:
        """The gripper closes from now on."""
        self._close_frames.append(self.now.clone())

    def open(self) -> None:
        """The gripper, which has closed, opens from now on."""
        self._open_frames.append(self.now.clone())

    def poses(self, tremor: Tensor) -> Tensor:
        """Where it is in every frame, (D, F, 4, 4), with `tremor` (D, F, C)."""
        return hand_pose(self._coordinates + tremor)

    def plan(self, tremor: Tensor) -> HandPlan:
        """All of it, until now, with `tremor` (D, F, C)."""
        closed = torch.zeros_like(self._frame, dtype=torch.bool)
        for close_frame, open_frame in zip(self._close_frames, self._open_frames, strict=True):
            closed = closed | ((self._frame >= close_frame[:, None]) & (self._frame < open_frame[:, None]))
        length = self.now.clamp(max=len(self._frame))
        longest = int(length.max())
        return HandPlan(
            target_eef_pose=hand_pose((self._coordinates + tremor)[:, :longest]),
            gripper_action=torch.where(closed, -1.0, 1.0)[:, :longest, None],
            length=length,
            close_frames=torch.stack(self._close_frames, dim=1),
            open_frames=torch.stack(self._open_frames, dim=1),
        )

    def _phase(self, duration: Tensor) -> Tensor:
        return ((self._frame - self.now[:, None] + 1) / duration[:, None]).clamp(0.0, 1.0)[..., None]


def draw_habits(draws: Draws, habits: Mapping[str, tuple[float, float]], step: int = 0) -> dict[str, Tensor]:
    """Who the operator is today: name -> (D,), uniform between its two values.

    Names that end in `_time`, `_wait` or `_overlap` are whole numbers of frames. `step`: of the draws' stream
    (`Stream.OPERATOR`), another one for every further hand; `tremor` takes one too.
    """
    uniform = draws.uniform(Stream.OPERATOR, (len(habits),), step)
    drawn = {}
    for index, (name, (low, high)) in enumerate(habits.items()):
        value = low + (high - low) * uniform[:, index]
        drawn[name] = value.round() if name.endswith(("_time", "_wait", "_overlap")) else value
    return drawn


def tremor(draws: Draws, strength: Tensor, max_frames: int, step: int = 1) -> Tensor:
    """Small smooth movements (D, F, C): a sum of slow waves in every coordinate, of some `strength` (D,) from 0 to 1."""
    frequency, phase = draws.uniform(Stream.OPERATOR, (2, _NUM_TREMOR_WAVES, 6), step).unbind(1)
    low, high = _TREMOR_FREQUENCY
    frequency = low + (high - low) * frequency
    frame = torch.arange(max_frames, device=strength.device)[:, None, None]
    waves = torch.sin(2 * torch.pi * (frequency[:, None] * frame + phase[:, None])).sum(-2) / _NUM_TREMOR_WAVES
    size = torch.tensor([_TREMOR_POS] * 3 + [_TREMOR_ROT] * 3, device=strength.device)
    return waves * size * strength[:, None, None]


def hand_pose(coordinates: Tensor) -> Tensor:
    """Poses (..., 4, 4) of hand coordinates (..., C); at zero angles the palm looks down, fingers along y."""
    zero = torch.zeros_like(coordinates[..., 0])
    pitch = matrix_from_axis_angle(torch.stack((zero, coordinates[..., 4], zero), dim=-1))
    roll = matrix_from_axis_angle(torch.stack((coordinates[..., 5], zero, zero), dim=-1))
    down = torch.diag(torch.tensor([1.0, -1.0, -1.0], device=coordinates.device)).expand_as(pitch)
    return pose_from_pos_rot(coordinates[..., :3], yaw_matrix(coordinates[..., 3]) @ pitch @ roll @ down)


def hand_coordinates(pose: Tensor) -> Tensor:
    """Hand coordinates (D, C) of poses (D, 4, 4); the inverse of `hand_pose` for pitch within a quarter turn."""
    rot = pose[:, :3, :3] * torch.tensor([1.0, -1.0, -1.0], device=pose.device)
    yaw = torch.atan2(rot[:, 1, 0], rot[:, 0, 0])
    pitch = torch.asin((-rot[:, 2, 0]).clamp(-1.0, 1.0))
    roll = torch.atan2(rot[:, 2, 1], rot[:, 2, 2])
    return torch.cat((pose[:, :3, 3], torch.stack((yaw, pitch, roll), dim=-1)), dim=-1)

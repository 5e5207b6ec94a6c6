"""Human-like hand motion for scripted operators: strokes, pauses and tremor."""

# D demos, T frames of the longest demo, F = `max_frames` frames allocated, K grasps, C = 6 coordinates of a hand pose:
# x, y, z [m], yaw, pitch, roll [rad]. A frame is one control step.

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from isaaclab_mimic_ext.errors import TaskSpecError
from isaaclab_mimic_ext.math import matrix_from_axis_angle, pose_from_pos_rot, yaw_matrix
from isaaclab_mimic_ext.rng import Draws, Stream

_TREMOR_POS, _TREMOR_ROT = 0.0008, 0.006
"""Amplitude of the tremor's position [m] and rotation [rad]."""
_NUM_TREMOR_WAVES = 3
_TREMOR_FREQUENCY = (0.02, 0.06)
"""Range of the waves' frequencies [cycles per frame]."""


@dataclass(frozen=True)
class HandPlan:
    """Planned motion of an operator's hand.

    Attributes:
        target_eef_pose: (D, T, 4, 4), env frame [m]; the last pose is repeated after a demo's end.
        gripper_action: (D, T, 1), 1 opens, -1 closes.
        length: (D,) int64, number of frames of each demo.
        close_frames, open_frames: (D, K) int64, frame in which the gripper begins to close, and to open, in each grasp.
    """

    target_eef_pose: Tensor
    gripper_action: Tensor
    length: Tensor
    close_frames: Tensor
    open_frames: Tensor


class Hand:
    """Path of a hand as a sum of minimum-jerk strokes (Flash and Hogan 1985), which may overlap like those of a person.

    Attributes:
        goal: (D, C), goal of the last stroke.
        now: (D,) int64, frame in which the last stroke ends and the next action begins.
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
        """Add a stroke of `duration` (D,) frames to `goal` (D, C), begun `overlap` (D,) frames before the last one ends."""
        if overlap is not None:
            self.now = self.now - overlap.long()
        phase = self._phase(duration)
        self._coordinates += phase**3 * (10 - 15 * phase + 6 * phase**2) * (goal - self.goal)[:, None]
        self.goal = goal
        self.wait(duration)

    def bow(self, width: Tensor, duration: Tensor) -> None:
        """Bend the next stroke, of `duration` (D,) frames, by `width` (D, C) at its middle."""
        phase = self._phase(duration)
        self._coordinates += 64 * (phase * (1 - phase)) ** 3 * width[:, None]

    def grasp(self, hover: Tensor, goal: Tensor, habit: Mapping[str, Tensor]) -> None:
        """Move on a bow to `hover` (D, C), descend to `goal` (D, C), rest, and close the gripper.

        Args:
            habit: name -> (D,): `bow_x`, `bow_y` [m], `approach_time`, `hover_wait`, `descend_time`, `settle_wait`,
                `close_wait` [frames].
        """
        width = torch.zeros_like(goal)
        width[:, 0], width[:, 1] = habit["bow_x"], habit["bow_y"]
        self.bow(width, habit["approach_time"])
        self.move_to(hover, habit["approach_time"])
        self.wait(habit["hover_wait"])
        self.move_to(goal, habit["descend_time"])
        self.wait(habit["settle_wait"])
        self.close()
        self.wait(habit["close_wait"])

    def pick_up(self, goal: Tensor, habit: Mapping[str, Tensor]) -> None:
        """Wait, grasp at `goal` (D, C) from above (`grasp`), and lift.

        Args:
            habit: name -> (D,): those of `grasp`, `start_wait`, `lift_time` [frames], `hover_height`, `lift_height` [m].
        """
        self.wait(habit["start_wait"])
        self.grasp(raised(goal, habit["hover_height"]), goal, habit)
        self.move_to(raised(goal, habit["lift_height"]), habit["lift_time"])

    def place(self, above: Tensor, goal: Tensor, habit: Mapping[str, Tensor]) -> None:
        """Move to `above` (D, C), rest, descend to `goal` (D, C), open the gripper, and retreat upward.

        Args:
            habit: name -> (D,): `carry_time`, `align_wait`, `lower_time`, `release_wait`, `open_wait`, `retreat_time`
                [frames], `retreat_height` [m].
        """
        self.move_to(above, habit["carry_time"])
        self.wait(habit["align_wait"])
        self.move_to(goal, habit["lower_time"])
        self.wait(habit["release_wait"])
        self.open()
        self.wait(habit["open_wait"])
        self.move_to(raised(goal, habit["retreat_height"]), habit["retreat_time"])

    def close(self) -> None:
        """Close the gripper from the current frame on."""
        self._close_frames.append(self.now.clone())

    def open(self) -> None:
        """Open the closed gripper from the current frame on."""
        self._open_frames.append(self.now.clone())

    def poses(self, tremor: Tensor) -> Tensor:
        """Pose of the hand in each frame with `tremor` (D, F, C) added, (D, F, 4, 4), env frame [m]."""
        return hand_pose(self._coordinates + tremor)

    def plan(self, tremor: Tensor) -> HandPlan:
        """Plan of all strokes up to the current frame, with `tremor` (D, F, C) added.

        Raises:
            TaskSpecError: the strokes take more frames than `max_frames`, or a closed gripper is not opened again.
        """
        self._check()
        closed = torch.zeros_like(self._frame, dtype=torch.bool)
        for close_frame, open_frame in zip(self._close_frames, self._open_frames, strict=True):
            closed = closed | ((self._frame >= close_frame[:, None]) & (self._frame < open_frame[:, None]))
        length, longest = self.now, int(self.now.max())
        return HandPlan(
            target_eef_pose=hand_pose((self._coordinates + tremor)[:, :longest]),
            gripper_action=torch.where(closed, -1.0, 1.0)[:, :longest, None],
            length=length,
            close_frames=torch.stack(self._close_frames, dim=1),
            open_frames=torch.stack(self._open_frames, dim=1),
        )

    def _check(self) -> None:
        longest, num_frames = int(self.now.max()), len(self._frame)
        if longest > num_frames:
            raise TaskSpecError(f"Hand: max_frames must be >= {longest}, the frames of all strokes (got {num_frames})")
        if len(self._close_frames) != len(self._open_frames):
            counts = f"got {len(self._close_frames)} close() and {len(self._open_frames)} open()"
            raise TaskSpecError(f"Hand: each close() must be followed by an open() ({counts})")

    def _phase(self, duration: Tensor) -> Tensor:
        return ((self._frame - self.now[:, None] + 1) / duration[:, None]).clamp(0.0, 1.0)[..., None]


def draw_habits(draws: Draws, habits: Mapping[str, tuple[float, float]], step: int = 0) -> dict[str, Tensor]:
    """Draw an operator's habits for each demo: name -> (D,), uniform within the range of the habit.

    Values of names that end in `_time`, `_wait` or `_overlap` are rounded to whole frames.

    Args:
        step: step of the stream `Stream.OPERATOR`; use a different one for each hand and for `tremor`.
    """
    uniform = draws.uniform(Stream.OPERATOR, (len(habits),), step)
    drawn = {}
    for index, (name, (low, high)) in enumerate(habits.items()):
        value = low + (high - low) * uniform[:, index]
        drawn[name] = value.round() if name.endswith(("_time", "_wait", "_overlap")) else value
    return drawn


def tremor(draws: Draws, strength: Tensor, max_frames: int, step: int = 1) -> Tensor:
    """Tremor of a hand: a sum of slow sine waves in each coordinate, scaled by `strength` (D,) from 0 to 1, (D, F, C)."""
    frequency, phase = draws.uniform(Stream.OPERATOR, (2, _NUM_TREMOR_WAVES, 6), step).unbind(1)
    low, high = _TREMOR_FREQUENCY
    frequency = low + (high - low) * frequency
    frame = torch.arange(max_frames, device=strength.device)[:, None, None]
    waves = torch.sin(2 * torch.pi * (frequency[:, None] * frame + phase[:, None])).sum(-2) / _NUM_TREMOR_WAVES
    size = torch.tensor([_TREMOR_POS] * 3 + [_TREMOR_ROT] * 3, device=strength.device)
    return waves * size * strength[:, None, None]


def raised(coordinates: Tensor, height: Tensor) -> Tensor:
    """Hand coordinates (D, C), moved up by `height` (D,) [m]."""
    moved = coordinates.clone()
    moved[:, 2] += height
    return moved


def hand_pose(coordinates: Tensor) -> Tensor:
    """Convert hand coordinates (..., C) to poses (..., 4, 4); at zero angles the palm faces down, fingers along y."""
    zero = torch.zeros_like(coordinates[..., 0])
    pitch = matrix_from_axis_angle(torch.stack((zero, coordinates[..., 4], zero), dim=-1))
    roll = matrix_from_axis_angle(torch.stack((coordinates[..., 5], zero, zero), dim=-1))
    down = torch.diag(torch.tensor([1.0, -1.0, -1.0], device=coordinates.device)).expand_as(pitch)
    return pose_from_pos_rot(coordinates[..., :3], yaw_matrix(coordinates[..., 3]) @ pitch @ roll @ down)


def hand_coordinates(pose: Tensor) -> Tensor:
    """Convert poses (D, 4, 4) to hand coordinates (D, C); inverse of `hand_pose` for `|pitch| < pi/2`."""
    rot = pose[:, :3, :3] * torch.tensor([1.0, -1.0, -1.0], device=pose.device)
    yaw = torch.atan2(rot[:, 1, 0], rot[:, 0, 0])
    pitch = torch.asin((-rot[:, 2, 0]).clamp(-1.0, 1.0))
    roll = torch.atan2(rot[:, 2, 1], rot[:, 2, 2])
    return torch.cat((pose[:, :3, 3], torch.stack((yaw, pitch, roll), dim=-1)), dim=-1)

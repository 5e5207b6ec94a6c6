"""Bounding boxes of what moves and of what is in its way."""

# R rows, O objects, B boxes that move with the end effector: the hand's, then that of what it holds
# R rows, K ways a row, V vertices of a way, L steps of the longest path, W steps of the smoothing window

from dataclasses import dataclass

import torch
from torch import Tensor

from isaaclab_mimic_ext.math import axis_angle_from_matrix, invert_pose, matrix_from_axis_angle


@dataclass(frozen=True)
class Boxes:
    """Boxes along the axes of their frames.

    Attributes:
        centre: (..., 3), in the frame [m].
        half_size: (..., 3) [m].
    """

    centre: Tensor
    half_size: Tensor


@dataclass(frozen=True)
class Mover:
    """What moves with the end effectors of R rows.

    Attributes:
        rot: (R, B, 3, 3), of each box in the end effector's frame.
        centre: (R, B, 3), likewise [m].
        half_size: (R, B, 3) [m]; negative for a box that is not there, which touches nothing.
    """

    rot: Tensor
    centre: Tensor
    half_size: Tensor

    @classmethod
    def of(cls, hand: Boxes, objects: Boxes, eef_pose: Tensor, object_pose: Tensor, attached: Tensor) -> "Mover":
        """The hand's boxes, and the box of the object `attached` (R,), where there is one, as it is held now."""
        rows = torch.arange(len(attached), device=attached.device)
        held = attached.clamp(min=0)
        held_pose = invert_pose(eef_pose) @ object_pose[rows, held]
        held_rot = held_pose[:, :3, :3]
        centre = held_pose[:, :3, 3] + (held_rot * objects.centre[held][:, None]).sum(-1)
        absent = (attached < 0)[:, None]
        half_size = objects.half_size[held].masked_fill(absent, -1e3)
        hand_rot = torch.eye(3, device=eef_pose.device).expand(len(rows), len(hand.centre), 3, 3)
        return cls(
            rot=torch.cat((hand_rot, held_rot[:, None]), dim=1),
            centre=torch.cat((hand.centre.expand(len(rows), -1, -1), centre[:, None]), dim=1),
            half_size=torch.cat((hand.half_size.expand(len(rows), -1, -1), half_size[:, None]), dim=1),
        )


def top_of(objects: Boxes, object_pose: Tensor) -> Tensor:
    """Height of each object's highest corner, (R, O), from poses (R, O, 4, 4) [m]."""
    up = object_pose[..., 2, :3]
    return object_pose[..., 2, 3] + (up * objects.centre).sum(-1) + (up.abs() * objects.half_size).sum(-1)


def reach_below(mover: Mover, eef_pose: Tensor) -> Tensor:
    """How far the mover's lowest corner is below the end effector, (R,), at poses (R, 4, 4) [m]."""
    up = eef_pose[:, None, 2, :3]
    axes = (up[..., None] * mover.rot).sum(-2)  # Of each box: the heights of its axes.
    lowest = (up * mover.centre).sum(-1) - (axes.abs() * mover.half_size).sum(-1)
    exists = (mover.half_size > 0).all(-1)
    return -lowest.masked_fill(~exists, torch.inf).amin(-1)


def touches(mover: Mover, eef_pose: Tensor, objects: Boxes, object_pose: Tensor, clearance: Tensor) -> Tensor:
    """Which boxes of the mover come within `clearance` [m] of which objects, at every pose: (R, K, L, B, O).

    Two boxes are apart where an axis of either separates them. Axes along two edges are left out: boxes that only those
    separate count as touching, which is on the safe side.

    Args:
        eef_pose: (R, K, L, 4, 4).
        object_pose: (R, O, 4, 4).
        clearance: one for all, or of each pose (R, K, L).
    """
    half = objects.half_size + clearance[..., None, None]
    object_rot = object_pose[..., :3, :3]
    object_centre = object_pose[..., :3, 3] + (object_rot * objects.centre[:, None]).sum(-1)
    eef_rot_t = eef_pose[..., None, :3, :3].transpose(-1, -2)
    # Of each object in the end effector's frame: (R, K, L, O, ...).
    rot = eef_rot_t @ object_rot[:, None, None]
    centre = (eef_rot_t * (object_centre[:, None, None] - eef_pose[..., None, :3, 3])[..., None, :]).sum(-1)
    touching = [_box_touches(mover, index, rot, centre, half) for index in range(mover.centre.shape[1])]
    return torch.stack(touching, dim=-2)


def _box_touches(mover: Mover, index: int, rot: Tensor, centre: Tensor, half: Tensor) -> Tensor:
    """One box of the mover, (R, K, L, O), from the objects in the end effector's frame."""
    box_rot_t = mover.rot[:, index].transpose(-1, -2)[:, None, None, None]
    own_half = mover.half_size[:, index][:, None, None, None]
    offset = (box_rot_t * (centre - mover.centre[:, index][:, None, None, None])[..., None, :]).sum(-1)
    relative = box_rot_t @ rot
    overlap_own = offset.abs() <= own_half + (relative.abs() * half[..., None, :]).sum(-1)
    offset_there = (relative * offset[..., None]).sum(-2)
    overlap_there = offset_there.abs() <= half + (relative.abs() * own_half[..., None]).sum(-2)
    return overlap_own.all(-1) & overlap_there.all(-1)


@dataclass(frozen=True)
class Speed:
    """What a path may do in a step.

    Attributes:
        distance: [m].
        angle: [rad].
        window: steps over which a path speeds up, slows down and rounds its corners.
    """

    distance: float = 0.015
    angle: float = 0.06
    window: int = 8


def smooth_paths(vertices: Tensor, start: Tensor, goal: Tensor, speed: Speed, max_length: int) -> tuple[Tensor, Tensor]:
    """Paths along ways: poses (R, K, L, 4, 4), and how many steps they take, (R, K) int64, which may be more than L.

    A way is walked at constant speed, then averaged over a window of time: that rounds its corners and makes it start and
    stop with constant acceleration. The hand turns between the second vertex and the last but one. The last step is at the
    goal exactly; rows that are shorter stay there.

    Args:
        vertices: (R, K, V, 3), V >= 4 [m].
        start, goal: (R, 4, 4), poses at the first and the last vertex.
        max_length: L.
    """
    legs = vertices[:, :, 1:] - vertices[:, :, :-1]
    turn = axis_angle_from_matrix(start[:, :3, :3].transpose(-1, -2) @ goal[:, :3, :3])
    share = _turn_share(legs)
    duration = torch.maximum(_norm(legs) / speed.distance, _norm(turn)[:, None, None] * share / speed.angle)
    begin = duration.cumsum(-1) - duration
    total = begin[..., -1] + duration[..., -1]
    num_steps = total.ceil().clamp(min=1.0)
    window = num_steps.clamp(max=speed.window)
    progress = _averaged_progress(begin, duration, total / num_steps, window, speed.window, max_length)
    lengths = (num_steps + window).long() - 1

    rest = lengths[..., None] - 1 <= torch.arange(max_length, device=start.device)
    pos = vertices[:, :, :1].expand(-1, -1, max_length, -1)
    for leg in range(legs.shape[2]):
        pos = pos + progress[..., leg, None] * legs[:, :, leg, None]
    turned = (progress * share[:, :, None]).sum(-1)
    rot = start[:, None, None, :3, :3] @ matrix_from_axis_angle(turned[..., None] * turn[:, None, None])
    poses = goal[:, None, None].repeat(1, vertices.shape[1], max_length, 1, 1)
    poses[..., :3, 3] = torch.where(rest[..., None], poses[..., :3, 3], pos)
    poses[..., :3, :3] = torch.where(rest[..., None, None], poses[..., :3, :3], rot)
    return poses, lengths


def _turn_share(legs: Tensor) -> Tensor:
    """What part of the turn each leg (R, K, V - 1, 3) makes: the inner legs, by their length."""
    length = _norm(legs)
    inner = torch.zeros_like(length)
    inner[..., 1:-1] = length[..., 1:-1]
    total = inner.sum(-1, keepdim=True)
    even = torch.zeros_like(length)
    even[..., 1:-1].fill_(1.0 / (length.shape[-1] - 2))
    return torch.where(total > 1e-6, inner / total.clamp(min=1e-6), even)


def _averaged_progress(
    begin: Tensor, duration: Tensor, step: Tensor, window: Tensor, max_window: int, max_length: int
) -> Tensor:
    """How much of each leg is behind (0 to 1) after each of L steps, (R, K, L, V - 1), averaged over the last `window`."""
    count = torch.arange(1, max_length + 1, device=begin.device)
    progress = torch.zeros(*begin.shape[:2], max_length, begin.shape[2], device=begin.device)
    for lag in range(max_window):
        time = ((count - lag).clamp(min=0) * step[..., None])[..., None]
        behind = ((time - begin[:, :, None]) / duration[:, :, None].clamp(min=1e-6)).clamp(0.0, 1.0)
        progress = torch.where((lag < window)[..., None, None], progress + behind, progress)
    return progress / window[..., None, None]


def _norm(vec: Tensor) -> Tensor:
    return (vec * vec).sum(-1).sqrt()

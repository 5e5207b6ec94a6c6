"""Geometry of motion planning: collision checks between bounding boxes, and smooth paths along polygonal routes."""

# R rows, O objects, K routes per row, V vertices of a route, L steps of the longest path,
# B boxes that move with the end effector: those of the hand, then that of the object in the gripper

from dataclasses import dataclass

import torch
from torch import Tensor

from isaaclab_mimic_ext.math import axis_angle_from_matrix, invert_pose, matrix_from_axis_angle


@dataclass(frozen=True)
class Boxes:
    """Boxes aligned with the axes of their frames.

    Attributes:
        center: (..., 3), position of the center in the frame [m].
        half_size: (..., 3), half the size along each axis [m].
    """

    center: Tensor
    half_size: Tensor


@dataclass(frozen=True)
class Mover:
    """Boxes that move with the end effectors of R rows.

    Attributes:
        rot: (R, B, 3, 3), rotation of each box in the end effector's frame.
        center: (R, B, 3), center of each box in the end effector's frame [m].
        half_size: (R, B, 3) [m]; negative if a box is absent, which then touches nothing.
    """

    rot: Tensor
    center: Tensor
    half_size: Tensor

    @classmethod
    def of(cls, hand: Boxes, objects: Boxes, eef_pose: Tensor, object_pose: Tensor, attached: Tensor) -> "Mover":
        """Combine the boxes of the hand with that of the object in the gripper, at its present pose relative to the hand.

        Args:
            eef_pose: (R, 4, 4), env frame [m].
            object_pose: (R, O, 4, 4), env frame [m].
            attached: (R,) int64, index of the object in the gripper, -1 if empty.
        """
        rows = torch.arange(len(attached), device=attached.device)
        held = attached.clamp(min=0)
        held_pose = invert_pose(eef_pose) @ object_pose[rows, held]
        held_rot = held_pose[:, :3, :3]
        center = held_pose[:, :3, 3] + (held_rot * objects.center[held][:, None]).sum(-1)
        absent = (attached < 0)[:, None]
        half_size = objects.half_size[held].masked_fill(absent, -1e3)
        hand_rot = torch.eye(3, device=eef_pose.device).expand(len(rows), len(hand.center), 3, 3)
        return cls(
            rot=torch.cat((hand_rot, held_rot[:, None]), dim=1),
            center=torch.cat((hand.center.expand(len(rows), -1, -1), center[:, None]), dim=1),
            half_size=torch.cat((hand.half_size.expand(len(rows), -1, -1), half_size[:, None]), dim=1),
        )


def top_of(objects: Boxes, object_pose: Tensor) -> Tensor:
    """Height of the highest corner of each object's box at poses (R, O, 4, 4), (R, O) [m]."""
    up = object_pose[..., 2, :3]
    return object_pose[..., 2, 3] + (up * objects.center).sum(-1) + (up.abs() * objects.half_size).sum(-1)


def depth_below(mover: Mover, eef_pose: Tensor) -> Tensor:
    """Distance of the mover's lowest corner below the end effector at poses (R, 4, 4), (R,) [m]."""
    up = eef_pose[:, None, 2, :3]
    axes = (up[..., None] * mover.rot).sum(-2)  # Vertical components of the axes of each box.
    lowest = (up * mover.center).sum(-1) - (axes.abs() * mover.half_size).sum(-1)
    exists = (mover.half_size > 0).all(-1)
    return -lowest.masked_fill(~exists, torch.inf).amin(-1)


def touches(mover: Mover, eef_pose: Tensor, objects: Boxes, object_pose: Tensor, clearance: Tensor) -> Tensor:
    """Return which boxes of the mover are within `clearance` of which objects at each pose, (R, K, L, B, O) bool.

    Separating axis test with the face normals of both boxes. Cross products of edges are not tested: boxes that only these
    axes separate count as touching, which is conservative.

    Args:
        eef_pose: (R, K, L, 4, 4), env frame [m].
        object_pose: (R, O, 4, 4), env frame [m].
        clearance: a scalar, or one value per pose (R, K, L) [m].
    """
    half = objects.half_size + clearance[..., None, None]
    object_rot = object_pose[..., :3, :3]
    object_center = object_pose[..., :3, 3] + (object_rot * objects.center[:, None]).sum(-1)
    eef_rot_t = eef_pose[..., None, :3, :3].transpose(-1, -2)
    # Pose of each object in the end effector's frame: (R, K, L, O, ...).
    rot = eef_rot_t @ object_rot[:, None, None]
    center = (eef_rot_t * (object_center[:, None, None] - eef_pose[..., None, :3, 3])[..., None, :]).sum(-1)
    touching = [_box_touches(mover, index, rot, center, half) for index in range(mover.center.shape[1])]
    return torch.stack(touching, dim=-2)


def _box_touches(mover: Mover, index: int, rot: Tensor, center: Tensor, half: Tensor) -> Tensor:
    """Return which objects one box of the mover touches, (R, K, L, O) bool; `rot`, `center`: objects in the eef's frame."""
    box_rot_t = mover.rot[:, index].transpose(-1, -2)[:, None, None, None]
    own_half = mover.half_size[:, index][:, None, None, None]
    offset = (box_rot_t * (center - mover.center[:, index][:, None, None, None])[..., None, :]).sum(-1)
    relative = box_rot_t @ rot
    overlap_own = offset.abs() <= own_half + (relative.abs() * half[..., None, :]).sum(-1)
    offset_there = (relative * offset[..., None]).sum(-2)
    overlap_there = offset_there.abs() <= half + (relative.abs() * own_half[..., None]).sum(-2)
    return overlap_own.all(-1) & overlap_there.all(-1)


@dataclass(frozen=True)
class Speed:
    """Largest motion of a path per step.

    Attributes:
        distance: largest distance per step [m].
        angle: largest rotation per step [rad].
        window: number of steps over which a path accelerates, decelerates and rounds its corners.
    """

    distance: float = 0.015
    angle: float = 0.06
    window: int = 8


def smooth_paths(vertices: Tensor, start: Tensor, goal: Tensor, speed: Speed, max_length: int) -> tuple[Tensor, Tensor]:
    """Smooth paths along polygonal routes.

    A path follows its route at constant speed and is then averaged over a window of steps. The average rounds the corners
    and lets the path start and stop with constant acceleration. The hand rotates between the second and the last but one
    vertex. The last step is exactly at the goal; shorter paths stay there.

    Args:
        vertices: (R, K, V, 3) with V >= 4, env frame [m].
        start, goal: (R, 4, 4), poses at the first and the last vertex, env frame [m].
        max_length: L.

    Returns:
        Poses (R, K, L, 4, 4), and the number of steps of each path, (R, K) int64, which can exceed L.
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
    """Fraction of the rotation in each leg of a route, (R, K, V - 1); only inner legs rotate, in proportion to their length.

    Args:
        legs: (R, K, V - 1, 3), vectors between consecutive vertices [m].
    """
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
    """Completed fraction of each leg after each of L steps, averaged over the last `window` steps, (R, K, L, V - 1).

    Args:
        begin, duration: (R, K, V - 1), begin and duration of each leg at constant speed [steps].
        step: (R, K), time that the path advances per step.
        window: (R, K), number of steps of the average, at most `max_window`.
    """
    count = torch.arange(1, max_length + 1, device=begin.device)
    progress = torch.zeros(*begin.shape[:2], max_length, begin.shape[2], device=begin.device)
    for lag in range(max_window):
        time = ((count - lag).clamp(min=0) * step[..., None])[..., None]
        completed = ((time - begin[:, :, None]) / duration[:, :, None].clamp(min=1e-6)).clamp(0.0, 1.0)
        progress = torch.where((lag < window)[..., None, None], progress + completed, progress)
    return progress / window[..., None, None]


def _norm(vec: Tensor) -> Tensor:
    return (vec * vec).sum(-1).sqrt()

"""Ways given by their corners, as paths with a pose for each step: no faster than allowed, without jolts."""

# R rows, K ways a row, V vertices of a way, L steps of the longest path, W steps of the smoothing window

from dataclasses import dataclass

import torch
from torch import Tensor

from isaaclab_mimic_ext.math import axis_angle_from_matrix, matrix_from_axis_angle


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

"""Which source demo a segment comes from."""

# R rows (an env and one of its end effectors each), D demos

import torch
from torch import Tensor

from isaaclab_mimic_ext.math import rotation_angle


def pose_distance(pose_a: Tensor, pose_b: Tensor, pos_weight: Tensor, rot_weight: Tensor) -> Tensor:
    """`pos_weight * |dp| [m] + rot_weight * angle [rad]` between poses (..., 4, 4), shape (...)."""
    offset = pose_a[..., :3, 3] - pose_b[..., :3, 3]
    distance = (offset * offset).sum(-1).sqrt()
    return pos_weight * distance + rot_weight * rotation_angle(pose_a[..., :3, :3], pose_b[..., :3, :3])


def choose_nearest(distance: Tensor, num_candidates: Tensor, uniform: Tensor) -> Tensor:
    """Indices (R,) of demos, uniform among the nearest `num_candidates` (R,); of equal distances the earlier demo is nearer.

    Args:
        distance: (R, D).
        num_candidates: (R,) int64; more than D means all.
        uniform: (R,) on (0, 1), what chance decides by.
    """
    order = torch.argsort(distance, dim=-1, stable=True)
    count = num_candidates.clamp(max=distance.shape[-1])
    rank = (uniform * count).floor().long()
    return order.gather(-1, rank[:, None]).squeeze(-1)

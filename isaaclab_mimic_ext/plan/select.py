"""Which source demo a segment comes from."""

# R rows (an env and one of its end effectors each), D demos

from dataclasses import dataclass

import torch
from torch import Tensor

from isaaclab_mimic_ext.demos.pool import SourcePool
from isaaclab_mimic_ext.math import rotation_angle
from isaaclab_mimic_ext.plan.subtasks import Strategy, SubtaskTable


@dataclass
class SegmentRows:
    """The segments that begin in one step, and what they would be from every source demo.

    Attributes:
        env_ids, eef_ids, subtask: (R,).
        starts, ends: (R, D), the segment's span in each demo [steps].
        eef_now, object_now: (R, 4, 4), env frame [m].
        object_then: (R, D, 4, 4), at the segment's start in each demo [m].
        to_now: (R, D, 4, 4), from each demo's env frame to the present one.
    """

    env_ids: Tensor
    eef_ids: Tensor
    subtask: Tensor
    starts: Tensor
    ends: Tensor
    eef_now: Tensor
    object_now: Tensor
    object_then: Tensor
    to_now: Tensor


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


def segment_distances(rows: SegmentRows, strategy: Tensor, pool: SourcePool, table: SubtaskTable) -> Tensor:
    """What each demo's segment is away from the present, (R, D), by strategies (R,); all alike under `random`."""
    entry = rows.eef_ids, rows.subtask
    weights = table.pos_weight[entry][:, None], table.rot_weight[entry][:, None]
    distance = torch.zeros_like(rows.starts, dtype=torch.float32)
    if Strategy.NEAREST_NEIGHBOR_OBJECT in table.strategies:
        of_object = pose_distance(rows.object_then, rows.object_now[:, None], *weights)
        distance = torch.where((strategy == Strategy.NEAREST_NEIGHBOR_OBJECT)[:, None], of_object, distance)
    if Strategy.NEAREST_NEIGHBOR_ROBOT_DISTANCE in table.strategies:
        demo_ids = torch.arange(pool.num_demos, device=rows.starts.device)
        moved = rows.to_now @ pool.eef_pose[rows.eef_ids[:, None], demo_ids, rows.starts]
        of_robot = pose_distance(moved, rows.eef_now[:, None], *weights)
        distance = torch.where((strategy == Strategy.NEAREST_NEIGHBOR_ROBOT_DISTANCE)[:, None], of_robot, distance)
    return distance

"""Segments: their spans in the source demos, the selection of a source demo, and choices shared by end effectors.

A span is the first and exclusive last step of a subtask in a demo. Nominal spans are read from the demos; random offsets of
each trial shift them.
"""

# N envs, E end effectors, D demos, S subtasks, T steps of the longest demo, n trials, C groups of coordinated subtasks,
# R rows (an env and one of its end effectors each), sorted by env, then end effector

from dataclasses import dataclass

import torch
from torch import Tensor

from isaaclab_mimic_ext.config.constraints import SubtaskId
from isaaclab_mimic_ext.demos.pool import SourcePool
from isaaclab_mimic_ext.math import rotation_angle
from isaaclab_mimic_ext.plan.constraints import ConstraintTable
from isaaclab_mimic_ext.plan.subtasks import Strategy, SubtaskTable
from isaaclab_mimic_ext.rng import Draws, Stream


def draw_spans(pool: SourcePool, table: SubtaskTable, draws: Draws) -> tuple[Tensor, Tensor]:
    """Draw first and exclusive last step of each subtask in each demo for n trials, (n, E, D, S) int64 each."""
    like = pool.subtask_ends
    low, high = _bounds(table.offset_low, table.offset_high, like)
    ends = like + draws.integers(Stream.BOUNDARY, low, high, step=0)
    if pool.subtask_starts is not None:
        low, high = _bounds(table.start_low, table.start_high, like)
        return pool.subtask_starts + draws.integers(Stream.BOUNDARY, low, high, step=2), ends
    low, high = (bound[:, None].expand(like.shape[:2]) for bound in (table.first_low, table.first_high))
    start = draws.integers(Stream.BOUNDARY, low, high, step=1)
    return torch.cat((start[..., None], ends[..., :-1]), dim=-1), ends


def widest_spans(pool: SourcePool, table: SubtaskTable) -> tuple[Tensor, Tensor]:
    """Earliest start and latest end of each subtask that any trial can draw, (E, D, S) each [steps]."""
    latest, earliest = (pool.subtask_ends + bound[:, None] for bound in (table.offset_high, table.offset_low))
    if pool.subtask_starts is not None:
        return pool.subtask_starts + table.start_low[:, None], latest
    first = table.first_low[:, None, None].expand(-1, latest.shape[1], 1)
    return torch.cat((first, earliest[..., :-1]), dim=-1), latest


def longest_trial(
    pool: SourcePool, table: SubtaskTable, constraints: ConstraintTable, transit_length: int | None = None
) -> int:
    """Upper bound of the number of steps of a trial for any draw, waiting included. It sizes the recorder's buffers.

    Args:
        transit_length: largest number of steps of the transit before each subtask, which replaces interpolation; None:
            interpolation is used.
    """
    starts, latest = widest_spans(pool, table)
    lead_in = table.num_interpolation if transit_length is None else transit_length
    longest = (latest - starts).amax(1) + lead_in + table.num_fixed + 1
    settling = table.num_settle * (1 + gripper_changes(pool, starts, latest).amax(1))
    durations, pauses = (subtask_durations(constraints, table, steps) for steps in (longest, settling))
    return constraints.order.longest_time(durations, pauses)


def subtask_durations(constraints: ConstraintTable, table: SubtaskTable, steps: Tensor) -> dict[SubtaskId, int]:
    """Durations (E, S) [steps] by end effector and index of the subtask, for `constraints.order`."""
    return {
        (eef_name, index): int(steps[eef, index])
        for eef, eef_name in enumerate(constraints.eef_names)
        for index in range(int(table.num_subtasks[eef]))
    }


def _bounds(low: Tensor, high: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    return low[:, None].expand_as(like), high[:, None].expand_as(like)


def gripper_changes(pool: SourcePool, starts: Tensor, ends: Tensor) -> Tensor:
    """Number of gripper changes within [starts, ends), all (E, D, S); 0 for subtasks that an end effector does not have."""
    is_open = pool.gripper_action >= 0
    changes = (is_open[:, :, 1:] != is_open[:, :, :-1]).any(-1).cumsum(-1)
    num_changes = torch.cat((torch.zeros_like(changes[..., :1]), changes), dim=-1)
    return num_changes.gather(-1, ends - 1) - num_changes.gather(-1, starts.clamp(max=num_changes.shape[-1] - 1))


@dataclass
class SegmentRows:
    """The R segments that begin in this step, with their D candidates: the same subtask in each source demo.

    Attributes:
        env_ids, eef_ids, subtask: (R,) int64.
        starts, ends: (R, D), span of the segment in each demo [steps].
        eef_pose, object_pose: (R, 4, 4), present, env frame [m].
        src_object_pose: (R, D, 4, 4), object at the segment's start in each demo, env frame [m].
        src_transform: (R, D, 4, 4), from `src_object_pose` to `object_pose`; it moves a segment to the present object.
    """

    env_ids: Tensor
    eef_ids: Tensor
    subtask: Tensor
    starts: Tensor
    ends: Tensor
    eef_pose: Tensor
    object_pose: Tensor
    src_object_pose: Tensor
    src_transform: Tensor


def pose_distance(pose_a: Tensor, pose_b: Tensor, pos_weight: Tensor, rot_weight: Tensor) -> Tensor:
    """Distance `pos_weight * |dp| [m] + rot_weight * angle [rad]` between poses (..., 4, 4), shape (...)."""
    offset = pose_a[..., :3, 3] - pose_b[..., :3, 3]
    distance = (offset * offset).sum(-1).sqrt()
    return pos_weight * distance + rot_weight * rotation_angle(pose_a[..., :3, :3], pose_b[..., :3, :3])


def choose_nearest(distance: Tensor, num_candidates: Tensor, uniform: Tensor) -> Tensor:
    """Choose one demo per row, uniformly among the nearest `num_candidates` (R,); indices (R,) int64.

    Args:
        distance: (R, D); among equal distances, the demo with the smaller index counts as nearer.
        num_candidates: (R,) int64; values above D mean all demos.
        uniform: (R,) on (0, 1), random numbers that choose the demo.
    """
    order = torch.argsort(distance, dim=-1, stable=True)
    count = num_candidates.clamp(max=distance.shape[-1])
    rank = (uniform * count).floor().long()
    return order.gather(-1, rank[:, None]).squeeze(-1)


def segment_distances(rows: SegmentRows, strategy: Tensor, pool: SourcePool, table: SubtaskTable) -> Tensor:
    """Distance of each demo's segment from the present scene, (R, D), by strategies (R,); 0 for the strategy `random`."""
    entry = rows.eef_ids, rows.subtask
    weights = table.pos_weight[entry][:, None], table.rot_weight[entry][:, None]
    distance = torch.zeros_like(rows.starts, dtype=torch.float32)
    if Strategy.NEAREST_NEIGHBOR_OBJECT in table.strategies:
        object_distance = pose_distance(rows.src_object_pose, rows.object_pose[:, None], *weights)
        distance = torch.where((strategy == Strategy.NEAREST_NEIGHBOR_OBJECT)[:, None], object_distance, distance)
    if Strategy.NEAREST_NEIGHBOR_ROBOT_DISTANCE in table.strategies:
        demo_ids = torch.arange(pool.num_demos, device=rows.starts.device)
        moved = rows.src_transform @ pool.eef_pose[rows.eef_ids[:, None], demo_ids, rows.starts]
        eef_distance = pose_distance(moved, rows.eef_pose[:, None], *weights)
        distance = torch.where((strategy == Strategy.NEAREST_NEIGHBOR_ROBOT_DISTANCE)[:, None], eef_distance, distance)
    return distance


@dataclass
class SharingRows:
    """Rows that begin a subtask in this step, with the groups in which they share choices.

    Attributes:
        env_ids, eef_ids, subtask: (R,) int64.
        group: (R,) int64, group of coordinated subtasks; C if none.
        leader: (R,) int64, first row of the same env and group; the row itself if it has no group.
        group_has_begun: (R,) bool, the group began in an earlier step.
    """

    env_ids: Tensor
    eef_ids: Tensor
    subtask: Tensor
    group: Tensor
    leader: Tensor
    group_has_begun: Tensor


class SharedChoices:
    """Source demos and transforms that end effectors of a trial share, for N trials.

    Args:
        by_index: the end effector that first begins its subtask i selects the source demo of subtask i for all others.
    """

    def __init__(self, table: ConstraintTable, num_envs: int, num_subtasks: int, by_index: bool):
        device = table.group.device
        self.table, self.by_index = table, by_index
        self._num_eefs = len(table.group)
        self._demo_of_index = torch.full((num_envs, num_subtasks), -1, dtype=torch.int64, device=device)
        # The last column belongs to subtasks without a group and stays at -1.
        self.demo_of_group = torch.full((num_envs, table.num_groups + 1), -1, dtype=torch.int64, device=device)
        """Source demo of each group, (N, C + 1) int64; -1 until the first subtask of the group begins."""
        num_keys = max(num_subtasks, table.num_groups + 1)
        self._first_row = torch.zeros(num_envs * num_keys, dtype=torch.int64, device=device)
        self._transform_of_group = torch.zeros(num_envs, table.num_groups + 1, 4, 4, device=device)

    def reset(self, env_ids: Tensor) -> None:
        """Forget the choices of the previous trials of `env_ids` (n,)."""
        self._demo_of_index.index_fill_(0, env_ids, -1)
        self.demo_of_group.index_fill_(0, env_ids, -1)

    def sharing_rows(self, env_ids: Tensor, eef_ids: Tensor, subtask: Tensor) -> SharingRows:
        """Find the groups and leaders of rows (R,)."""
        group = self.table.group[eef_ids, subtask]
        rows = torch.arange(len(env_ids), device=env_ids.device)
        is_grouped = group < self.table.num_groups
        leader = torch.where(is_grouped, self._first_row_with_key(env_ids, group, self.table.num_groups + 1), rows)
        return SharingRows(env_ids, eef_ids, subtask, group, leader, self.demo_of_group[env_ids, group] >= 0)

    def share_demos(self, sharing: SharingRows, own: Tensor, selects: Tensor) -> Tensor:
        """Source demo of each row, (R,) int64, equal among the rows that share it.

        Args:
            own: (R,) int64, the demo that each row would use on its own.
            selects: (R,) bool, the row selects a demo for this subtask, rather than keep that of the previous subtask.
        """
        env_ids, group, leader = sharing.env_ids, sharing.group, sharing.leader
        rows = torch.arange(len(env_ids), device=env_ids.device)
        # Demos selected earlier by the group, or for this subtask index (-1: none).
        shares = selects & self.by_index
        group_demo = self.demo_of_group[env_ids, group]
        index_demo = self._demo_of_index[env_ids, sharing.subtask].masked_fill_(~shares, -1)
        first_row = self._first_row_with_key(env_ids, sharing.subtask, self._demo_of_index.shape[1])
        first_of_index = torch.where(shares, first_row, rows)
        # Point every row to the row that selects its demo.
        is_leader = leader == rows
        demo = torch.where(index_demo >= 0, index_demo, own)
        selector = torch.where(is_leader, torch.where(index_demo >= 0, rows, first_of_index), leader)
        demo, selector = torch.where(group_demo >= 0, group_demo, demo), torch.where(group_demo >= 0, rows, selector)
        # Follow the pointers. Each pass doubles the length of the chains that are resolved.
        for _ in range((self._num_eefs - 1).bit_length()):
            selector = selector[selector]
        demo = demo[selector]
        self._demo_of_index[env_ids, sharing.subtask] = torch.where(index_demo >= 0, index_demo, demo[first_of_index])
        self.demo_of_group[env_ids, group] = demo
        self.demo_of_group[:, -1].fill_(-1)
        return demo

    def share_transforms(self, sharing: SharingRows, group_transform: Tensor, own: Tensor) -> Tensor:
        """Transform of each row, (R, 4, 4): its own, or that of its group, defined by the row that began first.

        Args:
            group_transform: (R, 4, 4), transform of the group if this row is the first to begin.
            own: (R, 4, 4), transform of the row if it has no group.
        """
        env_ids, group = sharing.env_ids, sharing.group
        has_begun = sharing.group_has_begun[:, None, None]
        shared = torch.where(has_begun, self._transform_of_group[env_ids, group], group_transform[sharing.leader])
        self._transform_of_group[env_ids, group] = shared
        return torch.where((group < self.table.num_groups)[:, None, None], shared, own)

    def _first_row_with_key(self, env_ids: Tensor, key: Tensor, num_keys: int) -> Tensor:
        """Index of the first row with the same env and key as each row, (R,) int64."""
        place = env_ids * num_keys + key
        rows = torch.arange(len(env_ids), device=env_ids.device)
        first = self._first_row[: len(self._demo_of_index) * num_keys].fill_(len(env_ids))
        return first.scatter_reduce_(0, place, rows, "amin")[place]

"""Spans of subtasks: which steps of each demo belong to which subtask in a trial, and the longest trial that follows.

Nominal spans come from the demos; offsets drawn for the trial shift them.
"""

# E end effectors, D demos, S subtasks, T steps of the longest demo, n trials
# R rows (an env and one of its end effectors each), D demos
# N envs, E end effectors, S subtasks, C groups of coordinated subtasks,
# R rows (an env and an end effector), by env and then end effector

from dataclasses import dataclass

import torch
from torch import Tensor

from isaaclab_mimic_ext.demos.pool import SourcePool
from isaaclab_mimic_ext.math import rotation_angle
from isaaclab_mimic_ext.plan.constraints import ConstraintTable
from isaaclab_mimic_ext.plan.subtasks import Strategy, SubtaskTable
from isaaclab_mimic_ext.rng import Draws, Stream


def draw_spans(pool: SourcePool, table: SubtaskTable, draws: Draws) -> tuple[Tensor, Tensor]:
    """First and exclusive last step of every subtask in every demo for n trials, (n, E, D, S) each."""
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
    """The earliest start and the latest end that any trial can draw, (E, D, S) each."""
    latest, earliest = (pool.subtask_ends + bound[:, None] for bound in (table.offset_high, table.offset_low))
    if pool.subtask_starts is not None:
        return pool.subtask_starts + table.start_low[:, None], latest
    first = table.first_low[:, None, None].expand(-1, latest.shape[1], 1)
    return torch.cat((first, earliest[..., :-1]), dim=-1), latest


def longest_trial(
    pool: SourcePool, table: SubtaskTable, constraints: ConstraintTable, transit_length: int | None = None
) -> int:
    """Upper bound on the steps of a trial under any draw, waiting included; buffers are allocated for it.

    Args:
        transit_length: steps of the planned motion before each subtask, which replaces interpolation.
    """
    starts, latest = widest_spans(pool, table)
    lead_in = table.num_interpolation if transit_length is None else transit_length
    longest = (latest - starts).amax(1) + lead_in + table.num_fixed + 1
    settling = table.num_settle * (1 + _gripper_changes(pool, starts, latest).amax(1))
    subtasks = {
        (eef_name, index): (eef, index)
        for eef, eef_name in enumerate(constraints.eef_names)
        for index in range(int(table.num_subtasks[eef]))
    }
    durations, pauses = ({name: int(steps[at]) for name, at in subtasks.items()} for steps in (longest, settling))
    return constraints.order.longest_time(durations, pauses)


def _bounds(low: Tensor, high: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    return low[:, None].expand_as(like), high[:, None].expand_as(like)


def _gripper_changes(pool: SourcePool, starts: Tensor, ends: Tensor) -> Tensor:
    """How often the gripper's action changes within [starts, ends), each (E, D, S); an eef's missing subtasks are empty."""
    is_open = pool.gripper_action > 0
    changes = (is_open[:, :, 1:] != is_open[:, :, :-1]).any(-1).cumsum(-1)
    so_far = torch.cat((torch.zeros_like(changes[..., :1]), changes), dim=-1)
    return so_far.gather(-1, ends - 1) - so_far.gather(-1, starts.clamp(max=so_far.shape[-1] - 1))


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


@dataclass
class Sharers:
    """Rows that begin a subtask now.

    Attributes:
        env_ids, eef_ids, subtask: (R,) int64.
        group: (R,) int64, of coordinated subtasks; C: none.
        leader: (R,) int64, the first row of the same env and group; the row itself without a group.
        is_known: (R,) bool, the group began in an earlier step.
    """

    env_ids: Tensor
    eef_ids: Tensor
    subtask: Tensor
    group: Tensor
    leader: Tensor
    is_known: Tensor


class SharedChoices:
    """The shared part of N trials.

    Args:
        by_index: whoever begins subtask i first chooses for subtask i of all.
    """

    def __init__(self, table: ConstraintTable, num_envs: int, num_subtasks: int, by_index: bool):
        device = table.group.device
        self.table, self.by_index = table, by_index
        self._num_eefs = len(table.group)
        self._demo_of_index = torch.full((num_envs, num_subtasks), -1, dtype=torch.int64, device=device)
        # The last column is nobody's, and stays at -1.
        self.demo_of_group = torch.full((num_envs, table.num_groups + 1), -1, dtype=torch.int64, device=device)
        """(N, C + 1) int64, -1 before one of the group's subtasks began."""
        num_keys = max(num_subtasks, table.num_groups + 1)
        self._first_row = torch.zeros(num_envs * num_keys, dtype=torch.int64, device=device)
        self._transform_of_group = torch.zeros(num_envs, table.num_groups + 1, 4, 4, device=device)

    def forget(self, env_ids: Tensor) -> None:
        """New trials begin in `env_ids`."""
        self._demo_of_index[env_ids] = -1
        self.demo_of_group[env_ids] = -1

    def sharers(self, env_ids: Tensor, eef_ids: Tensor, subtask: Tensor) -> Sharers:
        """The rows with what they need to know of each other."""
        group = self.table.group[eef_ids, subtask]
        rows = torch.arange(len(env_ids), device=env_ids.device)
        is_grouped = group < self.table.num_groups
        leader = torch.where(is_grouped, self._first_alike(env_ids, group, self.table.num_groups + 1), rows)
        return Sharers(env_ids, eef_ids, subtask, group, leader, self.demo_of_group[env_ids, group] >= 0)

    def choose(self, sharers: Sharers, own: Tensor, chooses_anew: Tensor) -> Tensor:
        """The demo of each row, (R,), given what it would choose alone, and whether it does not keep the one in use."""
        env_ids, group, leader = sharers.env_ids, sharers.group, sharers.leader
        rows = torch.arange(len(env_ids), device=env_ids.device)
        # What has been chosen already: by the group, or for this subtask index (-1: nothing).
        shares = chooses_anew & self.by_index
        of_group = self.demo_of_group[env_ids, group]
        of_index = self._demo_of_index[env_ids, sharers.subtask].masked_fill_(~shares, -1)
        first_of_index = torch.where(shares, self._first_alike(env_ids, sharers.subtask, self._demo_of_index.shape[1]), rows)
        # Point every row to the row that chooses for it.
        is_leader = leader == rows
        demo = torch.where(of_index >= 0, of_index, own)
        chooser = torch.where(is_leader, torch.where(of_index >= 0, rows, first_of_index), leader)
        demo, chooser = torch.where(of_group >= 0, of_group, demo), torch.where(of_group >= 0, rows, chooser)
        # Follow the pointers: each round doubles the distance that they reach.
        for _ in range((self._num_eefs - 1).bit_length()):
            chooser = chooser[chooser]
        demo = demo[chooser]
        self._demo_of_index[env_ids, sharers.subtask] = torch.where(of_index >= 0, of_index, demo[first_of_index])
        self.demo_of_group[env_ids, group] = demo
        self.demo_of_group[:, -1].fill_(-1)
        return demo

    def share_transform(self, sharers: Sharers, of_group: Tensor, own: Tensor) -> Tensor:
        """The transform of each row, (R, 4, 4): its own, or its group's, made by whoever of the group began first.

        Args:
            of_group: (R, 4, 4), what the row would make for its group, were it the first.
            own: (R, 4, 4), of a row without a group.
        """
        env_ids, group = sharers.env_ids, sharers.group
        is_known = sharers.is_known[:, None, None]
        made = torch.where(is_known, self._transform_of_group[env_ids, group], of_group[sharers.leader])
        self._transform_of_group[env_ids, group] = made
        return torch.where((group < self.table.num_groups)[:, None, None], made, own)

    def _first_alike(self, env_ids: Tensor, key: Tensor, num_keys: int) -> Tensor:
        """For each row the first one with the same env and key, (R,)."""
        place = env_ids * num_keys + key
        rows = torch.arange(len(env_ids), device=env_ids.device)
        first = self._first_row[: len(self._demo_of_index) * num_keys].fill_(len(env_ids))
        return first.scatter_reduce_(0, place, rows, "amin")[place]

"""Spans of subtasks: which steps of each demo belong to which subtask in a trial, and the longest trial that follows.

Nominal spans come from the demos; offsets drawn for the trial shift them.
"""

# E end effectors, D demos, S subtasks, T steps of the longest demo, n trials

import torch
from torch import Tensor

from isaaclab_mimic_ext.demos.pool import SourcePool
from isaaclab_mimic_ext.plan.constraints import ConstraintTable
from isaaclab_mimic_ext.plan.subtasks import SubtaskTable
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

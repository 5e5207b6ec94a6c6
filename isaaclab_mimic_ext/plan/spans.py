"""Which steps of each demo belong to which subtask in a trial: nominal spans, shifted by offsets drawn for the trial."""

# E end effectors, D demos, S subtasks, n trials

import torch
from torch import Tensor

from isaaclab_mimic_ext.demos.pool import SourcePool
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


def _bounds(low: Tensor, high: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    return low[:, None].expand_as(like), high[:, None].expand_as(like)

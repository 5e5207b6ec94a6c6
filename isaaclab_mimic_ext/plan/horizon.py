"""How long a trial can take: what buffers are made for."""

# E end effectors, D demos, S subtasks, T steps of the longest demo

import torch
from torch import Tensor

from isaaclab_mimic_ext.demos.pool import SourcePool
from isaaclab_mimic_ext.plan.constraints import ConstraintTable
from isaaclab_mimic_ext.plan.spans import widest_spans
from isaaclab_mimic_ext.plan.subtasks import SubtaskTable


def longest_trial(
    pool: SourcePool, table: SubtaskTable, constraints: ConstraintTable, transit_length: int | None = None
) -> int:
    """The most steps until all subtasks of all end effectors are done, whatever is drawn and whoever waits for whom.

    Args:
        transit_length: of a planned stretch before each subtask, in place of interpolation [steps].
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


def _gripper_changes(pool: SourcePool, starts: Tensor, ends: Tensor) -> Tensor:
    """How often the gripper's action changes within [starts, ends), each (E, D, S); an eef's missing subtasks are empty."""
    is_open = pool.gripper_action > 0
    changes = (is_open[:, :, 1:] != is_open[:, :, :-1]).any(-1).cumsum(-1)
    so_far = torch.cat((torch.zeros_like(changes[..., :1]), changes), dim=-1)
    return so_far.gather(-1, ends - 1) - so_far.gather(-1, starts.clamp(max=so_far.shape[-1] - 1))

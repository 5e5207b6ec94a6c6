"""Expected number of steps until the end of running trials, for the remaining time of a run."""

# N envs, E end effectors, D demos, S subtasks

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from isaaclab_mimic_ext.demos.pool import SourcePool
from isaaclab_mimic_ext.plan.constraints import ConstraintTable
from isaaclab_mimic_ext.plan.segments import gripper_changes, subtask_durations
from isaaclab_mimic_ext.plan.subtasks import SubtaskTable

if TYPE_CHECKING:
    from isaaclab_mimic_ext.plan.planner import TrialPlanner


class ExpectedSteps:
    """Expected duration of subtasks, from the mean of the source demos.

    Args:
        pool, table, constraints: source demos, subtasks and constraints of the trials.
    """

    def __init__(self, pool: SourcePool, table: SubtaskTable, constraints: ConstraintTable):
        self._table, self._constraints = table, constraints
        ends, starts = pool.subtask_ends, pool.subtask_starts
        if starts is None:
            starts = torch.cat((torch.zeros_like(ends[..., :1]), ends[..., :-1]), dim=-1)
        settling = table.num_settle[:, None] * gripper_changes(pool, starts, ends)
        steps = (ends - starts + settling).double().mean(1) + table.num_fixed + 1
        exists = torch.arange(steps.shape[1], device=steps.device) < table.num_subtasks[:, None]
        self._exists, self._steps = exists, steps * exists

    def remaining(self, planner: "TrialPlanner", step: Tensor) -> Tensor:
        """Expected number of steps until the end of each trial, (N,).

        Args:
            step: (N,), number of steps that each trial has made.
        """
        segments, begun = planner.segments, planner.begun
        lead_in = self._table.num_interpolation.double()
        if planner.plans_motion:  # The length of a transit is known when its segment begins.
            lead_in = (segments.num_interpolation * begun).sum() / begun.sum().clamp(min=1) * torch.ones_like(lead_in)
        steps = self._steps + lead_in * self._exists
        after = torch.nn.functional.pad(steps.flip(1).cumsum(1).flip(1), (0, 1))
        following = (planner.subtask + begun).clamp(max=steps.shape[1])
        eef_ids = torch.arange(len(steps), device=steps.device)
        own = torch.where(begun, segments.num_waypoints - 1 - segments.cursor, 0)
        remaining = torch.where(planner.finished, 0.0, own + after[eef_ids, following]).amax(1)
        if len(steps) > 1:  # End effectors wait for each other.
            running = ~planner.finished.all(1)
            remaining = torch.maximum(remaining, (self._longest_chain(steps) - step) * running)
        return remaining + planner.config.num_final_hold_steps - planner.steps_held

    def _longest_chain(self, steps: Tensor) -> int:
        """Number of steps of a trial whose subtasks take `steps` (E, S), waiting included."""
        durations = subtask_durations(self._constraints, self._table, steps.round().long())
        return self._constraints.order.longest_time(durations, dict.fromkeys(durations, 0))

"""Constraints between end effectors as tables, and as a mask: which end effectors must wait.

The kernels of `kernels/progress.py` and `kernels/segments.py` read the tables: which end effectors may begin a segment, and
which share a transform.

A waiting end effector repeats its last waypoint. Whether an end effector waits depends only on the progress of all end
effectors of its trial. It is evaluated for all envs together, as masks (N, E), without queues. `config.constraints` checks
which constraints are valid.
"""

# N envs, E end effectors, D demos, S subtasks, C groups of coordinated subtasks, K constraints of one kind

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from isaaclab_mimic_ext.config import SubTaskConfig, SubTaskConstraintConfig
from isaaclab_mimic_ext.config.constraints import EventOrder, SubtaskId, coordinations, groups, sequentials
from isaaclab_mimic_ext.config.task import COORDINATION_SCHEMES

_UNBOUNDED = 2**30
"""Number of remaining steps of a segment that has not begun."""


@dataclass(frozen=True)
class SubtaskPairs:
    """K pairs of subtasks: indices of end effectors and of their subtasks, (2, K) int64 each."""

    eef: Tensor
    subtask: Tensor

    def __len__(self) -> int:
        return self.eef.shape[1]


@dataclass(frozen=True)
class ConstraintTable:
    """The constraints of a task as tensors.

    Attributes:
        starts_after: pairs (former, latter) of subtasks; the latter begins when the former has finished.
        ends_after: pairs (former, latter) of subtasks; the latter begins at any time, but waits at `steps_before_end`
            waypoints before its end until the former has finished.
        steps_before_end: (K,) int64, for the pairs of `ends_after` [steps].
        coordinated: pairs of subtasks that share a source demo and a transform, and end together.
        group: (E, S) int64, group of coordinated subtasks that each subtask belongs to, directly or through other pairs;
            C if it belongs to none.
        scheme: (C + 1,) int64, index into `COORDINATION_SCHEMES` of each group; the last entry is unused.
        pos_noise_scale, rot_noise_scale: (C + 1, 1), noise on each group's transform [m], [rad].
        start_group: (E, S) int64, group of subtasks that begin together; the largest number if a subtask begins alone.
        start_members: (start groups, E) int64, subtask of each end effector in a start group, -1 if it has none.
        first_eefs: indices of the end effectors that begin with the trial.
        eef_names: names of the E end effectors.
        order: order of the begins and ends of all subtasks.
    """

    starts_after: SubtaskPairs
    ends_after: SubtaskPairs
    steps_before_end: Tensor
    coordinated: SubtaskPairs
    group: Tensor
    scheme: Tensor
    pos_noise_scale: Tensor
    rot_noise_scale: Tensor
    start_group: Tensor
    start_members: Tensor
    first_eefs: tuple[int, ...]
    eef_names: tuple[str, ...]
    order: EventOrder

    @property
    def num_groups(self) -> int:
        return len(self.scheme) - 1


def build_constraints(
    configs: Sequence[SubTaskConstraintConfig], subtasks: Mapping[str, Sequence[SubTaskConfig]], device: torch.device
) -> ConstraintTable:
    """Build the table of validated constraints, end effectors in the order of `subtasks`."""
    eef_names = list(subtasks)
    shape = len(eef_names), max(len(items) for items in subtasks.values())

    def group_ids(joined: Sequence[Sequence[SubtaskId]]) -> Tensor:
        ids = torch.full(shape, len(joined), dtype=torch.int64, device=device)
        for number, group in enumerate(joined):
            for eef, index in group:
                ids[eef_names.index(eef), index] = number
        return ids

    in_order = sequentials(configs)
    at_start = [c for c in in_order if c.num_steps_before_end == -1]
    at_end = [c for c in in_order if c.num_steps_before_end != -1]
    limits = [min(c.num_steps_before_end, _UNBOUNDED) for c in at_end]
    coordinated = coordinations(configs)
    coordination_groups = groups(c.members for c in coordinated)
    start_groups = groups(c.members for c in coordinated if c.synchronize_start)
    # The first constraint of a group defines its scheme and noise.
    defining = [next(c for c in coordinated if c.members[0] in group) for group in coordination_groups]
    schemes = [COORDINATION_SCHEMES.index(c.scheme) for c in defining] + [0]
    noises = [(c.pos_noise_scale, c.rot_noise_scale) for c in defining] + [(0.0, 0.0)]
    return ConstraintTable(
        starts_after=_pairs([(c.former, c.latter) for c in at_start], eef_names, device),
        ends_after=_pairs([(c.former, c.latter) for c in at_end], eef_names, device),
        steps_before_end=torch.tensor(limits, dtype=torch.int64, device=device),
        coordinated=_pairs([c.members for c in coordinated], eef_names, device),
        group=group_ids(coordination_groups),
        scheme=torch.tensor(schemes, dtype=torch.int64, device=device),
        pos_noise_scale=torch.tensor([[pos] for pos, _ in noises], device=device),
        rot_noise_scale=torch.tensor([[rot] for _, rot in noises], device=device),
        start_group=group_ids(start_groups),
        start_members=_members_by_eef(start_groups, eef_names).to(device),
        first_eefs=_first_eefs(eef_names, [c.latter for c in at_start], start_groups),
        eef_names=tuple(eef_names),
        order=EventOrder({eef: len(items) for eef, items in subtasks.items()}, configs),
    )


def _pairs(members: Sequence[tuple[SubtaskId, SubtaskId]], eef_names: Sequence[str], device: torch.device) -> SubtaskPairs:
    numbers = [[(eef_names.index(eef), index) for eef, index in pair] for pair in members]
    table = torch.tensor(numbers, dtype=torch.int64, device=device).reshape(len(members), 2, 2)
    return SubtaskPairs(table[..., 0].T.contiguous(), table[..., 1].T.contiguous())


def _members_by_eef(joined: Sequence[Sequence[SubtaskId]], eef_names: Sequence[str]) -> Tensor:
    members = torch.full((len(joined), len(eef_names)), -1, dtype=torch.int64)
    for number, group in enumerate(joined):
        for eef, index in group:
            members[number, eef_names.index(eef)] = index
    return members


def _first_eefs(
    eef_names: Sequence[str], latter: Sequence[SubtaskId], start_groups: Sequence[Sequence[SubtaskId]]
) -> tuple[int, ...]:
    """Indices of the end effectors that begin with the trial: no constraint delays their first subtask.

    The same must hold for all subtasks that begin together with it.
    """

    def is_free(subtask: SubtaskId) -> bool:
        return subtask[1] == 0 and subtask not in latter

    def begins_with_trial(eef: str) -> bool:
        start_group = next((group for group in start_groups if (eef, 0) in group), [(eef, 0)])
        return all(is_free(member) for member in start_group)

    return tuple(number for number, eef in enumerate(eef_names) if begins_with_trial(eef))


@dataclass
class Progress:
    """Progress of N trials.

    Attributes:
        subtask: (N, E) int64, index of the current subtask: the one that is executed, or the next one.
        begun: (N, E) bool, the current subtask has an unfinished segment.
        finished: (N, E) bool, all subtasks are finished.
        remaining: (N, E), number of waypoints of the current segment that have not been executed.
    """

    subtask: Tensor
    begun: Tensor
    finished: Tensor
    remaining: Tensor

    def is_done(self, pairs: SubtaskPairs, side: int) -> Tensor:
        """Return whether the subtasks on one side (0 or 1) of the pairs are finished, (N, K) bool."""
        eef, subtask = pairs.eef[side], pairs.subtask[side]
        return (self.subtask[:, eef] > subtask) | ((self.subtask[:, eef] == subtask) & self.finished[:, eef])

    def is_current(self, pairs: SubtaskPairs, side: int) -> Tensor:
        """Return whether the subtasks on one side (0 or 1) of the pairs are the current ones, (N, K) bool."""
        eef, subtask = pairs.eef[side], pairs.subtask[side]
        return (self.subtask[:, eef] == subtask) & ~self.finished[:, eef]


class Constraints:
    """Applies a constraint table to N trials."""

    def __init__(self, table: ConstraintTable):
        self.table = table
        num_eefs = len(table.group)
        eefs = torch.arange(num_eefs, device=table.group.device)
        self._is_latter_of_end = table.ends_after.eef[1][:, None] == eefs
        self._is_coordinated = [side[:, None] == eefs for side in table.coordinated.eef]
        self._num_passes = min(len(table.coordinated), num_eefs - 1)
        """Number of times that a wait can spread from one coordinated end effector to the next."""

    @property
    def never_wait(self) -> bool:
        """Return whether no constraint makes an end effector wait within a segment."""
        return not len(self.table.ends_after) and not len(self.table.coordinated)

    def must_wait(self, progress: Progress, num_common_steps: Tensor, waits: Tensor) -> Tensor:
        """Return which end effectors must not advance to their next waypoint, (N, E) bool.

        Args:
            num_common_steps: (N, K), number of steps before its end that each coordinated pair executes in lockstep.
            waits: (N, E) bool, end effectors that already wait for other reasons, such as settling; included in the result.
        """
        table = self.table
        if len(table.ends_after):
            latter = table.ends_after.eef[1]
            at_limit = progress.remaining[:, latter] <= table.steps_before_end
            too_early = progress.is_current(table.ends_after, 1) & ~progress.is_done(table.ends_after, 0)
            waits = waits | _any_by_eef(at_limit & too_early, self._is_latter_of_end)
        if not len(table.coordinated):
            return waits
        remaining = []
        for side in range(2):
            eef = table.coordinated.eef[side]
            is_active = progress.is_current(table.coordinated, side) & progress.begun[:, eef]
            remaining.append(progress.remaining[:, eef].masked_fill(~is_active, _UNBOUNDED))
        first, second = remaining
        waits = waits | _any_by_eef((first <= num_common_steps) & (first < second), self._is_coordinated[0])
        waits = waits | _any_by_eef((second <= num_common_steps) & (second < first), self._is_coordinated[1])
        in_lockstep = (first == second) & (first <= num_common_steps)
        # An end effector in lockstep with a waiting one waits too.
        for _ in range(self._num_passes):
            one_waits = in_lockstep & (waits[:, table.coordinated.eef[0]] | waits[:, table.coordinated.eef[1]])
            waits = waits | _any_by_eef(one_waits, self._is_coordinated[0] | self._is_coordinated[1])
        return waits


def _any_by_eef(flags: Tensor, is_eef: Tensor) -> Tensor:
    """Reduce flags of pairs (N, K) to end effectors, (N, E) bool; `is_eef` (K, E) bool is the end effector of each pair."""
    return (flags[..., None] & is_eef).any(1)

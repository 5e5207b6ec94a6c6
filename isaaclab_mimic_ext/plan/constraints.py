"""Constraints between end effectors as tensors: who may begin, who must wait, who moves as whom.

A waiting end effector holds its last waypoint. Whether it waits is a function of how far everybody is, evaluated for all
envs at once: masks over (N, E), no queues. `config.constraints` says what may be asked for.
"""

# N envs, E end effectors, D demos, S subtasks, C groups of coordinated subtasks, K constraints of one kind, R rows addressed

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from isaaclab_mimic_ext.config import SubTaskConfig, SubTaskConstraintConfig
from isaaclab_mimic_ext.config.constraints import EventOrder, SubtaskId, coordinations, groups, sequentials
from isaaclab_mimic_ext.config.task import COORDINATION_SCHEMES
from isaaclab_mimic_ext.math import matrix_from_axis_angle

_FAR = 2**30
"""Steps that remain of a segment which has not begun."""


@dataclass(frozen=True)
class SubtaskPairs:
    """K pairs of subtasks: `eef` and `subtask` are (2, K) int64."""

    eef: Tensor
    subtask: Tensor

    def __len__(self) -> int:
        return self.eef.shape[1]


@dataclass(frozen=True)
class ConstraintTable:
    """What is asked for.

    Attributes:
        starts_after: the former subtasks, and the latter ones that begin when those have finished.
        ends_after: likewise, the latter waiting `steps_before_end` (K,) steps before their end.
        coordinated: pairs that share a demo and a transform and end together.
        group: (E, S) int64, which group of coordinated subtasks each belongs to, directly or through others; C: to none.
        scheme: (C + 1,) int64, into `COORDINATION_SCHEMES`; the last entry, of no group, means nothing.
        pos_noise_scale, rot_noise_scale: (C + 1, 1), of each group's transform [m], [rad].
        start_group: (E, S) int64, of the subtasks that begin together; the last number: alone.
        start_members: (start groups, E) int64, the subtask of every end effector in it, -1 where it has none.
        first_eefs: the end effectors that begin with the trial.
        eef_names: of the E end effectors.
        order: of the events.
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
    """The table of validated constraints, end effectors in the order of `subtasks`."""
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
    coordinated = coordinations(configs)
    coordination_groups = groups(c.members for c in coordinated)
    start_groups = groups(c.members for c in coordinated if c.synchronize_start)
    makers = [next(c for c in coordinated if c.members[0] in group) for group in coordination_groups]
    schemes = [COORDINATION_SCHEMES.index(c.scheme) for c in makers] + [0]
    noises = [(c.pos_noise_scale, c.rot_noise_scale) for c in makers] + [(0.0, 0.0)]
    return ConstraintTable(
        starts_after=_pairs([(c.former, c.latter) for c in at_start], eef_names, device),
        ends_after=_pairs([(c.former, c.latter) for c in at_end], eef_names, device),
        steps_before_end=torch.tensor([min(c.num_steps_before_end, _FAR) for c in at_end], dtype=torch.int64, device=device),
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
    """Those whose first subtask waits for nobody: it follows no other, nor does any that it begins together with."""

    def is_free(subtask: SubtaskId) -> bool:
        return subtask[1] == 0 and subtask not in latter

    def begins_at_once(eef: str) -> bool:
        together = next((group for group in start_groups if (eef, 0) in group), [(eef, 0)])
        return all(is_free(member) for member in together)

    return tuple(number for number, eef in enumerate(eef_names) if begins_at_once(eef))


@dataclass
class Standing:
    """How far N trials are.

    Attributes:
        subtask: (N, E) int64, the one that is executed, or comes next.
        begun: (N, E) bool, whether it has a plan.
        finished: (N, E) bool, all subtasks are done.
        remaining: (N, E), waypoints of the present segment that were not executed yet.
    """

    subtask: Tensor
    begun: Tensor
    finished: Tensor
    remaining: Tensor

    def is_done(self, pairs: SubtaskPairs, side: int) -> Tensor:
        """(N, K) bool, whether the pairs' subtasks on one side are over."""
        eef, subtask = pairs.eef[side], pairs.subtask[side]
        return (self.subtask[:, eef] > subtask) | ((self.subtask[:, eef] == subtask) & self.finished[:, eef])

    def is_present(self, pairs: SubtaskPairs, side: int) -> Tensor:
        """(N, K) bool, whether they are the present or the next one of their end effectors."""
        eef, subtask = pairs.eef[side], pairs.subtask[side]
        return (self.subtask[:, eef] == subtask) & ~self.finished[:, eef]


class Constraints:
    """Applies a table to N trials."""

    def __init__(self, table: ConstraintTable):
        self.table = table
        num_eefs = len(table.group)
        eefs = torch.arange(num_eefs, device=table.group.device)
        self._eefs = eefs
        self._is_latter_of_start = table.starts_after.eef[1][:, None] == eefs
        self._is_latter_of_end = table.ends_after.eef[1][:, None] == eefs
        self._is_coordinated = [side[:, None] == eefs for side in table.coordinated.eef]
        self._num_passes = min(len(table.coordinated), num_eefs - 1)
        """How far a wait can pass on from one coordinated end effector to the next."""

    @property
    def never_wait(self) -> bool:
        """Whether nobody waits once it has begun."""
        return not len(self.table.ends_after) and not len(self.table.coordinated)

    def may_begin(self, standing: Standing) -> Tensor:
        """(N, E) bool, whose next subtask waits for nobody."""
        table = self.table
        ready = ~standing.begun & ~standing.finished
        if len(table.starts_after):
            too_early = standing.is_present(table.starts_after, 1) & ~standing.is_done(table.starts_after, 0)
            ready &= ~_any_by_eef(too_early, self._is_latter_of_start)
        if len(table.start_members):
            members = table.start_members
            is_there = ready[:, None] & (standing.subtask[:, None] == members)
            all_there = (is_there | (members < 0)).all(-1)
            alone = torch.ones_like(all_there[:, :1])
            ready &= torch.cat((all_there, alone), dim=1).gather(1, table.start_group[self._eefs, standing.subtask])
        return ready

    def must_wait(self, standing: Standing, num_common_steps: Tensor, waits: Tensor) -> Tensor:
        """(N, E) bool, who may not go on to the next waypoint, beside those who wait already for reasons of their own.

        Args:
            num_common_steps: (N, K), how many last steps the coordinated pairs go in step.
            waits: (N, E) bool.
        """
        table = self.table
        if len(table.ends_after):
            latter = table.ends_after.eef[1]
            at_limit = standing.remaining[:, latter] <= table.steps_before_end
            too_early = standing.is_present(table.ends_after, 1) & ~standing.is_done(table.ends_after, 0)
            waits = waits | _any_by_eef(at_limit & too_early, self._is_latter_of_end)
        if not len(table.coordinated):
            return waits
        remaining = []
        for side in range(2):
            eef = table.coordinated.eef[side]
            is_going = standing.is_present(table.coordinated, side) & standing.begun[:, eef]
            remaining.append(standing.remaining[:, eef].masked_fill(~is_going, _FAR))
        first, second = remaining
        waits = waits | _any_by_eef((first <= num_common_steps) & (first < second), self._is_coordinated[0])
        waits = waits | _any_by_eef((second <= num_common_steps) & (second < first), self._is_coordinated[1])
        in_step = (first == second) & (first <= num_common_steps)
        # Whoever moves in step with one that waits, waits too.
        for _ in range(self._num_passes):
            one_waits = in_step & (waits[:, table.coordinated.eef[0]] | waits[:, table.coordinated.eef[1]])
            waits = waits | _any_by_eef(one_waits, self._is_coordinated[0] | self._is_coordinated[1])
        return waits


def _any_by_eef(of_pair: Tensor, is_eef: Tensor) -> Tensor:
    """Whether any of the flags (N, K) concerns an end effector, (N, E) bool; `is_eef` is (K, E) bool."""
    return (of_pair[..., None] & is_eef).any(1)


def shared_transform(
    table: ConstraintTable, group: Tensor, object_now: Tensor, object_then: Tensor, to_now: Tensor, uniform: Tensor
) -> Tensor:
    """The transforms (R, 4, 4) that coordinated subtasks of groups (R,) move their source paths by.

    Args:
        object_now, object_then: (R, 4, 4), the object of whoever begins first, now and in the source, env frame [m].
        to_now: (R, 4, 4), from the one to the other.
        uniform: (R, 6) on (0, 1), what the noise on position and rotation is made of.
    """
    identity = torch.eye(4, device=to_now.device).expand_as(to_now)
    translation = identity.clone()
    translation[:, :3, 3] = object_now[:, :3, 3] - object_then[:, :3, 3]
    moved = torch.stack((identity, to_now, translation), dim=1)
    transform = moved[torch.arange(len(group), device=group.device), table.scheme[group]].clone()
    noise = 2.0 * uniform - 1.0
    turn = matrix_from_axis_angle(noise[:, 3:] * table.rot_noise_scale[group])
    transform[:, :3, 3] += noise[:, :3] * table.pos_noise_scale[group]
    transform[:, :3, :3] = turn @ transform[:, :3, :3]
    return transform

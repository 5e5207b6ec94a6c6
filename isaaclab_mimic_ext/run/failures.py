"""Observe running trials to find the reason of each failure, and the tracking error. Used for plans and policies."""

# N envs, n of them addressed, E end effectors, S subtasks

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from isaaclab_mimic_ext.errors import TaskSpecError, choices
from isaaclab_mimic_ext.task.reasons import FailureReason, reason_names

_NEVER = 2**62
"""First step of a condition that was never true."""

_NUM_DEFERRED = 16
"""Largest number of steps that are evaluated together: on a CPU, this takes as long as for one step."""


@dataclass
class Observed:
    """Observations of n trials, which determine the reasons of their failures, on any device.

    Attributes:
        first: (n, C + 1) int64, first step in which each condition, and success, was true; `_NEVER` if never.
        end: (n, C + 1) int64, step after the last step in which it was true; -1 if never.
        num_rises: (n,) int64, number of times that success became true.
        planner_failure: (n,) int64, code of the planner's message; 0 if the planner did not fail.
    """

    first: Tensor
    end: Tensor
    num_rises: Tensor
    planner_failure: Tensor

    @property
    def has_succeeded(self) -> Tensor:
        """Return whether the task was solved in any step, (n,) bool."""
        return self.end[:, -1] > 0


class FailureObserver:
    """Note the first and last step in which each condition was true, for N envs. They determine the reason of a failure.

    Per trial, the caller calls `begin`, then `watch` after every step, then `reasons` at the end.

    Args:
        reasons: reasons of the task, by priority: the first that holds is the reason of the trial.
        conditions: example of the argument of `watch`; only the names are used.
        planner_messages: messages of a failing planner; the message at index i has the failure code i + 1.
        also: further conditions to note, for `first_true`.

    Raises:
        TaskSpecError: a condition of a reason or of `also` is not in `conditions`, or two reasons have the same name.
    """

    def __init__(
        self,
        reasons: Sequence[FailureReason],
        conditions: Mapping[str, Tensor],
        num_envs: int,
        device: torch.device,
        planner_messages: Sequence[str] = (),
        also: Sequence[str] = (),
    ):
        self.names = reason_names(reasons, planner_messages)
        """Names of the reasons, by code."""
        _check(reasons, conditions, self.names, also)
        self._reasons = tuple(reasons)
        self._columns = _columns(self._reasons, also)
        self._place = place = {column: index for index, column in enumerate(self._columns)}
        self._column_of = [place[reason.condition, reason.after] for reason in self._reasons]
        self._after_of = [-1 if reason.after is None else place[reason.after, None] for reason in self._reasons]
        afters = [after for _, after in self._columns]
        self._counts_from_start = torch.tensor([after is None for after in afters] + [True], device=device)
        self._after = torch.tensor([place[after, None] if after else 0 for after in afters] + [0], device=device)
        self._any_after = any(after is not None for after in afters)
        # The column after the conditions is success. `_end` is the step after the last true step; -1 if never true.
        self._first = torch.full((num_envs, len(self._columns) + 1), _NEVER, dtype=torch.int64, device=device)
        self._end = torch.full_like(self._first, -1)
        self._never, self._not_yet = self._first[:1, :1].clone(), self._end[:1, :1].clone()
        num_columns = len(self._columns) + 1
        self._true = torch.zeros(_NUM_DEFERRED, num_envs, num_columns, dtype=torch.bool, device=device)
        self._step = torch.zeros(_NUM_DEFERRED, num_envs, dtype=torch.int64, device=device)
        self._num_deferred = 0
        self._num_rises = torch.zeros(num_envs, dtype=torch.int64, device=device)
        self._planner_failure = torch.zeros(num_envs, dtype=torch.int64, device=device)
        self._num_planner_codes = max(len(planner_messages), 1)

    @property
    def ever_successful(self) -> Tensor:
        """Return whether the task was solved in any step of the current trial, (N,) bool."""
        self._note_deferred()
        return self._end[:, -1] > 0

    def begin(self, env_ids: Tensor) -> None:
        """Clear the notes of `env_ids` (n,) for new trials."""
        self._note_deferred()
        self._first.index_fill_(0, env_ids, _NEVER)
        self._end.index_fill_(0, env_ids, -1)
        self._num_rises.index_fill_(0, env_ids, 0)
        self._planner_failure.index_fill_(0, env_ids, 0)

    def watch(self, step: Tensor, conditions: Mapping[str, Tensor], success: Tensor, resting: Tensor | None = None) -> None:
        """Note the conditions and success after one step of all envs.

        Args:
            step: (N,), index of the step in the trial of each env.
            conditions: name -> (N,) bool.
            success: (N,) bool.
            resting: (N,) bool, envs whose trials are over: nothing is noted; None: none.
        """
        columns = [*(conditions[name] for name, _ in self._columns), success]
        torch.stack(columns, dim=1, out=self._true[self._num_deferred])
        if resting is not None:
            self._true[self._num_deferred] &= ~resting[:, None]
        self._step[self._num_deferred].copy_(step)
        self._num_deferred += 1
        if self._num_deferred == _NUM_DEFERRED:
            self._note_deferred()

    def _note_deferred(self) -> None:
        """Note the stored steps; their numbers rise in each env that runs a trial."""
        num_steps, self._num_deferred = self._num_deferred, 0
        if not num_steps:
            return
        true, step = self._true[:num_steps], self._step[:num_steps, :, None]
        if self._any_after:
            # Whether the condition in `after` was true in an earlier step.
            earlier = torch.cat((self._end[None, :, self._after] > 0, true[:-1, :, self._after]))
            true &= (earlier.cumsum(0) > 0) | self._counts_from_start
        end = torch.cat((self._end[None], torch.where(true, step + 1, self._not_yet))).cummax(0).values
        self._num_rises += (true[..., -1] & (end[:-1, :, -1] != step[..., 0])).sum(0)
        self._first = torch.minimum(self._first, torch.where(true, step, self._never).amin(0))
        self._end = end[-1]

    def first_true(self, env_ids: Tensor, conditions: Sequence[str]) -> Tensor:
        """First step in which each condition was true in the trials of `env_ids`, (n, len(conditions)); -1: never."""
        return self.first_true_of(self.observed(env_ids), conditions)

    def first_true_of(self, observed: Observed, conditions: Sequence[str]) -> Tensor:
        """First step in which each condition was true in the observed trials, (n, len(conditions)); -1: never."""
        first = observed.first[:, [self._place[name, None] for name in conditions]]
        return torch.where(first < _NEVER, first, -1)

    def observed(self, env_ids: Tensor) -> Observed:
        """Copy of the observations of the trials of `env_ids` (n,)."""
        self._note_deferred()
        tensors = (self._first, self._end, self._num_rises, self._planner_failure)
        return Observed(*(tensor[env_ids] for tensor in tensors))

    def fail_planner(self, failure: Tensor) -> None:
        """Note failures of the planner, (N,) int64 (or bool): code of its message; 0 if it did not fail."""
        self._planner_failure = torch.where(self._planner_failure > 0, self._planner_failure, failure)

    def reasons(self, env_ids: Tensor, lengths: Tensor, nonfinite_step: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Codes of the reasons, and steps of the failures, of the trials of `env_ids` (n,), as if all failed; (n,) each.

        Args:
            lengths: (n,), numbers of steps of the trials.
            nonfinite_step: (n,), first step with values that are not finite (NaN, infinity); -1 if all are finite.
        """
        return self.reasons_of(self.observed(env_ids), lengths, nonfinite_step)

    def reasons_of(self, observed: Observed, lengths: Tensor, nonfinite_step: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Codes of the reasons, and steps of the failures, of observed trials; see `reasons`."""
        first, after_last, end = observed.first, observed.end, lengths - 1
        failure = observed.planner_failure
        holds, steps = [], []
        if nonfinite_step is None:
            nonfinite_step = torch.full_like(lengths, -1)
        holds.append(nonfinite_step >= 0)
        steps.append(nonfinite_step)
        for planner_code in range(self._num_planner_codes):
            holds.append(failure == planner_code + 1)
            steps.append(end)
        for reason, column, after in zip(self._reasons, self._column_of, self._after_of, strict=True):
            held, step = _holds(reason, first[:, column], after_last[:, column], end)
            holds.append(held if after < 0 else held & (after_last[:, after] > 0))
            steps.append(step)
        _judge(observed, end, holds, steps)
        code = torch.stack(holds, dim=1).int().argmax(1)
        return code, torch.stack(steps, dim=1).gather(1, code[:, None]).squeeze(1)


def _judge(observed: Observed, end: Tensor, holds: list[Tensor], steps: list[Tensor]) -> None:
    """Append the reasons of `JUDGED`, which depend only on success."""
    first, after_last = observed.first[:, -1], observed.end[:, -1]
    ever = after_last > 0
    flickered = ever & (observed.num_rises > 1)
    too_late = ever & ~flickered & (after_last > end)
    holds += [~ever, flickered, too_late, torch.ones_like(ever)]
    steps += [end, first, first, after_last]


def _holds(reason: FailureReason, first: Tensor, after_last: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
    """Return whether a reason holds, and the step of the failure, (n,) each."""
    if reason.when == "never":
        return after_last < 0, end
    if reason.when == "ever":
        return after_last > 0, first
    return (after_last > 0) & (after_last <= end), after_last


def _columns(reasons: Sequence[FailureReason], also: Sequence[str]) -> list[tuple[str, str | None]]:
    """Return all pairs (condition, condition after which it counts or None) to observe, without duplicates."""
    plain = [(name, None) for name in also]
    plain += [(reason.condition if reason.after is None else reason.after, None) for reason in reasons]
    return list(dict.fromkeys([*plain, *((reason.condition, reason.after) for reason in reasons)]))


def _check(
    reasons: Sequence[FailureReason], conditions: Mapping[str, Tensor], names: Sequence[str], also: Sequence[str]
) -> None:
    for name in also:
        if name not in conditions:
            raise TaskSpecError(
                f"conditions: term signal '{name}' is not a condition of the task; {choices(name, conditions)}"
            )
    named = [(reason.name, name) for reason in reasons for name in (reason.condition, reason.after) if name is not None]
    for owner, name in named:
        if name not in conditions:
            raise TaskSpecError(
                f"failure reason '{owner}': '{name}' is not a condition of the task; {choices(name, conditions)}"
            )
    twice = [name for code, name in enumerate(names) if name in names[:code]]
    if twice:
        raise TaskSpecError(f"failure reason '{twice[0]}': must be a unique name (two reasons have it); rename one of them")


TRACKING = ("position mean [m]", "position max [m]", "rotation mean [rad]", "rotation max [rad]")
"""Entries of the last axis of `TrackingError.summary`."""


class TrackingError:
    """Mean and maximum distance between target pose and reached pose, per end effector and subtask, on the device.

    The poses of up to `_NUM_DEFERRED` steps are stored, and their errors are computed together.
    """

    def __init__(self, num_envs: int, num_eefs: int, num_subtasks: int, device: torch.device):
        # Last axis: distance [m], half of the angle [rad], number of steps (in the sum only). The last subtask stands for
        # steps after the end of a trial.
        self._num_subtasks = num_subtasks
        self._sum = torch.zeros(num_envs, num_eefs, num_subtasks + 1, 3, device=device)
        self._max = torch.zeros_like(self._sum)
        self._one = torch.ones(num_envs, num_eefs, device=device)
        self._poses = torch.zeros(2, _NUM_DEFERRED, num_envs, num_eefs, 4, 4, device=device)
        self._subtask = torch.zeros(_NUM_DEFERRED, num_envs, num_eefs, dtype=torch.int64, device=device)
        self._num_deferred = 0

    def begin(self, env_ids: Tensor) -> None:
        """Clear the sums of `env_ids` (n,) for new trials."""
        self._add_deferred()
        self._sum.index_fill_(0, env_ids, 0.0)
        self._max.index_fill_(0, env_ids, 0.0)

    def add(self, target_pose: Tensor, eef_pose: Tensor, subtask: Tensor, resting: Tensor | None = None) -> None:
        """Add the errors of one step of all envs.

        Args:
            target_pose: (N, E, 4, 4), target pose of each end effector in this step, env frame [m].
            eef_pose: (N, E, 4, 4), pose of each end effector after the step, env frame [m].
            subtask: (N, E), index of the current subtask.
            resting: (N,) bool, envs whose trials are over, which do not count; None: none.
        """
        step = self._num_deferred
        self._poses[0, step].copy_(target_pose)
        self._poses[1, step].copy_(eef_pose)
        self._subtask[step].copy_(subtask)
        if resting is not None:
            self._subtask[step].masked_fill_(resting[:, None], self._num_subtasks)
        self._num_deferred += 1
        if self._num_deferred == _NUM_DEFERRED:
            self._add_deferred()

    def _add_deferred(self) -> None:
        """Add the errors of the stored steps, in their order."""
        if not self._num_deferred:
            return
        target_pose, eef_pose = self._poses[:, : self._num_deferred, ..., :3, :]
        difference = target_pose - eef_pose
        squares = (difference * difference).sum(-2)
        # |R - R'| (Frobenius) = 2 sqrt(2) sin(angle / 2). Unlike the trace, it is accurate for small angles.
        chord = (squares[..., :3].sum(-1) * 0.125).clamp_(max=1.0)
        error = torch.stack((squares[..., 3], chord, self._one.expand_as(chord)), dim=-1).sqrt_()
        error[..., 1].asin_()
        error = error.permute(1, 2, 0, 3)
        at = self._subtask[: self._num_deferred].permute(1, 2, 0)[..., None].expand_as(error)
        self._sum.scatter_add_(2, at, error)
        self._max.scatter_reduce_(2, at, error, "amax")
        self._num_deferred = 0

    def observed(self, env_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Copy of the sums and the maxima of the trials of `env_ids` (n,), (n, E, S, 3) each, for `tracking_summary`."""
        self._add_deferred()
        return self._sum[env_ids, :, : self._num_subtasks], self._max[env_ids, :, : self._num_subtasks]

    def summary(self, env_ids: Tensor) -> Tensor:
        """Means and maxima of the current trials, (n, E, S, 4), in the order of `TRACKING`; NaN without steps."""
        return tracking_summary(*self.observed(env_ids))


def tracking_summary(total: Tensor, largest: Tensor) -> Tensor:
    """Means and maxima, (n, E, S, 4), of `TrackingError.observed`, in the order of `TRACKING`; NaN without steps."""
    count = total[..., 2:]
    values = torch.stack((total[..., :2] / count, torch.where(count > 0, largest[..., :2], torch.nan)), dim=-1)
    values[..., 1, :] *= 2.0  # The sums contain half of the angle.
    return values.flatten(-2)

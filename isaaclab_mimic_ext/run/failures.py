"""Watching trials, so that at the end of each it can be said why it failed. For plans and for policies alike."""

# N envs, n of them addressed, C watched conditions, K codes of reasons
# N envs, n of them addressed, E end effectors, S subtasks

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from isaaclab_mimic_ext.errors import TaskSpecError, choices
from isaaclab_mimic_ext.task.reasons import FailureReason, reason_names

_NEVER = 2**62

"""The first step of what has not happened."""


class FailureObserver:
    """Notes for N envs when each watched condition was first and last true; from that alone the reasons follow.

    The caller gives a trial's steps in their order: `begin`, `watch` after every step, `reasons` at its end.

    Args:
        reasons: the task's, in the order in which they are looked for: the first that holds is the trial's.
        conditions: an example of what `watch` will be given, which shows their names.
        planner_messages: what the planner may say when it fails; 1 is the failure code of the first one.
        also: further conditions to note, for `first_true`.

    Raises:
        TaskSpecError: a condition that a reason or `also` names is not there, or two reasons have the same name.
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
        """Of the reasons, by code."""
        _check(reasons, conditions, self.names, also)
        self._reasons = tuple(reasons)
        self._columns = _columns(self._reasons, also)
        self._place = place = {column: index for index, column in enumerate(self._columns)}
        self._column_of = [place[reason.condition, reason.after] for reason in self._reasons]
        self._after_of = [-1 if reason.after is None else place[reason.after, None] for reason in self._reasons]
        afters = [after for _, after in self._columns]
        self._counts_at_once = torch.tensor([after is None for after in afters] + [True], device=device)
        self._after = torch.tensor([place[after, None] if after else 0 for after in afters] + [0], device=device)
        self._any_after = any(after is not None for after in afters)
        # One more column than conditions: success. `_end` is the step after the last true one, -1 before there is one.
        self._first = torch.full((num_envs, len(self._columns) + 1), _NEVER, dtype=torch.int64, device=device)
        self._end = torch.full_like(self._first, -1)
        self._never = self._first[:1, :1].clone()
        self._num_rises = torch.zeros(num_envs, dtype=torch.int64, device=device)
        self._planner_failure = torch.zeros(num_envs, dtype=torch.int64, device=device)
        self._num_planner_codes = max(len(planner_messages), 1)

    @property
    def ever_successful(self) -> Tensor:
        """Whether the task was solved at some step of the present trial, (N,) bool."""
        return self._end[:, -1] > 0

    def begin(self, env_ids: Tensor) -> None:
        """Forget the last trials of `env_ids` (n,)."""
        self._first[env_ids] = _NEVER
        self._end[env_ids] = -1
        self._num_rises[env_ids] = 0
        self._planner_failure[env_ids] = 0

    def watch(self, step: Tensor, conditions: Mapping[str, Tensor], success: Tensor) -> None:
        """Note what is true after `step`, (N,): how many steps of its trial each env had made before this one.

        Args:
            conditions: name -> (N,) bool.
            success: (N,) bool.
        """
        step = step[:, None]
        true = torch.stack([*(conditions[name] for name, _ in self._columns), success], dim=1)
        if self._any_after:
            true &= (self._end[:, self._after] > 0) | self._counts_at_once
        self._num_rises += true[:, -1] & (self._end[:, -1] != step[:, 0])
        self._first = torch.minimum(self._first, torch.where(true, step, self._never))
        self._end = torch.where(true, step + 1, self._end)

    def first_true(self, env_ids: Tensor, conditions: Sequence[str]) -> Tensor:
        """The step in which each condition was first true in the trials of `env_ids`, (n, len(conditions)); -1: in none."""
        first = self._first[env_ids][:, [self._place[name, None] for name in conditions]]
        return torch.where(first < _NEVER, first, -1)

    def fail_planner(self, failure: Tensor) -> None:
        """Note where the planner has failed: the code of its message, (N,) int64 (or bool), 0 where it did not."""
        self._planner_failure = torch.where(self._planner_failure > 0, self._planner_failure, failure)

    def reasons(self, env_ids: Tensor, lengths: Tensor, broken: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Why the trials of `env_ids` (n,) failed if they did: code and step, (n,) each.

        Args:
            lengths: (n,), steps of the trials.
            broken: (n,), the step from which the physics gave numbers that are not finite, -1 where it did not.
        """
        first, after_last, end = self._first[env_ids], self._end[env_ids], lengths - 1
        failure = self._planner_failure[env_ids]
        holds, steps = [], []
        if broken is None:
            broken = torch.full_like(lengths, -1)
        holds.append(broken >= 0)
        steps.append(broken)
        for planner_code in range(self._num_planner_codes):
            holds.append(failure == planner_code + 1)
            steps.append(end)
        for reason, column, after in zip(self._reasons, self._column_of, self._after_of, strict=True):
            held, step = _holds(reason, first[:, column], after_last[:, column], end)
            holds.append(held if after < 0 else held & (after_last[:, after] > 0))
            steps.append(step)
        self._judge(env_ids, end, holds, steps)
        code = torch.stack(holds, dim=1).int().argmax(1)
        return code, torch.stack(steps, dim=1).gather(1, code[:, None]).squeeze(1)

    def _judge(self, env_ids: Tensor, end: Tensor, holds: list[Tensor], steps: list[Tensor]) -> None:
        """Add the reasons of `JUDGED`, which only success itself decides."""
        first, after_last = self._first[env_ids, -1], self._end[env_ids, -1]
        ever = after_last > 0
        flickered = ever & (self._num_rises[env_ids] > 1)
        too_late = ever & ~flickered & (after_last > end)
        holds += [~ever, flickered, too_late, torch.ones_like(ever)]
        steps += [end, first, first, after_last]


def _holds(reason: FailureReason, first: Tensor, after_last: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
    """Whether a reason holds, and at which step, (n,) each."""
    if reason.when == "never":
        return after_last < 0, end
    if reason.when == "ever":
        return after_last > 0, first
    return (after_last > 0) & (after_last <= end), after_last


def _columns(reasons: Sequence[FailureReason], also: Sequence[str]) -> list[tuple[str, str | None]]:
    """(condition, the one after which it counts) of all that is to be watched; each pair once."""
    plain = [(name, None) for name in also]
    plain += [(reason.condition if reason.after is None else reason.after, None) for reason in reasons]
    return list(dict.fromkeys([*plain, *((reason.condition, reason.after) for reason in reasons)]))


def _check(
    reasons: Sequence[FailureReason], conditions: Mapping[str, Tensor], names: Sequence[str], also: Sequence[str]
) -> None:
    for name in also:
        if name not in conditions:
            raise TaskSpecError(
                f"conditions: the task watches no '{name}', which is a subtask's signal; {choices(name, conditions)}"
            )
    named = [(reason.name, name) for reason in reasons for name in (reason.condition, reason.after) if name is not None]
    for owner, name in named:
        if name not in conditions:
            raise TaskSpecError(f"failure reason '{owner}': the task has no condition '{name}'; {choices(name, conditions)}")
    twice = [name for code, name in enumerate(names) if name in names[:code]]
    if twice:
        raise TaskSpecError(f"failure reason '{twice[0]}': two reasons have this name; give each its own")


TRACKING = ("position mean [m]", "position max [m]", "rotation mean [rad]", "rotation max [rad]")

"""The last axis of what `TrackingError.summary` gives."""


class TrackingError:
    """Sums up the distance between each step's target and what the step reached, on the device."""

    def __init__(self, num_envs: int, num_eefs: int, num_subtasks: int, device: torch.device):
        # Distance [m], half the angle [rad], and in the sum how many steps.
        self._sum = torch.zeros(num_envs, num_eefs, num_subtasks, 3, device=device)
        self._max = torch.zeros_like(self._sum)
        self._one = torch.ones(num_envs, num_eefs, device=device)
        # The sums hold half the angle.
        self._factor = torch.tensor([1.0, 2.0], device=device)

    def begin(self, env_ids: Tensor) -> None:
        """Forget the last trials of `env_ids` (n,)."""
        self._sum[env_ids] = 0.0
        self._max[env_ids] = 0.0

    def add(self, target_pose: Tensor, eef_pose: Tensor, subtask: Tensor) -> None:
        """Note one step of every env.

        Args:
            target_pose, eef_pose: (N, E, 4, 4), where each end effector was to go, and where it is, env frame [m].
            subtask: (N, E), which one it is in.
        """
        difference = (target_pose - eef_pose)[..., :3, :]
        squares = (difference * difference).sum(-2)
        # |R - R'| (Frobenius) is 2 sqrt(2) sin(angle / 2): exact near 0, where the trace is not.
        chord = (squares[..., :3].sum(-1) * 0.125).clamp_(max=1.0)
        error = torch.stack((squares[..., 3], chord, self._one), dim=-1).sqrt_()
        error[..., 1].asin_()
        at = subtask[..., None, None].expand(-1, -1, 1, 3)
        self._sum.scatter_add_(2, at, error[:, :, None])
        self._max.scatter_reduce_(2, at, error[:, :, None], "amax")

    def summary(self, env_ids: Tensor) -> Tensor:
        """Means and maxima of the present trials, (n, E, S, 4) as `TRACKING` names them; NaN where no step was made."""
        total, largest = self._sum[env_ids], self._max[env_ids]
        count = total[..., 2]
        mean = total[..., :2] / count[..., None]
        largest = torch.where(count[..., None] > 0, largest[..., :2], torch.nan)
        return torch.stack((mean * self._factor, largest * self._factor), dim=-1).flatten(-2)

"""Record of started and ended trials; decides which trials form the result."""

# F trials that ended; the result consists of trials 0 .. K-1, or of the first K trials of a block

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from isaaclab_mimic_ext.config import DataGenConfig
from isaaclab_mimic_ext.run.result import INTERRUPTED, TARGET_REACHED, RunResult
from isaaclab_mimic_ext.task.reasons import SUCCEEDED
from isaaclab_mimic_ext.texts import counted

_RUNNING = -2
"""Reason code of a trial that has not ended."""
_NUM_ASSUMED = 5
"""Number of successes that are added to the trials in an estimate of the success rate: failed trials may end first."""
_MAX_ERROR_PROBABILITY = 0.01
"""Maximum probability that `min_success_rate` ends a run of any length whose true success rate is not below it."""


class TrialLedger:
    """Assigns trial numbers and determines where a run ends.

    The result consists of trials 0 .. K-1, with K the smallest number that meets the target or a budget. Trials count in
    the order of their numbers, not in the order in which they end, so that short trials are not favored.

    Args:
        first_trial: number of the first trial, > 0 for a block; all counts are counts of trials since then.
    """

    def __init__(self, config: DataGenConfig, first_trial: int = 0):
        self.config, self.first_trial = config, first_trial
        self.num_started = 0
        self.committed = 0
        """Number of trials at the beginning that have ended and belong to the result."""
        self.num_successes = 0
        """Number of successful trials among the committed trials."""
        self.num_ended = 0
        """Number of trials that ended, committed or not."""
        self.stop_reason: str | None = None
        """Reason of the end of the run (target or a budget); None while the run continues."""
        self.target_reached = False
        self._reason = np.full(1024, _RUNNING, dtype=np.int16)
        self._unfinished = np.zeros(0, dtype=np.int64)
        """Trials of an earlier session that did not end and must start again."""
        self._failures_in_row = 0
        self._num_failed = 0

    @property
    def end_trial(self) -> int:
        """Number of the trial after the committed trials."""
        return self.first_trial + self.committed

    @property
    def num_ended_successes(self) -> int:
        """Number of successful trials, committed or not."""
        return self.num_ended - self._num_failed

    @property
    def num_failures(self) -> int:
        """Number of failed trials among the committed trials."""
        return self.committed - self.num_successes

    @property
    def is_over(self) -> bool:
        """Return whether the target or a budget has ended the run."""
        return self.stop_reason is not None

    def start(self, num_free: int, num_given_up: int = 0) -> np.ndarray:
        """Numbers of the trials to start in `num_free` free lanes: as many as the target needs if all of them succeed.

        Args:
            num_given_up: number of trials that have not ended, and will fail.
        """
        restarted, self._unfinished = np.split(self._unfinished, [min(num_free, len(self._unfinished))])
        count = max(0, min(num_free - len(restarted), self._num_needed(num_given_up)))
        first, self.num_started = self.num_started, self.num_started + count
        self._grow(self.num_started)
        return np.concatenate((restarted, np.arange(first, self.num_started))) + self.first_trial

    def restore(self, trials: np.ndarray, reason: np.ndarray) -> None:
        """Restore trials (F,) that ended in an earlier session (arguments of `end`). Missing trials will start again."""
        self.num_started = int(trials.max(initial=self.first_trial - 1)) + 1 - self.first_trial
        self._grow(self.num_started)
        self._unfinished = np.setdiff1d(np.arange(self.num_started), trials - self.first_trial)
        self.end(trials, reason)
        if self.is_over:
            self._unfinished = self._unfinished[:0]

    def give_back(self, trials: np.ndarray) -> None:
        """Start trials (F,) again that were started and have not ended, because their process has ended."""
        self._unfinished = np.union1d(self._unfinished, trials - self.first_trial).astype(np.int64)

    def has_ended(self, trials: np.ndarray) -> np.ndarray:
        """Return which started trials (F,) have ended, (F,) bool."""
        return self._reason[trials - self.first_trial] != _RUNNING

    def stop(self, reason: str) -> None:
        """End the run for a reason outside of its trials. The result consists of the committed trials."""
        self.stop_reason = self.stop_reason or reason

    def _grow(self, num_trials: int) -> None:
        if num_trials > len(self._reason):
            grown = np.full(2 * num_trials, _RUNNING, dtype=np.int16)
            grown[: len(self._reason)] = self._reason
            self._reason = grown

    def failures(self, reasons: Sequence[str]) -> dict[str, int]:
        """Number of failed trials by reason, without reasons that did not occur.

        The trials that form the result are counted; before the end of the run, all trials that have ended.

        Args:
            reasons: names of the reasons, by code.
        """
        counted = self._reason[: self.committed if self.is_over else self.num_started]
        counts = np.bincount(counted[counted >= 0], minlength=len(reasons))
        return {name: int(count) for name, count in zip(reasons, counts, strict=True) if count}

    def result(self, dataset: Path, reasons: Sequence[str]) -> RunResult:
        """Return the fields of the result that the trials determine; `INTERRUPTED` if the run is not over."""
        return RunResult(
            dataset=dataset,
            num_attempts=self.committed if self.is_over else self.num_ended,
            num_successes=self.num_successes if self.is_over else self.num_ended_successes,
            stop_reason=self.stop_reason or INTERRUPTED,
            target_reached=self.target_reached,
            target=self.config.generation_num_trials,
            failures=self.failures(reasons),
            first_trial=self.first_trial,
        )

    def expected_trials(self) -> float:
        """Expected number of trials that have yet to end, if trials succeed as often as until now."""
        if self.is_over:
            return 0.0
        config, num_running = self.config, self.num_started - self.num_ended
        needed = float(config.generation_num_trials - self.num_ended)
        if config.generation_guarantee:
            rate = (self.num_ended_successes + _NUM_ASSUMED) / (self.num_ended + _NUM_ASSUMED)
            needed = (config.generation_num_trials - self.num_ended_successes) / rate
        if config.max_trials is not None:
            needed = min(needed, config.max_trials - self.num_ended)
        return max(needed, num_running)

    def _num_needed(self, num_given_up: int) -> int:
        if self.is_over:
            return 0
        config = self.config
        allowed = config.generation_num_trials - self.num_started
        if config.generation_guarantee:
            allowed += self._num_failed + num_given_up
        return allowed if config.max_trials is None else min(allowed, config.max_trials - self.num_started)

    def end(self, trials: np.ndarray, reason: np.ndarray) -> None:
        """Note trials (F,) that ended. Commit the trials whose predecessors have all ended, and check the end of the run.

        Args:
            trials: (F,), numbers of the trials.
            reason: (F,), code of the reason of failure; `SUCCEEDED` if the trial succeeded.
        """
        self._reason[trials - self.first_trial] = reason
        self.num_ended += len(trials)
        self._num_failed += int((reason != SUCCEEDED).sum())
        if self.is_over:
            return
        tail = self._reason[self.committed : self.num_started]
        num_new = int((tail == _RUNNING).argmax()) if (tail == _RUNNING).any() else len(tail)
        self._commit(tail[:num_new] == SUCCEEDED)

    def _commit(self, success: np.ndarray) -> None:
        if not len(success):
            return
        # Counts after each of these trials, in the order of their numbers.
        in_row = self._failures_in_row_after(success)
        successes = self.num_successes + np.cumsum(success)
        attempts = self.committed + np.arange(1, len(success) + 1)
        ends = self._met_rules(successes, attempts, in_row)
        # The rule that is met first ends the run; later trials do not count.
        last = min((index for index, _, _ in ends), default=len(success) - 1)
        self._failures_in_row = int(in_row[last])
        self.num_successes, self.committed = int(successes[last]), int(attempts[last])
        if ends:
            _, self.target_reached, self.stop_reason = min(ends, key=lambda end: (end[0], not end[1]))

    def _failures_in_row_after(self, success: np.ndarray) -> np.ndarray:
        index = np.arange(1, len(success) + 1)
        last_success = np.maximum.accumulate(np.where(success, index, -self._failures_in_row))
        return index - last_success

    def _met_rules(self, successes: np.ndarray, attempts: np.ndarray, in_row: np.ndarray) -> list[tuple[int, bool, str]]:
        """Return per rule that is met: index of the first trial that meets it, whether it is the target, its text."""
        config = self.config
        reached = successes if config.generation_guarantee else attempts
        rules = [(reached >= config.generation_num_trials, True, TARGET_REACHED)]
        if config.max_num_failures is not None:
            reason = f"max_num_failures: {counted(config.max_num_failures, 'trial')} in a row failed"
            rules.append((in_row >= config.max_num_failures, False, reason))
        if config.max_total_failures is not None:
            reason = f"max_total_failures: {counted(config.max_total_failures, 'trial')} failed"
            rules.append((attempts - successes >= config.max_total_failures, False, reason))
        if config.max_trials is not None:
            made = counted(config.max_trials, "trial was made", "trials were made")
            rules.append((attempts >= config.max_trials, False, f"max_trials: {made}"))
        if config.min_success_rate is not None:
            reason = f"min_success_rate: the success rate is below {config.min_success_rate} with 99 % confidence"
            rules.append((is_surely_below(successes, attempts, config.min_success_rate), False, reason))
        return [(int(met.argmax()), is_target, reason) for met, is_target, reason in rules if met.any()]


def is_surely_below(successes: np.ndarray, trials: np.ndarray, rate: float) -> np.ndarray:
    """Return whether `successes` (F,) among `trials` (F,) show that the true success rate is below `rate`, (F,) bool.

    The test may be repeated after every trial of a run of any length. If the true rate equals `rate`, the ratio of the
    likelihood under a uniform prior of rates (beta-binomial) to the likelihood under `rate` is a martingale. It exceeds
    1 / p at any time with a probability of at most p, here 0.01.
    Source: Ville's inequality; Robbins (1970), Statistical methods related to the law of the iterated logarithm.
    """
    failures = trials - successes
    lgamma = np.vectorize(math.lgamma, otypes=[float])
    with np.errstate(divide="ignore", invalid="ignore"):
        under_rate = np.where(successes > 0, successes * np.log(rate), 0.0)
        under_rate += np.where(failures > 0, failures * np.log1p(-rate), 0.0)
    under_all = lgamma(successes + 1) + lgamma(failures + 1) - lgamma(trials + 2)
    return (successes < rate * trials) & (under_all - under_rate > -math.log(_MAX_ERROR_PROBABILITY))

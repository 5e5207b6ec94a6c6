"""Attempts of a person that have begun and do not run: given up, or waiting for their turn."""

# N = 1 env

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from isaaclab_mimic_ext.run.lanes import Lanes
from isaaclab_mimic_ext.run.ledger import TrialLedger
from isaaclab_mimic_ext.run.live_attempt import SOLO, LiveAttempt, MadeStep
from isaaclab_mimic_ext.run.recorder import EpisodeRecorder
from isaaclab_mimic_ext.run.teleoperation import EndedAttempts, end_attempts, take_attempts

DISCARDED = 0
"""Code of the reason of an attempt that the person gave up."""


@dataclass(frozen=True, eq=False)
class _OtherAttempt:
    """Attempt that does not run.

    Attributes:
        episode: copy of the attempt; contains its number.
        steps: steps that were made, also those that were taken back.
        num_steps: number of steps when the attempt was left.
    """

    episode: EndedAttempts
    steps: Sequence[MadeStep]
    num_steps: int

    @property
    def trial(self) -> int:
        """Number of the attempt."""
        return int(self.episode.trials[0])


class OtherAttempts:
    """The attempt that was given up last, and attempts that wait because the person went back to an earlier one.

    An attempt that is given up keeps its number, and ends in the ledger when it can no longer continue: when a later
    attempt ends with a demo or is given up, too, and at the end of the recording.

    Args:
        attempt: the attempt that runs.
    """

    def __init__(self, attempt: LiveAttempt, lanes: Lanes, recorder: EpisodeRecorder, ledger: TrialLedger):
        self._attempt, self._lanes, self._recorder, self._ledger = attempt, lanes, recorder, ledger
        self._given_up: _OtherAttempt | None = None
        self._waiting: list[_OtherAttempt] = []
        self._seed = 0

    @property
    def num_steps(self) -> int:
        """Number of steps of the attempt that was given up last; 0 without one."""
        return 0 if self._given_up is None else len(self._given_up.steps)

    def begin_next(self, seed: int) -> None:
        """Begin the attempt that waits, with its steps to go forward to, or a new one. `seed` is the seed of the scenes."""
        self._seed = seed
        self._lanes.end(SOLO)
        if not self._waiting:
            self._attempt.begin(seed, self._ledger.start(1, int(self._given_up is not None)))
            return
        other = min(self._waiting, key=lambda each: each.trial)
        self._waiting.remove(other)
        self._attempt.begin(seed, other.episode.trials)
        self._attempt.make_again(other.steps, 0)

    def give_up(self) -> bool:
        """Give up the attempt that runs, so that `swap` continues it.

        Returns:
            Whether it can continue: not without steps, or if the number of trials is limited.
        """
        if not self._attempt.made_steps or self._ledger.config.max_trials is not None:
            return False
        self.drop()
        self._given_up = self._copy()
        return True

    def _copy(self) -> _OtherAttempt:
        episode = take_attempts(self._lanes, SOLO, self._recorder)
        return _OtherAttempt(episode, self._attempt.made_steps, self._attempt.num_steps)

    def swap(self) -> None:
        """Continue the attempt that was given up last; the attempt that runs can be continued in its place."""
        other, self._given_up = self._given_up, self._copy()
        assert other is not None
        self._lanes.end(SOLO)
        self._attempt.begin(self._seed, other.episode.trials)
        self._attempt.make_again(other.steps, other.num_steps)

    def drop(self) -> None:
        """Decide about the attempt that was given up last: it ends, or waits if it is later than the attempt that runs."""
        other, self._given_up = self._given_up, None
        if other is None or other.trial == self._attempt.trial:
            return
        if other.trial > self._attempt.trial:
            self._waiting.append(other)
            return
        episode = replace(other.episode, lane_ids=np.zeros(0, dtype=np.int64))  # Its lane runs another attempt.
        end_attempts(self._lanes, episode, np.array([DISCARDED]), self._recorder, self._ledger, {})

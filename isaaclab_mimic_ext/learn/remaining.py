"""Expected number of steps until the end of running episodes, for the remaining time of an evaluation."""

# n running episodes

import numpy as np

from isaaclab_mimic_ext.learn.results import HORIZON_FACTOR

_NUM_REVISIONS = 2
"""Number of times that the success rate is revised by the running episodes."""
_SPREAD = 0.1
"""Smallest assumed spread of the lengths of successes, as a fraction of their mean."""


class ExpectedLengths:
    """Predicts lengths of episodes. Successful episodes end early and have similar lengths; others run to the horizon.

    Args:
        horizon: largest number of steps of an episode.
        stop_at_success: whether successful episodes end early.
    """

    def __init__(self, horizon: int, stop_at_success: bool):
        self._horizon = horizon
        self._successes: list[int] = []
        self._num_ended = 0
        # Until the first success, successes are expected to be as long as a demo.
        self._first_guess = horizon / HORIZON_FACTOR if stop_at_success else float(horizon)

    def add(self, length: int) -> None:
        """Note the length of an episode that has ended."""
        self._num_ended += 1
        if length < self._horizon:
            self._successes.append(length)

    def remaining(self, steps: np.ndarray, num_waiting: int) -> tuple[float, float]:
        """Expected number of steps until the end of each episode: the sum, and the largest of the running episodes.

        Args:
            steps: (n,), number of steps of the running episodes.
            num_waiting: number of episodes that have yet to begin.
        """
        mean = float(np.mean(self._successes)) if self._successes else self._first_guess
        spread = max(float(np.std(self._successes)) if self._successes else 0.0, _SPREAD * mean)
        rate, num_known = (len(self._successes) + 1) / (self._num_ended + 2), self._num_ended + len(steps) + 2
        # An episode that has lasted longer than the successes is probably a failure, which lowers the rate of successes.
        lasts = 1 / (1 + np.exp(np.clip(2 * (steps - mean) / spread, -50, 50)))
        for _ in range(_NUM_REVISIONS):
            chance = rate * lasts / (rate * lasts + 1 - rate)
            rate = (len(self._successes) + chance.sum() + 1) / num_known
        running = chance * np.maximum(mean - steps, spread) + (1 - chance) * (self._horizon - steps)
        running = np.minimum(running, self._horizon - steps)
        waiting = num_waiting * (rate * mean + (1 - rate) * self._horizon)
        return float(running.sum() + waiting), float(running.max(initial=0.0))

"""Finished fraction of the control steps of a job, which decides the shown remaining time."""

import time
from collections.abc import Callable
from dataclasses import dataclass

_PERIOD = 0.5
"""Time between two estimates of the remaining steps, which may wait for the device [s]."""
_BEFORE_END = 0.99
"""Largest fraction before the end of the job."""
_OVERHEAD = 10.0
"""Time of a step of the batch that does not depend on its number of envs, in steps of one env; measured with MuJoCo."""


@dataclass(frozen=True)
class Steps:
    """Number of control steps.

    Attributes:
        envs: steps of all envs together.
        batch: steps of the batch. The last trials run in a few envs, but each step of the batch takes its time.
    """

    envs: float
    batch: float

    @property
    def work(self) -> float:
        """Quantity that is proportional to the time of these steps."""
        return self.envs + _OVERHEAD * self.batch


class ShareOfSteps:
    """Finished fraction of the planned control steps. It never decreases.

    Args:
        remaining: estimates the control steps that are still to be made.
    """

    def __init__(self, remaining: Callable[[], Steps]):
        self._remaining = remaining
        self._planned, self._share = 1.0, 0.0
        self._next_estimate = 0.0

    def after(self, done: Steps) -> float:
        """Fraction after the steps `done`, 0 to 1."""
        if (now := time.perf_counter()) >= self._next_estimate:
            self._planned, self._next_estimate = max(done.work + self._remaining().work, 1.0), now + _PERIOD
        self._share = max(self._share, min(done.work / self._planned, _BEFORE_END))
        return self._share

"""The kinematic engine with a pause in each step, in place of physics on a GPU, and notes on what a worker waits for.

Used by `benchmarks/workers.py`. When a worker imports this module, its waits for the owner are timed: for leases of trials,
and for the owner to accept episodes.
"""

# N envs

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from isaaclab_mimic_ext.envs.kinematic import KinematicEnv
from isaaclab_mimic_ext.run.leases import EpisodeSender, LeasedTrials

SECONDS, NOTES = "MIMIC_SLEEP_S", "MIMIC_SLEEP_NOTES"
"""Variables with the length of a pause [s], and the folder of the notes."""


class Notes:
    """Times of this process, which are written after each step, because the process will be killed.

    Attributes:
        waited: time that the worker has waited for the owner since its first step [s].
        idle: time of idle lanes, summed over the lanes [s].
    """

    def __init__(self) -> None:
        self.waited = self.idle = self._waited_before = 0.0
        self._first: float | None = None
        self._file = Path(os.environ.get(NOTES, ".")) / f"{os.getpid()}.json"

    def timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, whose time counts as a wait for the owner."""

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            start = time.monotonic()
            try:
                return call(*args, **kwargs)
            finally:
                self.waited += time.monotonic() - start

        return wrapped

    def step(self, num_idle: int, num_envs: int, seconds: float) -> None:
        """Note a step in which some of the envs were idle."""
        now = time.monotonic()
        if self._first is None:
            self._first, self.waited = now - seconds, 0.0
        self.idle += num_idle / num_envs * seconds
        content = {"first": self._first, "last": now, "waited": self.waited, "idle": self.idle}
        self._file.write_text(json.dumps(content))


notes = Notes()
LeasedTrials.start = notes.timed(LeasedTrials.start)  # type: ignore[method-assign]
EpisodeSender.put = notes.timed(EpisodeSender.put)  # type: ignore[method-assign]


class SleepingEnv(KinematicEnv):
    """The kinematic engine, with steps that take as long as those of a GPU."""

    engine = "sleeping_engine:SleepingEnv"

    def step(self, actions: Tensor, env_ids: Tensor | None = None) -> None:
        """Step, then pause."""
        seconds = float(os.environ[SECONDS])
        super().step(actions, env_ids)
        time.sleep(seconds)
        active = self.num_envs if env_ids is None else len(env_ids)
        notes.step(self.num_envs - active, self.num_envs, seconds)

"""Result of a run, and its progress while it runs. Imported by the writer process: no torch here."""

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from isaaclab_mimic_ext.task.reasons import DIVERGED
from isaaclab_mimic_ext.texts import counted

TARGET_REACHED = "target reached"
"""Stop reason of a run that has reached its target."""
INTERRUPTED = "interrupted"
"""Stop reason of a run that was ended neither by its target nor by a budget."""


@dataclass(frozen=True)
class RunResult:
    """Result of a run that has ended: the first `num_attempts` trials count, in the order of their numbers.

    Attributes:
        dataset: file of the successful demos; `<name>.part` if a generation was interrupted.
        num_attempts: number of trials that count; after an interruption, all trials that have ended.
        num_successes: number of successful trials among them.
        stop_reason: `TARGET_REACHED`, the budget that ended the run, or `INTERRUPTED`.
        target_reached: whether the run has reached `target`.
        target: required number of demos (of trials without `generation_guarantee`): `generation_num_trials`.
        failures: reason of failure -> number of trials.
        env_steps: number of control steps, summed over all envs, in the last session; includes trials that do not count.
        elapsed: time from the first reset to the closed file, in all sessions [s].
        lengths: number of steps of each demo in the dataset.
        is_written: False if an interruption left no time to write the dataset; the store contains all demos.
        first_trial: number of the first trial, > 0 for a block.
    """

    dataset: Path
    num_attempts: int
    num_successes: int
    stop_reason: str
    target_reached: bool
    target: int
    failures: dict[str, int] = field(default_factory=dict)
    env_steps: int = 0
    elapsed: float = 0.0
    lengths: list[int] = field(default_factory=list, repr=False)
    is_written: bool = True
    first_trial: int = 0

    @property
    def end_trial(self) -> int:
        """Number of the trial after those that count."""
        return self.first_trial + self.num_attempts

    @property
    def output_dir(self) -> Path:
        """Folder of the dataset, which is the folder of a generation run."""
        return self.dataset.parent

    @property
    def is_interrupted(self) -> bool:
        """Return whether the run ended before its target and without a budget; it can be resumed."""
        return self.stop_reason == INTERRUPTED

    @property
    def num_demos(self) -> int:
        """Number of demos in the dataset."""
        return len(self.lengths)

    @property
    def success_rate(self) -> float:
        """Share of the trials that succeeded, 0 to 1."""
        return self.num_successes / max(self.num_attempts, 1)

    @property
    def demos_per_hour(self) -> float:
        """Demos in the dataset per hour of `elapsed`."""
        return 3600 * self.num_demos / max(self.elapsed, 1e-9)

    def as_dict(self) -> dict[str, Any]:
        """Convert to JSON types; the inverse of `from_dict`."""
        return asdict(self) | {"dataset": str(self.dataset)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "RunResult":
        """Build a result from the output of `as_dict`."""
        return cls(**values | {"dataset": Path(values["dataset"])})

    def dataset_attributes(self) -> dict[str, Any]:
        """Attributes of the dataset's group `data` that describe the run."""
        return {
            "num_attempts": self.num_attempts,
            "num_successes": self.num_successes,
            "stop_reason": self.stop_reason,
            "complete": self.target_reached,
        }

    def stats(self) -> dict[str, Any]:
        """Statistics for `important_stats.json`: MimicGen's keys (rates in percent), then keys of this package."""
        rate = 100 * self.success_rate
        lengths = np.array(self.lengths or [0])
        return {
            "success_rate": rate,
            "failure_rate": 100 - rate,
            "num_success": self.num_successes,
            "num_failures": self.num_attempts - self.num_successes,
            "num_attempts": self.num_attempts,
            "num_problematic": self.failures.get(DIVERGED, 0),
            "ep_length_mean": float(lengths.mean()),
            "ep_length_std": float(lengths.std()),
            "ep_length_max": int(lengths.max()),
            "time spent (hrs)": f"{self.elapsed / 3600:.2f}",
            "time": self.elapsed,
            "env_steps": self.env_steps,
            "demos_per_hour": self.demos_per_hour,
            "failures": self.failures,
            "stop_reason": self.stop_reason,
            "complete": self.target_reached,
        }


@dataclass
class Progress:
    """Progress of a run after a step.

    Attributes:
        num_done: number of successes (of trials without `generation_guarantee`) until now, at most `num_target`.
        num_target: target of the run, `generation_num_trials`.
        num_successes, num_ended: numbers of successful and of ended trials in all sessions, whether they count or not.
        num_successes_now, env_steps_now: successes and control steps in this session.
        elapsed_now: time of this session [s].
        num_unsaved: number of ended trials that are not durable yet.
        queue_depth: number of batches that wait for the writer.
        seconds_stalled: time that generation has waited for the writer [s].
        share: estimated fraction of this session's control steps that are finished, 0 to 1.
        num_running: number of running trials.
    """

    num_done: int
    num_target: int
    num_successes: int
    num_ended: int
    num_successes_now: int
    env_steps_now: int
    elapsed_now: float
    num_unsaved: int
    queue_depth: int
    seconds_stalled: float
    share: float
    num_running: int = 0

    def figures(self) -> str:
        """Format success rate, speed and trials that are not saved yet; figures without a meaning yet are left out."""
        elapsed = max(self.elapsed_now, 1e-9)
        stalled = self.seconds_stalled / elapsed
        parts = (
            (not self.num_ended and self.num_running, f"{counted(self.num_running, 'trial')} running"),
            (self.num_ended, f"{self.num_successes / max(self.num_ended, 1):.0%} success"),
            (True, f"{self.env_steps_now / elapsed:,.0f} steps/s"),
            (self.num_successes_now, f"{3600 * self.num_successes_now / elapsed:,.0f} demos/h"),
            (self.num_ended, counted(self.num_ended, "trial")),
            (self.num_unsaved > 0, f"{self.num_unsaved} not saved yet"),
            (stalled > 0.05, f"waiting for the disk {stalled:.0%} of the time"),
        )
        return ", ".join(text for is_shown, text in parts if is_shown)


class Clock:
    """Time of a run [s]; `earlier` is the time of its earlier sessions."""

    def __init__(self, earlier: float = 0.0):
        self._earlier = earlier
        self.restart()

    def restart(self) -> None:
        """Start the session now."""
        self._start = time.perf_counter()

    def session(self) -> float:
        """Time of this session [s]."""
        return time.perf_counter() - self._start

    def elapsed(self) -> float:
        """Time of all sessions [s]."""
        return self._earlier + self.session()

"""What a run counted: progress while it goes on, a report at its end."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from isaaclab_mimic_ext.diagnose.reasons import DIVERGED

INTERRUPTED = "interrupted"
"""Why a run ended that has no verdict."""


@dataclass
class Progress:
    """How far a run is, after some step.

    Attributes:
        num_done: towards `num_target`: successes, or trials without `generation_guarantee`.
        num_successes, num_ended: of all trials so far, counted or not.
        num_successes_now, env_steps_now, elapsed_now: of this session; the time in seconds.
        num_unsaved: trials that a crash would cost now.
        queue_depth: batches that wait for the writer.
        seconds_stalled: how long generation has waited for it.
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


@dataclass
class GenerationReport:
    """What a run gave.

    Attributes:
        num_attempts: trials that count, in the order of their numbers.
        failures: reason -> how many of them failed for it.
        env_steps: control steps of all envs together in this session, of dropped trials too.
        elapsed: from the first reset to the closed file, in all sessions [s].
        lengths: steps of each demo that was written.
        output_dir: folder of the run.
        is_written: False where a signal left no time to write all demos; the run's store has them.
    """

    num_successes: int
    num_attempts: int
    reason: str
    target_reached: bool
    failures: dict[str, int]
    env_steps: int
    elapsed: float
    lengths: list[int] = field(default_factory=list)
    is_written: bool = True
    output_dir: str = ""

    @property
    def dataset(self) -> Path:
        """The successful demos, an HDF5 file in Isaac Lab's layout."""
        return Path(self.output_dir) / "demo.hdf5"

    @property
    def num_demos(self) -> int:
        return len(self.lengths)

    @property
    def success_rate(self) -> float:
        return self.num_successes / max(self.num_attempts, 1)

    @property
    def demos_per_hour(self) -> float:
        return 3600 * self.num_demos / max(self.elapsed, 1e-9)


def stats_json(report: GenerationReport, provenance: Mapping[str, Any]) -> str:
    """A report as JSON, MimicGen's keys (`important_stats.json`; rates in percent) before our own."""
    rate = 100 * report.success_rate
    lengths = np.array(report.lengths or [0])
    stats = {
        "success_rate": rate,
        "failure_rate": 100 - rate,
        "num_success": report.num_successes,
        "num_failures": report.num_attempts - report.num_successes,
        "num_attempts": report.num_attempts,
        "num_problematic": report.failures.get(DIVERGED, 0),
        "ep_length_mean": float(lengths.mean()),
        "ep_length_std": float(lengths.std()),
        "ep_length_max": int(lengths.max()),
        "time spent (hrs)": f"{report.elapsed / 3600:.2f}",
        "time": report.elapsed,
        "env_steps": report.env_steps,
        "demos_per_hour": report.demos_per_hour,
        "failures": report.failures,
        "stop_reason": report.reason,
        "complete": report.target_reached,
        **provenance,
    }
    return json.dumps(stats, indent=2) + "\n"


def failure_counts(names: Sequence[str], by_code: np.ndarray) -> dict[str, int]:
    """Reason -> how many trials failed for it, without the reasons that never occurred; both by code."""
    return {name: int(count) for name, count in zip(names, by_code, strict=True) if count}


class Clock:
    """Time of a run [s]; `earlier` is that of its earlier sessions."""

    def __init__(self, earlier: float = 0.0):
        self._earlier = earlier
        self.restart()

    def restart(self) -> None:
        """This session begins now."""
        self._start = time.perf_counter()

    def session(self) -> float:
        return time.perf_counter() - self._start

    def elapsed(self) -> float:
        return self._earlier + self.session()

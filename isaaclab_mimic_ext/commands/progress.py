"""Progress of a command: a bar on a terminal, or a line every few seconds in the log."""

import logging
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from isaaclab_mimic_ext.learn.evaluator import EvaluationProgress
    from isaaclab_mimic_ext.learn.trainer import TrainingReport
    from isaaclab_mimic_ext.run.result import Progress as RunProgress

log = logging.getLogger(__name__)

_BAR_PERIOD = 0.1
"""Minimum time between two drawings of the bar [s]."""


class ProgressBar:
    """Progress bar with count and remaining time. If standard error is not a terminal, lines in the log replace the bar.

    Args:
        title: name in front of the bar and of each line.
        enabled: False shows nothing.
        unit: noun for the counted items, in log lines.
        log_period: time between two log lines [s]; None writes no lines.
    """

    def __init__(self, title: str, enabled: bool, unit: str = "demos", log_period: float | None = 10.0):
        self._title, self._unit = title, unit
        self._is_terminal = sys.stderr.isatty()
        self._period = _BAR_PERIOD if self._is_terminal else log_period
        self._is_shown = enabled and self._period is not None
        self._begin = time.perf_counter()
        self._first: int | None = None
        self._next = self._begin + (0.0 if self._is_terminal else self._period or 0.0)
        columns = (
            TextColumn("[bold]{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(), TextColumn("{task.fields[remaining]}"),
        )  # fmt: skip
        is_drawn = self._is_shown and self._is_terminal
        self._bar = Progress(*columns, console=Console(stderr=True), disable=not is_drawn, auto_refresh=False)
        self._task = self._bar.add_task(title, total=None, figures="", remaining="")

    def __enter__(self) -> "ProgressBar":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.refresh()
        self._bar.stop()

    def update(self, done: int, total: int, figures: Callable[[], str] = str, share: float | None = None) -> None:
        """Show the current state, at most once per period. This may be called in every step.

        Args:
            done: number of finished items.
            total: number of all items.
            figures: returns the text next to the count, such as rate and success; called only when it is shown.
            share: finished fraction of the work, 0 to 1, from which the remaining time is computed; None: from items.
        """
        now = time.perf_counter()
        if self._first is None:
            self._first = done
        is_over = done == total and self._is_terminal
        if not self._is_shown or (now < self._next and not is_over):
            return
        self._next = now + (self._period or 0.0)
        if share is None:
            share = (done - self._first) / max(total - self._first, 1)
        remaining = f"{(now - self._begin) * (1 / share - 1):.0f} s remaining" if share > 0 else ""
        if self._is_terminal:
            self._bar.update(self._task, completed=done, total=total, figures=figures(), remaining=remaining, refresh=True)
            return
        parts = [f"{done}/{total} {self._unit}", figures(), remaining]
        log.info("%s: %s", self._title, ", ".join(part for part in parts if part))


def generation_figures(progress: "RunProgress") -> str:
    """Format success rate, speed and queue of a generation run."""
    elapsed = max(progress.elapsed_now, 1e-9)
    parts = [
        f"{progress.num_ended} trials",
        f"{_success(progress.num_successes, progress.num_ended)} success",
        f"{progress.env_steps_now / elapsed:,.0f} steps/s",
        f"{3600 * progress.num_successes_now / elapsed:,.0f} demos/h",
        f"{progress.num_unsaved} unsaved",
        f"queue {progress.queue_depth}",
    ]
    if progress.seconds_stalled > 0.05 * elapsed:
        parts.append(f"waiting for the disk {progress.seconds_stalled / elapsed:.0%} of the time")
    return ", ".join(parts)


def evaluation_figures(progress: "EvaluationProgress") -> str:
    """Format success rate and steps per second of an evaluation."""
    rate = progress.env_steps / max(progress.elapsed, 1e-9)
    return f"{_success(progress.num_successes, progress.num_ended)} success, {rate:,.0f} steps/s"


def training_figures(report: "TrainingReport") -> str:
    """Format the losses of a training, and its best success rate until now."""
    best = f", best success {report.best_success:.0%}" if report.best_success is not None else ""
    return f"loss {report.train_loss:.5f}, valid {report.valid_loss:.5f}{best}"


def _success(num_successes: int, num_ended: int) -> str:
    return f"{num_successes / num_ended:.0%}" if num_ended else "-"

"""What a user sees while a run goes on."""

import logging
import sys
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from isaaclab_mimic_ext.stats import Progress as RunProgress

log = logging.getLogger(__name__)

_BAR_PERIOD = 0.1
_LINE_PERIOD = 10.0


class ProgressDisplay:
    """A bar on a terminal, a line every ten seconds in a log: rate, success, time to go.

    Args:
        enabled: False shows nothing.
    """

    def __init__(self, enabled: bool):
        self._is_terminal = sys.stderr.isatty()
        self._period = _BAR_PERIOD if self._is_terminal else _LINE_PERIOD
        self._next = time.perf_counter() + (0.0 if self._is_terminal else self._period)
        self._enabled = enabled
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(),
            TextColumn("to go"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not (enabled and self._is_terminal),
            auto_refresh=False,
        )
        self._task = self._bar.add_task("demos", total=None, figures="")

    def __enter__(self) -> "ProgressDisplay":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.refresh()
        self._bar.stop()

    def update(self, progress: RunProgress) -> None:
        """Show the present state, if it is time to."""
        now = time.perf_counter()
        if not self._enabled or now < self._next:
            return
        self._next = now + self._period
        figures = _figures(progress)
        if self._is_terminal:
            self._bar.update(
                self._task, completed=progress.num_done, total=progress.num_target, figures=figures, refresh=True
            )
        else:
            log.info("%d/%d demos, %s%s", progress.num_done, progress.num_target, figures, _to_go(progress))


def _figures(progress: RunProgress) -> str:
    elapsed = max(progress.elapsed_now, 1e-9)
    success = f"{progress.num_successes / progress.num_ended:.0%}" if progress.num_ended else "-"
    parts = [
        f"{progress.num_ended} trials",
        f"{success} success",
        f"{progress.env_steps_now / elapsed:,.0f} steps/s",
        f"{3600 * progress.num_successes_now / elapsed:,.0f} demos/h",
        f"{progress.num_unsaved} unsaved",
        f"queue {progress.queue_depth}",
    ]
    if progress.seconds_stalled > 0.05 * elapsed:
        parts.append(f"stalled {progress.seconds_stalled / elapsed:.0%} by the disk")
    return ", ".join(parts)


def _to_go(progress: RunProgress) -> str:
    if not progress.num_successes_now:
        return ""
    return f", {progress.elapsed_now * (progress.num_target - progress.num_done) / progress.num_successes_now:.0f} s to go"

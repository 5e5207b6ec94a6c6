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
    rate = progress.env_steps / max(progress.elapsed, 1e-9)
    success = f"{progress.num_successes_ended / progress.num_ended:.0%}" if progress.num_ended else "-"
    demos_per_hour = 3600 * progress.num_successes_ended / max(progress.elapsed, 1e-9)
    return f"{progress.num_ended} trials, {success} success, {rate:,.0f} steps/s, {demos_per_hour:,.0f} demos/h"


def _to_go(progress: RunProgress) -> str:
    if not progress.num_done:
        return ""
    return f", {progress.elapsed * (progress.num_target / progress.num_done - 1):.0f} s to go"

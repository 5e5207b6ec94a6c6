"""What a user sees while a policy is judged: success so far, rate, time to go."""

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from isaaclab_mimic_ext.evaluate.evaluator import EvaluationProgress

log = logging.getLogger(__name__)

_BAR_PERIOD = 0.1
_LINE_PERIOD = 10.0


@contextmanager
def evaluation_bar(name: str, enabled: bool) -> Iterator[Callable[[EvaluationProgress], None]]:
    """A bar on a terminal, a line every ten seconds in a log; yields what is to be called with the progress."""
    is_terminal = sys.stderr.isatty()
    period = _BAR_PERIOD if is_terminal else _LINE_PERIOD
    shown = time.perf_counter()
    columns = (
        TextColumn("[bold]{task.description}"), BarColumn(), MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"), TimeElapsedColumn(),
    )  # fmt: skip
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not (enabled and is_terminal), auto_refresh=False) as bar:
        task = bar.add_task(name, total=None, figures="")

        def update(progress: EvaluationProgress) -> None:
            nonlocal shown
            is_over = progress.num_ended == progress.num_episodes
            if not enabled or (time.perf_counter() < shown + period and not (is_over and is_terminal)):
                return
            shown = time.perf_counter()
            done, total, text = progress.num_ended, progress.num_episodes, figures(progress)
            if is_terminal:
                bar.update(task, completed=done, total=total, figures=text, refresh=True)
            else:
                log.info("%s: %d/%d episodes, %s", name, done, total, text)

        yield update


def figures(progress: EvaluationProgress) -> str:
    """Success so far, rate, and time to go."""
    elapsed = max(progress.elapsed, 1e-9)
    success = f"{progress.num_successes / progress.num_ended:.0%}" if progress.num_ended else "-"
    to_go = f"{elapsed * (1 / progress.share - 1):.0f} s to go" if progress.share > 0 else "-"
    return f"{success} success, {progress.env_steps / elapsed:,.0f} steps/s, {to_go}"

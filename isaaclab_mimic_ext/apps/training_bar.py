"""What a user sees while a policy is trained: losses, rate, time to go."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from isaaclab_mimic_ext.train.trainer import TrainingReport

log = logging.getLogger(__name__)

_LINE_PERIOD = 20.0


@contextmanager
def training_bar(num_epochs: int, enabled: bool) -> Iterator[Callable[[TrainingReport], None]]:
    """A bar on a terminal, a line every twenty seconds in a log; yields what is to be called after each epoch."""
    console = Console(stderr=True)
    columns = (
        TextColumn("[bold]{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[figures]}"),
        TimeElapsedColumn(), TextColumn("to go"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, disable=not (enabled and console.is_terminal)) as bar:
        task = bar.add_task("epochs", total=num_epochs, figures="")
        shown = time.perf_counter()

        def update(report: TrainingReport) -> None:
            nonlocal shown
            if console.is_terminal:
                bar.update(task, completed=report.epoch, figures=figures(report))
            elif enabled and time.perf_counter() > shown + _LINE_PERIOD:
                shown = time.perf_counter()
                log.info("epoch %d/%d, %s", report.epoch, num_epochs, figures(report))

        yield update


def figures(report: TrainingReport) -> str:
    """The losses, and the best success rate so far."""
    best = f", best success {report.best_success:.0%}" if report.best_success is not None else ""
    return f"loss {report.train_loss:.5f}, valid {report.valid_loss:.5f}{best}"

"""A progress bar over the demos of a file."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def demo_bar(description: str, enabled: bool) -> Iterator[Callable[[int, int], None]]:
    """Shows a bar on a terminal while the block runs; yields what is to be called with the demos done, and all of them."""
    console = Console(stderr=True)
    columns = (TextColumn(f"[bold]{description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not (enabled and console.is_terminal)) as progress:
        task = progress.add_task(description, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)

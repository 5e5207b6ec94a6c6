"""Progress of a job: a bar on a terminal, or a line every few seconds in the log.

Functions of the library report their progress with `phase` or `tracked`, as they write to the log. Whether it is shown is
decided by the command, or by a caller in Python, with `shown`.
"""

import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from isaaclab_mimic_ext.texts import duration

if TYPE_CHECKING:
    from rich.progress import Progress

log = logging.getLogger(__name__)

Item = TypeVar("Item")

_BAR_PERIOD = 0.1
"""Minimum time between two drawings of the bar [s]."""
_LOG_PERIOD = 10.0
"""Time between two lines in the log [s]."""
_PHASE_DELAY = 1.0
"""Time until the bar of a phase appears [s]."""
PERIOD_VARIABLE = "MIMIC_PROGRESS_PERIOD"
"""Environment variable with the time between two lines of a phase in the log [s], for programs that read the log."""
_WIDE = 100
"""Width from which the terminal shows the elapsed time [characters]."""


class ProgressBar:
    """Progress bar with count and remaining time. If standard error is not a terminal, lines in the log replace the bar.

    Args:
        title: name in front of the bar and of each line.
        enabled: False shows nothing.
        unit: noun for the counted items, in log lines.
        log_period: time between two log lines [s]; None writes no lines.
        delay: time until the bar appears, so that quick jobs show none [s].
    """

    def __init__(
        self, title: str, enabled: bool, unit: str = "demos", log_period: float | None = _LOG_PERIOD, delay: float = 0.0
    ):
        self._title, self._unit = title, unit
        self._is_terminal = sys.stderr.isatty()
        self._period = _BAR_PERIOD if self._is_terminal else log_period
        self._is_shown = enabled and self._period is not None
        self._begin = time.perf_counter()
        self._first: int | None = None
        self._next = self._begin + (delay if self._is_terminal else self._period or 0.0)
        self._is_started = self._is_ended = False
        self._redirected: list[logging.StreamHandler[Any]] = []
        self._is_drawn = self._is_shown and self._is_terminal
        self._bar: Progress | None = None
        self._task: Any = None
        if self._is_drawn:
            self._bar, self._task = _make_bar(title)

    def __enter__(self) -> "ProgressBar":
        if self._is_drawn and self._next <= self._begin:
            self._start()
        return self

    def __exit__(self, *_: object) -> None:
        was_shown, self._is_ended = self._is_started and not self._is_ended, True
        if self._bar is None or not was_shown:
            return
        self._bar.refresh()
        self._bar.stop()
        for handler in self._redirected:
            handler.setStream(sys.stderr)

    def _start(self) -> None:
        """Show the bar. Lines of the log appear above it. Only one bar is shown: the bar of a phase ends before it."""
        assert self._bar is not None
        if phases := _phases.get():
            phases.end_before(self)
        terminal, self._is_started = sys.stderr, True
        self._bar.start()
        streams = (handler for handler in logging.getLogger().handlers if isinstance(handler, logging.StreamHandler))
        self._redirected = [handler for handler in streams if handler.stream is terminal]
        for handler in self._redirected:
            handler.setStream(sys.stderr)  # While the bar is shown, this is the bar's stream.

    def update(self, done: int, total: int, figures: Callable[[], str] | None = None, share: float | None = None) -> None:
        """Show the current state, at most once per period. This may be called in every step.

        After its end, the bar shows nothing.

        Args:
            done: number of finished items.
            total: number of all items.
            figures: returns the text next to the count, such as rate and success; called only when it is shown. None: the
                rate.
            share: finished fraction of the work of this session, 0 to 1, for bar and remaining time; None: from items.
        """
        now = time.perf_counter()
        if self._first is None:
            self._first = done
        is_over = done == total and self._is_started
        if self._is_ended or not self._is_shown or (now < self._next and not is_over):
            return
        self._next = now + (self._period or 0.0)
        percent = f"{share:.0%}" if share is not None else ""
        if share is None:
            share = (done - self._first) / max(total - self._first, 1)
        if done == total:
            share = 1.0
        remaining = f"{duration((now - self._begin) * (1 / share - 1))} remaining" if share > 0 else ""
        text = figures() if figures is not None else self._rate((done - self._first) / max(now - self._begin, 1e-9))
        if self._is_terminal:
            self._draw(done, total, share, remaining, text)
            return
        parts = [f"{done}/{total} {self._unit}", percent, text, remaining]
        log.info("%s: %s", self._title, ", ".join(part for part in parts if part))

    def _rate(self, rate: float) -> str:
        return f"{rate:,.0f} {self._unit}/s" if rate >= 10 else (f"{rate:.2g} {self._unit}/s" if rate > 0 else "")

    def _draw(self, done: int, total: int, share: float, remaining: str, figures: str) -> None:
        if not self._is_started:
            self._start()
        assert self._bar is not None
        before = (self._first or 0) / max(total, 1)
        self._bar.update(
            self._task, completed=before + (1 - before) * share, total=1.0, count=f"{done}/{total}", figures=figures,
            remaining=remaining, refresh=True,
        )  # fmt: skip


def _make_bar(title: str) -> "tuple[Progress, Any]":
    """Build a bar of rich and its only task. Late import: most processes show no bar."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn
    from rich.table import Column
    from rich.text import Text

    class Figures(ProgressColumn):
        """Figures on one line. Only this column is cut where the terminal is narrow."""

        def render(self, task: Task) -> Text:
            return Text(task.fields["figures"], no_wrap=True, overflow="ellipsis")

    console = Console(stderr=True)
    width = min(max(console.width // 6, 8), 40)
    columns: list[ProgressColumn] = [
        TextColumn("[bold]{task.description}"),
        BarColumn(width, table_column=Column(no_wrap=True, min_width=width)),
        *(TextColumn(f"{{task.fields[{name}]}}") for name in ("count", "remaining")),
        Figures(),
    ]
    if console.width >= _WIDE:
        columns.insert(3, TimeElapsedColumn(Column(no_wrap=True)))
    bar = Progress(*columns, console=console, auto_refresh=False)
    return bar, bar.add_task(title, total=None, count="", figures="", remaining="")


class Update(Protocol):
    """Reports the state of a phase; arguments as in `ProgressBar.update`. This may be called in every step."""

    def __call__(
        self, done: int, total: int, figures: Callable[[], str] | None = None, share: float | None = None
    ) -> None: ...


def _phase_period() -> float:
    """Time between two lines of a phase in the log [s]; a variable that is not a positive number is ignored."""
    try:
        period = float(os.environ.get(PERIOD_VARIABLE, _LOG_PERIOD))
    except ValueError:
        return _LOG_PERIOD
    return period if period > 0 else _LOG_PERIOD


class _Phases:
    """Bars of the phases of a job. A phase that begins ends the phase before it, permanently."""

    def __init__(self) -> None:
        self._bar: ProgressBar | None = None

    def begin(self, title: str, unit: str) -> ProgressBar:
        self.end()
        self._bar = ProgressBar(title, True, unit, _phase_period(), delay=_PHASE_DELAY).__enter__()
        return self._bar

    def end_before(self, bar: ProgressBar) -> None:
        """End the current phase before `bar` appears, unless `bar` is its own."""
        if self._bar is not bar:
            self.end()

    def end(self) -> None:
        if self._bar is not None:
            self._bar.__exit__()
            self._bar = None


class _Phase:
    """Phase of a job; begins with its first update."""

    def __init__(self, phases: _Phases, title: str, unit: str):
        self._phases, self._title, self._unit = phases, title, unit
        self._bar: ProgressBar | None = None

    def __call__(self, done: int, total: int, figures: Callable[[], str] | None = None, share: float | None = None) -> None:
        if self._bar is None:
            self._bar = self._phases.begin(self._title, self._unit)
        self._bar.update(done, total, figures, share)

    def end(self) -> None:
        if self._bar is not None:
            self._bar.__exit__()


_phases: ContextVar[_Phases | None] = ContextVar("phases", default=None)


@contextmanager
def shown(is_shown: bool = True) -> Iterator[None]:
    """Show the progress of all phases that are reported within the block; False: show none."""
    phases = _Phases() if is_shown else None
    token = _phases.set(phases)
    try:
        yield
    finally:
        if phases is not None:
            phases.end()
        _phases.reset(token)


def phase(title: str, unit: str = "demos") -> Update:
    """Return a function that reports the progress of a phase of a job. Its bar appears if the phase takes a second.

    Without a terminal, the log has a line every 10 s.

    Args:
        title: what is done, for example `merging`.
        unit: noun for the counted items.
    """
    phases = _phases.get()
    return _ignore if phases is None else _Phase(phases, title, unit)


def tracked(items: Iterable[Item], title: str, total: int, unit: str = "demos") -> Iterator[Item]:
    """Yield items, and report how many of them the caller has processed as a phase (`phase`)."""
    update = phase(title, unit)
    update(0, total)
    for done, item in enumerate(items, 1):
        yield item
        update(done, total)
    if isinstance(update, _Phase):
        update.end()


def _ignore(done: int, total: int, figures: Callable[[], str] | None = None, share: float | None = None) -> None:
    """Report nothing."""

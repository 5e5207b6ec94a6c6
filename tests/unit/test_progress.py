"""Progress: a bar on a terminal, lines in a log file, nothing if it is disabled."""

import io
import logging
import time
from collections.abc import Iterator

import pytest

from isaaclab_mimic_ext.commands import progress as module
from isaaclab_mimic_ext.commands.progress import ProgressBar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    yield now


def show(clock: list[float], **options: object) -> None:
    with ProgressBar("generating", **options) as bar:
        for second in range(31):
            clock[0] = float(second)
            bar.update(100 + 2 * second, 200, lambda: "80% success")


def test_log_has_a_line_per_period_with_count_figures_and_remaining_time(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, module.__name__):
        show(clock, enabled=True)
    assert [record.message for record in caplog.records] == [
        f"generating: {100 + 2 * second}/200 demos, 80% success, {50 - second} s remaining" for second in (10, 20, 30)
    ]


@pytest.mark.parametrize("options", [{"enabled": False}, {"enabled": True, "log_period": None}])
def test_disabled_progress_logs_nothing(
    clock: list[float], caplog: pytest.LogCaptureFixture, options: dict[str, object]
) -> None:
    with caplog.at_level(logging.INFO, module.__name__):
        show(clock, **options)
    assert not caplog.records


@pytest.mark.parametrize("log_period", [None, 10.0])
def test_terminal_shows_the_bar_and_its_last_state(
    clock: list[float], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, log_period: float | None
) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "xterm")
    with caplog.at_level(logging.INFO, module.__name__), ProgressBar("checking", True, log_period=log_period) as bar:
        for done in (1, 2, 3):
            clock[0] += 0.04  # Faster than the bar is drawn: the end is shown nevertheless.
            bar.update(done, 3, lambda: "2 errors")
    shown = terminal.getvalue()
    assert all(text in shown for text in ("checking", "3/3", "2 errors", "0 s remaining"))
    assert not caplog.records


def test_remaining_time_follows_the_share_of_work_if_it_is_passed(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, module.__name__), ProgressBar("model_epoch_20", True, unit="episodes") as bar:
        clock[0] = 12.0
        bar.update(0, 300, lambda: "- success", share=0.25)
    assert caplog.messages == ["model_epoch_20: 0/300 episodes, - success, 36 s remaining"]

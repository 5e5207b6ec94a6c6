"""Progress: a bar on a terminal, lines in a log file, nothing if it is disabled."""

import io
import logging
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import pytest

from isaaclab_mimic_ext import progress as module
from isaaclab_mimic_ext.datasets import replay_progress
from isaaclab_mimic_ext.datasets.replay_progress import ReplayProgress
from isaaclab_mimic_ext.learn import train
from isaaclab_mimic_ext.learn.trainer import TrainingReport
from isaaclab_mimic_ext.progress import PERIOD_VARIABLE, ProgressBar
from isaaclab_mimic_ext.run import generate
from isaaclab_mimic_ext.run.result import Progress


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
    assert caplog.messages == ["model_epoch_20: 0/300 episodes, 25%, - success, 36 s remaining"]


def test_count_and_remaining_time_are_complete_at_80_columns(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    progress = Progress(970, 1000, 970, 12345, 970, 242_000, 1000.0, 60, 2, 0.0, share=0.5)
    with ProgressBar("generating", True) as bar:
        clock[0] = 1000.0
        bar.update(970, 1000, progress.figures, progress.share)
    shown = re.sub("\x1b\\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    line = [part for part in re.split("[\r\n]+", shown) if part.strip()][-1]
    assert len(line) <= 80 and re.match("generating .*━.* 970/1000 16 min 40 s remaining 8% success, 2", line)


def test_figures_without_a_meaning_yet_are_left_out() -> None:
    assert Progress(0, 100, 0, 0, 0, 500, 2.0, 0, 0, 0.0, share=0.1).figures() == "250 steps/s"
    first = Progress(0, 100, 0, 0, 0, 500, 2.0, 0, 0, 0.0, share=0.1, num_running=100)
    assert first.figures() == "100 trials running, 250 steps/s"
    progress = Progress(1, 100, 1, 2, 1, 500, 2.0, 2, 3, 1.0, share=0.1)
    counts = "50% success, 250 steps/s, 1,800 demos/h, 2 trials, 2 not saved yet"
    assert progress.figures() == f"{counts}, waiting for the disk 50% of the time"


def test_python_functions_show_progress_and_call_the_hooks_of_their_caller(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    report, stopped, epochs = TrainingReport(3, 0.5, 0.25, None, 9.0), [], []
    progress = Progress(4, 8, 4, 5, 4, 40, 20.0, 0, 0, 0.0, share=0.5)
    with caplog.at_level(logging.INFO, module.__name__):
        with generate.progress_bar(True, lambda state: bool(stopped.append(state))) as should_stop:
            clock[0] = 20.0
            assert not should_stop(progress)
        with train.progress_bar(6, True, train.TrainingHooks(epochs.append, lambda: True)) as hooks:
            clock[0] = 50.0
            hooks.on_epoch(report)
            assert hooks.should_stop()
    assert (stopped, epochs) == ([progress], [report])
    assert caplog.messages == [
        "generating: 4/8 demos, 50%, 80% success, 2 steps/s, 720 demos/h, 5 trials, 20 s remaining",
        "training: 3/6 epochs, loss 0.50000, valid 0.25000",
    ]


def test_quick_job_shows_no_bar_and_a_longer_one_shows_its_rate(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    for seconds, is_shown in ((0.4, False), (4.0, True)):
        terminal = Terminal()
        monkeypatch.setattr("sys.stderr", terminal)
        with ProgressBar("merging", True, log_period=None, delay=1.0) as bar:
            for done in range(1, 5):
                clock[0] += seconds / 4
                bar.update(done, 4)
        assert (terminal.getvalue() != "") == is_shown
    assert "merging" in terminal.getvalue() and "0.75 demos/s" in terminal.getvalue()


def test_log_lines_do_not_share_a_line_with_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    handler = logging.StreamHandler(terminal)
    logging.getLogger().addHandler(handler)
    try:
        with ProgressBar("training", True) as bar:
            bar.update(1, 3)
            logging.getLogger().warning("Evaluating the policy")
            bar.update(3, 3)
        assert handler.stream is terminal
    finally:
        logging.getLogger().removeHandler(handler)
    shown = re.sub("\x1b\\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    assert "Evaluating the policy" in re.split("[\r\n]+", shown)


@pytest.mark.parametrize(
    ("show", "is_shown"), [(module.shown, True), (lambda: module.shown(False), False), (nullcontext, False)]
)
def test_phases_follow_each_other_and_are_shown_only_if_a_command_shows_them(
    clock: list[float], monkeypatch: pytest.MonkeyPatch, show: Callable[[], AbstractContextManager[None]], is_shown: bool
) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with show():
        for title in ("checking", "replaying"):
            for _ in module.tracked(range(5), title, 5):
                clock[0] += 1.0
    shown = re.sub("\x1b\\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    finished = dict.fromkeys(re.findall(r"(checking|replaying)[^\r\n]* 5/5", shown))
    assert list(finished) == (["checking", "replaying"] if is_shown else [])
    assert is_shown or not shown


@contextmanager
def shown_on_terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with module.shown():
        yield terminal


@pytest.mark.parametrize(("value", "num_lines"), [("1", 3), ("0", 0), ("often", 0), (None, 0)])
def test_program_that_reads_the_log_sets_the_period_of_phases(
    value: str | None, num_lines: int, clock: list[float], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.delenv(PERIOD_VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(PERIOD_VARIABLE, value)
    with module.shown():
        update = module.phase("drawing", "trials")
        for done in range(4):
            update(done, 9)
            clock[0] += 1.0
    assert len(caplog.messages) == num_lines


def test_phase_ends_permanently_before_another_bar_appears(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    with shown_on_terminal(monkeypatch) as terminal:
        update = module.phase("checking")
        for done in range(3):
            clock[0] += 1.0
            update(done, 4)
        assert "checking" in terminal.getvalue()
        with ProgressBar("training", True) as bar:
            clock[0] += 1.0
            bar.update(1, 2)
            update(4, 4)
        assert "checking" not in terminal.getvalue().partition("training")[2]
        assert sys.stderr is terminal


def test_bar_of_a_loop_ends_with_the_loop(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    with shown_on_terminal(monkeypatch) as terminal:
        for _ in module.tracked(range(3), "checking", 3):
            clock[0] += 1.0
        text = terminal.getvalue()
        assert "3/3" in text
        assert sys.stderr is terminal, "the bar replaces the stream while it is shown"
    assert terminal.getvalue() == text


def test_replay_reports_the_steps_of_all_batches(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, int, float]] = []
    monkeypatch.setattr(
        replay_progress, "phase", lambda title: lambda done, total, share: calls.append((done, total, round(share, 2)))
    )
    progress = ReplayProgress([2, 4, 4], num_envs=2)
    for step in (0, 1, 2, 3, 0, 1, 2, 3):
        progress.after_step(step)
    assert [done for done, _, _ in calls] == [0, 1, 1, 2, 2, 2, 2, 3]
    assert [share for _, _, share in calls] == [round(step / 8, 2) for step in range(1, 9)]

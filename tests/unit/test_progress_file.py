"""`progress.json`: figures and state of a run, for programs that watch it; a failure to write it does not end the run."""

import errno
import json
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from isaaclab_mimic_ext.run.progress_file import ProgressFile
from isaaclab_mimic_ext.run.result import INTERRUPTED, Progress, RunResult

PROGRESS = Progress(
    num_done=6, num_target=20, num_successes=6, num_ended=8, num_successes_now=3, env_steps_now=900, elapsed_now=30.0,
    num_unsaved=0, queue_depth=0, seconds_stalled=0.0, share=0.25,
)  # fmt: skip


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "progress.json"


def test_figures_of_a_resumed_run_count_all_its_sessions(path: Path) -> None:
    with ProgressFile(path, earlier=100.0) as file:
        file.update(PROGRESS)
        found = read(path)
    assert (found["state"], found["stop_reason"], found["pid"]) == ("running", None, os.getpid())
    assert (found["trials"], found["successes"], found["target"], found["success_rate"]) == (8, 6, 20, 0.75)
    assert (found["demos_per_hour"], found["elapsed_s"], found["remaining_s"]) == (360.0, 130.0, 90.0)


def test_file_is_renewed_every_ten_seconds(path: Path) -> None:
    clock, seen = Clock(), []
    with ProgressFile(path, clock=clock) as file:
        for second in range(25):
            clock.now = float(second)
            file.update(replace(PROGRESS, num_ended=second))
            seen.append(read(path)["trials"])
    assert sorted(set(seen)) == [0, 10, 20]


def test_figures_without_a_meaning_are_null_before_the_first_trial_has_ended(path: Path) -> None:
    with ProgressFile(path) as file:
        file.update(replace(PROGRESS, num_ended=0, elapsed_now=0.0, share=0.0))
    found = read(path)
    assert (found["success_rate"], found["demos_per_hour"], found["remaining_s"]) == (None, None, None)


@pytest.mark.parametrize(("reason", "remaining"), [("target reached", 0.0), (INTERRUPTED, None)])
def test_ended_run_has_its_result(path: Path, reason: str, remaining: float | None) -> None:
    with ProgressFile(path) as file:
        file.update(PROGRESS)
        file.end(RunResult(path, 25, 20, reason, reason != INTERRUPTED, 20, elapsed=72.0, lengths=[9] * 20))
    found = read(path)
    assert (found["state"], found["stop_reason"], found["trials"], found["successes"]) == ("ended", reason, 25, 20)
    assert (found["demos_per_hour"], found["remaining_s"]) == (1000.0, remaining)
    assert os.listdir(path.parent) == ["progress.json"]


@pytest.mark.parametrize(
    ("error", "reason"), [(ValueError("bad"), "failed: ValueError: bad"), (KeyboardInterrupt(), INTERRUPTED)]
)
def test_failed_run_has_its_reason(path: Path, error: BaseException, reason: str) -> None:
    with suppress(ValueError, KeyboardInterrupt), ProgressFile(path) as file:
        file.update(PROGRESS)
        raise error
    assert (read(path)["state"], read(path)["stop_reason"], read(path)["trials"]) == ("ended", reason, 8)


def test_full_disk_is_one_warning_and_the_last_version_stays(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    with ProgressFile(path, clock=clock) as file:
        file.update(PROGRESS)

        def is_full(*_: object, **__: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", is_full)
            for clock.now in (20.0, 40.0):
                file.update(replace(PROGRESS, num_ended=9))
            assert read(path)["trials"] == 8 and os.listdir(path.parent) == ["progress.json"]
        clock.now = 60.0
        file.update(replace(PROGRESS, num_ended=10))
        assert read(path)["trials"] == 10
    assert caplog.text.count("progress.json cannot be written: No space left on device; the run continues") == 1


def test_folder_that_is_gone_does_not_end_the_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with ProgressFile(tmp_path / "gone" / "progress.json") as file:
        file.update(PROGRESS)
    assert "the run continues" in caplog.text


def test_folder_that_cannot_be_written_any_more_does_not_end_the_run(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def is_read_only(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "write_text", is_read_only)
    monkeypatch.setattr(Path, "unlink", is_read_only)
    with ProgressFile(path) as file:
        file.update(PROGRESS)
    assert "progress.json cannot be written: Read-only file system; the run continues" in caplog.text

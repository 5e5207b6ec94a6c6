"""Recordings that were killed, stopped or finished, and continue with `resume=true`."""

# N = 1 env for a person, 4 envs for the scripted operator

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from isaaclab_mimic_ext import record
from isaaclab_mimic_ext.config.compose import load_config
from isaaclab_mimic_ext.errors import BudgetExhausted, ConfigError, Interrupted, OutputError, RecorderError, SourceDataError
from isaaclab_mimic_ext.files.digest import dataset_digest
from isaaclab_mimic_ext.files.hdf5 import open_hdf5
from isaaclab_mimic_ext.run import live
from isaaclab_mimic_ext.run.live import Choice, Request, UnsavedDemo
from isaaclab_mimic_ext.run.live_state import LiveState
from isaaclab_mimic_ext.run.result import RunResult
from tests import requires
from tests.forked_scripts import ROOT
from tests.jobs import command
from tests.kinematic_sources import make_kinematic_env
from tests.people import Person

SEED = 5
SCRIPT = """
import os, signal, sys
from pathlib import Path
import torch
from isaaclab_mimic_ext import record
from isaaclab_mimic_ext.run import live
from tests.kinematic_sources import make_kinematic_env
from tests.people import Person

class KilledPerson(Person):
    def command(self):
        if (self.attempt, self.frame) == (int(sys.argv[2]), 20):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().command()

live.time.sleep = lambda seconds: None
torch.set_num_threads(1)
env = make_kinematic_env(1)
record(env, sys.argv[1], KilledPerson(env), 10, seed=5, operator_name="person", resume=True)
"""


@pytest.fixture(autouse=True)
def no_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live.time, "sleep", lambda seconds: None)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "raw.hdf5"


def record_by_hand(output: Path, num_demos: int, **arguments: Any) -> RunResult:
    person = Person(make_kinematic_env(1), arguments.pop("discards", ()))
    return record(person.env, output, person, num_demos, seed=SEED, operator_name="person", **arguments)


def stop_after(num_steps: int) -> Callable[[], bool]:
    steps = iter(range(num_steps))
    return lambda: next(steps, None) is None


def trials(output: Path) -> list[int]:
    """Trial of each demo."""
    with h5py.File(output) as file:
        return [int(demo.attrs["trial"]) for demo in file["data"].values()]


def files(output: Path) -> list[str]:
    return sorted(path.name for path in output.parent.iterdir())


def kill_during_attempt(output: Path, attempt: int) -> None:
    """Record by hand in a process that kills itself in the middle of an attempt."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(output), str(attempt)], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL


@pytest.mark.slow
def test_killed_recording_keeps_every_finished_demo(output: Path) -> None:
    kill_during_attempt(output, 2)
    assert not output.exists()
    with pytest.raises(
        OutputError, match=r"raw.hdf5.sqlite contains an unfinished recording with 2 demos; continue or finish"
    ):
        record_by_hand(output, 4)
    with pytest.raises(SourceDataError, match=r"raw.hdf5: not found; its recording is unfinished"), open_hdf5(output):
        pass
    # The second session is killed as well. Its person counts attempts from 0.
    kill_during_attempt(output, 1)
    result = record_by_hand(output, 4, resume=True)
    assert (result.num_demos, result.num_attempts, result.target_reached) == (4, 4, True)
    assert trials(output) == [0, 1, 2, 3]
    assert files(output) == ["raw.hdf5"]


@pytest.mark.slow
def test_killed_extension_can_be_finished_without_another_demo(output: Path) -> None:
    record_by_hand(output, 1)
    kill_during_attempt(output, 1)
    assert trials(output) == [0], "the dataset of the first session stays until the recording is finished"
    assert record_by_hand(output, 2, resume=True).num_attempts == 2
    assert trials(output) == [0, 1]
    assert files(output) == ["raw.hdf5"]


def test_stopped_recording_continues_from_its_dataset(output: Path) -> None:
    result = record_by_hand(output, 3, discards=(0,), should_stop=stop_after(400))
    assert (result.num_demos, result.num_attempts, result.is_interrupted) == (1, 2, True)
    assert files(output) == ["raw.hdf5"]
    result = record_by_hand(output, 2, resume=True)
    assert (result.num_demos, result.num_attempts, result.failures) == (2, 3, {live.LIVE_REASONS[live.DISCARDED]: 1})
    assert trials(output) == [1, 2]
    with h5py.File(output) as file:
        assert file["data"].attrs["complete"]
    assert files(output) == ["raw.hdf5"]


def test_finished_recording_can_be_extended_and_is_not_written_again(output: Path) -> None:
    record_by_hand(output, 1)
    before = output.stat()
    assert record_by_hand(output, 1, resume=True).num_demos == 1
    assert (output.stat().st_ino, output.stat().st_mtime) == (before.st_ino, before.st_mtime)
    assert files(output) == ["raw.hdf5"]
    with h5py.File(output) as file:
        first = file["data/demo_0"].attrs["digest"]
    assert record_by_hand(output, 2, resume=True).num_demos == 2
    with h5py.File(output) as file:
        assert file["data/demo_0"].attrs["digest"] == first


def test_continued_recording_keeps_more_demos_than_wanted(output: Path) -> None:
    record_by_hand(output, 2)
    assert record_by_hand(output, 1, resume=True).num_demos == 2


def test_existing_recording_is_refused_and_stays(output: Path) -> None:
    record_by_hand(output, 1)
    with pytest.raises(
        OutputError, match=r"raw.hdf5 already exists; continue it with resume=true, use another output_file, or"
    ):
        record_by_hand(output, 1)
    with pytest.raises(OutputError, match=r"started with a different configuration \(teleop_device: person, now gamepad\)"):
        person = Person(make_kinematic_env(1))
        record(person.env, output, person, 2, seed=SEED, operator_name="gamepad", resume=True)
    with pytest.raises(ConfigError, match="resume, overwrite: must not both be true"):
        record_by_hand(output, 1, resume=True, overwrite=True)
    assert files(output) == ["raw.hdf5"]
    assert trials(output) == [0]


def test_second_recorder_of_a_file_is_refused(output: Path) -> None:
    refused = []

    def start_another() -> bool:
        if not refused:
            with pytest.raises(OutputError, match=r"output_file: .*raw.hdf5 is in use by process") as error:
                record_by_hand(output, 1, overwrite=True)
            refused.append(error)
        return False

    assert record_by_hand(output, 1, should_stop=start_another).num_demos == 1
    assert len(refused) == 1
    assert files(output) == ["raw.hdf5"]


@requires.mark("linux", hasattr(resource, "RLIMIT_FSIZE"), "the system has no limit on file sizes")
def test_full_disk_is_reported_and_the_recording_continues(output: Path) -> None:
    """The second demo exceeds the largest size of a file, which Linux reports like a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, limits[1]))
    try:
        with pytest.raises(RecorderError, match=r"cannot be written: .*; free some space, and continue"):
            record_by_hand(output, 5)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert record_by_hand(output, 2, resume=True).num_demos == 2
    assert files(output) == ["raw.hdf5"]


class RetryingPerson(Person):
    """Keeps each complete demo, and a demo that could not be written."""

    unsaved: UnsavedDemo | None = None
    num_steps = 0

    def next_request(self, state: LiveState) -> Request:
        self.num_steps += not state.is_complete
        return Request(Choice.KEEP if state.is_complete else Choice.STEP)

    def review(self, demo: Mapping[str, np.ndarray]) -> None:
        pass

    def attributes(self) -> Mapping[str, int | str]:
        return {}


@requires.mark("linux", hasattr(resource, "RLIMIT_FSIZE"), "the system has no limit on file sizes")
def test_demo_that_could_not_be_written_is_made_again(output: Path, tmp_path: Path) -> None:
    person = RetryingPerson(make_kinematic_env(1))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, limits[1]))
    try:
        with pytest.raises(RecorderError, match=r"cannot be written: .*; free some space, and continue"):
            record(person.env, output, person, 2, seed=SEED, operator_name="person")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert person.unsaved is not None
    num_steps = person.num_steps
    assert record(person.env, output, person, 2, seed=SEED, operator_name="person", resume=True).num_demos == 2
    assert person.num_steps == num_steps, "the person makes no step again"
    assert person.unsaved is None
    straight = tmp_path / "straight.hdf5"
    other = RetryingPerson(make_kinematic_env(1))
    record(other.env, straight, other, 2, seed=SEED, operator_name="person")
    assert dataset_digest(output) == dataset_digest(straight)


def record_scripted(output: Path, *overrides: str) -> None:
    words = ["sim=kinematic", "num_demos=6", f"output_file={output}", *overrides]
    command("record", load_config("record_demos", words))


def test_interrupted_scripted_recording_continues_with_the_same_digest(
    output: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Demos of different lengths end while others run, so the interrupted dataset has gaps."""
    record_scripted(tmp_path / "undisturbed.hdf5")
    monkeypatch.setattr(
        "isaaclab_mimic_ext.commands.signals.StopRequest.requested", property(lambda stop: next(steps) > 235)
    )
    steps = iter(range(10_000))
    with pytest.raises(Interrupted) as error:
        record_scripted(output)
    assert 0 < len(trials(output)) < 6, error
    monkeypatch.undo()
    record_scripted(output, "resume=true")
    assert dataset_digest(output) == dataset_digest(tmp_path / "undisturbed.hdf5")
    assert files(output) == ["raw.hdf5", "undisturbed.hdf5"]


def test_larger_budget_continues_a_recording_that_a_budget_ended(output: Path) -> None:
    words = ("num_demos=3", "video=false")
    with pytest.raises(
        BudgetExhausted, match=r"1 demo is in .*; to continue, give a larger budget to: mimic record .*=true$"
    ):
        record_scripted(output, *words, "datagen_config.max_trials=1")
    with pytest.raises(BudgetExhausted, match=r"max_trials: 2 trials were made; .*2 demos are in"):
        record_scripted(output, *words, "datagen_config.max_trials=2", "resume=true")

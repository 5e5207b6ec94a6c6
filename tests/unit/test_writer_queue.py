"""The queue of the writer is bounded, and only waiting for space in it counts as stalled."""

import os
import signal
import threading
from collections.abc import Iterator
from multiprocessing import Pipe
from pathlib import Path

import h5py
import numpy as np
import pytest

from isaaclab_mimic_ext.errors import RecorderError
from isaaclab_mimic_ext.files.digest import dataset_digest
from isaaclab_mimic_ext.run import writer_process
from isaaclab_mimic_ext.run.episodes import (
    EpisodeBatch,
    EpisodeFormat,
    Field,
    Output,
    TrialOutcomes,
    receive_message,
    send_message,
)
from isaaclab_mimic_ext.run.result import INTERRUPTED, RunResult
from isaaclab_mimic_ext.run.writer import EpisodeWriter
from isaaclab_mimic_ext.run.writer_process import _OutputFiles
from isaaclab_mimic_ext.task.reasons import SUCCEEDED
from tests.processes import wait_until

NUM_STEPS, WIDTH = 64, 4096
NUM_BATCHES = 12
"""Number of batches of 1 MiB."""


@pytest.fixture(params=[15.0])
def writer(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[EpisodeWriter]:
    """Writer with a queue of 2 MiB whose process is stopped; the parameter is `seconds_to_write`."""
    fields = (Field("actions", (WIDTH,), "low", 0, WIDTH),)
    path, store = tmp_path / "demo.hdf5", tmp_path / "run.sqlite"
    output = Output(
        path, overwrite=True, queue_megabytes=2, store_path=store, seconds_to_write=request.param, names_interrupted=False
    )
    opened = EpisodeWriter(output, EpisodeFormat({}, fields))
    os.kill(opened._process.pid, signal.SIGSTOP)
    yield opened
    opened._process.kill()
    opened._process.wait()


def batch(trial: int, committed: int | None = None) -> EpisodeBatch:
    """Batch of one trial; by default, the trial and all earlier trials may be written to the dataset."""
    rows = {"low": np.full((1, NUM_STEPS, WIDTH), trial, np.float32)}
    outcomes = TrialOutcomes(np.array([trial]), reason=np.array([SUCCEEDED]), lengths=np.array([NUM_STEPS]))
    return EpisodeBatch(outcomes, np.ones(1, dtype=bool), rows, {}, trial + 1 if committed is None else committed)


def interrupted(writer: EpisodeWriter) -> RunResult:
    return RunResult(writer.output.path, 0, 0, INTERRUPTED, target_reached=False, target=NUM_BATCHES)


@pytest.mark.slow
def test_generation_waits_while_the_queue_is_full_and_loses_no_episode(writer: EpisodeWriter) -> None:
    most, begun = [], []

    def put_all() -> None:
        for trial in range(NUM_BATCHES):
            begun.append(trial)
            writer.put(batch(trial))
            most.append(writer.queue_depth)

    putting = threading.Thread(target=put_all)
    putting.start()
    wait_until(lambda: writer.queue_depth == 2 and len(begun) > len(most), "the queue does not fill")
    putting.join(timeout=1.5)
    assert putting.is_alive(), "generation did not wait for the writer"
    assert writer.queue_depth == 2
    os.kill(writer._process.pid, signal.SIGCONT)
    putting.join()
    result = writer.close(interrupted(writer))
    assert result.lengths == [NUM_STEPS] * NUM_BATCHES
    assert max(most) <= 2
    assert writer.seconds_stalled > 0.1
    with h5py.File(result.dataset) as file:
        found = [file["data"][f"demo_{index}/actions"][0, 0] for index in range(NUM_BATCHES)]
    assert found == list(range(NUM_BATCHES))


def test_put_does_not_count_as_stalled_while_the_queue_has_space(writer: EpisodeWriter) -> None:
    writer.put(batch(0))
    assert writer.seconds_stalled == 0
    os.kill(writer._process.pid, signal.SIGCONT)
    assert writer.close(interrupted(writer)).lengths == [NUM_STEPS]


@pytest.mark.parametrize("writer", [-1.0], indirect=True)
def test_interruption_without_time_for_datasets_keeps_all_trials_in_the_store(writer: EpisodeWriter) -> None:
    earlier = writer.output.path
    earlier.write_text("of an earlier session")
    # Trial 0 has not ended. Otherwise the writer could write the datasets before it receives the interruption.
    for trial in (1, 2):
        writer.put(batch(trial, committed=0))
    os.kill(writer._process.pid, signal.SIGCONT)
    assert not writer.close(interrupted(writer)).is_written
    assert earlier.read_text() == "of an earlier session"
    assert not earlier.with_name("demo.hdf5.part").exists()


def test_store_with_other_fields_is_refused(tmp_path: Path) -> None:
    def files(name: str) -> _OutputFiles:
        output = Output(tmp_path / "demo.hdf5", overwrite=True, store_path=tmp_path / "run.sqlite")
        return _OutputFiles(output, EpisodeFormat({}, (Field(name, (2,), "low", 0, 2),)))

    for _ in range(2):
        opened = files("actions")
        opened.store.commit()
        opened.store.close()
        opened.files.discard()
    with pytest.raises(RecorderError, match=r"run.sqlite: was started with different recorded values; .* overwrite=true"):
        files("actions_clean")


def test_dataset_is_the_same_from_memory_and_from_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def digest(name: str) -> str:
        folder = tmp_path / name
        fields = Field("actions", (WIDTH,), "low", 0, WIDTH), Field("obs/first", (2,), "low", 0, 2)
        output = Output(folder / "demo.hdf5", store_path=tmp_path / f"{name}.sqlite")
        files = _OutputFiles(output, EpisodeFormat({}, fields))
        for trial in (1, 0, 2):
            sent = batch(trial, committed=3)
            sent.outcomes.attributes |= {"seed": np.array([7], np.int32), "rate": np.array([[0.1]], np.float32)}
            files.store_batch(sent)
        files.close(RunResult(output.path, 3, 3, "target reached", target_reached=True, target=3))
        with h5py.File(output.path) as file:
            attributes = [{**demo.attrs} for demo in file["data"].values()]
        assert not files._held and files._held_bytes == 0
        return dataset_digest(output.path) + str(attributes)

    held = digest("held")
    monkeypatch.setattr(writer_process, "_MAX_HELD_BYTES", 2**20)
    assert digest("some") == held
    monkeypatch.setattr(writer_process, "_MAX_HELD_BYTES", 0)
    assert digest("stored") == held


def test_arrays_of_a_message_arrive_unchanged_and_cannot_be_written_to() -> None:
    ours, theirs = Pipe()
    sent = {
        "large": np.arange(300_000, dtype=np.float32).reshape(-1, 3),
        "empty": np.zeros((0, 4), np.uint8),
        "bytes": np.arange(5, dtype=np.uint8),
    }
    thread = threading.Thread(target=send_message, args=(ours, ("text", sent)))
    thread.start()
    text, received = receive_message(theirs)
    thread.join()
    assert text == "text" and received.keys() == sent.keys()
    for name, values in sent.items():
        assert received[name].dtype == values.dtype and np.array_equal(received[name], values)
        assert not received[name].flags.writeable


def test_connection_that_closes_within_a_message_ends_the_writer() -> None:
    ours, theirs = Pipe()
    ours.send((b"", [10]))
    os.write(ours.fileno(), b"12345")
    ours.close()
    with pytest.raises(EOFError):
        receive_message(theirs)

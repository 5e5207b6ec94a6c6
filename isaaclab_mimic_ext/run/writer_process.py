"""The process that writes episodes to HDF5 while generation goes on: h5py would hold the generator's interpreter lock.

Started by `run/writer.py` as a program of its own, so that the user's main module is not imported once more.
"""

import math
import os
import re
import signal
import sqlite3
import sys
import time
import traceback
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from isaaclab_mimic_ext.errors import MimicError, RecorderError
from isaaclab_mimic_ext.files.dataset_file import DatasetFile
from isaaclab_mimic_ext.run.episodes import EpisodeBatch, EpisodeFormat, Output, Saved, receive_message, unpack
from isaaclab_mimic_ext.run.result import RunResult
from isaaclab_mimic_ext.run.store import IN_MEMORY, Episode, RunStore

_KEPT = "what finished before is kept in {}: free some space and go on with resume=true"
_COMMIT_PERIOD = 1.0
"""How long a finished trial may wait until it is durable [s]."""
_SLICE = 0.1
"""How long datasets are written before new episodes are looked for [s]."""
_MAX_BACKLOG = 1000
"""More trials that are in the store, but not yet in a dataset, would make the end of a run long."""
_MAX_BACKLOG_BYTES = 256 * 2**20


def main(connection: Connection) -> None:
    """Write the episodes that come, and answer at the end: with a `RunResult`, or a `RecorderError`."""
    # A signal to the whole job must not end the writer before the generator has closed it in order.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    output: Output | None = None
    try:
        output, contents = receive_message(connection)
        connection.send(_write_all(output, contents, connection))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        os._exit(1)  # The generator is gone; what was committed is in the store.
    except BaseException as error:
        with suppress(OSError):
            connection.send(_failure(output, error))
        # Not in order: releasing its objects, HDF5 would try to write again, complain about each of them and crash.
        os._exit(1)


def _failure(output: Output | None, error: BaseException) -> RecorderError:
    if isinstance(error, MimicError):
        return RecorderError(str(error))
    if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError) and output:
        return RecorderError(f"{output.store_path} is damaged ({error}); start anew with overwrite=true")
    path = output.path if output else "a dataset"
    # HDF5 wraps what the system said in a paragraph of its own.
    reason = re.search(r"error message = '([^']+)'", str(error))
    if reason is not None or isinstance(error, OSError | sqlite3.Error):
        said = reason[1] if reason is not None else getattr(error, "strerror", None) or str(error)
        kept = "" if output is None or output.store_path == IN_MEMORY else f"; {_KEPT.format(output.store_path)}"
        return RecorderError(f"writing {path}: {said}{kept}")
    return RecorderError(f"writing {path} failed:\n{traceback.format_exc()}")


def _write_all(output: Output, contents: EpisodeFormat, connection: Connection) -> RunResult:
    writing = _Writing(output, contents)
    while True:
        # Episodes are made durable as they come; the datasets grow when nothing comes, or when much has piled up.
        waits = connection.poll(0.0 if writing.has_backlog else _COMMIT_PERIOD)
        if waits:
            message = receive_message(connection)
            if isinstance(message, RunResult):
                return writing.close(message)
            writing.take(message)
        if not waits or writing.is_behind:
            writing.write_until(time.monotonic() + _SLICE)
        if time.monotonic() >= writing.next_commit:
            writing.commit(connection)


class _Writing:
    """The database that episodes go to at once, and the datasets that they go to in the order of their trials."""

    def __init__(self, output: Output, contents: EpisodeFormat):
        self.output, self.contents = output, contents
        self.store = RunStore(output.store_path)
        self.store.set_facts(**output.facts)
        paths = {True: output.path} if output.failed_path is None else {True: output.path, False: output.failed_path}
        options = contents.env_args, output.attributes, output.compression, output.format_version, output.overwrite
        self.files = {success: DatasetFile(path, *options) for success, path in paths.items()}
        self._started = time.monotonic()
        self.next_commit = self._started + _COMMIT_PERIOD
        self._next_trial = self._committed = 0
        """Trials between these are to be written."""
        self._waiting_trials = self._waiting_bytes = 0
        """What was taken since there was nothing to write."""
        self._num_taken = self._num_saved = 0

    @property
    def has_backlog(self) -> bool:
        return self._next_trial < self._committed

    @property
    def is_behind(self) -> bool:
        is_much = self._waiting_trials > _MAX_BACKLOG or self._waiting_bytes > _MAX_BACKLOG_BYTES
        return is_much and self.has_backlog

    def take(self, batch: EpisodeBatch) -> None:
        """Keep the trials of a batch in the store."""
        row, outcomes = 0, batch.outcomes
        for index, trial in enumerate(outcomes.trials.tolist()):
            length = int(outcomes.lengths[index])
            notes = {name: values[index] for name, values in outcomes.notes.items()}
            self.store.add(trial, int(outcomes.reason[index]), length, notes)
            if batch.kept[index]:
                rows = {name: values[row, :length] for name, values in batch.rows.items()}
                rows |= {name: values[row] for name, values in batch.initial_rows.items()}
                self.store.add_episode(trial, rows, {name: values[index] for name, values in outcomes.attributes.items()})
                row += 1
        self._num_taken += len(outcomes.trials)
        self._committed = max(self._committed, batch.committed)
        self._waiting_trials += len(outcomes.trials)
        self._waiting_bytes += batch.num_bytes

    def write_until(self, end: float) -> None:
        """Write trials that are committed, in the order of their numbers, as far as the time goes."""
        while self.has_backlog and time.monotonic() < end:
            self._write(self._next_trial)
        if not self.has_backlog:
            self._waiting_trials = self._waiting_bytes = 0

    def commit(self, connection: Connection) -> None:
        """Make what was taken durable, and tell the generator."""
        if self._num_saved < self._num_taken:
            self._note_time()
            self.store.commit()
            self._num_saved = self._num_taken
            connection.send(Saved(self._num_saved))
        self.next_commit = time.monotonic() + _COMMIT_PERIOD

    def close(self, result: RunResult) -> RunResult:
        """Finish the datasets, give them their names, and keep the result in the store."""
        self.store.commit()
        if not self._write_rest(result):
            for file in self.files.values():
                file.discard()
            return self._keep(replace(result, lengths=self.files[True].lengths, is_written=False))
        for file in self.files.values():
            file.finish(result.dataset_attributes())
        for file in self.files.values():
            file.publish()
        return self._keep(replace(result, lengths=self.files[True].lengths))

    def _write_rest(self, result: RunResult) -> bool:
        """Write the trials of a result that no dataset has yet; False where an interruption leaves too little time."""
        is_hurried = result.is_interrupted and self.output.store_path != IN_MEMORY
        end = time.monotonic() + self.output.seconds_to_write if is_hurried else math.inf
        trials = self.store.outcomes().trials
        counted = trials if result.is_interrupted else trials[trials < result.num_attempts]
        for trial in counted[counted >= self._next_trial].tolist():
            if time.monotonic() > end:
                return False
            self._write(trial)
        return True

    def _keep(self, result: RunResult) -> RunResult:
        """Note the end of the run in the store, which a finished run's episodes leave."""
        self._note_time()
        self.store.set_facts(result=result.as_dict(), reported=False)
        self.store.commit()
        if result.target_reached and result.is_written:
            with suppress(sqlite3.Error):  # Only space is lost.
                self.store.drop_episodes()
        self.store.close()
        return result

    def _note_time(self) -> None:
        self.store.set_facts(elapsed=self.output.elapsed + time.monotonic() - self._started)

    def _write(self, trial: int) -> None:
        self._next_trial = trial + 1
        episode = self.store.episode(trial)
        if episode is not None:
            self.files[episode.success].add_demo(*self._demo(episode))
        elif self.store.is_demo(trial, bool(self.output.failed_path)) and not any(
            file.copy_demo(trial) for file in self.files.values()
        ):
            raise RecorderError(f"{self.output.store_path} has lost trial {trial}; start anew with overwrite=true")

    def _demo(self, episode: Episode) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        leaves = unpack((*self.contents.fields, *self.contents.initial_fields), episode.rows)
        length = len(leaves["actions"])
        leaves["dones"] = np.arange(1, length + 1) == length
        return leaves, {"success": episode.success, "trial": episode.trial, **episode.attributes}


if __name__ == "__main__":
    main(Connection(int(sys.argv[1])))

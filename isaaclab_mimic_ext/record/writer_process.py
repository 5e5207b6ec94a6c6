"""The process that writes episodes to HDF5 while generation goes on: h5py would hold the generator's interpreter lock.

Started by `record/writer.py` as a program of its own, so that the user's main module is not imported once more.
"""

import os
import re
import signal
import sqlite3
import sys
import time
import traceback
from collections.abc import Iterable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from isaaclab_mimic_ext.errors import MimicError, RecorderError
from isaaclab_mimic_ext.record.episodes import Closing, EpisodeBatch, Saved, WriterOptions, WriterSummary
from isaaclab_mimic_ext.record.fields import unpack
from isaaclab_mimic_ext.record.hdf5 import DatasetFile
from isaaclab_mimic_ext.record.store import IN_MEMORY, Episode, RunStore

_KEPT = "what finished before is kept in {}: free some space and go on with resume=true"
_COMMIT_PERIOD = 1.0
"""How long a finished trial may wait until it is durable [s]."""


def main(connection: Connection) -> None:
    """Write what comes, and answer once: with a `WriterSummary` or a `RecorderError`."""
    # A signal to the whole job must not end the writer before the generator has closed it in order.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    options: WriterOptions | None = None
    try:
        options = connection.recv()
        connection.send(_write_all(options, connection))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        os._exit(1)  # The generator is gone; what was committed is in the store.
    except BaseException as error:
        with suppress(OSError):
            connection.send(_failure(options, error))
        # Not in order: releasing its objects, HDF5 would try to write again, complain about each of them and crash.
        os._exit(1)


def _failure(options: WriterOptions | None, error: BaseException) -> RecorderError:
    if isinstance(error, MimicError):
        return RecorderError(str(error))
    if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError) and options:
        return RecorderError(f"{options.store_path} is damaged ({error}); start anew with overwrite=true")
    path = options.path if options else "a dataset"
    # HDF5 wraps what the system said in a paragraph of its own.
    reason = re.search(r"error message = '([^']+)'", str(error))
    if reason is not None or isinstance(error, OSError | sqlite3.Error):
        said = reason[1] if reason is not None else getattr(error, "strerror", None) or str(error)
        kept = "" if options is None or options.store_path == IN_MEMORY else f"; {_KEPT.format(options.store_path)}"
        return RecorderError(f"writing {path}: {said}{kept}")
    return RecorderError(f"writing {path} failed:\n{traceback.format_exc()}")


def _write_all(options: WriterOptions, connection: Connection) -> WriterSummary:
    writing = _Writing(options)
    while True:
        if connection.poll(_COMMIT_PERIOD):
            message = connection.recv()
            if isinstance(message, Closing):
                return writing.close(message)
            writing.take(message)
        if time.monotonic() >= writing.next_commit:
            writing.commit(connection)


class _Writing:
    """The database that episodes go to at once, and the datasets that they go to in the order of their trials."""

    def __init__(self, options: WriterOptions):
        self.options = options
        self.store = RunStore(options.store_path)
        self.files = {True: DatasetFile(options.path, options.file, options.overwrite)}
        if options.failed_path is not None:
            self.files[False] = DatasetFile(options.failed_path, options.file, options.overwrite)
        self._started = time.monotonic()
        self.next_commit = self._started + _COMMIT_PERIOD
        self._next_trial = 0
        self._num_taken = self._num_saved = 0

    def take(self, batch: EpisodeBatch) -> None:
        """Keep the trials of a batch, and write those that are committed by now."""
        row, ended = 0, batch.ended
        for index, trial in enumerate(ended.trials.tolist()):
            length = int(ended.lengths[index])
            self.store.add(trial, bool(ended.success[index]), int(ended.stages[index]), length)
            if batch.kept[index]:
                rows = {name: values[row, :length] for name, values in batch.rows.items()}
                rows |= {name: values[row] for name, values in batch.initial_rows.items()}
                self.store.add_episode(trial, rows, {name: values[index] for name, values in ended.attributes.items()})
                row += 1
        self._num_taken += len(ended.trials)
        self._write(range(self._next_trial, batch.committed))

    def commit(self, connection: Connection) -> None:
        """Make what was taken durable, and tell the generator."""
        if self._num_saved < self._num_taken:
            self._note_time()
            self.store.commit()
            self._num_saved = self._num_taken
            connection.send(Saved(self._num_saved))
        self.next_commit = time.monotonic() + _COMMIT_PERIOD

    def close(self, closing: Closing) -> WriterSummary:
        """Finish the datasets, give them their names, and note the end of the run."""
        self.store.commit()
        trials = self.store.outcomes().trials
        last = closing.committed if closing.committed is not None else int(trials.max(initial=-1)) + 1
        self._write(trials[(trials >= self._next_trial) & (trials < last)].tolist())
        for file in self.files.values():
            file.finish(closing.attributes)
        for file in self.files.values():
            file.publish()
        self._note_time()
        self.store.set_facts(num_demos=len(self.files[True].lengths), **closing.facts)
        self.store.commit()
        if closing.is_final:
            with suppress(sqlite3.Error):  # Only space is lost.
                self.store.drop_episodes()
        self.store.close()
        return WriterSummary(self.files[True].lengths)

    def _note_time(self) -> None:
        self.store.set_facts(elapsed=self.options.elapsed + time.monotonic() - self._started)

    def _write(self, trials: Iterable[int]) -> None:
        for trial in trials:
            self._next_trial = trial + 1
            episode = self.store.episode(trial)
            if episode is None and self.store.is_demo(trial, bool(self.options.failed_path)):
                raise RecorderError(f"{self.options.store_path} has lost trial {trial}; start anew with overwrite=true")
            if episode is not None:
                self.files[episode.success].add_demo(*self._demo(episode))

    def _demo(self, episode: Episode) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        leaves = unpack(self.options.fields, episode.rows) | unpack(self.options.initial_fields, episode.rows)
        length = len(leaves["actions"])
        leaves["dones"] = np.arange(1, length + 1) == length
        return leaves, {"success": episode.success, "trial": episode.trial, **episode.attributes}


if __name__ == "__main__":
    main(Connection(int(sys.argv[1])))

"""Writer process: writes store and datasets during generation. In the generator, h5py would block the interpreter lock.

`run/writer.py` starts it as a separate program, so that the user's main module is not imported a second time.
"""

import json
import math
import os
import signal
import sqlite3
import sys
import time
import traceback
from contextlib import suppress
from dataclasses import asdict, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from isaaclab_mimic_ext.errors import MimicError, RecorderError
from isaaclab_mimic_ext.files.dataset_file import DatasetFile
from isaaclab_mimic_ext.files.writing import FREE_SPACE, system_reason, unwritable
from isaaclab_mimic_ext.run.episodes import EpisodeBatch, EpisodeFormat, Output, Saved, receive_message, unpack
from isaaclab_mimic_ext.run.result import RunResult
from isaaclab_mimic_ext.run.store import IN_MEMORY, Episode, RunStore

_RECOVERY = "finished trials are kept in {}; free some space, and continue with resume=true"
_COMMIT_PERIOD = 1.0
"""Maximum time until an ended trial is durable [s]."""
_WRITE_PERIOD = 0.1
"""Time for writing datasets between two checks for new episodes [s]."""
_MAX_BACKLOG = 1000
"""Maximum number of trials that are in the store but not yet in a dataset; more would delay the end of a run."""
_MAX_BACKLOG_BYTES = 256 * 2**20
"""Maximum size of these trials [bytes]."""
_MAX_HELD_BYTES = 64 * 2**20
"""Maximum size of the episodes that stay in memory until they are in a dataset; others are read from the store [bytes]."""


def main(connection: Connection) -> None:
    """Write all received episodes, and answer at the end with a `RunResult` or a `RecorderError`."""
    # A signal to the whole job must not end the writer before the generator closes it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    output: Output | None = None
    try:
        output, contents = receive_message(connection)
        connection.send(_write_all(output, contents, connection))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        os._exit(1)  # The generator has ended; committed trials are in the store.
    except BaseException as error:
        with suppress(OSError):
            connection.send(_failure(output, error))
        # Exit without cleanup: HDF5 would try to write again when it releases its objects, print errors and crash.
        os._exit(1)


def _failure(output: Output | None, error: BaseException) -> MimicError:
    if isinstance(error, MimicError):
        return RecorderError(str(error))
    if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError) and output:
        return RecorderError(f"{output.store_path} is damaged ({error}); start again with overwrite=true")
    path = output.path if output else Path("a dataset")
    if isinstance(error, OSError | sqlite3.Error) or system_reason(error):
        remedy = FREE_SPACE
        if output and output.store_path != IN_MEMORY:
            remedy = _RECOVERY.format(output.store_path)
        return unwritable(path, error, remedy=remedy)
    return RecorderError(f"{path} cannot be written:\n{traceback.format_exc()}")


def _write_all(output: Output, contents: EpisodeFormat, connection: Connection) -> RunResult:
    files = _OutputFiles(output, contents)
    while True:
        # Received episodes go to the store first. Datasets are written if no message waits, or if the backlog is large.
        has_message = connection.poll(0.0 if files.has_backlog else _COMMIT_PERIOD)
        if has_message:
            message = receive_message(connection)
            if isinstance(message, RunResult):
                return files.close(message)
            files.store_batch(message)
            if output.commits_at_once:
                files.commit(connection)
        if not has_message or files.is_behind:
            files.write_until(time.monotonic() + _WRITE_PERIOD)
        if time.monotonic() >= files.next_commit:
            files.commit(connection)


class _OutputFiles:
    """Store, which receives episodes immediately, and datasets, which receive them in the order of their trials."""

    def __init__(self, output: Output, contents: EpisodeFormat):
        self.output, self.contents = output, contents
        self.store = RunStore(output.store_path)
        self._check_fields()
        self.store.set_facts(**output.facts)
        paths = {True: output.path} if output.failed_path is None else {True: output.path, False: output.failed_path}
        options = contents.env_args, output.attributes, output.compression, output.format_version, output.overwrite
        self.files = {success: DatasetFile(path, *options) for success, path in paths.items()}
        self._started = time.monotonic()
        self.next_commit = self._started + _COMMIT_PERIOD
        self._next_trial = self._committed = output.first_trial
        """Trials `_next_trial` .. `_committed` - 1 can be written to the datasets."""
        self._backlog_trials = self._backlog_bytes = 0
        """Number and size of the trials that were stored since the last time without backlog."""
        self._num_stored = self._num_saved = 0
        self._held: dict[int, Episode] = {}
        self._held_bytes = 0

    def _check_fields(self) -> None:
        """Store the columns of the rows, or compare them with those of the stored rows."""
        fields = [asdict(each) for each in (*self.contents.fields, *self.contents.initial_fields)]
        fields = json.loads(json.dumps(fields))
        if self.store.facts().get("fields", fields) != fields:
            raise RecorderError(
                f"{self.output.store_path}: was started with different recorded values; resume with the version that "
                "started it, or start again with overwrite=true"
            )
        self.store.set_facts(fields=fields)

    @property
    def has_backlog(self) -> bool:
        """Return whether trials can be written to the datasets."""
        return self._next_trial < self._committed

    @property
    def is_behind(self) -> bool:
        """Return whether the backlog is too large."""
        is_large = self._backlog_trials > _MAX_BACKLOG or self._backlog_bytes > _MAX_BACKLOG_BYTES
        return is_large and self.has_backlog

    def store_batch(self, batch: EpisodeBatch) -> None:
        """Write the trials of a batch to the store."""
        row, outcomes = 0, batch.outcomes
        for index, trial in enumerate(outcomes.trials.tolist()):
            length = int(outcomes.lengths[index])
            notes = {name: values[index] for name, values in outcomes.notes.items()}
            self.store.add(trial, int(outcomes.reason[index]), length, notes)
            if batch.kept[index]:
                rows = {name: values[row, :length] for name, values in batch.rows.items()}
                rows |= {name: values[row] for name, values in batch.initial_rows.items()}
                attributes = {name: values[index].tolist() for name, values in outcomes.attributes.items()}
                self._store_episode(Episode(trial, bool(outcomes.success[index]), rows, attributes))
                row += 1
        self._num_stored += len(outcomes.trials)
        self._committed = max(self._committed, batch.committed)
        self._backlog_trials += len(outcomes.trials)
        self._backlog_bytes += batch.num_bytes

    def _store_episode(self, episode: Episode) -> None:
        """Write an episode to the store, and keep it in memory for its dataset if there is space."""
        self._release(episode.trial)
        self.store.add_episode(episode.trial, episode.rows, episode.attributes)
        if self._held_bytes + episode.num_bytes <= _MAX_HELD_BYTES:
            self._held[episode.trial] = episode
            self._held_bytes += episode.num_bytes

    def _release(self, trial: int) -> Episode | None:
        """Return the episode of a trial if it is in memory, and forget it."""
        episode = self._held.pop(trial, None)
        self._held_bytes -= 0 if episode is None else episode.num_bytes
        return episode

    def write_until(self, end: float) -> None:
        """Write committed trials to the datasets, in the order of their numbers, until the time `end` [s]."""
        while self.has_backlog and time.monotonic() < end:
            self._write(self._next_trial)
        if not self.has_backlog:
            self._backlog_trials = self._backlog_bytes = 0

    def commit(self, connection: Connection) -> None:
        """Make the stored trials durable, and report their number to the generator."""
        if self._num_saved < self._num_stored:
            self._note_time()
            self.store.commit()
            self._num_saved = self._num_stored
            connection.send(Saved(self._num_saved))
        self.next_commit = time.monotonic() + _COMMIT_PERIOD

    def close(self, result: RunResult) -> RunResult:
        """Finish and rename the datasets, and write the result to the store."""
        self.store.commit()
        if not self._write_rest(result):
            for file in self.files.values():
                file.discard()
            return self._store_result(replace(result, lengths=self.files[True].lengths, is_written=False))
        kept = [file for file in self.files.values() if file.lengths or self.output.keeps_empty]
        for file in self.files.values():
            file.finish(result.dataset_attributes()) if file in kept else file.discard()
        if result.is_interrupted and not self.output.names_interrupted:
            result = replace(result, dataset=self.files[True].part_path)
        else:
            for file in kept:
                file.publish()
        return self._store_result(replace(result, lengths=self.files[True].lengths))

    def _write_rest(self, result: RunResult) -> bool:
        """Write the remaining trials of the result to the datasets; return False if the time after an interruption ends."""
        is_hurried = result.is_interrupted and self.output.store_path != IN_MEMORY
        end = time.monotonic() + self.output.seconds_to_write if is_hurried else math.inf
        trials = self.store.outcomes().trials
        counted = trials if result.is_interrupted else trials[trials < result.end_trial]
        for trial in counted[counted >= self._next_trial].tolist():
            if time.monotonic() > end:
                return False
            self._write(trial)
        return True

    def _store_result(self, result: RunResult) -> RunResult:
        """Write the result to the store, and delete the episodes of a finished run from the store."""
        self._note_time()
        self.store.set_facts(result=result.as_dict(), reported=False)
        self.store.commit()
        if result.target_reached and result.is_written:
            with suppress(sqlite3.Error):  # A failure only costs disk space.
                self.store.drop_episodes()
        self.store.close()
        return result

    def _note_time(self) -> None:
        self.store.set_facts(elapsed=self.output.elapsed + time.monotonic() - self._started)

    def _write(self, trial: int) -> None:
        self._next_trial = trial + 1
        episode = self._release(trial) or self.store.episode(trial)
        if episode is not None:
            self.files[episode.success].add_demo(*self._demo(episode))
        elif self.store.requires_episode(trial, bool(self.output.failed_path)) and not any(
            file.copy_demo(trial) for file in self.files.values()
        ):
            raise RecorderError(
                f"{self.output.store_path}: the episode of trial {trial} is missing; start again with overwrite=true"
            )

    def _demo(self, episode: Episode) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        leaves = unpack((*self.contents.fields, *self.contents.initial_fields), episode.rows)
        length = len(leaves["actions"])
        leaves["dones"] = np.arange(1, length + 1) == length
        return leaves, {"success": episode.success, "trial": episode.trial, **episode.attributes}


if __name__ == "__main__":
    main(Connection(int(sys.argv[1])))

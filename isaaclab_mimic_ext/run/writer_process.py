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

import numpy as np

from isaaclab_mimic_ext.errors import MimicError, RecorderError
from isaaclab_mimic_ext.files.writing import FREE_SPACE, system_reason, unwritable
from isaaclab_mimic_ext.run.demo_files import DemoFiles
from isaaclab_mimic_ext.run.episode_files import episodes_folder
from isaaclab_mimic_ext.run.episodes import EpisodeBatch, EpisodeFormat, Output, Saved, receive_message, unpack
from isaaclab_mimic_ext.run.result import RunResult
from isaaclab_mimic_ext.run.store import IN_MEMORY, Episode, Outcomes, RunStore

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
        if time.monotonic() >= files.next_commit or files.store.num_collected_bytes > _MAX_HELD_BYTES:
            files.commit(connection)


class _OutputFiles:
    """Store, which receives episodes immediately, and datasets, which receive them in the order of their trials."""

    def __init__(self, output: Output, contents: EpisodeFormat):
        self.output, self.contents = output, contents
        is_shared = (output.num_writers or 1) > 1
        self.store = RunStore(output.store_path, False, is_shared, output.first_trial, output.shard_demos)
        self._check_fields()
        self.store.set_facts(**output.facts)
        if is_shared:
            self.store.commit()  # Otherwise, the other processes would have to wait.
        self.files = DemoFiles(output, contents, self.store.outcomes(), self.store.lengths())
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
            self._write(self._next_trial, self._committed)
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
        """Finish and rename the datasets, and write the result to the store; shards only if this is not process 0."""
        self.store.commit()
        outcomes, lengths = self._counted(result), self.store.lengths()
        if self.output.writer:
            return self._close_shards(result, outcomes)
        result = replace(result, lengths=[lengths[trial] for trial in outcomes.trials[outcomes.success].tolist()])
        if not self._write_rest(result, outcomes) or not result.is_written:
            self.files.discard()
            return self._store_result(replace(result, is_written=False))
        result = self._store_result(self.files.close(result, outcomes, lengths))
        if result.target_reached:
            self.files.remove_others(result)
        return result

    def _close_shards(self, result: RunResult, outcomes: Outcomes) -> RunResult:
        is_written = self._write_rest(result, outcomes)
        if is_written:
            self.files.close_shard(is_final=not result.is_interrupted)
        else:
            self.files.discard()
        self.store.close()
        return replace(result, is_written=is_written)

    def _counted(self, result: RunResult) -> Outcomes:
        """Outcomes of the trials that are written: those of the result, and after an interruption all that have ended."""
        ended = self.store.outcomes()
        counts = np.ones(len(ended.trials), bool) if result.is_interrupted else ended.trials < result.end_trial
        return Outcomes(ended.trials[counts], ended.reason[counts])

    def _write_rest(self, result: RunResult, outcomes: Outcomes) -> bool:
        """Write the remaining trials of the result to the datasets; return False if the time after an interruption ends."""
        is_hurried = result.is_interrupted and self.output.store_path != IN_MEMORY
        end = time.monotonic() + self.output.seconds_to_write if is_hurried else math.inf
        stop = int(outcomes.trials.max(initial=-1)) + 1
        for trial in outcomes.trials.tolist():
            if trial < self._next_trial:
                continue
            if time.monotonic() > end:
                return False
            self._write(trial, stop)
        return True

    def _store_result(self, result: RunResult) -> RunResult:
        """Write the result to the store, and delete the episodes of a finished run from the store."""
        self._note_time()
        self.store.set_facts(result=result.as_dict(), reported=False)
        self.store.commit()
        if result.target_reached and result.is_written:
            with suppress(sqlite3.Error, OSError):  # A failure only costs disk space.
                self.store.drop_episodes()
        self.store.close()
        return result

    def _note_time(self) -> None:
        self.store.set_facts(elapsed=self.output.elapsed + time.monotonic() - self._started)

    def _write(self, trial: int, stop: int) -> None:
        """Write a trial to its dataset, or skip the shard that begins with it if an earlier session has closed the shard.

        Args:
            stop: trials below this number can be written.
        """
        shard = self.files.trials_of_shard(trial)
        if shard is not None and not self.files.owns(trial):
            self._next_trial = shard.stop
            return
        if shard is not None and trial == shard.start and shard.stop <= stop and self.files.has_closed(shard):
            self._forget(shard)
            return
        self._next_trial = trial + 1
        self.files.begin(trial)
        episode = self._release(trial) or self.store.episode(trial)
        if episode is not None:
            self.files.add(episode, self._leaves(episode))
        elif self.store.requires_episode(trial, bool(self.output.failed_path)) and not self.files.copy(trial):
            raise RecorderError(f"{self._lost(trial, shard)}, or start again with overwrite=true")
        if shard is not None and trial == shard.stop - 1:
            self.store.commit()
            if self.files.close_shard(is_final=False):
                self._forget(shard)

    def _lost(self, trial: int, shard: range | None) -> str:
        """Message about a trial without its episode, without the last remedy."""
        store = Path(self.output.store_path)
        if shard is None:
            return f"{store}: the episode of trial {trial} is missing; restore it and {episodes_folder(store).name}"
        return (
            f"{self.files.path_of(trial)}: not found, and {store.name} does not contain its demos any more; restore the file"
        )

    def _forget(self, shard: range) -> None:
        """Delete the episodes of a shard that is closed."""
        self._next_trial = shard.stop
        self.store.delete_episodes(shard)
        self.store.commit()

    def _leaves(self, episode: Episode) -> dict[str, np.ndarray]:
        leaves = unpack((*self.contents.fields, *self.contents.initial_fields), episode.rows)
        length = len(leaves["actions"])
        leaves["dones"] = np.arange(1, length + 1) == length
        return leaves


if __name__ == "__main__":
    main(Connection(int(sys.argv[1])))

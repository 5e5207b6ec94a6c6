"""Several writer processes, each of which writes a part of the shards of a dataset."""

import logging
import os
from dataclasses import replace
from pathlib import Path

from isaaclab_mimic_ext.files.lock_errors import has_locks, has_shared_memory
from isaaclab_mimic_ext.files.shards import shard_folder
from isaaclab_mimic_ext.files.writing import create_folder
from isaaclab_mimic_ext.run.episodes import EpisodeBatch, EpisodeFormat, Output
from isaaclab_mimic_ext.run.result import RunResult
from isaaclab_mimic_ext.run.store import IN_MEMORY
from isaaclab_mimic_ext.run.writer import EpisodeWriter

log = logging.getLogger(__name__)

_CORES_PER_WRITER, _MAX_CHOSEN = 4, 4
"""Number of CPU cores for each writer process, and largest number of writer processes, if the number is not given."""


def open_writer(output: Output, contents: EpisodeFormat) -> "EpisodeWriter | ShardWriters":
    """Start the writer process of a dataset, or several processes for a dataset in shards.

    Raises:
        OutputError: an output file already exists or cannot be created.
    """
    number = _num_writers(output)
    if number == 1:  # `num_writers` determines which shards a process writes: here, all of them.
        return EpisodeWriter(replace(output, num_writers=None), contents)
    return ShardWriters(output, contents, number)


def _num_writers(output: Output) -> int:
    if output.shard_demos is None or output.store_path == IN_MEMORY:
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    number = output.num_writers or max(1, min(_MAX_CHOSEN, cores // _CORES_PER_WRITER))
    folder = Path(output.store_path).absolute().parent
    if number > 1 and not (has_locks(folder) and has_shared_memory(folder)):
        reason = "has no locks, or no shared memory"
        log.warning("One process writes the shards instead of %d: the file system of %s %s", number, folder, reason)
        return 1
    return number


class ShardWriters:
    """Writer processes of a dataset in shards, with the interface of `EpisodeWriter`.

    Process w receives the trials of shards w, w + n, w + 2 n, ... All processes write to the same store.

    Args:
        output, contents: as for `EpisodeWriter`; the dataset must be in shards.
        number: number of processes.
    """

    def __init__(self, output: Output, contents: EpisodeFormat, number: int):
        self.output = output
        megabytes = max(1, output.queue_megabytes // number)
        shared = replace(output, num_writers=number, queue_megabytes=megabytes)
        for path in (output.path, output.failed_path):
            if path is not None:
                # The check of an output file deletes the folders that it had to create, also below another process.
                create_folder(shard_folder(path))
        self._writers = [EpisodeWriter(replace(shared, writer=each), contents) for each in range(number)]

    @property
    def num_saved(self) -> int:
        """Number of trials of this session that are durable."""
        return sum(writer.num_saved for writer in self._writers)

    @property
    def seconds_stalled(self) -> float:
        """Time that `put` has waited for space in a queue [s]."""
        return sum(writer.seconds_stalled for writer in self._writers)

    @property
    def queue_depth(self) -> int:
        """Number of batches that wait for the writers."""
        return sum(writer.queue_depth for writer in self._writers)

    def put(self, batch: EpisodeBatch) -> None:
        """Queue the trials of a batch for their writers; blocks while a queue is full.

        Raises:
            RecorderError: a writer failed.
        """
        assert self.output.shard_demos is not None
        shards = (batch.outcomes.trials - self.output.first_trial) // self.output.shard_demos
        for index, writer in enumerate(self._writers):
            # An empty batch reports the trials that may be written.
            writer.put(batch.only(shards % len(self._writers) == index))

    def wait_until_durable(self) -> None:
        """Wait until all queued trials are durable.

        Raises:
            RecorderError: a writer failed.
        """
        for writer in self._writers:
            writer.wait_until_durable()

    def close(self, result: RunResult) -> RunResult:
        """Wait until all files are complete, see `EpisodeWriter.close`.

        Raises:
            RecorderError: a writer failed.
        """
        first, *others = self._writers
        try:
            for writer in others:
                writer.begin_to_close(result)
            closed = [writer.close(result) for writer in others]
            return first.close(replace(result, is_written=all(each.is_written for each in closed)))
        except BaseException:
            for writer in self._writers:
                writer.abandon()
            raise

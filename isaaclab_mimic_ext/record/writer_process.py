"""The process that writes episodes to HDF5 while generation goes on: h5py would hold the generator's interpreter lock.

Started by `record/writer.py` as a program of its own, so that the user's main module is not imported once more.
"""

import os
import re
import signal
import sys
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from isaaclab_mimic_ext.errors import MimicError, RecorderError
from isaaclab_mimic_ext.record.episodes import Closing, EpisodeBatch, WriterOptions, WriterSummary
from isaaclab_mimic_ext.record.fields import unpack
from isaaclab_mimic_ext.record.hdf5 import DatasetFile

Episode = tuple[bool, dict[str, np.ndarray], dict[str, Any]]
"""Success, leaves by path, attributes."""


@dataclass
class _Reordering:
    """Episodes by trial number, held back until every trial before them has ended."""

    waiting: dict[int, Episode | None] = field(default_factory=dict)
    next_trial: int = 0

    def ready(self, committed: int) -> Iterator[Episode]:
        while self.next_trial < committed:
            episode = self.waiting.pop(self.next_trial)
            self.next_trial += 1
            if episode is not None:
                yield episode

    def all(self) -> Iterator[Episode]:
        for trial in sorted(self.waiting):
            episode = self.waiting.pop(trial)
            if episode is not None:
                yield episode


def main(connection: Connection) -> None:
    """Write what comes, and answer once: with a `WriterSummary` or a `RecorderError`."""
    # A signal to the whole job must not end the writer before the generator has closed it in order.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    options: WriterOptions | None = None
    try:
        options = connection.recv()
        connection.send(_write_all(options, connection))
    except EOFError:
        os._exit(1)  # The generator is gone; what was written stays under the name of an unfinished file.
    except BaseException as error:
        connection.send(_failure(options, error))
        # Not in order: releasing its objects, HDF5 would try to write again, complain about each of them and crash.
        os._exit(1)


def _failure(options: WriterOptions | None, error: BaseException) -> RecorderError:
    if isinstance(error, MimicError):
        return RecorderError(str(error))
    path = options.path if options else "a dataset"
    # HDF5 wraps what the system said in a paragraph of its own.
    reason = re.search(r"error message = '([^']+)'", str(error))
    if reason is not None or isinstance(error, OSError):
        said = reason[1] if reason is not None else getattr(error, "strerror", None) or str(error)
        return RecorderError(f"writing {path}: {said}; what was written so far is in {path}.part")
    return RecorderError(f"writing {path} failed:\n{traceback.format_exc()}")


def _write_all(options: WriterOptions, connection: Connection) -> WriterSummary:
    files = {True: DatasetFile(options.path, options.file, options.overwrite)}
    if options.failed_path is not None:
        files[False] = DatasetFile(options.failed_path, options.file, options.overwrite)
    order = _Reordering()
    while not isinstance(message := connection.recv(), Closing):
        order.waiting.update(_episodes(options, message))
        _write(files, order.ready(message.committed))
    _write(files, order.all() if message.committed is None else order.ready(message.committed))
    for file in files.values():
        file.finish(message.attributes)
    for file in files.values():
        file.publish()
    return WriterSummary(files[True].lengths)


def _write(files: Mapping[bool, DatasetFile], episodes: Iterator[Any]) -> None:
    for success, leaves, attributes in episodes:
        files[success].add_demo(leaves, attributes)


def _episodes(options: WriterOptions, batch: EpisodeBatch) -> Iterator[tuple[int, Any]]:
    """(trial, episode) of every trial of a batch; None for an episode that is not kept."""
    kept_before = np.cumsum(batch.kept) - batch.kept
    for index, trial in enumerate(batch.trials.tolist()):
        if not batch.kept[index]:
            yield trial, None
            continue
        row, length = kept_before[index], batch.lengths[index]
        leaves = unpack(options.fields, {name: rows[row, :length] for name, rows in batch.rows.items()})
        leaves["dones"] = np.arange(1, length + 1) == length
        initial = {name: rows[row] for name, rows in batch.initial_rows.items()}
        leaves |= unpack(options.initial_fields, initial)
        success = bool(batch.success[index])
        attributes = {name: values[index] for name, values in batch.attributes.items()}
        yield trial, (success, leaves, {"success": success, "trial": trial, **attributes})


if __name__ == "__main__":
    main(Connection(int(sys.argv[1])))

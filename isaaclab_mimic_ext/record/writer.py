"""The process that writes episodes to HDF5 while generation goes on: h5py would hold the generator's interpreter lock."""

# F episodes of one batch, T steps (of the longest of them), W columns

import multiprocessing
import os
import queue
import re
import signal
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from isaaclab_mimic_ext.errors import MimicError, RecorderError
from isaaclab_mimic_ext.record.fields import Field, unpack
from isaaclab_mimic_ext.record.hdf5 import DatasetFile, FileOptions, check_output

_POLL = 0.5
"""How often either side looks whether the other is still alive [s]."""


@dataclass
class EpisodeBatch:
    """The trials that ended in one step.

    Attributes:
        trials, success, lengths: (F,).
        rows: name -> (F', T, W) of the F' episodes that are kept, in order; `kept` says which.
        initial_rows: name -> (F', 1, W).
        kept: (F,) bool.
        attributes: name -> (F, ...), facts of each whole demo.
        committed: trials below this number may be written.
    """

    trials: np.ndarray
    success: np.ndarray
    lengths: np.ndarray
    rows: dict[str, np.ndarray]
    initial_rows: dict[str, np.ndarray]
    kept: np.ndarray
    attributes: dict[str, np.ndarray]
    committed: int


@dataclass
class Closing:
    """The end of a run: trials below `committed` are written, or all that ended where it is None."""

    committed: int | None
    attributes: dict[str, Any]


@dataclass
class WriterSummary:
    """What a closed writer wrote: the steps of each successful demo."""

    lengths: list[int]


@dataclass(frozen=True)
class WriterOptions:
    """Where and how to write.

    Attributes:
        path: of successful demos.
        failed_path: of failed ones, or None to drop them.
        fields, initial_fields: `Field`s of the rows.
    """

    path: Path
    failed_path: Path | None
    file: FileOptions
    overwrite: bool
    fields: tuple[Field, ...]
    initial_fields: tuple[Field, ...]
    queue_size: int = 8


@dataclass
class _Reordering:
    """Episodes by trial number, held back until every trial before them has ended."""

    waiting: dict[int, tuple[bool, dict[str, np.ndarray], dict[str, Any]] | None] = field(default_factory=dict)
    next_trial: int = 0

    def ready(self, committed: int) -> Iterator[tuple[bool, dict[str, np.ndarray], dict[str, Any]]]:
        while self.next_trial < committed:
            episode = self.waiting.pop(self.next_trial)
            self.next_trial += 1
            if episode is not None:
                yield episode

    def all(self) -> Iterator[tuple[bool, dict[str, np.ndarray], dict[str, Any]]]:
        for trial in sorted(self.waiting):
            episode = self.waiting.pop(trial)
            if episode is not None:
                yield episode


class EpisodeWriter:
    """The generator's end of the writer.

    Raises:
        OutputError: the output exists or cannot be created.
    """

    def __init__(self, options: WriterOptions):
        for path in (options.path, options.failed_path):
            if path is not None:
                check_output(path, options.overwrite)
        self.options = options
        context = multiprocessing.get_context("spawn")
        self._queue: Any = context.Queue(options.queue_size)
        self._answers, answers = context.Pipe(duplex=False)
        self._process = context.Process(target=_run_writer, args=(options, self._queue, answers), daemon=True)
        # A signal from the terminal reaches the whole group: the writer must outlive it, to be closed in order.
        with _signals_ignored():
            self._process.start()
        answers.close()

    def put(self, batch: EpisodeBatch) -> None:
        """Hand over a batch; waits while the queue is full.

        Raises:
            RecorderError: the writer failed.
        """
        self._put(batch)

    def close(self, closing: Closing) -> WriterSummary:
        """Wait until everything is written and the files have their names.

        Raises:
            RecorderError: the writer failed.
        """
        self._put(closing)
        answer = self._answer()
        self._process.join()
        return answer

    def _put(self, message: EpisodeBatch | Closing) -> None:
        while True:
            if self._answers.poll():
                self._answer()
            try:
                return self._queue.put(message, timeout=_POLL)
            except queue.Full:
                continue

    def _answer(self) -> WriterSummary:
        try:
            answer = self._answers.recv()
        except EOFError:
            self._process.join()
            answer = RecorderError(f"the writer's process ended with exit code {self._process.exitcode}")
        if isinstance(answer, WriterSummary):
            return answer
        # What is still queued has no reader any more; do not wait for it.
        self._queue.cancel_join_thread()
        raise answer


class _signals_ignored:  # noqa: N801  used as a context manager only
    def __enter__(self) -> None:
        self._before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


def _run_writer(options: WriterOptions, batches: Any, answers: Connection) -> None:
    """The writer's process: answers with a `WriterSummary` or a `RecorderError`, once."""
    try:
        answers.send(_write_all(options, batches))
    except BaseException as error:
        answers.send(_failure(options, error))
        # Not in order: releasing its objects, HDF5 would try to write again, complain about each of them and crash.
        os._exit(1)


def _failure(options: WriterOptions, error: BaseException) -> RecorderError:
    if isinstance(error, MimicError):
        return RecorderError(str(error))
    # HDF5 wraps what the system said in a paragraph of its own.
    reason = re.search(r"error message = '([^']+)'", str(error))
    if reason is not None or isinstance(error, OSError):
        said = reason[1] if reason is not None else getattr(error, "strerror", None) or str(error)
        return RecorderError(f"writing {options.path}: {said}; what was written so far is in {options.path}.part")
    return RecorderError(f"writing {options.path} failed:\n{traceback.format_exc()}")


def _write_all(options: WriterOptions, batches: Any) -> WriterSummary:
    files = {True: DatasetFile(options.path, options.file, options.overwrite)}
    if options.failed_path is not None:
        files[False] = DatasetFile(options.failed_path, options.file, options.overwrite)
    order = _Reordering()
    parent = os.getppid()
    while True:
        message = _next_message(batches, parent)
        if isinstance(message, Closing):
            break
        order.waiting.update(_episodes(options, message))
        _write(files, order.ready(message.committed))
    _write(files, order.all() if message.committed is None else order.ready(message.committed))
    for file in files.values():
        file.close(message.attributes)
    return WriterSummary(files[True].lengths)


def _next_message(batches: Any, parent: int) -> EpisodeBatch | Closing:
    while True:
        try:
            return batches.get(timeout=_POLL)
        except queue.Empty:
            if os.getppid() != parent:
                raise SystemExit("the generator is gone") from None


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

"""Generator's side of the writer: starts the writer process, and sends it episodes through a bounded queue."""

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from multiprocessing import Pipe

from isaaclab_mimic_ext.errors import RecorderError
from isaaclab_mimic_ext.files.writing import check_output
from isaaclab_mimic_ext.run.episodes import EpisodeBatch, EpisodeFormat, Output, Saved, send_message
from isaaclab_mimic_ext.run.result import RunResult
from isaaclab_mimic_ext.run.store import IN_MEMORY

_POLL_PERIOD = 0.5
"""Interval of the checks whether the writer is still alive while the queue is full [s]."""

_ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": str(32 * 2**20), "MALLOC_TRIM_THRESHOLD_": str(256 * 2**20)}
"""Environment variables of glibc for the writer process: it reuses the memory of episodes. By default, each episode with
pictures gets new pages from the system, which takes a third of the writer's CPU time."""

_Message = tuple[Output, EpisodeFormat] | EpisodeBatch | RunResult


class _BoundedQueue(queue.Queue[_Message]):
    """Queue whose size is limited in bytes instead of messages: a batch may contain one episode or a hundred."""

    def _init(self, maxsize: int) -> None:
        self.queue: deque[_Message] = deque()
        self._num_bytes = 0

    def _qsize(self) -> int:
        return self._num_bytes

    def _put(self, item: _Message) -> None:
        self.queue.append(item)
        self._num_bytes += _size_of(item)

    def _get(self) -> _Message:
        item = self.queue.popleft()
        self._num_bytes -= _size_of(item)
        return item


def _size_of(message: _Message) -> int:
    """Size of a message [bytes], at least 1, so that a queue with any message is not empty."""
    return 1 + (message.num_bytes if isinstance(message, EpisodeBatch) else 0)


class EpisodeWriter:
    """Sends batches of episodes to the writer process (`run/writer_process.py`).

    Args:
        output: output files and their options.
        contents: layout of the episodes.

    Raises:
        OutputError: an output file already exists or cannot be created.
    """

    def __init__(self, output: Output, contents: EpisodeFormat):
        self.num_saved = 0
        """Number of trials of this session that are durable."""
        self._num_queued = 0
        self._is_closing = False
        self.output = output
        self._send_error: Exception | None = None
        self.seconds_stalled = 0.0
        """Time that `put` has waited for space in the queue [s]."""
        for path in (output.path, output.failed_path):
            if path is not None:
                check_output(path, output.overwrite)
        self._connection, writer_end = Pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "isaaclab_mimic_ext.run.writer_process", str(writer_end.fileno())],
            # The writer process also holds the run's lock: a run must not be resumed while its old writer still works.
            pass_fds=[writer_end.fileno()] if output.lock is None else [writer_end.fileno(), output.lock],
            env=_ALLOCATOR | os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            # A new session, because Ctrl-C signals the whole foreground group, and the writer must still close its files.
            start_new_session=True,
        )
        writer_end.close()
        self._queue = _BoundedQueue(output.queue_megabytes * 2**20)
        self._queue.put((output, contents))
        threading.Thread(target=self._send_all, daemon=True).start()

    def put(self, batch: EpisodeBatch) -> None:
        """Queue a batch for the writer; blocks while the queue is full.

        Raises:
            RecorderError: the writer failed.
        """
        self._put(batch)
        self._num_queued += len(batch.outcomes.trials)

    def wait_until_durable(self) -> None:
        """Wait until all queued trials are durable.

        Raises:
            RecorderError: the writer failed.
        """
        while self.num_saved < self._num_queued:
            self._check_sent()
            if self._connection.poll(_POLL_PERIOD):
                self._answer()

    def begin_to_close(self, result: RunResult) -> None:
        """Let the writer complete its files; `close` waits for it."""
        self._put(result)
        self._is_closing = True

    def close(self, result: RunResult) -> RunResult:
        """Wait until all files are complete, and return `result` with the fields that the writer determines.

        Trials below `result.end_trial` are written; after an interruption, all trials that have ended.

        Raises:
            RecorderError: the writer failed.
        """
        if not self._is_closing:
            self.begin_to_close(result)
        while not self._connection.poll(_POLL_PERIOD) or (written := self._answer()) is None:
            self._check_sent()
        self._process.wait()
        return written

    def abandon(self) -> None:
        """Close the connection: the writer process ends, and durable trials stay in the store."""
        self._connection.close()

    def _put(self, message: EpisodeBatch | RunResult) -> None:
        # Only waiting for space counts as stalled, not waiting for the interpreter lock that the sending thread may hold.
        is_full, started = self._queue.full(), time.perf_counter()
        while True:
            while self._connection.poll():
                self._answer()
            self._check_sent()
            try:
                self._queue.put(message, timeout=_POLL_PERIOD)
                break
            except queue.Full:
                continue
        if is_full:
            self.seconds_stalled += time.perf_counter() - started

    def _check_sent(self) -> None:
        if self._send_error is not None:
            raise RecorderError(f"episodes could not be sent to the writer: {self._send_error!r}; {self._recovery()}")

    @property
    def queue_depth(self) -> int:
        """Number of batches that wait for the writer."""
        return len(self._queue.queue)

    def _answer(self) -> RunResult | None:
        """Receive a message of the writer process: the result at its end, None for all earlier messages.

        Raises:
            RecorderError: the writer failed.
        """
        try:
            answer = self._connection.recv()
        except (EOFError, OSError):
            answer = RecorderError(f"the writer process {self._exit_cause()}; {self._recovery()}")
        if isinstance(answer, Saved):
            self.num_saved = answer.num_trials
            return None
        if isinstance(answer, RunResult):
            return answer
        raise answer

    def _exit_cause(self) -> str:
        code = self._process.wait()
        if code >= 0:
            return f"ended with exit code {code}"
        return f"was killed by signal {-code}" + (", possibly out of memory" if code == -signal.SIGKILL else "")

    def _recovery(self) -> str:
        if self.output.store_path == IN_MEMORY:
            return "the recorded episodes are lost"
        return f"finished trials are kept in {self.output.store_path}; continue with resume=true"

    def _send_all(self) -> None:
        try:
            message: object = None
            while not isinstance(message, RunResult):
                message = self._queue.get()
                send_message(self._connection, message)
        except OSError:
            return  # The writer process has ended; the next `put` reports the cause.
        except Exception as error:
            # Usually out of memory. Without this, the queue would fill and `put` would block forever.
            self._send_error = error

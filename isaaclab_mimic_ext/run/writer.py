"""The generator's end of the writer: a bounded queue before a process of its own."""

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

_POLL = 0.5
"""How often a full queue is left to see whether the writer is still alive [s]."""


_Message = tuple[Output, EpisodeFormat] | EpisodeBatch | RunResult


class _BoundedQueue(queue.Queue[_Message]):
    """A queue whose size is that of the episodes in it [bytes]: a batch may be one episode or a hundred."""

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
    """At least 1: what takes no room is in the queue all the same."""
    return 1 + (message.num_bytes if isinstance(message, EpisodeBatch) else 0)


class EpisodeWriter:
    """Hands batches of episodes to `run/writer_process.py`.

    Args:
        contents: what the episodes hold.

    Raises:
        OutputError: the output exists or cannot be created.
    """

    def __init__(self, output: Output, contents: EpisodeFormat):
        self.num_saved = 0
        """Trials that are durable."""
        self.output = output
        self._send_error: Exception | None = None
        self.seconds_stalled = 0.0
        """How long `put` has waited for room in the queue."""
        for path in (output.path, output.failed_path):
            if path is not None:
                check_output(path, output.overwrite)
        self._connection, theirs = Pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "isaaclab_mimic_ext.run.writer_process", str(theirs.fileno())],
            # The writer holds the run's lock too: a run may not be continued while its old writer still works.
            pass_fds=[theirs.fileno()] if output.lock is None else [theirs.fileno(), output.lock],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            # Ctrl-C in a terminal goes to the whole foreground group; the writer must outlive it, to be closed in order.
            start_new_session=True,
        )
        theirs.close()
        self._queue = _BoundedQueue(output.queue_megabytes * 2**20)
        self._queue.put((output, contents))
        threading.Thread(target=self._send_all, daemon=True).start()

    def put(self, batch: EpisodeBatch) -> None:
        """Hand over a batch; waits while the queue is full.

        Raises:
            RecorderError: the writer failed.
        """
        self._put(batch)

    def close(self, result: RunResult) -> RunResult:
        """Wait until everything is written and the files have their names; the result with what was written.

        Trials below `num_attempts` are written, after an interruption all that have ended.

        Raises:
            RecorderError: the writer failed.
        """
        self._put(result)
        while not self._connection.poll(_POLL) or (written := self._answer()) is None:
            if self._send_error is not None:
                raise RecorderError(f"episodes could not be sent to the writer: {self._send_error!r}; {self._kept()}")
        self._process.wait()
        return written

    def _put(self, message: EpisodeBatch | RunResult) -> None:
        # What is waited for otherwise is the interpreter's lock, which the thread that sends may have.
        is_full, started = self._queue.full(), time.perf_counter()
        while True:
            while self._connection.poll():
                self._answer()
            if self._send_error is not None:
                raise RecorderError(f"episodes could not be sent to the writer: {self._send_error!r}; {self._kept()}")
            try:
                self._queue.put(message, timeout=_POLL)
                break
            except queue.Full:
                continue
        if is_full:
            self.seconds_stalled += time.perf_counter() - started

    @property
    def queue_depth(self) -> int:
        """Batches that wait."""
        return len(self._queue.queue)

    def _answer(self) -> RunResult | None:
        """Receive a message of the writer's process: the result at its end, None for anything before.

        Raises:
            RecorderError: the writer failed.
        """
        try:
            answer = self._connection.recv()
        except (EOFError, OSError):
            answer = RecorderError(f"the writer's process {self._end()}; {self._kept()}")
        if isinstance(answer, Saved):
            self.num_saved = answer.num_trials
            return None
        if isinstance(answer, RunResult):
            return answer
        raise answer

    def _end(self) -> str:
        code = self._process.wait()
        if code >= 0:
            return f"ended with exit code {code}"
        return f"was killed by signal {-code}" + (", perhaps for want of memory" if code == -signal.SIGKILL else "")

    def _kept(self) -> str:
        if self.output.store_path == IN_MEMORY:
            return "what was recorded is lost"
        return f"what finished before is kept in {self.output.store_path}: go on with resume=true"

    def _send_all(self) -> None:
        try:
            message: object = None
            while not isinstance(message, RunResult):
                message = self._queue.get()
                send_message(self._connection, message)
        except OSError:
            return  # The writer is gone; the next `put` says why.
        except Exception as error:
            self._send_error = error  # Out of memory, as a rule. The queue would fill, and wait for ever.

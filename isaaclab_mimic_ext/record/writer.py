"""The generator's end of the writer: a bounded queue before a process of its own."""

import os
import queue
import subprocess
import sys
import threading
from multiprocessing import Pipe

from isaaclab_mimic_ext.errors import RecorderError
from isaaclab_mimic_ext.record.episodes import Closing, EpisodeBatch, WriterOptions, WriterSummary
from isaaclab_mimic_ext.record.hdf5 import check_output

_POLL = 0.5
"""How often a full queue is left to see whether the writer is still alive [s]."""


class EpisodeWriter:
    """Hands batches of episodes to `record/writer_process.py`.

    Raises:
        OutputError: the output exists or cannot be created.
    """

    def __init__(self, options: WriterOptions):
        for path in (options.path, options.failed_path):
            if path is not None:
                check_output(path, options.overwrite)
        self._connection, theirs = Pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "isaaclab_mimic_ext.record.writer_process", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            # Ctrl-C in a terminal goes to the whole foreground group; the writer must outlive it, to be closed in order.
            start_new_session=True,
        )
        theirs.close()
        self._queue: queue.Queue[WriterOptions | EpisodeBatch | Closing] = queue.Queue(options.queue_size)
        self._queue.put(options)
        threading.Thread(target=self._send_all, daemon=True).start()

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
        summary = self._answer()
        self._process.wait()
        return summary

    def _put(self, message: EpisodeBatch | Closing) -> None:
        while True:
            if self._connection.poll():
                self._answer()
            try:
                return self._queue.put(message, timeout=_POLL)
            except queue.Full:
                continue

    def _answer(self) -> WriterSummary:
        """What the writer says in the end, or why it said nothing."""
        try:
            answer = self._connection.recv()
        except (EOFError, OSError):
            answer = RecorderError(f"the writer's process ended with exit code {self._process.wait()}")
        if isinstance(answer, WriterSummary):
            return answer
        raise answer

    def _send_all(self) -> None:
        try:
            message: object = None
            while not isinstance(message, Closing):
                message = self._queue.get()
                self._connection.send(message)
        except OSError:
            return  # The writer is gone; the next `put` says why.

"""One worker process: its start, requests, answers within a limited time, and end."""

import json
import os
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from isaaclab_mimic_ext.envs.robosuite.installation import child_environment, exit_text, last_line, start_fault
from isaaclab_mimic_ext.errors import SimulationError, SimulatorUnavailable

_SCRIPT = Path(__file__).with_name("worker.py")


class WorkerDied(Exception):
    """A worker ended without an answer, or was ended because it did not answer in time. The message states which."""


class WorkerProcess:
    """One worker process.

    Args:
        python: Python with robosuite.
        spec: description of the environment, see `worker.Scene`.
        log_path: file for the prints of robosuite.
        memory: file descriptor of the shared memory.
        max_wait: longest wait for an answer [s].
    """

    def __init__(self, python: str, spec: Mapping[str, Any], log_path: Path, memory: int, max_wait: float):
        self._python, self._log, self._max_wait = python, log_path, max_wait
        self._unread = b""
        with log_path.open("w") as log_file:
            self.popen = subprocess.Popen(
                [python, str(_SCRIPT)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log_file,
                env=child_environment(dict(os.environ)),
                pass_fds=(memory,),
                start_new_session=True,  # Ctrl-C ends the run first, which then ends its workers.
            )
        with suppress(WorkerDied):  # `facts` reports it.
            self.send(json.dumps(spec))

    def send(self, line: str) -> None:
        assert self.popen.stdin is not None
        try:
            self.popen.stdin.write(line.encode() + b"\n")
            self.popen.stdin.flush()
        except OSError as error:
            raise WorkerDied(self._ended()) from error

    def answer(self) -> dict[str, Any]:
        """Wait for an answer.

        Raises:
            WorkerDied: the worker has ended, or did not answer in time.
            SimulationError: robosuite raised an error.
        """
        found = self._read()
        if "error" in found:
            raise SimulationError(f"robosuite: {found['error']}: {found['reason']}")
        return found

    def facts(self) -> dict[str, Any]:
        """Wait for the first answer, the layout of one environment.

        Raises:
            SimulatorUnavailable: the worker cannot create its environment.
        """
        try:
            found = self._read()
        except WorkerDied as error:
            raise SimulatorUnavailable(
                f"sim.engine: a worker of robosuite ended at its start ({error}); Python: {self._python}"
            ) from error
        if "error" in found:
            raise SimulatorUnavailable(start_fault(self._python, found))
        return found

    def end(self) -> None:
        """End the process; it has nothing to close."""
        self.popen.kill()
        self.popen.wait()
        for stream in (self.popen.stdin, self.popen.stdout):
            with suppress(OSError):  # A request that the process did not read.
                assert stream is not None
                stream.close()

    def _read(self) -> dict[str, Any]:
        """Read one line of JSON."""
        assert self.popen.stdout is not None
        output, deadline = self.popen.stdout.fileno(), time.monotonic() + self._max_wait
        while b"\n" not in self._unread:
            if not wait([output], max(deadline - time.monotonic(), 0.0)):
                self.popen.kill()
                raise WorkerDied(
                    f"no answer within {self._max_wait:g} s, see sim.robosuite.max_wait; last line: {last_line(self._log)}"
                )
            found = os.read(output, 1 << 16)
            if not found:
                raise WorkerDied(self._ended())
            self._unread += found
        line, _, self._unread = self._unread.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _ended(self) -> str:
        return f"{exit_text(self.popen)}; last line: {last_line(self._log)}"

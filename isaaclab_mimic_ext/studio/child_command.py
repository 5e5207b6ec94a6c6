"""A command as a process in a group of its own, which a later studio recognizes if this one is killed."""

import os
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from isaaclab_mimic_ext.errors import OutputError
from isaaclab_mimic_ext.progress import PERIOD_VARIABLE

_LONGEST_END_S = 20.0
"""Time in which a command may end after SIGTERM [s]."""
_POLL_S = 0.05


@dataclass
class ChildCommand:
    """A running command.

    Attributes:
        pid: id of its process, and of its group.
        started: start time of the process, by which it differs from a later process with the same id.
        began_at: the same as seconds since the epoch [s].
        process: the process; None if an earlier studio has started it.
    """

    pid: int
    started: str
    began_at: float
    process: subprocess.Popen[bytes] | None = None
    _stopped_at: float | None = None

    @classmethod
    def start(cls, words: list[str], output: IO[bytes]) -> "ChildCommand":
        """Start a process in a separate session: Ctrl-C in the terminal ends the studio, which ends the process.

        Its output is not buffered, so that it is written before an error that follows it, and reports progress every second.

        Raises:
            OutputError: the program cannot be started.
        """
        try:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | {"PYTHONUNBUFFERED": "1", PERIOD_VARIABLE: "1"},
                start_new_session=True,
            )
        except OSError as error:
            reason = f"{words[0]}: cannot be started: {error.strerror}; start the command in a terminal"
            raise OutputError(reason) from error
        return cls(process.pid, start_time(process.pid), time.time(), process)

    @classmethod
    def from_dict(cls, values: Any) -> "ChildCommand | None":
        """The command that `as_dict` has described; None if its process has ended."""
        try:
            command = cls(int(values["pid"]), str(values["started"]), float(values["began_at"]))
        except (KeyError, TypeError, ValueError):
            return None
        return None if command.has_ended() else command

    def as_dict(self) -> dict[str, Any]:
        """Description, values of JSON."""
        return {"pid": self.pid, "started": self.started, "began_at": self.began_at}

    @property
    def is_stopped(self) -> bool:
        """Return whether the command was asked to end."""
        return self._stopped_at is not None

    @property
    def exit_code(self) -> int | None:
        """Exit code of a command that has ended; None if it is not known: an earlier studio has started it."""
        return None if self.process is None else self.process.returncode

    def has_ended(self) -> bool:
        """Return whether the process has ended. Processes that a stopped command has left are ended, too."""
        if not self._has_ended():
            if self._stopped_at is not None and time.monotonic() - self._stopped_at > _LONGEST_END_S:
                self._signal_group(signal.SIGKILL)
            return False
        if self.is_stopped:
            self._signal_group(signal.SIGTERM)
        return True

    def _has_ended(self) -> bool:
        if self.process is not None:
            return self.process.poll() is not None
        return not self.started or start_time(self.pid) != self.started

    def stop(self) -> None:
        """Ask the process to end; it ends its own processes. After 20 s, its group is killed."""
        if self._stopped_at is None and not self._has_ended():
            self._stopped_at = time.monotonic()
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)

    def end(self) -> None:
        """Ask the process to end, and wait until it has ended."""
        self.stop()
        while not self.has_ended():
            time.sleep(_POLL_S)

    def _signal_group(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)


def start_time(pid: int) -> str:
    """Start time of a process, as the system reports it; empty if the process has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return "" if Path("/proc/self/stat").exists() else _start_time_by_ps(pid)
    return "" if fields[0] == "Z" else fields[19]


def _start_time_by_ps(pid: int) -> str:
    """Start time of a process on systems without /proc."""
    try:
        found = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return found.stdout.strip()

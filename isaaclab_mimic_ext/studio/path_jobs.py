"""Commands of the steps, as child processes of the studio: one at a time, with their output in the session's folder."""

import json
import logging
import os
import shlex
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, Any

from isaaclab_mimic_ext.errors import OutputError
from isaaclab_mimic_ext.files.writing import write_errors, write_json
from isaaclab_mimic_ext.studio.folder import StudioFolder

log = logging.getLogger(__name__)

STOPPED = "was stopped on the page"
_LONGEST_END_S = 20.0
"""Time in which a command may end after SIGTERM [s]."""


@dataclass
class _Job:
    """A running command; `facts` are stored with its outcome."""

    step: str
    process: subprocess.Popen[bytes]
    facts: Mapping[str, Any]
    is_stopped: bool = False


class StepRunner:
    """Runs the commands of the steps. Only one thread uses it.

    Args:
        folder: folder of the session.
        error_text: function from the output of a command to its error message.

    Attributes:
        outcomes: step -> exit code and reason of its last command; the reason is empty after a success.
    """

    def __init__(self, folder: StudioFolder, error_text: Callable[[str], str]):
        self._folder, self._error_text = folder, error_text
        self._job: _Job | None = None
        self.outcomes: dict[str, dict[str, Any]] = _read_outcomes(folder)

    @property
    def running(self) -> str:
        """Step whose command runs; empty if none."""
        return "" if self._job is None else self._job.step

    def start(self, step: str, command: str, facts: Mapping[str, Any]) -> None:
        """Start a command line; its output replaces that of the last command of the step.

        Raises:
            OutputError: the output cannot be written, or the program is not found.
        """
        path = self._folder.log(step)
        with write_errors(path, "output_dir", "free some space, or use another output_dir", OutputError):
            path.parent.mkdir(exist_ok=True)
            output = path.open("wb")
        with output:
            process = _process(shlex.split(command), output)
        log.info("%s: %s", step, command)
        self._job = _Job(step, process, facts)

    def stop(self) -> None:
        """Ask the running command to end; a generation can be continued."""
        if self._job is not None:
            self._job.is_stopped = True
            self._job.process.send_signal(signal.SIGTERM)

    def poll(self) -> None:
        """Note the outcome of a command that has ended."""
        if self._job is None or (code := self._job.process.poll()) is None:
            return
        job, self._job = self._job, None
        reason = ""
        if code:
            text = self._folder.log(job.step).read_text(encoding="utf-8", errors="replace")
            reason = STOPPED if job.is_stopped else self._error_text(text)
            log.warning("%s: %s", job.step, reason)
        self.outcomes[job.step] = {"exit_code": code, "reason": reason, **job.facts}
        write_json(self._folder.outcomes, self.outcomes)

    def close(self) -> None:
        """End the running command, and wait until it has ended."""
        if self._job is None:
            return
        self.stop()
        try:
            self._job.process.wait(_LONGEST_END_S)
        except subprocess.TimeoutExpired:
            self._job.process.kill()
            self._job.process.wait()
        self.poll()


def _process(words: list[str], output: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start a process in a separate session: Ctrl-C in the terminal ends the studio, which ends the process.

    Its output is not buffered, so that it is written before an error that follows it.
    """
    try:
        return subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
    except OSError as error:
        raise OutputError(f"{words[0]}: cannot be started: {error.strerror}; start the command in a terminal") from error


def _read_outcomes(folder: StudioFolder) -> dict[str, dict[str, Any]]:
    try:
        content = json.loads(folder.outcomes.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    is_valid = isinstance(content, dict) and all(isinstance(each, dict) for each in content.values())
    return content if is_valid else {}

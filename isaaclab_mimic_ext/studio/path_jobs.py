"""Commands of the steps, as child processes of the studio: one at a time, with their output in the session's folder."""

import json
import logging
import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from isaaclab_mimic_ext.errors import OutputError
from isaaclab_mimic_ext.files.writing import write_errors, write_json
from isaaclab_mimic_ext.studio.child_command import ChildCommand
from isaaclab_mimic_ext.studio.folder import StudioFolder

log = logging.getLogger(__name__)

STOPPED = "was stopped on the page"
ENDED = "was stopped when the studio ended"
_RUNNING = "running"
"""Entry of the command that runs, next to the outcomes of the steps."""


@dataclass
class _Job:
    """A running command; `facts` are stored with its outcome."""

    step: str
    command: ChildCommand
    facts: Mapping[str, Any]
    why_stopped: str = ""


class StepRunner:
    """Runs the commands of the steps. Only one thread uses it. A command of a studio that was killed continues to run.

    Args:
        folder: folder of the session.
        error_text: function from the output of a command to its error message.

    Attributes:
        outcomes: step -> outcome of its last command. `reason` is empty after a success, and `is_stopped` is true if the
            command was stopped. `exit_code` is null if the studio was killed before the command ended.
    """

    def __init__(self, folder: StudioFolder, error_text: Callable[[str], str]):
        self._folder, self._error_text = folder, error_text
        self.outcomes: dict[str, dict[str, Any]] = _read_outcomes(folder)
        self._job = self._continued(self.outcomes.pop(_RUNNING, None))

    @property
    def running(self) -> str:
        """Step whose command runs; empty if none."""
        return "" if self._job is None else self._job.step

    @property
    def elapsed_s(self) -> float:
        """Time for which the command runs [s]; 0 if none."""
        job = self._job  # Another thread may ask while the command ends.
        return 0.0 if job is None else max(0.0, time.time() - job.command.began_at)

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
            child = ChildCommand.start(shlex.split(command), output)
        log.info("%s: %s", step, command)
        self._job = _Job(step, child, facts)
        self._write()

    def _continued(self, values: Any) -> _Job | None:
        """The command that an earlier studio has started. If it has ended since, its outcome is noted."""
        if not isinstance(values, dict) or not isinstance(values.get("facts"), dict):
            return None
        step = str(values.get("step"))
        if (command := ChildCommand.from_dict(values)) is not None:
            log.info("%s: the command of an earlier studio still runs (process %d)", step, command.pid)
            return _Job(step, command, values["facts"])
        self.outcomes[step] = self._outcome(step, None, "", values["facts"])
        return None

    def stop(self, why: str = STOPPED) -> None:
        """Ask the running command to end; a generation can be continued."""
        if self._job is not None and not self._job.command.has_ended():
            self._job.why_stopped = self._job.why_stopped or why
            self._job.command.stop()

    def poll(self) -> None:
        """Note the outcome of a command that has ended."""
        if self._job is None or not self._job.command.has_ended():
            return
        job, self._job = self._job, None
        outcome = self._outcome(job.step, job.command.exit_code, job.why_stopped, job.facts)
        if outcome["reason"] and outcome["exit_code"] is not None:
            log.warning("%s: %s", job.step, outcome["reason"])
        self.outcomes[job.step] = outcome
        self._write()

    def _outcome(self, step: str, code: int | None, why_stopped: str, facts: Mapping[str, Any]) -> dict[str, Any]:
        reason = ""
        if code != 0:
            reason = why_stopped or self._error_text(self._read_log(step))
        stopped = {"is_stopped": True} if reason and why_stopped else {}
        return {"exit_code": code, "reason": reason, **stopped, **facts}

    def _read_log(self, step: str) -> str:
        try:
            return self._folder.log(step).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    def _write(self) -> None:
        job = self._job
        running = {} if job is None else {_RUNNING: {"step": job.step, "facts": dict(job.facts), **job.command.as_dict()}}
        write_json(self._folder.outcomes, {**self.outcomes, **running})

    def close(self) -> None:
        """End the running command, and wait until it has ended."""
        if self._job is None:
            return
        self.stop(ENDED)
        self._job.command.end()
        self.poll()


def _read_outcomes(folder: StudioFolder) -> dict[str, dict[str, Any]]:
    try:
        content = json.loads(folder.outcomes.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    is_valid = isinstance(content, dict) and all(isinstance(each, dict) for each in content.values())
    return content if is_valid else {}

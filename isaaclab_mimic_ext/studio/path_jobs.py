"""Commands of the steps, as child processes of the studio, with their output in the session's folder."""

import json
import logging
import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from isaaclab_mimic_ext.errors import OutputError
from isaaclab_mimic_ext.files.writing import write_errors, write_json
from isaaclab_mimic_ext.studio.child_command import ChildCommand
from isaaclab_mimic_ext.studio.folder import StudioFolder

log = logging.getLogger(__name__)

STOPPED = "was stopped on the page"
ENDED = "was stopped when the studio ended"
_RUNNING = "running"
"""Entry of the commands that run, by step, next to the outcomes of the steps."""


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
            command was stopped. `exit_code` is null if the studio was killed before the command ended. `began_at`: seconds
            since the epoch.
    """

    def __init__(self, folder: StudioFolder, error_text: Callable[[str], str]):
        self._folder, self._error_text = folder, error_text
        self.outcomes: dict[str, dict[str, Any]] = _read_outcomes(folder)
        self._jobs: dict[str, _Job] = {}
        for step, values in self.outcomes.pop(_RUNNING, {}).items():
            self._continue(step, values)

    @property
    def running(self) -> tuple[str, ...]:
        """Steps whose commands run, in the order in which they were started."""
        return tuple(self._jobs)

    @property
    def elapsed_s(self) -> dict[str, float]:
        """Step -> time for which its command runs [s]."""
        jobs = dict(self._jobs)  # Another thread may ask while a command ends.
        return {step: max(0.0, time.time() - job.command.began_at) for step, job in jobs.items()}

    def start(self, step: str, command: str, facts: Mapping[str, Any] = MappingProxyType({})) -> None:
        """Start a command line; its output replaces that of the last command of the step.

        Args:
            facts: values of JSON that are stored with the outcome.

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
        self._jobs[step] = _Job(step, child, facts)
        self._write()

    def _continue(self, step: str, values: Any) -> None:
        """Take over the command that an earlier studio has started. If it has ended since, its outcome is noted."""
        if not isinstance(values, dict):
            return
        facts, began_at = values.get("facts"), values.get("began_at")
        facts = facts if isinstance(facts, dict) else {}
        if (command := ChildCommand.from_dict(values)) is not None:
            log.info("%s: the command of an earlier studio still runs (process %d)", step, command.pid)
            self._jobs[step] = _Job(step, command, facts)
        else:
            facts = {**facts, "began_at": began_at if isinstance(began_at, float) else 0.0}
            self.outcomes[step] = self._outcome(step, None, "", facts)

    def stop(self, why: str = STOPPED, step: str | None = None) -> None:
        """Ask the command of a step to end, None: all commands; a generation can be continued."""
        for job in self._jobs.values():
            if step in (None, job.step) and not job.command.has_ended():
                job.why_stopped = job.why_stopped or why
                job.command.stop()

    def poll(self) -> None:
        """Note the outcomes of commands that have ended."""
        for job in [job for job in self._jobs.values() if job.command.has_ended()]:
            self._note(job)

    def _note(self, job: _Job) -> None:
        del self._jobs[job.step]
        facts = {**job.facts, "began_at": job.command.began_at}
        outcome = self._outcome(job.step, job.command.exit_code, job.why_stopped, facts)
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
        jobs = {step: {"facts": dict(job.facts), **job.command.as_dict()} for step, job in self._jobs.items()}
        write_json(self._folder.outcomes, {**self.outcomes, **({_RUNNING: jobs} if jobs else {})})

    def close(self) -> None:
        """End the running commands, and wait until they have ended."""
        self.stop(ENDED)
        for job in self._jobs.values():
            job.command.end()
        self.poll()


def _read_outcomes(folder: StudioFolder) -> dict[str, dict[str, Any]]:
    try:
        content = json.loads(folder.outcomes.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    is_valid = isinstance(content, dict) and all(isinstance(each, dict) for each in content.values())
    return content if is_valid else {}

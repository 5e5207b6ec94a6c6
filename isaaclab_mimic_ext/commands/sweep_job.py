"""Job of a sweep that a cluster runs: the same command in a process, which resumes when the job starts again."""

import os
import subprocess
from dataclasses import dataclass
from typing import Any

_RESTARTS = "SLURM_RESTART_COUNT"
"""Variable in which Slurm passes how often a job was started again."""


@dataclass(frozen=True)
class SweepJob:
    """Command of a job, for submitit, which calls it on a node.

    Attributes:
        words: words of the command.
        can_resume: whether the command has the field `resume`.
    """

    words: tuple[str, ...]
    can_resume: bool

    def __call__(self) -> int:
        """Run the command, and return its exit code (128 + n after signal n)."""
        code = subprocess.run(self.command(int(os.environ.get(_RESTARTS) or 0) > 0)).returncode
        return code if code >= 0 else 128 - code

    def command(self, is_restarted: bool) -> tuple[str, ...]:
        """Return the words; after a restart, those that resume what the job has begun."""
        if not (is_restarted and self.can_resume):
            return self.words
        kept = [word for word in self.words if word.lstrip("+").partition("=")[0] not in ("overwrite", "resume")]
        return (*kept, "resume=true")

    def checkpoint(self) -> Any:
        """Submit the job again, which submitit does when the job is preempted, or has reached its time limit."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)

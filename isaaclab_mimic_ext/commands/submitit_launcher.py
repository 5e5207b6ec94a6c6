"""Hydra launchers that run the jobs of a sweep on a cluster: `hydra/launcher=submitit_slurm`; `submitit_local` for tests.

They have the names and the settings of Facebook's hydra-submitit-launcher, and need only submitit. That launcher pickles the
function of the command with its state, so the exit code of a job would be lost.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn

from isaaclab_mimic_ext.commands.process_launcher import ProcessLauncher
from isaaclab_mimic_ext.commands.sweep_job import SweepJob
from isaaclab_mimic_ext.errors import ConfigError, DependencyMissing
from isaaclab_mimic_ext.texts import counted

log = logging.getLogger(__name__)

SETTINGS: dict[str, Any] = {
    "submitit_folder": "${hydra.sweep.dir}/.submitit/%j",
    **{"name": "${hydra.job.name}", "timeout_min": 60, "cpus_per_task": None, "gpus_per_node": None, "mem_gb": None},
}
"""Settings of both launchers -> default; null: that of the scheduler."""
SLURM_SETTINGS: dict[str, Any] = {
    **dict.fromkeys(("partition", "qos", "account", "constraint", "exclude", "gres", "comment")),
    **{"array_parallelism": 256, "additional_parameters": {}, "setup": None},
}
"""Settings of Slurm -> default."""
_NO_RESULT = 1
"""Exit code of a job that has ended without a result: it was killed, or its node has failed."""


class SubmititLauncher(ProcessLauncher):
    """Launcher that submits each job as the same command, with the overrides and the folder of the job, and waits.

    Args:
        submitit_folder: folder of the output of the jobs; `%j` is the number of a job.
        settings: further settings of submitit.
    """

    cluster = "slurm"

    def __init__(self, submitit_folder: str, **settings: Any):
        super().__init__()
        self._folder, self._settings = submitit_folder, settings

    def _run_all(self, jobs: Sequence[Sequence[str]], first_number: int) -> list[JobReturn]:
        """Submit all jobs together, and wait for them.

        Raises:
            DependencyMissing: submitit is not installed.
            ConfigError: the cluster is not reachable, or a setting is wrong.
        """
        try:
            import submitit
        except ImportError as error:
            raise DependencyMissing(
                "hydra/launcher: requires submitit; install it with: pip install isaaclab-mimic-ext[submitit]"
            ) from error
        numbered = [*enumerate(jobs, first_number)]
        try:
            executor = submitit.AutoExecutor(folder=self._folder, cluster=self.cluster)
            executor.update_parameters(**self._parameters())
            with executor.batch():
                running = [
                    executor.submit(SweepJob(tuple(self._command(number, overrides)), self.sweep.can_resume))
                    for number, overrides in numbered
                ]
        except (RuntimeError, TypeError, ValueError, OSError, submitit.core.utils.FailedJobError) as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise ConfigError(f"hydra/launcher: submitit cannot submit the jobs: {reason}") from error
        log.info("Submitted %s; their output: %s", counted(len(running), "job"), Path(self._folder).parent)
        try:
            return [
                self._returned(number, overrides, self._exit_code(job))
                for (number, overrides), job in zip(numbered, running, strict=True)
            ]
        except BaseException:  # Such as Ctrl-C: nobody would wait for the jobs.
            for job in running:
                job.cancel(check=False)
            raise

    def _parameters(self) -> dict[str, Any]:
        """Settings with the names that submitit expects; those of one scheduler begin with its name."""
        given = {name: value for name, value in self._settings.items() if value not in (None, {})}
        return {f"slurm_{name}" if name in SLURM_SETTINGS else name: value for name, value in given.items()}

    def _exit_code(self, job: Any) -> int:
        from submitit.core.utils import FailedJobError, UncompletedJobError

        try:
            return int(job.result())
        except (FailedJobError, UncompletedJobError):
            log.warning("Job %s has ended without a result (%s); its output: %s", job.job_id, job.state, job.paths.stderr)
            return _NO_RESULT


class SubmititSlurmLauncher(SubmititLauncher):
    """Launcher for Slurm."""


class SubmititLocalLauncher(SubmititLauncher):
    """Launcher for processes on this machine, all at the same time."""

    cluster = "local"

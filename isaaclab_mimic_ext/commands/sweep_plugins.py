"""Hydra's launcher and sweeper, which also refuse jobs with the same output, and those for jobs in separate processes.

`commands/sweeps.py` imports this module when Hydra has imported its plugins.
"""

from collections.abc import Sequence
from typing import Any

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.plugins.plugin import Plugin
from omegaconf import DictConfig

from isaaclab_mimic_ext.commands.process_launcher import ProcessLauncher
from isaaclab_mimic_ext.commands.submitit_launcher import (
    SETTINGS,
    SLURM_SETTINGS,
    SubmititLocalLauncher,
    SubmititSlurmLauncher,
)


class _OutputChecks:
    """Check of the outputs of the jobs of a launcher or sweeper.

    Attributes:
        is_strict: raise errors of a job's configuration. False: leave them to the process of the job, which knows
            registered tasks.
    """

    is_strict = True

    def setup(self, *, hydra_context: Any, task_function: Any, config: DictConfig) -> None:
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)  # type: ignore[misc]
        self._loader, self._config = hydra_context.config_loader, config
        self._outputs = task_function.__self__.outputs

    def _check(self, jobs: Sequence[Sequence[str]], first_number: int) -> None:
        def compose(overrides: Sequence[str]) -> Any:
            return self._loader.load_sweep_config(self._config, list(overrides))

        self._outputs.check(self._config, jobs, first_number, compose, self.is_strict)


class _CheckingLauncher(_OutputChecks, Launcher):
    """Launcher that checks jobs when a sweeper passes them: sweepers of other packages know only the next jobs."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        self._check(job_overrides, initial_job_idx)
        return super().launch(job_overrides, initial_job_idx)  # type: ignore[safe-super]


class CheckingBasicLauncher(_CheckingLauncher, BasicLauncher):
    """Launcher for jobs in this process."""


class CheckingProcessLauncher(_CheckingLauncher, ProcessLauncher):
    """Launcher for jobs in separate processes."""

    is_strict = False


class CheckingSweeper(_OutputChecks, BasicSweeper):
    """Sweeper that checks all jobs before it creates the folder of the sweep."""

    def sweep(self, arguments: list[str]) -> Any:
        parser = OverridesParser.create(config_loader=self._loader)
        (jobs,) = self.split_arguments(parser.parse_overrides([*self._parse_config(), *arguments]), None)
        self._check(jobs, 0)
        return super().sweep(arguments)

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Accept all overrides: `_check` has composed the jobs."""


class LenientSweeper(CheckingSweeper):
    """Sweeper that leaves wrong overrides to the process of each job."""

    is_strict = False


class CheckingSubmititSlurmLauncher(_CheckingLauncher, SubmititSlurmLauncher):
    """Launcher for jobs on Slurm."""

    is_strict = False


class CheckingSubmititLocalLauncher(_CheckingLauncher, SubmititLocalLauncher):
    """Launcher for jobs that submitit starts on this machine."""

    is_strict = False


LAUNCHERS: dict[str, tuple[type[Plugin], dict[str, Any]]] = {
    "basic": (CheckingBasicLauncher, {}),
    "process": (CheckingProcessLauncher, {}),
    "submitit_local": (CheckingSubmititLocalLauncher, SETTINGS),
    "submitit_slurm": (CheckingSubmititSlurmLauncher, SETTINGS | SLURM_SETTINGS),
}
"""Name -> launcher, and its settings with their defaults."""
_OF_SWEEPERS: dict[str, Any] = {"max_batch_size": None, "params": {}}
SWEEPERS: dict[str, tuple[type[Plugin], dict[str, Any]]] = {
    "basic": (CheckingSweeper, _OF_SWEEPERS),
    "process": (LenientSweeper, _OF_SWEEPERS),
}

"""Hydra launcher that runs each job of a sweep in a separate process: `hydra/launcher=process`.

Isaac Sim can start only once per process. The jobs run one after the other, each as the same command with its overrides.
"""

import logging
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus, configure_log, setup_globals
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf, open_dict

from isaaclab_mimic_ext.command_lines import quoted
from isaaclab_mimic_ext.errors import Interrupted
from isaaclab_mimic_ext.texts import counted

log = logging.getLogger(__name__)

_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_ONLY_FOR_SWEEP = ("hydra.mode=", "hydra.run", "hydra.sweep", "hydra/launcher", "hydra.launcher", "hydra/sweeper")
"""Beginnings of Hydra overrides that are for the sweep, and are not passed to its jobs."""
_FLAGS = ("--config-dir", "-cd", "--config-name", "-cn", "--config-path", "-cp")


class Sweep(Protocol):
    """State that the jobs of a sweep share.

    Attributes:
        program: first words of the command line of each job.
        can_resume: whether the command has the field `resume`.
    """

    program: Sequence[str]
    can_resume: bool

    def note_failure(self, exit_code: int) -> None:
        """Keep the exit code of the first failure as that of the sweep."""


class ProcessLauncher(Launcher):
    """Launcher that runs each job as a process of the same command, with the overrides and the folder of the job."""

    def __init__(self) -> None:
        self.config: DictConfig = DictConfig({})
        self.sweep: Sweep
        self._failed: list[str] = []

    def setup(self, *, hydra_context: Any, task_function: Any, config: DictConfig) -> None:
        self.config, self.sweep = config, task_function.__self__

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs of a sweep. A failing job does not end the sweep; at the end, the failed jobs are listed.

        Raises:
            Interrupted: a signal ended the sweep and the running job, to which it was forwarded.
        """
        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        Path(str(self.config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
        log.info("Launching %s, each in a separate process", counted(len(job_overrides), "job"))
        returns = self._run_all(job_overrides, initial_job_idx)
        if self._failed:
            listed = "".join(f"\n\t{line}" for line in self._failed)
            log.error("%s of %d failed:%s", counted(len(self._failed), "job"), len(job_overrides), listed)
        return returns

    def _run_all(self, jobs: Sequence[Sequence[str]], first_number: int) -> list[JobReturn]:
        """Run the jobs, one after the other."""
        returns = []
        with _ForwardedSignals() as signals:
            for number, overrides in enumerate(jobs, first_number):
                exit_code = self._run(number, overrides, signals)
                if signals.received:
                    raise Interrupted(f"job {number} of the sweep was running", signals.received)
                returns.append(self._returned(number, overrides, exit_code))
        return returns

    def _returned(self, number: int, overrides: Sequence[str], exit_code: int) -> JobReturn:
        """Note how a job has ended. Hydra's sweeper would end the sweep at a job with the status `FAILED`."""
        if exit_code != 0:
            log.info("\t#%d failed: exit code %d", number, exit_code)
            self._failed.append(f"#{number} : {shlex.join(overrides)}: exit code {exit_code}")
            self.sweep.note_failure(exit_code)
        return JobReturn(overrides=overrides, status=JobStatus.COMPLETED)

    def _run(self, number: int, overrides: Sequence[str], signals: "_ForwardedSignals") -> int:
        log.info("\t#%d : %s", number, shlex.join(overrides))
        sys.stdout.flush()
        # A separate session, so that the signal of Ctrl-C reaches the job only once, forwarded by this process.
        process = subprocess.Popen(self._command(number, overrides), start_new_session=True)
        with process, signals.sent_to(process):
            code = process.wait()
        return code if code >= 0 else 128 - code

    def _command(self, number: int, overrides: Sequence[str]) -> list[str]:
        sweep_dir, subdir = str(self.config.hydra.sweep.dir), self._subdir(number, overrides)
        places = {
            "hydra.run.dir": os.path.join(sweep_dir, subdir),
            "hydra.sweep.dir": sweep_dir,
            "hydra.sweep.subdir": subdir,
        }
        # As a container, because reading single items would resolve their interpolations.
        given = OmegaConf.to_container(self.config.hydra.overrides.hydra)
        assert isinstance(given, list)
        kept = [word for word in given if not word.startswith(_ONLY_FOR_SWEEP)]
        return [
            *(*self.sweep.program, *_flags(sys.argv[1:]), *overrides, *kept),
            *(f"{field}={quoted(place)}" for field, place in places.items()),
            *("hydra.mode=RUN", f"hydra.job.num={number}", f"hydra.job.id='{number}'"),
        ]

    def _subdir(self, number: int, overrides: Sequence[str]) -> str:
        """Return the folder of a job in the folder of the sweep, according to `hydra.sweep.subdir`."""
        config = deepcopy(self.config)
        parsed = OverridesParser.create().parse_overrides(list(overrides))
        settings = config.hydra.job.config.override_dirname
        named = {item.key_or_group: item for item in parsed if item.key_or_group not in settings.exclude_keys}
        words = [f"{name}{settings.kv_sep}{item.get_value_element_as_str()}" for name, item in sorted(named.items())]
        with open_dict(config):
            config.hydra.job.num, config.hydra.job.id = number, str(number)
            config.hydra.job.override_dirname = settings.item_sep.join(words)
        return str(OmegaConf.select(config, "hydra.sweep.subdir"))


class _ForwardedSignals:
    """Context in which signals are recorded and forwarded to the running job.

    Attributes:
        received: number of the first signal; 0: none.
    """

    def __init__(self) -> None:
        self.received = 0
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "_ForwardedSignals":
        self._before = {number: signal.signal(number, self._forward) for number in _FORWARDED}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def sent_to(self, process: "subprocess.Popen[bytes]") -> Iterator[None]:
        """Forward signals to `process` until the end of the block."""
        self._process = process
        try:
            yield
        finally:
            self._process = None

    def _forward(self, number: int, frame: FrameType | None) -> None:
        self.received = self.received or number
        if self._process is not None:
            self._process.send_signal(number)


def _flags(argv: Sequence[str]) -> list[str]:
    """Return the flags, with their values, that specify where Hydra's configuration is."""
    found: list[str] = []
    for word, following in zip(argv, [*argv[1:], ""], strict=True):
        name, has_value, _ = word.partition("=")
        if name in _FLAGS:
            found += [word] if has_value else [word, following]
    return found

"""Job arrays of Slurm that generate the blocks of a run."""

import logging
import os
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from isaaclab_mimic_ext.config.hydra import conf_dir
from isaaclab_mimic_ext.errors import ConfigError, MimicError
from isaaclab_mimic_ext.run.block_results import ranges

log = logging.getLogger(__name__)

MAX_ARRAY_SIZE = 1000
"""Largest number of jobs of an array; Slurm's default allows the indices 0 to 1000."""
POLL_PERIOD = 5.0
"""Time between two queries of the queue [s]. A controller serves all users."""
_UNKNOWN = "Invalid job id"
"""Part of the answer about jobs that have ended some minutes ago."""

_WIDTH, _PATH_WIDTH = 20, 4096
"""Widths of the columns with numbers and with paths in the answer of `squeue`."""


@dataclass(frozen=True)
class JobArray:
    """A job array that was submitted.

    Attributes:
        job: number of the job array.
        first_block: block of the job with index 0.
        blocks: its blocks.
    """

    job: str
    first_block: int
    blocks: list[int]

    def log(self, folder: Path, block: int) -> Path:
        """Output of the job of a block."""
        return folder / f"{self.first_block}_{self.job}_{block - self.first_block}.out"


def submit(blocks: Sequence[int], words: Sequence[str], options: Sequence[str], logs: Path, program: Path) -> list[JobArray]:
    """Submit jobs that generate blocks.

    Args:
        blocks: indices of the blocks, sorted.
        words: overrides of `mimic generate`.
        options: options of `sbatch`.
        logs: folder of the output of the jobs.
        program: the program `mimic` on the nodes.

    Raises:
        ConfigError: Slurm is not installed, or refuses the jobs.
    """
    arrays: list[JobArray] = []
    for number, of_array in groupby(blocks, lambda block: block // MAX_ARRAY_SIZE):
        first, group = number * MAX_ARRAY_SIZE, [*of_array]
        command = [
            *("sbatch", "--parsable", f"--array={ranges(block - first for block in group)}"),
            *(f"--output={logs}/{first}_%A_%a.out", *options, str(conf_dir() / "cluster" / "generate.sbatch"), *words),
        ]
        done = _run(command, {"FIRST_BLOCK": str(first), "MIMIC": str(program)})
        if done.returncode:
            cancel(arrays)
            reason = next(iter(done.stderr.strip().splitlines()), "no reason given").removeprefix("sbatch: error: ")
            raise ConfigError(f"cluster.options: sbatch refuses the job array: {reason}; change the options")
        arrays.append(JobArray(done.stdout.strip().partition(";")[0], first, group))
    return arrays


def _run(command: Sequence[str], variables: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, env={**os.environ, **(variables or {})}, text=True, capture_output=True)
    except FileNotFoundError as error:
        raise ConfigError(
            f"cluster.scheduler: {command[0]} not found; start this command on a login node of Slurm, or omit +cluster=slurm"
        ) from error


def find(logs: Path) -> list[JobArray]:
    """Return the job arrays of this user whose jobs have not ended and write their output to the folder `logs`.

    The queue is the only record of submitted jobs: none is lost if the process that submitted them was killed.

    Raises:
        ConfigError: Slurm is not installed.
        MimicError: the controller does not answer.
    """
    if not logs.is_dir():
        return []
    columns = f"ArrayJobID:{_WIDTH},ArrayTaskID:{_WIDTH},STDOUT:{_PATH_WIDTH}"
    done = _run(["squeue", "--noheader", "--array", "--me", f"--Format={columns}"])
    if done.returncode:
        reason = next(iter(done.stderr.strip().splitlines()), "no answer").removeprefix("slurm_load_jobs error: ")
        raise MimicError(f"squeue: {reason}; whether jobs of {logs.parent} run is not known: try again later")
    blocks: dict[tuple[str, int], list[int]] = {}
    for line in done.stdout.splitlines():
        job, index, path = line[:_WIDTH].strip(), line[_WIDTH : 2 * _WIDTH].strip(), Path(line[2 * _WIDTH :].rstrip())
        first = path.name.partition("_")[0]
        if index.isdecimal() and first.isdecimal() and os.path.realpath(path.parent) == os.path.realpath(logs):
            blocks.setdefault((job, int(first)), []).append(int(first) + int(index))
    return [JobArray(job, first, sorted(of_array)) for (job, first), of_array in sorted(blocks.items())]


def states(arrays: Sequence[JobArray]) -> Counter[str] | None:
    """Return the number of jobs that have not ended by their state; None if the controller does not answer.

    Raises:
        ConfigError: Slurm is not installed.
    """
    found: Counter[str] = Counter()
    for array in arrays:
        done = _run(["squeue", "--noheader", "--array", f"--jobs={array.job}", "--format=%T"])
        if done.returncode and _UNKNOWN not in done.stderr:
            log.warning("squeue: %s", next(iter(done.stderr.strip().splitlines()), "no answer"))
            return None
        found.update(done.stdout.split())
    return found


def cancel(arrays: Sequence[JobArray]) -> bool:
    """End all jobs, and return whether the controller accepted this. Their finished trials are kept."""
    if not arrays:
        return True
    done = _run(["scancel", *(array.job for array in arrays)])
    if done.returncode:
        log.warning("scancel: %s", next(iter(done.stderr.strip().splitlines()), "no answer"))
    return not done.returncode


def wait(arrays: Sequence[JobArray], watch: Callable[[Counter[str]], bool]) -> bool:
    """Wait until all jobs have ended.

    Args:
        watch: called with the states of the jobs after each query, and about once per second with the last ones; returns
            whether to stop waiting.

    Returns:
        Whether all jobs have ended.
    """
    due, last = 0.0, Counter[str]()
    while True:
        if (now := time.monotonic()) >= due:
            due, found = now + POLL_PERIOD, states(arrays)
            last = last if found is None else found
            if found is not None and not found:
                return True
        if watch(last):
            return False
        time.sleep(min(1.0, POLL_PERIOD))

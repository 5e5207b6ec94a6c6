"""Break runs with several workers, or blocks, at random times, and compare their datasets with an undisturbed one.

    python benchmarks/worker_faults.py --faults 100 --seed 1 [--workers 3] [--json] [overrides ...]
    python benchmarks/worker_faults.py --faults 100 --blocks 5 --demos 1000 --workers 2 --folder /mnt/small

Faults: a worker is killed, a worker is stopped (SIGSTOP), the owner is killed, the writer is killed, a node fails (the owner
and all of its processes are killed together), the disk is full for some seconds. After each death, the job is started
again, by the same number of workers or by one process. With blocks, two jobs run at the same time.

The disk is filled only in `--folder`, which must be a separate file system: `mount -t tmpfs -o size=2G tmpfs /mnt/small`.
The seed of each run is printed: `--seed <seed> --runs 1` repeats its faults.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from common import machine

sys.path.insert(0, str(Path(__file__).parents[1]))

from isaaclab_mimic_ext.files.digest import dataset_digest
from isaaclab_mimic_ext.run.session import RunFolder, run_facts
from isaaclab_mimic_ext.run.trial_records import read_records
from tests.worker_pids import child_pids, worker_pids

SETTINGS = ("task=desktop_organizer", "sim=kinematic", "video=false", "progress=false", "all_subtasks.action_noise=0.3")
FAULTS = {
    "worker killed": 6,
    "worker stopped": 2,
    "owner killed": 2,
    "writer killed": 2,
    "node failed": 2,
    "disk full": 2,
}
"""Fault -> its weight in the random choice."""
WRITER = "isaaclab_mimic_ext.run.writer_process"
RETRIED = (1, 75, -signal.SIGKILL)
"""Exit codes after which a scheduler starts the same command again."""
MAX_STARTS = 60
NUM_NODES = 2
"""Number of blocks that run at the same time."""
FULL_S = 1.0, 6.0
"""Range of the time for which the disk is full [s]."""


@dataclass
class Counts:
    """Counts of all runs together.

    Attributes:
        trials: number of trials that count.
        unfinished: number of runs that could not be resumed to the end.
        misplaced: number of trials that are recorded twice, or not at all.
    """

    runs: int = 0
    trials: int = 0
    faults: dict[str, int] = field(default_factory=lambda: dict.fromkeys(FAULTS, 0))
    digest_mismatches: int = 0
    misplaced: int = 0
    unfinished: int = 0


@dataclass
class Job:
    """A command that is started again until it succeeds: a run, or one of its blocks."""

    words: list[str]
    log: Path
    num_starts: int = 0
    process: subprocess.Popen[bytes] | None = None
    saw_full_disk: bool = False

    def start(self, num_workers: int) -> None:
        """Start, or resume."""
        command = [sys.executable, "-m", "isaaclab_mimic_ext", "generate", *SETTINGS, *self.words]
        command += [f"num_workers={num_workers}", "resume=true"]
        with self.log.open("a") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)
        self.num_starts += 1

    def may_start_again(self, exit_code: int) -> bool:
        """Return whether a scheduler, or a person who has freed the disk, starts the job again."""
        was_full, self.saw_full_disk = self.saw_full_disk, False
        return self.num_starts < MAX_STARTS and (exit_code in RETRIED or (exit_code == 2 and was_full))


class Disk:
    """File system that can be full for some seconds.

    Args:
        folder: folder of a small file system; None: it is never full.
    """

    def __init__(self, folder: Path | None):
        self._file = None if folder is None else folder / "filling"
        self._end = 0.0

    def fill(self, seconds: float) -> bool:
        """Leave no space for some time; return whether it can be done now."""
        if self._file is None or self._end:
            return False
        space = os.statvfs(self._file.parent)
        with self._file.open("wb") as file, suppress(OSError):
            os.posix_fallocate(file.fileno(), 0, space.f_bavail * space.f_frsize)
        self._end = time.monotonic() + seconds
        return True

    @property
    def is_full(self) -> bool:
        """Return whether the disk is full now; free it after its time."""
        if self._end and time.monotonic() > self._end:
            assert self._file is not None
            self._file.unlink()
            self._end = 0.0
        return self._end > 0


class BrokenRun:
    """A run whose processes suffer random faults until it is finished."""

    def __init__(self, jobs: list[Job], disk: Disk, args: argparse.Namespace, seed: int):
        self.faults: Counter[str] = Counter()
        self._disk, self._args, self._rng = disk, args, random.Random(seed)
        self._waiting, self._running = jobs, list[Job]()

    def finish(self) -> int:
        """Run to the end, and return the exit code: 0, or that of a job that cannot be started again."""
        due = self._next_time()
        try:
            while self._waiting or self._running:
                while self._waiting and len(self._running) < NUM_NODES:
                    self._start(self._waiting.pop(0))
                is_full = self._disk.is_full
                for job in [*self._running]:
                    job.saw_full_disk |= is_full
                    if code := self._check(job):
                        return code
                if self._running and time.monotonic() > due:
                    if fault := self._break(self._rng.choice(self._running)):
                        self.faults[fault] += 1
                    due = self._next_time()
                time.sleep(0.02)
            while self._disk.is_full:
                time.sleep(0.1)
        finally:
            for job in self._running:
                kill_node(job)
        return 0

    def _next_time(self) -> float:
        return time.monotonic() + self._rng.uniform(0.1, 1.0) * self._args.seconds

    def _start(self, job: Job) -> None:
        workers = self._args.workers
        job.start(self._rng.choice([workers, workers, 1]) if job.num_starts else workers)
        self._running.append(job)

    def _check(self, job: Job) -> int:
        """Move an ended job to where it belongs; return its exit code if it cannot be started again, else 0."""
        assert job.process is not None
        code = job.process.poll()
        if code is None:
            return 0
        self._running.remove(job)
        if code and not job.may_start_again(code):
            print(job.log.read_text(), file=sys.stderr)
            return code
        if code:
            time.sleep(1.0 if code in (2, 75) else 0.0)  # The writer of a killed owner still closes its files.
            self._waiting.insert(0, job)
        return 0

    def _break(self, job: Job) -> str | None:
        """Cause a random fault in a running job; None if the processes that it needs do not run now."""
        assert job.process is not None
        owner = job.process.pid
        fault = self._rng.choices([*FAULTS], [*FAULTS.values()])[0]
        if fault == "disk full":
            return fault if self._disk.fill(self._rng.uniform(*FULL_S)) else None
        if fault == "node failed":
            kill_node(job)
            return fault
        if fault == "owner killed":
            job.process.kill()
            return fault
        pids = child_pids(owner, WRITER) if fault == "writer killed" else worker_pids(owner)
        if not pids:
            return None
        os.kill(self._rng.choice(pids), signal.SIGSTOP if fault == "worker stopped" else signal.SIGKILL)
        return fault


def kill_node(job: Job) -> None:
    """Kill all processes of a job together."""
    assert job.process is not None
    pids = [*child_pids(job.process.pid, WRITER), *worker_pids(job.process.pid)]
    job.process.kill()
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def jobs_of(folder: Path, words: list[str], num_blocks: int, block_size: int) -> list[Job]:
    """Job of a run, or one per block."""
    place, log = f"output_dir={folder}", Path(f"{folder}.log")
    if not num_blocks:
        return [Job([*words, place], log)]
    blocks = [[*words, place, f"block={index}", f"block_size={block_size}"] for index in range(num_blocks)]
    return [Job(block, Path(f"{folder}_{index}.log")) for index, block in enumerate(blocks)]


def collect(folder: Path) -> int:
    """Collect the blocks of a run, and return the exit code."""
    command = [sys.executable, "-m", "isaaclab_mimic_ext", "collect", "progress=false", f"output_dir={folder}"]
    return subprocess.run(command, stdout=subprocess.DEVNULL).returncode


def num_misplaced(folder: RunFolder) -> tuple[int, int]:
    """Return the number of trials that count, and the number of those that are missing or do not belong there."""
    end = run_facts(folder)["result"]["num_attempts"]
    trials = read_records(folder.store, end).trials.tolist()
    return end, len({*range(end)} ^ {*trials}) + len(trials) - len({*trials})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=100, help="least number of faults in all runs together")
    parser.add_argument("--runs", type=int, default=1_000_000, help="largest number of runs")
    parser.add_argument("--workers", type=int, default=3, help="number of workers of a run, or of each block")
    parser.add_argument("--blocks", type=int, default=0, help="number of blocks per run; 0: a run without blocks")
    parser.add_argument("--num-envs", type=int, default=10, help="number of environments of each worker")
    parser.add_argument("--demos", type=int, default=300, help="number of demos per run")
    parser.add_argument("--seconds", type=float, default=8.0, help="largest time between two faults [s]")
    parser.add_argument("--seed", type=int, default=1, help="seed of the first run; each further run has the next one")
    parser.add_argument("--folder", type=Path, help="folder of the runs, on a small file system: the disk is full at times")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("overrides", nargs="*", help="overrides of generate")
    args = parser.parse_intermixed_args()
    words = [f"num_envs={args.num_envs}", f"num_trials={args.demos}", *args.overrides]
    counts, disk = Counts(), Disk(args.folder)
    with tempfile.TemporaryDirectory(dir=args.folder) as temporary:
        (undisturbed,) = jobs_of(Path(temporary) / "undisturbed", words, 0, 0)
        undisturbed.start(1)
        assert undisturbed.process is not None and undisturbed.process.wait() == 0
        single = RunFolder(Path(temporary) / "undisturbed")
        digest, num_trials = dataset_digest(single.demos), num_misplaced(single)[0]
        block_size = -(-num_trials // args.blocks) if args.blocks else 0
        print(f"Undisturbed: digest {digest}, {num_trials} trials; blocks of {block_size}", file=sys.stderr, flush=True)
        while sum(counts.faults.values()) < args.faults and counts.runs < args.runs:
            seed, folder = args.seed + counts.runs, Path(temporary) / f"run_{counts.runs}"
            run = BrokenRun(jobs_of(folder, words, args.blocks, block_size), disk, args, seed)
            code = run.finish()
            if code == 0 and args.blocks:
                code = collect(folder)
            counts.runs += 1
            counts.unfinished += code != 0
            if code == 0:
                counts.digest_mismatches += dataset_digest(folder / "demo.hdf5") != digest
                trials, misplaced = num_misplaced(RunFolder(folder))
                counts.trials, counts.misplaced = counts.trials + trials, counts.misplaced + misplaced
            counts.faults = {name: number + run.faults[name] for name, number in counts.faults.items()}
            print(f"seed {seed}: {dict(run.faults)}; until now: {asdict(counts)}", file=sys.stderr, flush=True)
            shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps({"machine": machine(), **asdict(counts)} if args.json else asdict(counts), indent=2))
    sys.exit(bool(counts.digest_mismatches or counts.misplaced or counts.unfinished))


if __name__ == "__main__":
    main()

"""Break runs with several workers at random times, and compare their datasets with that of an undisturbed process.

    python benchmarks/worker_faults.py --faults 100 --seed 1 [--workers 3] [--json] [overrides ...]

Faults: a worker is killed, a worker is stopped (SIGSTOP), the owner is killed, the writer is killed. After the death of the
owner or the writer, the run is resumed, by the same number of workers or by one process. The seed of each run is printed:
`--seed <seed> --runs 1` repeats its faults.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

from common import machine

sys.path.insert(0, str(Path(__file__).parents[1]))

from isaaclab_mimic_ext.files.digest import dataset_digest
from isaaclab_mimic_ext.run.session import RunFolder, run_facts
from isaaclab_mimic_ext.run.trial_records import read_records
from tests.worker_pids import child_pids, worker_pids

SETTINGS = ("task=desktop_organizer", "sim=kinematic", "video=false", "progress=false", "all_subtasks.action_noise=0.3")
FAULTS = ("worker killed", "worker stopped", "owner killed", "writer killed")
WEIGHTS = (6, 2, 1, 1)
WRITER = "isaaclab_mimic_ext.run.writer_process"


@dataclass
class Counts:
    """Counts of all runs together.

    Attributes:
        unfinished: number of runs that could not be resumed to the end.
        misplaced: number of trials that are recorded twice, or not at all.
    """

    runs: int = 0
    faults: dict[str, int] = field(default_factory=lambda: dict.fromkeys(FAULTS, 0))
    digest_mismatches: int = 0
    misplaced: int = 0
    unfinished: int = 0


def start(folder: Path, words: list[str], num_workers: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "isaaclab_mimic_ext", "generate", *SETTINGS, *words, f"output_dir={folder}"]
    command += [f"num_workers={num_workers}", "resume=true"]
    with Path(f"{folder}.log").open("a") as log:
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)


def break_run(process: subprocess.Popen[bytes], rng: random.Random) -> str | None:
    """Cause a random fault in a running run; None if the processes that it needs do not run now."""
    fault = rng.choices(FAULTS, WEIGHTS)[0]
    if fault == "owner killed":
        process.kill()
        return fault
    pids = child_pids(process.pid, WRITER) if fault == "writer killed" else worker_pids(process.pid)
    if not pids:
        return None
    os.kill(rng.choice(pids), signal.SIGSTOP if fault == "worker stopped" else signal.SIGKILL)
    return fault


def run_with_faults(folder: Path, words: list[str], num_workers: int, seconds: float, seed: int) -> Counter[str]:
    """Run to the end, with faults in between. Return the number of each fault; and `exit code` if it cannot be resumed."""
    rng, faults = random.Random(seed), Counter[str]()
    for _ in range(50):
        process = start(folder, words, rng.choice([num_workers, num_workers, 1]) if faults else num_workers)
        while process.poll() is None:
            try:
                process.wait(rng.uniform(0.1, 1.0) * seconds)
            except subprocess.TimeoutExpired:
                if fault := break_run(process, rng):
                    faults[fault] += 1
        if process.returncode == 0:
            return faults
        if process.returncode not in (1, -signal.SIGKILL, 75):
            print(Path(f"{folder}.log").read_text(), file=sys.stderr)
            break
        time.sleep(1.0 if process.returncode == 75 else 0.0)  # The writer of a killed owner still closes its files.
    faults["exit code"] = process.returncode
    return faults


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=100, help="least number of faults in all runs together")
    parser.add_argument("--runs", type=int, default=1_000_000, help="largest number of runs")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--num-envs", type=int, default=10, help="number of environments of each worker")
    parser.add_argument("--demos", type=int, default=300, help="number of demos per run")
    parser.add_argument("--seconds", type=float, default=8.0, help="largest time between two faults [s]")
    parser.add_argument("--seed", type=int, default=1, help="seed of the first run; each further run has the next one")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("overrides", nargs="*", help="overrides of generate")
    args = parser.parse_intermixed_args()
    words = [f"num_envs={args.num_envs}", f"num_trials={args.demos}", *args.overrides]
    counts = Counts()
    with tempfile.TemporaryDirectory() as temporary:
        undisturbed = Path(temporary) / "undisturbed"
        assert start(undisturbed, words, 1).wait() == 0
        digest = dataset_digest(undisturbed / "demo.hdf5")
        while sum(counts.faults.values()) < args.faults and counts.runs < args.runs:
            seed, folder = args.seed + counts.runs, Path(temporary) / f"run_{counts.runs}"
            faults = run_with_faults(folder, words, args.workers, args.seconds, seed)
            counts.runs += 1
            is_finished = "exit code" not in faults
            counts.unfinished += not is_finished
            if is_finished:
                counts.digest_mismatches += dataset_digest(folder / "demo.hdf5") != digest
                end = run_facts(RunFolder(folder))["result"]["num_attempts"]
                trials = read_records(folder / "run.sqlite", end).trials.tolist()
                counts.misplaced += len({*range(end)} ^ {*trials})
            counts.faults = {name: number + faults[name] for name, number in counts.faults.items()}
            print(f"seed {seed}: {dict(faults)}; until now: {asdict(counts)}", file=sys.stderr, flush=True)
    print(json.dumps({"machine": machine(), **asdict(counts)} if args.json else asdict(counts), indent=2))
    sys.exit(bool(counts.digest_mismatches or counts.misplaced or counts.unfinished))


if __name__ == "__main__":
    main()

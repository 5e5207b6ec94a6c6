"""Kill runs with SIGKILL at random instants, resume them, and compare their datasets with that of an undisturbed run.

    python benchmarks/faults.py --runs 100 [--json]

Each run is killed up to `--kills` times, resumed after each kill, and then finished. The killed process is the generator,
its writer, or both. The instant is random, or the end of the run when the dataset gets its name. In some runs, the system
ends the writer during a write, at a random byte of the store or of the dataset.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import h5py
from common import machine

sys.path.insert(0, str(Path(__file__).parents[1]))

from isaaclab_mimic_ext.config.hydra import conf_dir
from isaaclab_mimic_ext.files.digest import dataset_digest
from isaaclab_mimic_ext.run.session import RunFolder
from tests.faults import ForkServer, Killed, kill_and_resume, open_fork_server

SOURCE = conf_dir().parent / "tasks/desktop_organizer/data/source_demos.hdf5"


@dataclass
class Counts:
    """Counts of all runs together.

    Attributes:
        lost: number of trials that were saved, and missing later.
        doubled: number of trials that are in a dataset twice or out of order, and of demos with gaps between their numbers.
        unfinished: number of runs that could not be resumed to the end.
    """

    runs: int = 0
    kills: int = 0
    runs_killed: int = 0
    lost: int = 0
    doubled: int = 0
    digest_mismatches: int = 0
    unfinished: int = 0

    def add(self, killed: Killed, folder: RunFolder, digest: str) -> None:
        self.runs += 1
        self.kills += killed.kills
        self.runs_killed += killed.kills > 0
        self.lost += killed.lost
        if killed.exit_code != 0 or not folder.demos.exists():
            self.unfinished += 1
            print(f"run {self.runs}: exit code {killed.exit_code}: {killed.message}", file=sys.stderr)
            return
        self.doubled += num_misplaced(folder.demos)
        self.digest_mismatches += dataset_digest(folder.demos) != digest


def num_misplaced(path: Path) -> int:
    """Return the number of demos that are missing in 0, 1, ..., or whose trial is not later than that of the demo before."""
    with h5py.File(path) as file:
        demos = file["data"]
        missing = sum(f"demo_{index}" not in demos for index in range(len(demos)))
        trials = [int(demos[f"demo_{index}"].attrs["trial"]) for index in range(len(demos) - missing)]
    return missing + sum(later <= earlier for earlier, later in pairwise(trials))


def measure(fork_server: ForkServer, parent: Path, args: argparse.Namespace) -> Counts:
    arguments = [
        *("sim=kinematic", f"input_file={SOURCE}", "video=false", "progress=false"),
        *(f"num_envs={args.num_envs}", f"generation_num_trials={args.demos}", *args.overrides),
    ]
    undisturbed = RunFolder(parent / "undisturbed")
    for _ in range(2):  # The first run compiles kernels and fills caches.
        start = time.perf_counter()
        exit_code, message = fork_server.finish(undisturbed, *arguments, "overwrite=true")
        seconds = time.perf_counter() - start
    assert exit_code == 0, message
    digest, counts, rng = dataset_digest(undisturbed.demos), Counts(), random.Random(args.seed)
    while counts.runs_killed < args.runs:
        with tempfile.TemporaryDirectory(dir=parent) as temporary:
            folder = RunFolder(Path(temporary))
            killed = kill_and_resume(fork_server, folder, arguments, seconds, rng.randint(1, args.kills), rng)
            counts.add(killed, folder, digest)
        if counts.runs % 10 == 0:
            print(f"Counts until now: {asdict(counts)}", file=sys.stderr, flush=True)
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100, help="number of runs that are killed at least once")
    parser.add_argument("--kills", type=int, default=3, help="largest number of kills per run")
    parser.add_argument("--num-envs", type=int, default=20)
    parser.add_argument("--demos", type=int, default=60, help="number of demos per run")
    parser.add_argument("--seed", type=int, default=1, help="seed of the instants")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("overrides", nargs="*", help="overrides of generate.py")
    args = parser.parse_intermixed_args()
    with tempfile.TemporaryDirectory() as temporary:
        notes = Path(temporary) / "notes"
        notes.mkdir()
        with open_fork_server(notes) as fork_server:
            counts = measure(fork_server, Path(temporary), args)
    if args.json:
        print(json.dumps({"machine": machine(), **asdict(counts)}, indent=2))
    else:
        print(", ".join(f"{name.replace('_', ' ')} {count}" for name, count in asdict(counts).items()))
    sys.exit(bool(counts.lost or counts.doubled or counts.digest_mismatches or counts.unfinished))


if __name__ == "__main__":
    main()

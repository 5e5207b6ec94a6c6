"""Measure `mimic collect` by links and by copy, compared with `cp` of the same demos.

    python benchmarks/collecting.py --demos 10000 --blocks 10 [--rounds 3] [--folder /tmp] [--json]

The blocks are real ones, generated with the kinematic engine. Copies include the flush to the disk; rounds of `cp` and
`collect` alternate. CPU times are those of the whole command, with the start of Python.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from common import machine

from isaaclab_mimic_ext.files.digest import dataset_digest


@dataclass
class Cost:
    """Wall and CPU time of a command [s]."""

    wall: float
    cpu: float


def run(words: Sequence[str | Path]) -> Cost:
    """Run a command and flush the disk."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    os.sync()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(time.perf_counter() - start, cpu)


def mimic(verb: str, *words: str) -> list[str]:
    return [sys.executable, "-m", "isaaclab_mimic_ext", verb, "progress=false", *words]


def generate_blocks(folder: Path, num_demos: int, num_blocks: int) -> None:
    """Generate blocks until they contain the demos; a few trials fail, so each block has more trials than demos."""
    size = -(-num_demos * 102 // 100 // num_blocks)
    settings = [
        "task=desktop_organizer",
        "sim=kinematic",
        f"num_envs={min(500, size // 2)}",
        f"num_trials={num_demos}",
        f"block_size={size}",
    ]
    for index in range(num_blocks):
        run(mimic("generate", *settings, f"block={index}", f"output_dir={folder}"))
        print(f"Generated block {index}", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demos", type=int, default=10_000)
    parser.add_argument("--blocks", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", help="folder for temporary files")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    costs: dict[str, list[Cost]] = {"cp": [], "copy": [], "links": []}
    with TemporaryDirectory(dir=args.folder) as temporary:
        folder = Path(temporary) / "run"
        generate_blocks(folder, args.demos, args.blocks)
        files = sorted(folder.glob("blocks/*/demo.hdf5"))
        megabytes = sum(file.stat().st_size for file in files) / 1e6
        copies, digests = Path(temporary) / "copies", list[str]()
        for _ in range(args.rounds):
            copies.mkdir()
            costs["cp"].append(run(["cp", "--parents", *files, copies]))
            run(["rm", "-r", copies])
            for mode in ("copy", "links"):
                costs[mode].append(run(mimic("collect", f"mode={mode}", f"output_dir={folder}")))
                if len(digests) < 2:
                    digests.append(dataset_digest(folder / "demo.hdf5"))
        assert digests[0] == digests[1]
    medians = {name: asdict(Cost(median(c.wall for c in each), median(c.cpu for c in each))) for name, each in costs.items()}
    figures = {"megabytes": megabytes, **medians, "speed of a copy / cp": medians["cp"]["wall"] / medians["copy"]["wall"]}
    print(json.dumps({"machine": machine(), **figures} if args.json else figures, indent=2))


if __name__ == "__main__":
    main()

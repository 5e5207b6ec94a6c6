"""Measure `mimic collect` by links, by copies of files and by copy, compared with `cp` of the same demos.

    python benchmarks/collecting.py --demos 10000 --blocks 10 [--modes links,shards] [--rounds 3] [--folder /tmp] [--json]

The blocks are real ones, generated with the kinematic engine; with `--copies`, one is, and the others are copies of it, with
other trial numbers in their stores, so that the measurement starts sooner. Copies include the flush to the disk; rounds of
`cp` and `collect` alternate. CPU times are those of the whole command, with the start of Python.
"""

import argparse
import json
import os
import resource
import shutil
import sqlite3
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


def generate_blocks(folder: Path, num_demos: int, num_blocks: int, num_generated: int) -> None:
    """Generate the first blocks. All blocks contain the demos; a few trials fail, so each has more trials than demos."""
    size = -(-num_demos * 102 // 100 // num_blocks)
    settings = [
        "task=desktop_organizer",
        "sim=kinematic",
        f"num_envs={min(500, size // 2)}",
        f"num_trials={num_demos}",
        f"block_size={size}",
    ]
    for index in range(num_generated):
        run(mimic("generate", *settings, f"block={index}", f"output_dir={folder}"))
        print(f"Generated block {index}", file=sys.stderr, flush=True)


def copy_blocks(folder: Path, num_blocks: int) -> None:
    """Make further blocks out of block 0."""
    first = folder / "blocks" / "00000"
    for index in range(1, num_blocks):
        block = folder / "blocks" / f"{index:05d}"
        shutil.copytree(first, block)
        with sqlite3.connect(block / "run.sqlite") as store:
            facts = {name: json.loads(value) for name, value in store.execute("SELECT name, value FROM facts")}
            shift = index * int(facts["identity"]["block_size"])
            store.execute("UPDATE trials SET trial = -trial - 1")  # First to numbers that do not exist.
            store.execute("UPDATE trials SET trial = -trial - 1 + ?", (shift,))
            changed = {
                "identity": facts["identity"] | {"block": index},
                "result": facts["result"] | {"first_trial": shift},
            }
            for name, value in changed.items():
                store.execute("UPDATE facts SET value = ? WHERE name = ?", (json.dumps(value), name))
        store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demos", type=int, default=10_000)
    parser.add_argument("--blocks", type=int, default=10)
    parser.add_argument("--modes", default="copy,shards,links")
    parser.add_argument("--copies", action="store_true", help="generate one block, and copy it")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", help="folder for temporary files")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    modes = args.modes.split(",")
    costs: dict[str, list[Cost]] = {name: [] for name in ("cp", *modes)}
    with TemporaryDirectory(dir=args.folder) as temporary:
        folder = Path(temporary) / "run"
        generate_blocks(folder, args.demos, args.blocks, 1 if args.copies else args.blocks)
        if args.copies:
            copy_blocks(folder, args.blocks)
        files = sorted(folder.glob("blocks/*/demo.hdf5"))
        megabytes = sum(file.stat().st_size for file in files) / 1e6
        copies, digests = Path(temporary) / "copies", list[str]()
        for _ in range(args.rounds):
            copies.mkdir()
            costs["cp"].append(run(["cp", "--parents", *files, copies]))
            run(["rm", "-r", copies])
            for mode in modes:
                costs[mode].append(run(mimic("collect", f"mode={mode}", f"output_dir={folder}", "overwrite=true")))
                if len(digests) < len(modes):
                    digests.append(dataset_digest(folder / "demo.hdf5"))
            (folder / "collected.json").unlink()  # Otherwise, one mode alone would find its own dataset.
        assert len({*digests}) == 1
    medians = {name: asdict(Cost(median(c.wall for c in each), median(c.cpu for c in each))) for name, each in costs.items()}
    cp = medians["cp"]
    speeds = {
        f"speed of {mode} / cp ({kind})": round(cp[kind] / medians[mode][kind], 3)
        for mode in modes
        for kind in ("wall", "cpu")
    }
    figures = {"megabytes": round(megabytes), **medians, **speeds}
    print(json.dumps({"machine": machine(), **figures} if args.json else figures, indent=2))


if __name__ == "__main__":
    main()

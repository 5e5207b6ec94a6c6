"""Speed of dataset tools: merge compared with a copy of the same files, inspect, split and validate.

    python benchmarks/dataset_tools.py --num-demos 2000 --num-camera-demos 40 [--folder /tmp] [--json]

Inputs: two files of `--num-demos` low-dimensional demos from the kinematic engine, and two files of `--num-camera-demos`
demos with two cameras of 128x128x3 uint8. The time of copies and merges includes the flush to the disk.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import h5py
import numpy as np
from common import machine

from isaaclab_mimic_ext.config.compose import load_config
from isaaclab_mimic_ext.datasets.inspect import inspect_dataset
from isaaclab_mimic_ext.datasets.merge import merge_datasets
from isaaclab_mimic_ext.datasets.split import split_dataset
from isaaclab_mimic_ext.datasets.validate import validate_dataset
from isaaclab_mimic_ext.run.generate import generate_run

ROUNDS = 5
MEMORY = """
import resource, sys
from isaaclab_mimic_ext.datasets.merge import merge_datasets
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
merge_datasets(sys.argv[1:-1], sys.argv[-1], overwrite=True)
print(before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def generate_file(folder: Path, num_demos: int, seed: int) -> Path:
    settings = ["sim=kinematic", "num_envs=500", "video=false", "progress=false", f"output_dir={folder}"]
    settings += [f"datagen_config.seed={seed}", f"datagen_config.generation_num_trials={num_demos}"]
    generate_run(load_config("generate", settings))
    return folder / "demo.hdf5"


def add_cameras(source: Path, path: Path, num_demos: int) -> Path:
    """Write the first demos of a file with random images of two cameras."""
    rng = np.random.default_rng(0)
    with h5py.File(source) as given, h5py.File(path, "w") as file:
        file.attrs["format_version"] = 1
        data = file.create_group("data")
        data.attrs.update(given["data"].attrs)
        for index in range(num_demos):
            given.copy(f"data/demo_{index}", data)
            demo = data[f"demo_{index}"]
            for camera in ("front", "wrist"):
                demo[f"obs/{camera}_rgb"] = rng.integers(0, 256, (len(demo["actions"]), 128, 128, 3), dtype=np.uint8)
    return path


def seconds(call: Callable[..., Any], *args: Any) -> float:
    began = time.perf_counter()
    call(*args)
    return time.perf_counter() - began


def copy_durably(paths: list[Path], output: Path) -> None:
    for index, path in enumerate(paths):
        target = output.with_suffix(f".{index}")
        shutil.copyfile(path, target)
        with open(target, "rb+") as file:
            os.fsync(file.fileno())


def measure_merge(paths: list[Path], output: Path) -> dict[str, float]:
    """Median speed [MB/s] of alternating copies and merges to new files, and peak memory [MB] of a merge."""
    megabytes = sum(path.stat().st_size for path in paths) / 1e6
    times: dict[str, list[float]] = {"copy": [], "merge": []}
    for _ in range(ROUNDS):
        for name, call in (("copy", copy_durably), ("merge", merge_datasets)):
            for left in output.parent.glob(f"{output.stem}.*"):
                left.unlink()
            times[name].append(seconds(call, paths, output))
    copy, merge = (megabytes / median(times[name]) for name in ("copy", "merge"))
    memory = subprocess.run([sys.executable, "-c", MEMORY, *map(str, paths), str(output)], capture_output=True, check=True)
    before, after = map(int, memory.stdout.split())
    return {
        "megabytes": megabytes, "copy_mb_per_s": copy, "merge_mb_per_s": merge, "share": merge / copy,
        "merge_peak_mb": after / 1000, "merge_peak_above_imports_mb": (after - before) / 1000,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-demos", type=int, default=2000)
    parser.add_argument("--num-camera-demos", type=int, default=40)
    parser.add_argument("--inputs", nargs=2, type=Path, help="existing low-dimensional files to use")
    parser.add_argument("--folder", help="folder for a temporary folder with all files")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        low = args.inputs or [generate_file(folder / str(seed), args.num_demos, seed) for seed in (1, 2)]
        cameras = [add_cameras(path, folder / f"{i}.hdf5", args.num_camera_demos) for i, path in enumerate(low)]
        results: dict[str, Any] = {"cameras": measure_merge(cameras, folder / "cameras.hdf5")}
        merged = folder / "merged.hdf5"
        results["low_dim"] = measure_merge(low, merged)
        results["inspect_s"] = seconds(inspect_dataset, merged)
        results["split_by_source_s"] = seconds(split_dataset, merged, 0.8, 1, True)
        results["validate_s"] = seconds(validate_dataset, merged)
    if args.json:
        print(json.dumps({"machine": machine(), "results": results}, indent=2))
        return
    for name, result in results.items():
        print(f"{name:18}", result if isinstance(result, float) else {key: round(value, 2) for key, value in result.items()})


if __name__ == "__main__":
    main()

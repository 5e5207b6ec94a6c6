"""Costs of a long run in addition to physics: memory, stalls, and the times of its end, of inspect and of split.

    python benchmarks/memory.py --demos 1000,10000 --num-envs 100 [--json]
    python benchmarks/memory.py --demos "" --writer low_dim,cameras

The engine is kinematic. The speed of the writer is measured with one batch of 20 episodes that is written repeatedly.
"""

import argparse
import json
import os
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from common import generator, integers, machine

from isaaclab_mimic_ext.datasets.inspect import inspect_dataset
from isaaclab_mimic_ext.datasets.split import split_dataset
from isaaclab_mimic_ext.run.episodes import EpisodeBatch, EpisodeFormat, Field, Output, TrialOutcomes
from isaaclab_mimic_ext.run.result import RunResult
from isaaclab_mimic_ext.run.writer import EpisodeWriter
from isaaclab_mimic_ext.task.reasons import SUCCEEDED

_SAMPLE_PERIOD = 0.5
_NUM_SAMPLES = 16
"""Number of last samples that are averaged, because memory varies with the queue."""
_CAMERA = (128, 128, 3)


def resident(pid: int) -> float:
    """Return the resident memory of a process [MB]."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def seconds_of(call: Any, *args: Any) -> float:
    start = time.perf_counter()
    call(*args)
    return time.perf_counter() - start


def measure_run(num_demos: int, num_envs: int, overrides: list[str]) -> dict[str, Any]:
    """Measure the memory at the end of a run of `num_demos` demos, and the time of its end."""
    settings = ["sim=kinematic", f"num_envs={num_envs}", f"datagen_config.generation_num_trials={num_demos}"]
    with generator([*settings, "datagen_config.max_num_failures=null", *overrides]) as (run, output):
        seen: dict[str, list[float]] = {"generator": [], "writer": []}
        pids = {"generator": os.getpid(), "writer": run.recorder.writer._process.pid}
        due = [time.perf_counter()]

        def sample() -> bool:
            if time.perf_counter() >= due[0]:
                due[0] += _SAMPLE_PERIOD
                for name, pid in pids.items():
                    seen[name].append(resident(pid))
            return False

        start = time.perf_counter()
        run.run(sample)
        generating, stalled = time.perf_counter() - start, run.recorder.writer.seconds_stalled
        closing = seconds_of(run.close)
        size = output.stat().st_size
        copy = output.with_name("copy")
        result = {
            "num_demos": num_demos,
            "generator_mb": float(np.mean(seen["generator"][-_NUM_SAMPLES:])),
            "writer_mb": float(np.mean(seen["writer"][-_NUM_SAMPLES:])),
            "generator_peak_mb": max(seen["generator"]),
            "writer_peak_mb": max(seen["writer"]),
            "seconds": generating,
            "stalled": stalled / generating,
            "closing_seconds": closing,
            "size_mb": size / 1e6,
            "inspect_seconds": seconds_of(inspect_dataset, output),
            "split_seconds": seconds_of(split_dataset, output, 0.8, 1),
            "copy_seconds": seconds_of(copy_durably, output, copy),
        }
    return result


def copy_durably(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    with open(target, "rb") as file:
        os.fsync(file.fileno())


def measure_writer(kind: str, megabytes: float) -> dict[str, Any]:
    """Measure the speed of the writer (store and dataset), and of a durable copy of the same dataset."""
    num_trials, num_steps = 20, 100
    fields: tuple[Field, ...] = (Field("actions", (7,), "low", 0, 7), Field("obs/state", (293,), "low", 7, 300))
    rows = {"low": np.random.default_rng(1).normal(size=(num_trials, num_steps, 300)).astype(np.float32)}
    if kind == "cameras":
        width = int(np.prod(_CAMERA))
        fields += tuple(Field(f"obs/cam_{i}", _CAMERA, "rgb", i * width, (i + 1) * width) for i in range(2))
        rows["rgb"] = np.random.default_rng(1).integers(0, 255, (num_trials, num_steps, 2 * width), dtype=np.uint8)
    num_batches = max(1, round(megabytes * 1e6 / sum(values.nbytes for values in rows.values())))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        path = folder / "demo.hdf5"
        writer = EpisodeWriter(Output(path, overwrite=True, store_path=folder / "run.sqlite"), EpisodeFormat({}, fields))
        every = np.ones(num_trials, dtype=bool)
        ended = TrialOutcomes(np.arange(num_trials), np.full(num_trials, SUCCEEDED), np.full(num_trials, num_steps))
        start = time.perf_counter()
        for batch in range(num_batches):
            trials = ended.trials + batch * num_trials
            writer.put(EpisodeBatch(replace(ended, trials=trials), every, rows, {}, (batch + 1) * num_trials))
        num_demos = num_batches * num_trials
        writer.close(RunResult(path, num_demos, num_demos, "target reached", target_reached=True, target=num_demos))
        seconds = time.perf_counter() - start
        size = path.stat().st_size / 1e6
        copying = seconds_of(copy_durably, path, folder / "copy")
    return {
        "writer": kind, "size_mb": size, "mb_per_second": size / seconds, "ms_per_demo": 1e3 * seconds / num_demos,
        "copy_mb_per_second": size / copying, "share_of_copy": copying / seconds,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demos", default="1000,10000")
    parser.add_argument("--num-envs", type=int, default=100)
    parser.add_argument("--writer", default="low_dim,cameras", help="kinds of episodes for the writer: low_dim, cameras")
    parser.add_argument("--megabytes", type=float, default=600, help="amount of data for the writer [MB]")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("overrides", nargs="*", help="overrides of generate.py")
    args = parser.parse_intermixed_args()
    results = [measure_writer(kind, args.megabytes) for kind in args.writer.split(",") if kind]
    if args.demos:
        results += [measure_run(count, args.num_envs, args.overrides) for count in integers(args.demos)]
    if args.json:
        print(json.dumps({"machine": machine(), "results": results}, indent=2))
        return
    for result in results:
        print(
            ", ".join(
                f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in result.items()
            )
        )


if __name__ == "__main__":
    main()

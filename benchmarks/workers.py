"""Costs of several worker processes (`num_workers`) in addition to the simulation.

    python benchmarks/workers.py efficiency --workers 8 [--trials 320] [--pause 0.1]
    python benchmarks/workers.py threads --rounds 3 [--demos 100]
    python benchmarks/workers.py memory --trials 1000000

efficiency: share of the time of the workers in which they simulate, with an engine that sleeps in each step.
threads: two workers with one thread each, compared with one process with two threads, MuJoCo, in alternation.
memory: resident memory of the owner after this many synthetic trials.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
from common import machine
from memory import resident

TASK = "task=desktop_organizer"


def generate(folder: Path, *words: str, **variables: str) -> tuple[float, float]:
    """Run `mimic generate`, and return its wall and CPU time with those of its children [s]."""
    command = [sys.executable, "-m", "isaaclab_mimic_ext", "generate", TASK, "video=false", "progress=false"]
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": path.rstrip(os.pathsep), **variables}
    subprocess.run([*command, f"output_dir={folder}", *words], env=environment, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - start, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def efficiency(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Shares of the time between the first and the last step of a worker."""
    notes = folder / "notes"
    notes.mkdir()
    words = ["sim.engine=sleeping_engine:SleepingEnv", f"num_envs={args.num_envs}", f"num_trials={args.trials}"]
    words += [f"num_workers={args.workers}", "generation_guarantee=false"]
    generate(folder / "run", *words, MIMIC_SLEEP_S=str(args.pause), MIMIC_SLEEP_NOTES=str(notes))
    workers = [json.loads(path.read_text()) for path in notes.glob("*.json")]
    total = [worker["last"] - worker["first"] for worker in workers]
    waited = [worker["waited"] / each for worker, each in zip(workers, total, strict=True)]
    idle = [worker["idle"] / each for worker, each in zip(workers, total, strict=True)]
    return {
        "workers": len(workers),
        "seconds": round(mean(total), 1),
        "waiting for the owner": f"{mean(waited):.2%} (largest {max(waited):.2%})",
        "idle envs, most of them at the end": f"{mean(idle):.2%}",
        "busy, before the last trials run out": f"{1 - mean(waited):.2%}",
        "busy, with idle envs": f"{1 - mean(waited) - mean(idle):.2%}",
    }


def threads(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Wall and CPU times of runs of one process and of two workers, which alternate."""
    kinds = {
        "one process, two threads": ["num_envs=100", "sim.num_threads=2"],
        "two workers, one thread each": ["num_envs=50", "sim.num_threads=1", "num_workers=2"],
    }
    times: dict[str, list[dict[str, float]]] = {kind: [] for kind in kinds}
    for index in range(args.rounds):
        for kind, words in kinds.items():
            run = folder / f"{index}_{len(words)}"
            wall, cpu = generate(run, "sim=mujoco", f"num_trials={args.demos}", *words)
            stats = json.loads((run / "important_stats.json").read_text())
            rate = 3600 * stats["num_success"] / stats["time"]
            times[kind].append(
                {"wall_s": wall, "cpu_s": cpu, "demos_per_hour": rate, "steps_per_cpu_s": stats["env_steps"] / cpu}
            )
            print(kind, times[kind][-1], file=sys.stderr, flush=True)
    one, two = times.values()
    ratios = {
        "wall": [a["wall_s"] / b["wall_s"] for a, b in zip(one, two, strict=True)],
        "without the start": [b["demos_per_hour"] / a["demos_per_hour"] for a, b in zip(one, two, strict=True)],
        "steps per CPU second": [b["steps_per_cpu_s"] / a["steps_per_cpu_s"] for a, b in zip(one, two, strict=True)],
    }
    return {"runs": times, "two workers / one process": {name: round(median(each), 3) for name, each in ratios.items()}}


def memory(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Resident memory of an owner with synthetic messages instead of workers; its ledger, writer and store are real."""
    from isaaclab_mimic_ext.config.compose import load_config
    from isaaclab_mimic_ext.run.episodes import EpisodeBatch, TrialOutcomes
    from isaaclab_mimic_ext.run.owner import Limits, Owner, Workers, _empty_notes
    from isaaclab_mimic_ext.run.session import RunFolder, identity_of, open_run
    from isaaclab_mimic_ext.run.workers import Worker

    rules = {"generation_num_trials": args.trials, "generation_guarantee": "false", "max_num_failures": "null"}
    words = [TASK, "sim=kinematic", *(f"datagen_config.{name}={value}" for name, value in rules.items())]
    cfg = load_config("generate", [*words, f"output_dir={folder / 'run'}"])
    started = Workers(cfg)
    ready = started.wait_until_ready()
    started.close()

    class Synthetic:
        """Workers that send failed trials, which have no episodes, in batches."""

        limits, all = Limits(), list[Worker]()

        def __init__(self) -> None:
            self._batches = self._made()

        def messages(self) -> list[Any]:
            while owner.writer.queue_depth > 4:  # Real trials take longer than their records.
                time.sleep(0.01)
            batch = next(self._batches, None)
            return [] if batch is None else [(worker, batch)]

        def _made(self) -> Iterator[EpisodeBatch]:
            while len(trials := owner.ledger.start(args.batch)):
                count = len(trials)
                notes = {name: np.repeat(value, count, axis=0) for name, value in _empty_notes(ready.contents).items()}
                outcomes = TrialOutcomes(trials, np.zeros(count, np.int64), np.full(count, 200), notes=notes)
                yield EpisodeBatch(outcomes, np.zeros(count, bool), {}, {}, 0)

        def end_hung(self) -> None:
            pass

        def forgive(self) -> None:
            pass

        def close(self) -> None:
            pass

    worker = Worker(0, None)  # type: ignore[arg-type]
    run_folder = RunFolder(folder / "run")
    identity = identity_of(asdict(cfg), Path(cfg.input_file))
    with open_run(run_folder, identity, resume=False) as session:
        owner = Owner(cfg, Synthetic(), ready, session)  # type: ignore[arg-type]
        before = resident(os.getpid())
        writer = owner.writer._process.pid
        cpu = time.process_time()
        owner.run(lambda: False)
        figures = {
            "trials": owner.ledger.num_ended,
            "owner at its start [MB]": round(before),
            "owner at the end [MB]": round(resident(os.getpid())),
            "writer at the end [MB]": round(resident(writer)),
            "CPU time of the owner per trial [us]": round(1e6 * (time.process_time() - cpu) / args.trials, 1),
        }
        owner.close()
    return {**figures, "store [MB]": round(run_folder.store.stat().st_size / 1e6)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("efficiency", "threads", "memory"))
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--num-envs", type=int, default=4, help="number of environments of each worker")
    parser.add_argument("--trials", type=int, default=320)
    parser.add_argument("--pause", type=float, default=0.1, help="pause per step [s]")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--demos", type=int, default=100)
    parser.add_argument("--batch", type=int, default=1000, help="number of trials per message")
    parser.add_argument("--folder", help="folder for temporary files")
    args = parser.parse_args()
    measure = {"efficiency": efficiency, "threads": threads, "memory": memory}[args.kind]
    with tempfile.TemporaryDirectory(dir=args.folder) as temporary:
        print(json.dumps({"machine": machine(), **measure(Path(temporary), args)}, indent=2))


if __name__ == "__main__":
    main()

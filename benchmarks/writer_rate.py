"""Cost of the writer process: CPU time per demo, and demos/s, with episodes from memory.

    python benchmarks/writer_rate.py --demos 600 --rounds 3 [--compare PATH_OF_ANOTHER_CHECKOUT]
    python benchmarks/writer_rate.py --demos 60 --shard-demos 10 --writers 1 2 [--pictures]

Also reported: bytes that the writers cause to be written to the disk, and the largest size of all files during the run, both
as a multiple of the final dataset. A file system in memory reports no written bytes.

The episodes are those of a short run of `task`, sent again and again with new trial numbers. CPU time is user + system time
of the writer processes, from the first episode to the renamed dataset. Checkouts and numbers of writers are measured in
alternation. `--pictures` adds two pictures of 84x84 of random pixels to each step.
"""

import argparse
import json
import os
import pickle
import resource
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

_NUM_TRIALS = 24
_BLOCK_BYTES, _SAMPLE_SECONDS = 512, 0.1
_START_SECONDS = 1.0
"""Time for the writer's interpreter to start [s]."""


def record(path: Path, overrides: list[str], with_pictures: bool) -> None:
    """Run a short generation, and write the layout and the batches of its successful episodes to `path`."""
    from common import generator

    from isaaclab_mimic_ext.run.recorder import episode_format

    batches: list[Any] = []
    counts = ["num_envs=8", f"datagen_config.generation_num_trials={_NUM_TRIALS}"]
    with generator([*counts, "datagen_config.max_num_failures=null", *overrides]) as (run, _):
        put = run.recorder.writer.put
        run.recorder.writer.put = lambda batch: (batches.append(batch), put(batch))[1]
        run.run()
        run.close()
        paths = [field.path for field in run.recorder._after.layout.fields]
        contents = episode_format(run.env, with_clean_actions="actions_clean" in paths)
    batches = [batch for batch in batches if batch.kept.all() and len(batch.kept)]
    if with_pictures:
        contents, batches = add_pictures(contents, batches[:4])
    path.write_bytes(pickle.dumps((contents, batches)))


def add_pictures(contents: Any, batches: list[Any]) -> tuple[Any, list[Any]]:
    """Add two pictures of random pixels to each step of the episodes."""
    from isaaclab_mimic_ext.run.episodes import Field

    rng, num_bytes = np.random.default_rng(1), 84 * 84 * 3
    fields = [Field(f"obs/camera_{i}", (84, 84, 3), "pictures", i * num_bytes, (i + 1) * num_bytes) for i in range(2)]
    with_pictures = []
    for batch in batches:
        num_steps = next(iter(batch.rows.values())).shape[1]
        pixels = rng.integers(0, 256, (len(batch.kept), num_steps, 2 * num_bytes), np.uint8)
        with_pictures.append(replace(batch, rows=batch.rows | {"pictures": pixels}))
    return replace(contents, fields=(*contents.fields, *fields)), with_pictures


def feed(episodes: Path, num_demos: int, shard_demos: int | None = None, num_writers: int = 1) -> dict[str, float]:
    """Send at least `num_demos` episodes to a new writer process; return its CPU time and time [s], and sizes [bytes]."""
    from isaaclab_mimic_ext.run.episodes import Output
    from isaaclab_mimic_ext.run.result import RunResult
    from isaaclab_mimic_ext.run.writer import EpisodeWriter

    contents, recorded = pickle.loads(episodes.read_bytes())
    with tempfile.TemporaryDirectory() as temporary:
        shards = {} if shard_demos is None else {"shard_demos": shard_demos, "num_writers": num_writers}
        output = Output(Path(temporary) / "demo.hdf5", store_path=Path(temporary) / "run.sqlite", **shards)
        writer = EpisodeWriter(output, contents) if num_writers == 1 else _several_writers(output, contents)
        peak = _Peak(Path(temporary))
        time.sleep(_START_SECONDS)
        start, sent = time.perf_counter(), 0
        while sent < num_demos:
            batch = recorded[sent % len(recorded)]
            trials = np.arange(sent, sent + len(batch.kept))
            sent += len(trials)
            writer.put(replace(batch, outcomes=replace(batch.outcomes, trials=trials), committed=sent))
        writer.close(RunResult(output.path, sent, sent, "target reached", target_reached=True, target=sent))
        seconds, used = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        size = sum(path.stat().st_size for path in Path(temporary).rglob("*.hdf5"))
        sizes = {"bytes": size, "written": used.ru_oublock * _BLOCK_BYTES, "peak": peak.stop()}
    return {"demos": sent, "user": used.ru_utime, "system": used.ru_stime, "seconds": seconds, **sizes}


class _Peak(threading.Thread):
    """Measures the largest size of all files in a folder."""

    def __init__(self, folder: Path):
        super().__init__(daemon=True)
        self._folder, self._peak, self._is_stopped = folder, 0, threading.Event()
        self.start()

    def run(self) -> None:
        while not self._is_stopped.wait(_SAMPLE_SECONDS):
            size = 0
            for path in self._folder.rglob("*"):
                with suppress(FileNotFoundError):
                    size += path.stat().st_size if path.is_file() else 0
            self._peak = max(self._peak, size)

    def stop(self) -> int:
        self._is_stopped.set()
        self.join()
        return self._peak


def _several_writers(output: Any, contents: Any) -> Any:
    from isaaclab_mimic_ext.run.shard_writers import open_writer
    from isaaclab_mimic_ext.run.store import RunStore

    RunStore(output.store_path).close()  # As a run does, before its writers start.
    return open_writer(output, contents)


def feed_in(checkout: Path, episodes: Path, num_demos: int, shards: list[str]) -> dict[str, float]:
    """Call `feed` in a new process with the code of a checkout."""
    command = [sys.executable, str(Path(__file__).resolve()), "--feed", str(episodes), "--demos", str(num_demos), *shards]
    paths = os.environ | {"PYTHONPATH": str(checkout)}
    # The writer process imports the package from the working directory first.
    ended = subprocess.run(command, env=paths, cwd=checkout, capture_output=True, check=True)
    return json.loads(ended.stdout)


def show(name: str, empty: dict[str, float], full: dict[str, float]) -> None:
    user, system = (1e3 * (full[name] - empty[name]) / full["demos"] for name in ("user", "system"))
    print(
        f"{name}: {user + system:.2f} ms of CPU per demo (user {user:.2f}, system {system:.2f}), "
        f"{full['demos'] / full['seconds']:.0f} demos/s, {full['bytes'] / full['demos'] / 1e3:.0f} kB per demo; "
        f"written {full['written'] / full['bytes']:.2f} x, largest size of all files {full['peak'] / full['bytes']:.2f} x",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demos", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--compare", type=Path, default=[], action="append", help="another checkout to measure")
    parser.add_argument("--shard-demos", type=int, help="write shards of this size")
    parser.add_argument("--writers", type=int, default=[1], nargs="+", help="numbers of writer processes")
    parser.add_argument("--pictures", action="store_true", help="add two pictures of random pixels per step")
    parser.add_argument("--feed", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("overrides", nargs="*", help="overrides of generate.py")
    args = parser.parse_intermixed_args()
    if args.feed:
        print(json.dumps(feed(args.feed, args.demos, args.shard_demos, args.writers[0])))
        return
    with tempfile.TemporaryDirectory() as temporary:
        episodes = Path(temporary) / "episodes.pickle"
        record(episodes, args.overrides, args.pictures)
        for _ in range(args.rounds):
            for checkout in (Path(__file__).resolve().parents[1], *args.compare):
                for number in args.writers:
                    shards = [] if args.shard_demos is None else ["--shard-demos", str(args.shard_demos)]
                    shards += ["--writers", str(number)]
                    empty, full = (feed_in(checkout, episodes, demos, shards) for demos in (0, args.demos))
                    show(f"{checkout.name}, {number} writers", empty, full)


if __name__ == "__main__":
    main()

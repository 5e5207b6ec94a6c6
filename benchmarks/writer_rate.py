"""Cost of the writer process: CPU time per demo, and demos/s, with episodes from memory.

    python benchmarks/writer_rate.py --demos 600 --rounds 3 [--compare PATH_OF_ANOTHER_CHECKOUT]

The episodes are those of a short run of `task`, sent again and again with new trial numbers. CPU time is user + system time
of the writer process, from the first episode to the renamed dataset. Checkouts are measured in alternation.
"""

import argparse
import json
import os
import pickle
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

_NUM_TRIALS = 24
_START_SECONDS = 1.0
"""Time for the writer's interpreter to start [s]."""


def record(path: Path, overrides: list[str]) -> None:
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
    path.write_bytes(pickle.dumps((contents, [batch for batch in batches if batch.kept.all() and len(batch.kept)])))


def feed(episodes: Path, num_demos: int) -> dict[str, float]:
    """Send at least `num_demos` episodes to a new writer process; return its CPU time and time [s], and the size [bytes]."""
    from isaaclab_mimic_ext.run.episodes import Output
    from isaaclab_mimic_ext.run.result import RunResult
    from isaaclab_mimic_ext.run.writer import EpisodeWriter

    contents, recorded = pickle.loads(episodes.read_bytes())
    with tempfile.TemporaryDirectory() as temporary:
        output = Output(Path(temporary) / "demo.hdf5", store_path=Path(temporary) / "run.sqlite")
        writer = EpisodeWriter(output, contents)
        time.sleep(_START_SECONDS)
        start, sent = time.perf_counter(), 0
        while sent < num_demos:
            batch = recorded[sent % len(recorded)]
            trials = np.arange(sent, sent + len(batch.kept))
            sent += len(trials)
            writer.put(replace(batch, outcomes=replace(batch.outcomes, trials=trials), committed=sent))
        writer.close(RunResult(output.path, sent, sent, "target reached", target_reached=True, target=sent))
        seconds, used = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        size = output.path.stat().st_size
    return {"demos": sent, "user": used.ru_utime, "system": used.ru_stime, "seconds": seconds, "bytes": size}


def feed_in(checkout: Path, episodes: Path, num_demos: int) -> dict[str, float]:
    """Call `feed` in a new process with the code of a checkout."""
    command = [sys.executable, str(Path(__file__).resolve()), "--feed", str(episodes), "--demos", str(num_demos)]
    paths = os.environ | {"PYTHONPATH": str(checkout)}
    # The writer process imports the package from the working directory first.
    ended = subprocess.run(command, env=paths, cwd=checkout, capture_output=True, check=True)
    return json.loads(ended.stdout)


def show(checkout: Path, empty: dict[str, float], full: dict[str, float]) -> None:
    user, system = (1e3 * (full[name] - empty[name]) / full["demos"] for name in ("user", "system"))
    print(
        f"{checkout.name}: {user + system:.2f} ms of CPU per demo (user {user:.2f}, system {system:.2f}), "
        f"{full['demos'] / full['seconds']:.0f} demos/s, {full['bytes'] / full['demos'] / 1e3:.0f} kB per demo",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demos", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--compare", type=Path, default=[], action="append", help="another checkout to measure")
    parser.add_argument("--feed", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("overrides", nargs="*", help="overrides of generate.py")
    args = parser.parse_intermixed_args()
    if args.feed:
        print(json.dumps(feed(args.feed, args.demos)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        episodes = Path(temporary) / "episodes.pickle"
        record(episodes, args.overrides)
        for _ in range(args.rounds):
            for checkout in (Path(__file__).resolve().parents[1], *args.compare):
                show(checkout, feed_in(checkout, episodes, 0), feed_in(checkout, episodes, args.demos))


if __name__ == "__main__":
    main()

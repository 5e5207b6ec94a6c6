"""CPU time that watching costs a run: generation with MuJoCo, with and without a process that reads its live poses.

    python benchmarks/watching.py --num-envs 100 --trials 100 --repeats 2

Both runs have the same trials. "sending" is the CPU time of `LivePoses.update` in the thread of the run.
"""

import argparse
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

import isaaclab_mimic_ext as mimic
from isaaclab_mimic_ext.files.digest import dataset_digest
from isaaclab_mimic_ext.run.live_poses import LivePoses

SOURCES = Path(__file__).parents[1] / "tasks" / "desktop_organizer" / "data" / "source_demos.hdf5"
READER = """
import sys, time
from pathlib import Path
from isaaclab_mimic_ext.run.live_poses import LiveStream
while True:
    try:
        stream = LiveStream(Path(sys.argv[1]))
        while True:
            stream.next_frame()
    except OSError:
        time.sleep(0.2)
"""


class Meter:
    """CPU time and number of calls of `LivePoses.update` [s]."""

    seconds, num_calls, num_frames = 0.0, 0, 0

    def attach(self) -> None:
        """Measure from now on."""
        update, frame = LivePoses.update, LivePoses._frame

        def measured(poses: LivePoses) -> None:
            before = time.thread_time()
            update(poses)
            self.seconds += time.thread_time() - before
            self.num_calls += 1

        def counted(poses: LivePoses) -> bytes:
            self.num_frames += 1
            return frame(poses)

        LivePoses.update, LivePoses._frame = measured, counted  # type: ignore[method-assign]


def run(num_envs: int, num_trials: int, is_watched: bool, meter: Meter) -> dict[str, Any]:
    """Generate once, and return the figures of the run."""
    meter.seconds, meter.num_calls, meter.num_frames = 0.0, 0, 0
    env = mimic.make_env(mimic.load_task("desktop_organizer"), "mujoco", num_envs=num_envs)
    demos = mimic.load_demos(SOURCES, env)
    with TemporaryDirectory() as folder:
        output = Path(folder) / "run"
        reader = subprocess.Popen([sys.executable, "-c", READER, str(output / "watch.sock")]) if is_watched else None
        with nullcontext() if reader is None else reader:
            before = time.process_time()
            config = mimic.GenerationCfg(num_trials=num_trials, generation_guarantee=False, max_num_failures=None)
            mimic.generate(env, demos, config, output)
            cpu = time.process_time() - before
            if reader is not None:
                reader.kill()
        digest = dataset_digest(output / "demo.hdf5")
    env.close()
    return {"cpu": cpu, "sending": meter.seconds, "steps": meter.num_calls, "frames": meter.num_frames, "digest": digest}


def main() -> None:
    """Run both, in alternation, and print one line per run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-envs", type=int, default=100)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    meter = Meter()
    meter.attach()
    for _ in range(arguments.repeats):
        for is_watched in (False, True):
            found = run(arguments.num_envs, arguments.trials, is_watched, meter)
            print(
                f"{'watched' if is_watched else 'alone  '}  CPU {found['cpu']:.2f} s, sending {found['sending']:.3f} s "
                f"({100 * found['sending'] / found['cpu']:.2f} %), {found['steps']} steps, {found['frames']} frames, "
                f"digest {found['digest'][:12]}",
                flush=True,
            )


if __name__ == "__main__":
    main()

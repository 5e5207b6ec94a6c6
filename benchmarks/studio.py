"""CPU time and traffic of the studio, and the success of demos that are made at its page.

    python benchmarks/studio.py --demos 10 --trials 100

A client presses keys at the page of `mimic studio`, which runs as a process with MuJoCo. CPU time is user + system of this
process, from the first command of an attempt to its review. The demos are annotated, and demos are generated from them.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[1]))

import isaaclab_mimic_ext as mimic
from tests.studio_person import StudioPage, make_demo

ROOT = Path(__file__).parents[1]
TASK = "desktop_organizer"
_WAIT_S = 300.0


@dataclass
class Attempt:
    """Figures of one attempt: CPU time [s], steps, bytes received by the page."""

    cpu: float
    num_steps: int
    num_bytes: int


def process_time(pid: int) -> float:
    """CPU time of a process, user + system [s]."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def record(folder: Path, num_demos: int) -> list[Attempt]:
    """Record demos at the page of a studio."""
    words = ["sim=mujoco", f"task={TASK}", f"output_dir={folder}", f"num_demos={num_demos}", "port=0"]
    command = [sys.executable, str(ROOT / "scripts" / "studio.py"), *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        url = next(found[0] for line in process.stdout if (found := re.search(r"http://\S+", line)))
        page = StudioPage(url)
        attempts = [attempt(page, process.pid) for _ in range(num_demos)]
        page.wait_for_phase("done")
        page.close()
        process.terminate()
        process.communicate()
    return attempts


def attempt(page: StudioPage, pid: int) -> Attempt:
    """Make one demo, and keep it."""
    page.wait_for_phase("ready", "still", "recording")
    before, num_bytes = process_time(pid), page.num_bytes
    make_demo(page, _WAIT_S)
    made = Attempt(process_time(pid) - before, page.frame.step, page.num_bytes - num_bytes)
    page.wait_for(lambda: page.state["findings"] is not None, _WAIT_S)
    page.order("keep")
    page.wait_for_phase("ready", "still", "recording", "done")
    return made


def generate(folder: Path, num_trials: int, num_envs: int) -> tuple[int, int]:
    """Annotate the demos and generate from them; return the numbers of annotated demos and of successful trials."""
    task = mimic.load_task(TASK)
    env = mimic.make_env(task, "mujoco", num_envs=1)
    annotations = mimic.annotate(folder / "raw.hdf5", folder / "annotated.hdf5", env)
    env.close()
    env = mimic.make_env(task, "mujoco", num_envs=num_envs)
    demos = mimic.load_demos(folder / "annotated.hdf5", env)
    config = mimic.GenerationCfg(num_trials=num_trials, generation_guarantee=False, max_num_failures=None)
    result = mimic.generate(env, demos, config, folder / "run")
    env.close()
    return sum(each.rejection is None for each in annotations), result.num_successes


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demos", type=int, default=10)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--num-envs", type=int, default=20)
    arguments = parser.parse_args()
    with TemporaryDirectory() as temporary:
        folder = Path(temporary) / "session"
        began = time.time()
        attempts = record(folder, arguments.demos)
        steps = sum(each.num_steps for each in attempts)
        per_step = sum(each.cpu for each in attempts) / steps
        per_frame = sum(each.num_bytes for each in attempts) / steps
        print(f"{len(attempts)} demos, {steps} steps, {time.time() - began:.0f} s")
        print(f"server: {1000 * per_step:.2f} ms of CPU per step, {100 * per_step / 0.05:.1f} % of a core at 20 Hz")
        print(f"traffic to the page: {per_frame / 1000:.2f} kB per step, {20 * per_frame / 1000:.1f} kB/s at 20 Hz")
        num_annotated, num_successes = generate(folder, arguments.trials, arguments.num_envs)
        print(f"{num_annotated} of {arguments.demos} demos annotated")
        print(f"{num_successes} of {arguments.trials} trials successful")


if __name__ == "__main__":
    main()

r"""Time of generation in addition to `env.step` in Isaac Lab: this package and Isaac Lab's generator, same env and source.

    python benchmarks/isaaclab_generation.py --task-id Isaac-Desktop-Organizer-Franka-Mimic-IK-Rel-v0 --num-envs 4,16 \
        --input-file tasks/desktop_organizer/data/source_demos.hdf5 [--physics newton] [--device cuda:0] [--clock cpu]

Requires Isaac Lab. Each figure comes from a separate process: `--steps` control steps of all envs, with `env.step` and
`env.reset` timed; the remaining time is that of the generator. Isaac Lab's generator records episodes within `env.step`.
This time is measured and counted as time of the generator, as that of the recorder of this package.

`--clock wall` needs idle cores. `--clock cpu` counts the CPU time of the process, also on busy cores. In both, the process
in which this package writes files is not counted; Isaac Lab writes files in the measured process. On a GPU, the device is
waited for before and after each timed part.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from common import CLOCKS, Stages, integers, machine

from isaaclab_mimic_ext.config import SimCfg

WARM_UP_STEPS = 5
"""Steps before the measurement; the first steps compile kernels and begin trials."""


def clock_of(options: argparse.Namespace) -> Callable[[], float]:
    clock = CLOCKS[options.clock]
    if options.device == "cpu":
        return clock

    def read() -> float:
        torch.cuda.synchronize()
        return clock()

    return read


class _Finished(Exception):
    """Raised when all measured steps are done."""


def measure_package(options: argparse.Namespace, sim: SimCfg) -> dict[str, float]:
    """Measure the batched generator of this package."""
    from dataclasses import asdict

    from isaaclab_mimic_ext.config.compose import load_config
    from isaaclab_mimic_ext.envs.isaaclab.make import registered_fields
    from isaaclab_mimic_ext.run.build import build_generator, load_pool, start_env
    from isaaclab_mimic_ext.run.session import RunFolder, identity_of, open_run

    num_envs, num_steps, task_id = options.num_envs[0], options.steps, options.task_id
    with tempfile.TemporaryDirectory() as temporary:
        overrides = ["task=isaaclab", f"task.id={task_id}", f"num_envs={num_envs}", f"output_dir={temporary}"]
        overrides += [f"device={options.device}"]
        overrides += ["sim=isaaclab", f"sim.physics={sim.physics}", f"datagen_config.generation_num_trials={10 * num_envs}"]
        cfg = load_config("generate", [*overrides, f"input_file={options.input_file}"], registered_fields(task_id, sim))
        env: Any = start_env(cfg)
        stages = Stages(clock=clock_of(options))
        identity = identity_of(asdict(cfg), Path(cfg.input_file))
        with open_run(RunFolder(Path(temporary)), identity, resume=False) as session:
            generator = build_generator(cfg, env, load_pool(cfg, env), session)
            generator.begin_trials()
            for _ in range(WARM_UP_STEPS):
                generator.step()
            stages.time(env._env, "step", "step")
            stages.time(env._env, "reset", "reset")
            start = stages.clock()
            for _ in range(num_steps):
                generator.step()
            return _figures(stages, stages.clock() - start, num_envs, num_steps)


def measure_isaaclab(options: argparse.Namespace, sim: SimCfg) -> dict[str, float]:
    """Measure Isaac Lab's generator, run as in its `generate_dataset.py`."""
    import asyncio

    import gymnasium
    from isaaclab.envs.mdp.recorders.recorders_cfg import ActionStateRecorderManagerCfg
    from isaaclab_mimic.datagen.generation import env_loop, setup_async_generation

    from isaaclab_mimic_ext.envs.isaaclab import compat
    from isaaclab_mimic_ext.envs.isaaclab.make import import_registered, prepare_env_cfg

    num_envs, num_steps, task_id = options.num_envs[0], options.steps, options.task_id
    env_cfg = compat.load_env_cfg(import_registered(task_id, sim), sim)
    success_term = prepare_env_cfg(env_cfg, task_id, sim, num_envs, options.device)
    env_cfg.recorders = ActionStateRecorderManagerCfg()
    env_cfg.recorders.dataset_export_dir_path = tempfile.mkdtemp()
    env_cfg.recorders.dataset_filename = "demo"
    env_cfg.datagen_config.generation_num_trials = 10 * num_envs
    env = gymnasium.make(task_id, cfg=env_cfg).unwrapped
    env.reset()
    # Newton's frames are NaN before the first step.
    env.step(torch.zeros(env.action_space.shape, device=env.device))
    stages = Stages(clock=clock_of(options))
    for name in ("record_pre_step", "record_post_step", "record_post_physics_decimation_step"):
        stages.time(env.recorder_manager, name, "recording")
    stages.time(env, "step", "step")
    stages.time(env, "reset", "reset")
    timer = _Timer(env, stages, num_steps)
    asyncio.set_event_loop(asyncio.new_event_loop())
    parts = setup_async_generation(env, num_envs, options.input_file, success_term)
    with suppress(_Finished):
        env_loop(env, parts["reset_queue"], parts["action_queue"], parts["info_pool"], parts["event_loop"])
    return _figures(stages, timer.seconds, num_envs, num_steps)


class _Timer:
    """Time [s] of `num_steps` steps of an env after the warm-up steps, which begin the first trials; then ends the run."""

    def __init__(self, env: Any, stages: Stages, num_steps: int):
        self._step: Callable[..., Any] = env.step
        self._stages, self._num_steps = stages, num_steps
        self._num_done, self._start = 0, 0.0
        self.seconds = 0.0
        env.step = self._counted

    def _counted(self, actions: torch.Tensor) -> Any:
        if self._num_done == WARM_UP_STEPS:
            self._stages.seconds.clear()
            self._start = self._stages.clock()
        if self._num_done == WARM_UP_STEPS + self._num_steps:
            self.seconds = self._stages.clock() - self._start
            raise _Finished
        self._num_done += 1
        return self._step(actions)


def _figures(stages: Stages, seconds: float, num_envs: int, num_steps: int) -> dict[str, float]:
    step = stages.seconds["step"] - stages.seconds["recording"]
    generator = seconds - step
    return {
        "ms_env_step": 1e3 * step / num_steps,
        "ms_beside": 1e3 * generator / num_steps,
        "ms_of_it_resets": 1e3 * stages.seconds["reset"] / num_steps,
        "ms_of_it_recording_in_env_step": 1e3 * stages.seconds["recording"] / num_steps,
        "share_beside": generator / seconds,
        "env_steps_per_s": num_envs * num_steps / seconds,
    }


def measure_unchanged_isaaclab(options: argparse.Namespace, sim: SimCfg) -> dict[str, float]:
    """Measure Isaac Lab's generator in the env as Isaac Lab steps it: the scene is accessed in each physics step."""
    from isaaclab_mimic_ext.envs.isaaclab import control_steps

    control_steps.may_skip_physics_steps = lambda env: False
    return measure_isaaclab(options, sim)


GENERATORS = {"ours": measure_package, "isaaclab": measure_isaaclab, "isaaclab_unchanged": measure_unchanged_isaaclab}


def measure(name: str, options: argparse.Namespace, num_envs: int) -> dict[str, Any]:
    """Measure one generator in a separate process."""
    words = [f"--task-id={options.task_id}", f"--physics={options.physics}", f"--steps={options.steps}", f"--only={name}"]
    words += [f"--num-envs={num_envs}", f"--input-file={options.input_file}", f"--clock={options.clock}"]
    words += [f"--device={options.device}"]
    done = subprocess.run([sys.executable, __file__, *words], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task-id", required=True)
    parser.add_argument("--input-file", required=True, help="annotated source demos of the task")
    parser.add_argument("--num-envs", type=integers, default=[4, 16])
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--physics", default="default", help="value of sim.physics, e.g. ovphysx or newton")
    parser.add_argument("--device", default="cpu", help="cpu or cuda:0")
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument(
        "--only", choices=GENERATORS, help="measure one generator in this process and print one line of JSON"
    )
    options = parser.parse_args()
    if options.only is not None:
        from isaaclab_mimic_ext.envs.isaaclab.launch import end_process, launch

        torch.set_num_threads(1)
        sim = launch(SimCfg(engine="isaaclab", physics=options.physics), options.device, headless=True, enable_cameras=False)
        print(json.dumps(GENERATORS[options.only](options, sim)), flush=True)
        end_process(0)
        return
    rows = [
        {"generator": name, "num_envs": num_envs, **measure(name, options, num_envs)}
        for num_envs in options.num_envs
        for name in GENERATORS
    ]
    rates = {(row["generator"], row["num_envs"]): row["env_steps_per_s"] for row in rows}
    ratios = {
        other: {num_envs: rates["ours", num_envs] / rates[other, num_envs] for num_envs in options.num_envs}
        for other in ("isaaclab", "isaaclab_unchanged")
    }
    settings = {"task_id": options.task_id, "steps": options.steps, "clock": options.clock, "device": options.device}
    print(json.dumps({"machine": machine(), **settings, "rows": rows, "throughput_ratio": ratios}, indent=2))


if __name__ == "__main__":
    main()

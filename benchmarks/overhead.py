"""Ratio of the time of generation to the time of bare physics for the same joint commands.

    python benchmarks/overhead.py --num-envs 1,10,100,1000 [--clock cpu] [--json]

Generation runs with MuJoCo, and all joint commands are logged. Then a new batch executes the same commands from the same
initial states with `batch.step(nstep=25)`, without inverse kinematics, observations, resets or recording. Both run the same
env-steps in this process, one after the other. `--clock cpu` counts CPU time of the process, without that of the writer's.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from common import CLOCKS, Stages, generator, integers, machine

from isaaclab_mimic_ext.run.generator import Generator


@dataclass
class CommandLog:
    """Log of all data that bare physics needs to repeat a run.

    Attributes:
        entries: ("reset", ids, qpos, qvel) or ("step", ids, ctrl), in order.
    """

    entries: list[tuple[Any, ...]] = field(default_factory=list)

    def attach(self, env: Any) -> None:
        """Log the resets and steps of `env` from now on."""
        write_state, step = env._write_state, env._batch.step

        def logged_write(env_ids: torch.Tensor, *state: torch.Tensor) -> None:
            write_state(env_ids, *state)
            ids = np.sort(env_ids.numpy())
            self.entries.append(("reset", ids, env._batch.qpos[ids].copy(), env._batch.qvel[ids].copy()))

        def logged_step(ids: np.ndarray | None = None, **arguments: Any) -> None:
            rows = slice(None) if ids is None else ids
            self.entries.append(("step", ids, env._batch.ctrl[rows].copy()))
            step(ids=ids, **arguments)

        env._write_state = logged_write
        env._batch = _BatchProxy(env._batch, logged_step)


class _BatchProxy:
    """Batch with a replaced `step`. The class of the batch does not allow new attributes."""

    def __init__(self, batch: Any, step: Callable[..., None]):
        self._batch, self.step = batch, step

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)


def replay_bare(env: Any, log: CommandLog, clock: Callable[[], float]) -> float:
    """Measure the time of physics alone for the logged commands [s]."""
    import mujoco.batch

    batch = mujoco.batch.Batch(env.model, env.num_envs, 0, persistent=True)
    seconds = 0.0
    for kind, ids, *values in log.entries:
        rows = slice(None) if ids is None else ids
        if kind == "reset":
            batch.reset(ids=ids)
            batch.qpos[rows], batch.qvel[rows] = values
            batch.forward(ids=ids)
            continue
        batch.ctrl[rows] = values[0]
        start = clock()
        batch.step(ids=ids, nstep=env._num_substeps)
        seconds += clock() - start
    return seconds


def measure(num_envs: int, num_trials: int, clock: Callable[[], float], overrides: list[str]) -> dict[str, Any]:
    """Measure the times of one run and of its bare physics."""
    trials = ["datagen_config.generation_guarantee=false", f"datagen_config.generation_num_trials={num_trials}"]
    with generator([f"num_envs={num_envs}", *trials, "datagen_config.max_num_failures=null", *overrides]) as (run, _):
        log, stages = CommandLog(), Stages(clock=clock)
        log.attach(run.env)
        _time_stages(run, stages)
        start = clock()
        run.run()
        run.close()
        total = clock() - start
        bare = replay_bare(run.env, log, clock)
    seconds = dict(stages.seconds)
    seconds["engine around physics"] -= seconds["physics"]
    seconds["rest of the loop"] = total - sum(seconds.values())
    return {
        "num_envs": num_envs, "num_trials": num_trials, "env_steps": run.env_steps, "seconds": total,
        "bare_seconds": bare, "ratio": total / bare, "env_steps_per_second": run.env_steps / total,
        "success_rate": run.result().success_rate, "stages": seconds,
    }  # fmt: skip


def _time_stages(run: Generator, stages: Stages) -> None:
    stages.time(run, "_next_actions", "plan and action")
    stages.time(run.env, "step", "engine around physics")
    stages.time(run.env._batch, "step", "physics")
    stages.time(run.watch, "after_step", "signals")
    stages.time(run.env, "success", "signals")
    stages.time(run.recorder, "before_step", "record")
    stages.time(run.recorder, "after_step", "record")
    stages.time(run, "_end_trials", "end trials")
    stages.time(run, "_judge_ended", "end trials")
    stages.time(run.env, "reset", "reset")
    stages.time(run.planner, "begin_segments", "begin segments")
    stages.time(run.recorder.writer, "close", "wait for the writer")


def show(result: dict[str, Any]) -> None:
    print(
        f"N={result['num_envs']:<5} {result['env_steps']:>8} env-steps  {result['seconds']:7.2f} s"
        f"  bare physics {result['bare_seconds']:7.2f} s  ratio {result['ratio']:.3f}"
        f"  {result['env_steps_per_second']:,.0f} env-steps/s  success {100 * result['success_rate']:.1f} %"
    )
    for stage, seconds in sorted(result["stages"].items(), key=lambda item: -item[1]):
        print(f"    {stage:<24} {seconds:7.2f} s  {100 * seconds / result['seconds']:5.1f} %")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-envs", type=integers, default=[1, 10, 100, 1000])
    parser.add_argument("--rounds", type=int, default=2, help="number of trials per env")
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("overrides", nargs="*", help="overrides of generate.py")
    args = parser.parse_intermixed_args()
    clock = CLOCKS[args.clock]
    results = [measure(num_envs, args.rounds * num_envs, clock, args.overrides) for num_envs in args.num_envs]
    if args.json:
        print(json.dumps({"machine": machine(), "results": results}, indent=2))
        return
    for result in results:
        show(result)


if __name__ == "__main__":
    main()

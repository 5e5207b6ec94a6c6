"""Measurements of the engine `mujoco_warp` on one device; `benchmarks/gpu.sh` runs all stages on a machine with a GPU.

    python benchmarks/gpu.py STAGE... [--device cuda] [--num-envs 64,1024,4096] [--out DIR] [overrides of generate.py]

Each stage writes DIR/<stage>.json as soon as it has a result, and prints the rows. Stages:
    machine     versions, device
    generation  whole runs: time of physics on the device, env-steps/s, demos/h up to the closed file
    physics     bare physics: the graph of a control step, launched again and again
    rates       success rates of the tasks
    digests     digests of three equal runs
    profile     operators and kernels of 20 control steps
    judging     whole runs with ended trials judged in the same step, and in the next step as is usual on a GPU
    waits       places where the host waits for the device, in 20 steps in which trials end and begin
    cameras     two cameras of 84 x 84: images/s of the ray caster alone; whole runs up to the closed file
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from common import generator, integers

from isaaclab_mimic_ext.config import SimCfg
from isaaclab_mimic_ext.envs.camera_observations import add_cameras
from isaaclab_mimic_ext.envs.factory import make_env
from isaaclab_mimic_ext.errors import ConfigError
from isaaclab_mimic_ext.files.digest import dataset_digest
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.run import generator as generator_module
from isaaclab_mimic_ext.run.generator import Generator
from isaaclab_mimic_ext.task.definition import load_task

TASKS = ("desktop_organizer", "stack_cube", "two_arm_lift_tray")
BARE_STEPS = 40
DRAWINGS = 10
CAMERA_SETTINGS = ("enable_cameras=true", "recorder.queue_megabytes=8192")
DISK_PER_CAMERA_DEMO = 40e6
"""Disk space of a demo with two pictures of 84 x 84 in store and dataset, with a reserve [bytes]."""
PROFILED_STEPS = 20


class DeviceTimer:
    """Time on the device of the calls of a method [s], without waiting for it while it runs."""

    def __init__(self, owner: Any, method: str, device: torch.device):
        self._pairs: list[tuple[Any, Any]] = []
        self._seconds = 0.0
        call = getattr(owner, method)

        def timed(*args: Any) -> Any:
            if device.type != "cuda":
                start = time.perf_counter()
                result = call(*args)
                self._seconds += time.perf_counter() - start
                return result
            events = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            events[0].record()
            result = call(*args)
            events[1].record()
            self._pairs.append(events)
            return result

        setattr(owner, method, timed)

    def seconds(self) -> float:
        return self._seconds + sum(start.elapsed_time(end) for start, end in self._pairs) / 1e3


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def free_gigabytes(device: torch.device) -> float:
    return torch.cuda.mem_get_info(device)[0] / 1e9 if device.type == "cuda" else float("nan")


def machine(args: argparse.Namespace) -> list[dict[str, Any]]:
    import mujoco
    import mujoco_warp
    import warp

    row = {"torch": torch.__version__, "warp": warp.__version__, "mujoco": mujoco.__version__}
    row["mujoco_warp"] = mujoco_warp.__version__
    if args.device.type == "cuda":
        row |= {"device": torch.cuda.get_device_name(), "driver": str(warp.get_cuda_driver_version())}
    return [row]


def run_settings(args: argparse.Namespace, task: str, num_envs: int, num_trials: int) -> list[str]:
    return [
        f"sim={args.engine}", f"device={args.device}", f"task={task}", f"num_envs={num_envs}",
        "datagen_config.generation_guarantee=false", f"datagen_config.generation_num_trials={num_trials}",
        "datagen_config.max_num_failures=null", *args.overrides,
    ]  # fmt: skip


def generation(args: argparse.Namespace, report: Callable[[dict[str, Any]], None]) -> None:
    for num_envs in args.num_envs:
        report(measure_generation(args, args.task, num_envs, args.rounds * num_envs))


def measure_generation(
    args: argparse.Namespace, task: str, num_envs: int, num_trials: int, further: Sequence[str] = ()
) -> dict[str, Any]:
    before = free_gigabytes(args.device)
    start = time.perf_counter()
    with generator([*run_settings(args, task, num_envs, num_trials), *further]) as (run, output):
        started = time.perf_counter() - start
        engine: Any = getattr(run.env, "inner", run.env)
        timer = DeviceTimer(engine, "_launch", args.device) if hasattr(engine, "_launch") else None
        pictures: Any = getattr(run.env, "pictures", None)
        drawing = None if pictures is None else DeviceTimer(pictures, "draw", args.device)
        loop = time.perf_counter()
        run.run()
        synchronize(args.device)
        loop = time.perf_counter() - loop
        result = run.close()
        physics = timer.seconds() if timer else float("nan")
        stalled = run.recorder.writer.seconds_stalled
        drawn = {} if drawing is None else {
            "drawing_seconds": drawing.seconds(), "images_per_second": len(pictures.draw()) * run.env_steps / loop,
        }  # fmt: skip
        size = output.stat().st_size
        used = before - free_gigabytes(args.device)
    total = result.elapsed
    return {
        "task": task, "num_envs": num_envs, "trials": num_trials, "seconds_to_start": started, "loop_seconds": loop,
        "seconds": total, "physics_seconds": physics, "generation_over_physics": loop / physics,
        "steps": run.env_steps / num_envs, "env_steps_per_second": run.env_steps / loop,
        "ms_per_step": 1e3 * loop / max(run.env_steps / num_envs, 1), "success_rate": result.success_rate,
        "demos_per_hour": 3600 * result.success_rate * num_trials / total, "megabytes": size / 1e6,
        "device_megabytes_per_env": 1e3 * used / num_envs, "seconds_stalled_by_writer": stalled, **drawn,
    }  # fmt: skip


def physics(args: argparse.Namespace, report: Callable[[dict[str, Any]], None]) -> None:
    for task_name in args.tasks:
        for num_envs in args.num_envs:
            task = load_task(task_name)
            env: Any = make_env(task, SimCfg(engine=args.engine), None, num_envs, args.device)
            env.reset(torch.arange(num_envs, device=args.device), Draws(1, torch.arange(num_envs, device=args.device)))
            hold = env.target_eef_pose_to_action(env.eef_pose, torch.ones(num_envs, env.num_arms, 1, device=args.device))
            env.step(hold)
            synchronize(args.device)
            start = time.perf_counter()
            for _ in range(BARE_STEPS):
                env._launch(env._step_graph)
            synchronize(args.device)
            seconds = time.perf_counter() - start
            report({
                "task": task_name, "num_envs": num_envs, "ms_per_step": 1e3 * seconds / BARE_STEPS,
                "env_steps_per_second": BARE_STEPS * num_envs / seconds,
                "physics_steps_per_second": BARE_STEPS * num_envs * env._num_substeps / seconds,
            })  # fmt: skip
            env.close()
            del env


def rates(args: argparse.Namespace, report: Callable[[dict[str, Any]], None]) -> None:
    for task in args.tasks:
        row = measure_generation(args, task, args.trials, args.trials)
        report({name: row[name] for name in ("task", "trials", "success_rate", "demos_per_hour")})


def digests(args: argparse.Namespace, report: Callable[[dict[str, Any]], None]) -> None:
    for num_envs in (32, 32, 32, 48):
        with generator(run_settings(args, args.task, num_envs, 96)) as (run, output):
            run.run()
            result = run.close()
            report({"num_envs": num_envs, "digest": dataset_digest(output), "success_rate": result.success_rate,
                    "steps": sum(result.lengths)})  # fmt: skip


def profile(args: argparse.Namespace, report: Callable[[dict[str, Any]], None]) -> None:
    num_envs = args.num_envs[-1]
    with generator(run_settings(args, args.task, num_envs, 4 * num_envs)) as (run, _):
        run.begin_trials()
        # Past the first trials' ends, when trials end and begin in every step.
        for _ in range(args.warm_steps):
            run.step()
        synchronize(args.device)
        stages = time_stages(run, args.device)
        start = time.perf_counter()
        activities = [torch.profiler.ProfilerActivity.CPU]
        activities += [torch.profiler.ProfilerActivity.CUDA] if args.device.type == "cuda" else []
        for _ in range(PROFILED_STEPS):
            run.step()
        synchronize(args.device)
        plain = time.perf_counter() - start
        with torch.profiler.profile(activities=activities) as profiler:
            for _ in range(PROFILED_STEPS):
                run.step()
            synchronize(args.device)
        averages = profiler.key_averages()
        by_count = sorted(averages, key=lambda item: -item.count)[:40]
        table = averages.table(sort_by="self_cpu_time_total", row_limit=45, max_name_column_width=60)
        on_device = "" if args.device.type != "cuda" else averages.table(
            sort_by="self_cuda_time_total", row_limit=45, max_name_column_width=60
        )  # fmt: skip
        (args.out / "profile.txt").write_text(table + on_device)
        report({
            "num_envs": num_envs, "ms_per_step": 1e3 * plain / PROFILED_STEPS,
            "operators_per_step": sum(item.count for item in averages if item.key.startswith("aten::")) / PROFILED_STEPS,
            "host_ms_by_stage": {name: 1e3 * seconds / (2 * PROFILED_STEPS) for name, seconds in stages.items()},
            "counts_per_step": {item.key: item.count / PROFILED_STEPS for item in by_count},
        })  # fmt: skip
        run.recorder.writer.stop() if hasattr(run.recorder.writer, "stop") else None


def judging(args: argparse.Namespace, report: Callable[[dict[str, Any]], None]) -> None:
    usual = generator_module.judges_late
    for num_envs in args.num_envs:
        for late in (False, True):
            generator_module.judges_late = lambda device, late=late: late  # type: ignore[misc]
            try:
                report({"late": late, **measure_generation(args, args.task, num_envs, args.rounds * num_envs)})
            finally:
                generator_module.judges_late = usual


def waits(args: argparse.Namespace, report: Callable[[dict[str, Any]], None]) -> None:
    """Count torch's warnings of waits by place. It does not see `HostCopy.wait`, one per step in which trials are judged."""
    if args.device.type != "cuda":
        report({"note": "only a GPU is waited for"})
        return
    num_envs = args.num_envs[-1]
    with generator(run_settings(args, args.task, num_envs, 4 * num_envs)) as (run, _):
        run.begin_trials()
        for _ in range(args.warm_steps):
            run.step()
        torch.cuda.set_sync_debug_mode("warn")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for _ in range(PROFILED_STEPS):
                run.step()
        torch.cuda.set_sync_debug_mode("default")
        places = Counter(f"{Path(each.filename).name}:{each.lineno}" for each in caught if "synchroniz" in str(each.message))
        report({"num_envs": num_envs, "waits_per_step": {name: n / PROFILED_STEPS for name, n in places.most_common()}})
        run.ledger.stop("measured")


def time_stages(run: Generator, device: torch.device) -> dict[str, float]:
    """Time spent in the parts of a step on the host [s]; filled while the run steps."""
    seconds: dict[str, float] = {}

    def wrap(owner: Any, method: str) -> None:
        call = getattr(owner, method)

        def timed(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            try:
                return call(*args, **kwargs)
            finally:
                key = f"{type(owner).__name__}.{method}"
                seconds[key] = seconds.get(key, 0.0) + time.perf_counter() - start

        setattr(owner, method, timed)

    for owner, methods in (
        (run, ("step", "_next_actions", "_end_trials", "_judge_ended", "begin_trials", "_begin_segments")),
        (run.env, ("step", "success", "reset", "_launch")),
        (run.recorder, ("before_step", "after_step", "take", "put")),
        (run.watch, ("after_step", "facts", "judge", "stop_early", "begin")),
        (run.planner, ("advance", "begin_segments", "begin_trials", "waypoints")),
        (run.lanes, ("advance",)),
    ):
        for method in methods:
            wrap(owner, method)
    return seconds


def cameras(args: argparse.Namespace, report: Callable[[dict[str, Any]], None]) -> None:
    for num_envs in args.num_envs:
        try:
            report({"num_envs": num_envs, "images_per_second_alone": draw_only(args, num_envs)})
            free = shutil.disk_usage(tempfile.gettempdir()).free
            num_trials = min(args.rounds * num_envs, int(free / DISK_PER_CAMERA_DEMO))
            report(measure_generation(args, args.task, num_envs, num_trials, CAMERA_SETTINGS))
        except ConfigError as error:  # The pictures do not fit into the memory of the device.
            report({"num_envs": num_envs, "error": str(error)})


def draw_only(args: argparse.Namespace, num_envs: int) -> float:
    """Pictures per second of the ray caster alone, in the state after a reset."""
    task, every_env = load_task(args.task), torch.arange(num_envs, device=args.device)
    env: Any = add_cameras(make_env(task, args.engine, None, num_envs, args.device), task)
    env.reset(every_env, Draws(1, every_env))
    num_pictures = num_envs * len(env.pictures.draw())
    synchronize(args.device)
    start = time.perf_counter()
    for _ in range(DRAWINGS):
        env.pictures.draw()
    synchronize(args.device)
    seconds = time.perf_counter() - start
    env.close()
    return DRAWINGS * num_pictures / seconds


OPTIONS: tuple[dict[str, Any], ...] = (
    {}, {}, {"iterations": 20}, {"iterations": 10}, {"iterations": 10, "graph_conditional": False}, {"ls_iterations": 20},
    {"ls_iterations": 10}, {"iterations": 10, "ls_iterations": 10}, {"run_qacc_smooth": False}, {"tolerance": 1e-6},
    {"tolerance": 1e-5}, {"disable_islands": True}, {"sleep": True}, {"pyramidal": True}, {"broadphase": 1},
    {"contacts": 24, "constraints": 80, "convex_contacts": 8}, {"disable_native_ccd": True}, {"deterministic": True},
)  # fmt: skip
"""Options of MuJoCo Warp that the stage `options` compares."""


def options(args: argparse.Namespace, report: Callable[[dict[str, Any]], None]) -> None:
    """Time of a control step from the middle of the trials, when the hands hold objects, by option of the physics."""
    import mujoco
    import mujoco_warp as mjw
    import warp as wp

    num_envs = args.num_envs[-1]
    names = ("qpos", "qvel", "ctrl", "qacc_warmstart", "time")
    with generator(run_settings(args, args.task, num_envs, num_envs)) as (run, _):
        run.begin_trials()
        for _ in range(args.warm_steps):
            run.step()
        kept = {name: wp.to_torch(getattr(run.env._data, name)).clone() for name in names}
        contacts, rows = int(run.env._data.nacon.numpy()[0]), run.env._data.nefc.numpy()
        iterations = run.env._data.solver_niter.numpy()
        report({"num_envs": num_envs, "contacts_per_env": contacts / num_envs, "most_rows": int(rows.max()),
                "iterations_mean": float(iterations.mean()), "iterations_max": int(iterations.max())})  # fmt: skip
        run.ledger.stop("measured")
    put_model = mjw.put_model
    for chosen in OPTIONS:

        def put(model: Any, chosen: dict[str, Any] = chosen) -> Any:
            if "disable_islands" in chosen:
                model.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_ISLAND)
            if "disable_native_ccd" in chosen:
                model.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_NATIVECCD)
            if "sleep" in chosen:
                model.opt.enableflags |= int(mujoco.mjtEnableBit.mjENBL_SLEEP)
            if "pyramidal" in chosen:
                model.opt.cone = mujoco.mjtCone.mjCONE_PYRAMIDAL
            made = put_model(model)
            for name, value in chosen.items():
                if name in ("tolerance", "timestep"):
                    getattr(made.opt, name).fill_(value)
                elif name == "deterministic":
                    made.opt.deterministic = mjw.DeterminismType.ALL
                elif hasattr(made.opt, name):
                    setattr(made.opt, name, value)
            return made

        mjw.put_model = put
        try:
            sizes = {name: chosen[name] for name in ("contacts", "constraints", "convex_contacts") if name in chosen}
            env: Any = make_env(load_task(args.task), SimCfg(engine=args.engine, **sizes), None, num_envs, args.device)
            for name in names:
                wp.to_torch(getattr(env._data, name)).copy_(kept[name])
            env._launch(env._read_graph)
            env._arrays._target_pose.copy_(env._arrays.scene().eef_pose)
            env._arrays._open_gripper.fill_(False)
            synchronize(args.device)
            start = time.perf_counter()
            for _ in range(PROFILED_STEPS):
                env._launch(env._step_graph)
            synchronize(args.device)
            seconds = time.perf_counter() - start
            niter = env._data.solver_niter.numpy()
            report({"options": chosen, "ms_per_step": 1e3 * seconds / PROFILED_STEPS, "iterations_max": int(niter.max()),
                    "overflow": int(env._arrays._overflow[0])})  # fmt: skip
            del env
        except Exception as error:
            report({"options": chosen, "error": str(error)[:200]})
        finally:
            mjw.put_model = put_model


STAGES = {
    "options": options,
    "generation": generation, "physics": physics, "rates": rates, "digests": digests, "profile": profile, "cameras": cameras,
    "judging": judging, "waits": waits,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", help="comma-separated stages")
    parser.add_argument("--device", type=torch.device, default=torch.device("cuda"))
    parser.add_argument("--engine", default="mujoco_warp")
    parser.add_argument("--task", default="desktop_organizer")
    parser.add_argument("--tasks", type=lambda text: text.split(","), default=list(TASKS))
    parser.add_argument("--num-envs", type=integers, default=[64, 1024, 4096])
    parser.add_argument("--rounds", type=int, default=2, help="trials per env")
    parser.add_argument("--trials", type=int, default=300, help="trials of each task for its success rate")
    parser.add_argument("--warm-steps", type=int, default=330)
    parser.add_argument("--out", type=Path, default=Path("gpu_results"))
    parser.add_argument("--name", help="name of the result file; default: the stage")
    parser.add_argument("overrides", nargs="*", help="overrides of generate.py")
    args = parser.parse_intermixed_args()
    if args.device == torch.device("cuda"):
        args.device = torch.device("cuda:0")
    args.out.mkdir(parents=True, exist_ok=True)
    for stage in args.stages.split(","):
        rows: list[dict[str, Any]] = []

        def report(row: dict[str, Any], stage: str = stage, rows: list[dict[str, Any]] = rows) -> None:
            rows.append(row)
            path = args.out / f"{f'{args.name}_' if args.name else ''}{stage}.json"
            path.write_text(json.dumps({"argv": sys.argv[1:], "rows": rows}, indent=1))
            print(stage, json.dumps(row, default=str), flush=True)

        if stage == "machine":
            for row in machine(args):
                report(row)
        else:
            STAGES[stage](args, report)


if __name__ == "__main__":
    main()

"""Engines by name. Each is imported when it is asked for, so that none needs the others' simulators."""

import logging
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import replace
from importlib import import_module

import torch

from isaaclab_mimic_ext.config import EventCfg, EventsCfg, MimicEnvCfg, SceneCfg, SimCfg
from isaaclab_mimic_ext.config.rules import check_scene_names
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.isaaclab.installation import find_installation, isaaclab_module, resolve_physics
from isaaclab_mimic_ext.errors import ConfigError, SimulatorUnavailable, choices
from isaaclab_mimic_ext.task.definition import Task, load_task

log = logging.getLogger(__name__)

Events = Mapping[str, EventCfg]
Device = str | torch.device


def _make_mujoco(task: Task, sim: SimCfg, events: Events, num_envs: int, device: Device) -> MimicEnv:
    from isaaclab_mimic_ext.envs.mujoco import MujocoEnv

    return MujocoEnv(task, events, num_envs, device, num_threads=sim.num_threads)


def _make_kinematic(task: Task, sim: SimCfg, events: Events, num_envs: int, device: Device) -> MimicEnv:
    from isaaclab_mimic_ext.envs.kinematic import KinematicEnv

    return KinematicEnv(task, events, num_envs, device)


def _make_isaaclab(task: Task, sim: SimCfg, events: Events, num_envs: int, device: Device) -> MimicEnv:
    module = isaaclab_scene(task.name)
    sim = _launched(sim, device)
    from isaaclab_mimic_ext.envs.isaaclab.make import make_isaaclab_env

    env = make_isaaclab_env(import_module(module).MIMIC_TASK_ID, sim, num_envs, str(device), dict(events))
    env.task = task
    return env


def _make_auto(task: Task, sim: SimCfg, events: Events, num_envs: int, device: Device) -> MimicEnv:
    engine, reason = choose_engine(sim, task.name)
    log.info("sim=auto: running on %s (%s)", _NAMES[engine], reason)
    return _ENGINES[engine](task, sim, events, num_envs, device)


_ENGINES: dict[str, Callable[[Task, SimCfg, Events, int, Device], MimicEnv]] = {
    "auto": _make_auto,
    "mujoco": _make_mujoco,
    "kinematic": _make_kinematic,
    "isaaclab": _make_isaaclab,
}


_NAMES = {"mujoco": "MuJoCo", "isaaclab": "Isaac Lab"}


def choose_engine(sim: SimCfg, task_name: str) -> tuple[str, str]:
    """The engine that `sim` means for a task, and why: Isaac Lab where it can run and has the task, else MuJoCo.

    Raises:
        SimulatorUnavailable: `sim` asks for what only Isaac Lab has, and that cannot run.
    """
    if sim.engine != "auto":
        return sim.engine, f"sim={sim.engine}"
    if task_name == "isaaclab":
        return "isaaclab", "the task is of its registry"
    if isaaclab_module(task_name) is None:
        return "mujoco", "the task has no scene for Isaac Lab"
    try:
        installation = find_installation()
        physics = resolve_physics(installation, sim.physics)
    except SimulatorUnavailable as error:
        if sim.physics != "default" or sim.robot_usd is not None:
            raise
        return "mujoco", str(error).removeprefix("sim.engine: ").partition("; ")[0]
    return "isaaclab", "on Newton, without Isaac Sim" if not installation.needs_kit(physics) else "with Isaac Sim"


def isaaclab_scene(task_name: str) -> str:
    """The module that brings a task of ours to Isaac Lab.

    Raises:
        SimulatorUnavailable: there is none.
    """
    module = isaaclab_module(task_name)
    if module is None:
        raise SimulatorUnavailable(
            f"sim.engine: task '{task_name}' has no scene for Isaac Lab (tasks/{task_name}/isaaclab/); use sim=mujoco"
        )
    return module


def make_env(
    task: Task,
    engine: str | SimCfg = "auto",
    events: Events | None = None,
    num_envs: int = 1,
    device: Device = "cpu",
) -> MimicEnv:
    """Create N environments of a task that step together.

    Args:
        task: a task of `load_task`, or an object of a class of one's own.
        engine: `auto` (Isaac Lab where it can run and has the task, else MuJoCo), `mujoco`, `kinematic` (no physics),
            `isaaclab`, or the settings of an engine.
        events: randomization at each reset, name -> `EventCfg`; None: the task's own.
        num_envs: N.
        device: of the tensors: `cpu`, `cuda` or `cuda:<index>`.

    Raises:
        ConfigError: there is no such engine, or `events` or `num_envs` are wrong.
        SimulatorUnavailable: the engine's simulator is not installed.
    """
    sim = SimCfg(engine=engine) if isinstance(engine, str) else engine
    if sim.engine not in _ENGINES:
        raise ConfigError(f"sim.engine: there is no engine '{sim.engine}'; {choices(sim.engine, _ENGINES)}")
    if events is None:
        events = {} if task.config is None else task.config.events
    elif task.config is not None:
        # The environment's task tells how its scenes are randomized.
        task = copy(task)
        task.config = replace(task.config, events=dict(events))
    return _ENGINES[sim.engine](task, sim, events, num_envs, device)


def config_of(env: MimicEnv) -> MimicEnvCfg:
    """The configuration of an environment's task: subtasks, generation settings, randomization.

    Raises:
        ConfigError: it has none.
    """
    return task_config(env_task(env))


def env_task(env: MimicEnv) -> Task:
    """The task of an environment.

    Raises:
        ConfigError: it has none of this package.
    """
    task: Task | None = getattr(env, "task", None)
    if task is None:
        raise ConfigError("env: its task is not of this package; the command can run it: mimic generate --task <gym id>")
    return task


def task_config(task: Task) -> MimicEnvCfg:
    """The configuration of a task.

    Raises:
        ConfigError: it has none.
    """
    if task.config is None:
        raise ConfigError(
            f"task: '{task.name}' has no configuration (subtasks, randomization); load it by load_task('{task.name}'), or "
            "set `task.config = MimicEnvCfg(subtask_configs=..., events=...)` before make_env"
        )
    config: MimicEnvCfg = task.config
    return config


def make_scene(cfg: SceneCfg, num_envs: int) -> MimicEnv:
    """The env of a command: its task on its engine.

    Raises:
        TaskSpecError: a subtask names what a registered task's scene lacks.
        ConfigError: there is no such task or engine, or a value is wrong.
        SimulatorUnavailable: the engine's simulator is not installed.
    """
    if not cfg.task.is_registered:
        events = cfg.events if isinstance(cfg, EventsCfg) else {}
        return make_env(load_task(cfg.task.name), cfg.sim, events, num_envs, cfg.device)
    env = make_registered(cfg.task.id or "", cfg.sim, num_envs, cfg.device)
    try:
        check_scene_names(getattr(cfg, "subtask_configs", {}), env.object_names, tuple(env.get_subtask_term_signals()))
    except ConfigError:
        env.close()
        raise
    return env


def make_registered(task_id: str, sim: SimCfg, num_envs: int, device: Device = "cpu") -> MimicEnv:
    """The Mimic env that is registered with Isaac Lab under that gym id.

    Raises:
        ConfigError: there is none, or it has no success term.
        SimulatorUnavailable: Isaac Lab is not installed.
    """
    sim = _launched(sim, device)
    from isaaclab_mimic_ext.envs.isaaclab.make import import_registered, make_isaaclab_env

    return make_isaaclab_env(import_registered(task_id, sim), sim, num_envs, str(device))


def _launched(sim: SimCfg, device: Device) -> SimCfg:
    """Isaac Lab's settings once it runs. Scripts have mostly launched it, with all of their flags: nothing is done then."""
    from isaaclab_mimic_ext.envs.isaaclab.launch import launch

    return launch(sim, str(device), headless=True, enable_cameras=False)

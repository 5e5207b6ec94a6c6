"""Environments by engine name. Each engine is imported when it is selected, so that no other simulator is needed."""

import logging
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import replace
from importlib import import_module
from typing import Any

import torch

from isaaclab_mimic_ext.command_lines import isaaclab_launcher
from isaaclab_mimic_ext.config import EventCfg, EventsCfg, MimicEnvCfg, SceneCfg, SimCfg
from isaaclab_mimic_ext.config.bounds import scene_device_fault
from isaaclab_mimic_ext.config.rules import check_scene_names
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.devices import resolve_device
from isaaclab_mimic_ext.envs.events import scale_ranges
from isaaclab_mimic_ext.envs.external import installed_engines, is_external, make_external
from isaaclab_mimic_ext.envs.gpu_engine import GPU_ENGINE, BatchedCommand
from isaaclab_mimic_ext.envs.isaaclab.installation import isaaclab_module
from isaaclab_mimic_ext.errors import ConfigError, SimulatorUnavailable, choices
from isaaclab_mimic_ext.task.contract import check_definition
from isaaclab_mimic_ext.task.definition import Task, load_task
from isaaclab_mimic_ext.task.folders import available_tasks
from isaaclab_mimic_ext.task.meshes import ObjectCfg
from isaaclab_mimic_ext.task.objects import num_variants
from isaaclab_mimic_ext.task.robot import RobotCfg

log = logging.getLogger(__name__)

Events = Mapping[str, EventCfg]
Device = str | torch.device


def _make_mujoco(task: Task, sim: SimCfg, events: Events, num_envs: int, device: Device) -> MimicEnv:
    from isaaclab_mimic_ext.envs.mujoco import MujocoEnv

    return MujocoEnv(task, events, num_envs, device, num_threads=sim.num_threads)


def _make_mujoco_warp(task: Task, sim: SimCfg, events: Events, num_envs: int, device: Device) -> MimicEnv:
    from isaaclab_mimic_ext.envs.mujoco_warp import MujocoWarpEnv
    from isaaclab_mimic_ext.envs.mujoco_warp_sizes import Sizes

    sizes = Sizes(sim.contacts, sim.constraints, sim.convex_contacts)
    return MujocoWarpEnv(task, events, num_envs, device, sizes)


def _make_kinematic(task: Task, sim: SimCfg, events: Events, num_envs: int, device: Device) -> MimicEnv:
    from isaaclab_mimic_ext.envs.kinematic import KinematicEnv

    return KinematicEnv(task, events, num_envs, device)


def _make_isaaclab(task: Task, sim: SimCfg, events: Events, num_envs: int, device: Device) -> MimicEnv:
    if scaled := scale_ranges(events):
        raise ConfigError(f"events: scale_range of '{next(iter(scaled))}' requires sim=mujoco (got isaaclab)")
    module = isaaclab_scene(task.name)
    _check_panda(task.robot)
    _check_no_mesh(task.object_cfgs, "sim=isaaclab")
    sim = _launch_isaaclab(sim, device)
    from isaaclab_mimic_ext.envs.isaaclab.make import make_isaaclab_env

    env = make_isaaclab_env(import_module(module).MIMIC_TASK_ID, sim, num_envs, str(device), dict(events))
    env.task = task
    return env


def _make_robosuite(task: Task, sim: SimCfg, events: Events, num_envs: int, device: Device) -> MimicEnv:
    _check_no_mesh(task.object_cfgs, "sim=robosuite")
    from isaaclab_mimic_ext.envs.robosuite.env import RobosuiteEnv

    return RobosuiteEnv(task, events, num_envs, device, sim)


def _check_no_mesh(objects: Mapping[str, ObjectCfg], place: str) -> None:
    if objects:
        name = next(iter(objects))
        engines = "sim=mujoco, mujoco_warp or kinematic"
        raise ConfigError(f"objects.{name}.mesh: is not supported by {place}, which has its own scenes; use {engines}")


def _make_auto(task: Task, sim: SimCfg, events: Events, num_envs: int, device: Device) -> MimicEnv:
    if task.engine is not None:
        sim = replace(sim, engine=task.engine)
    command = BatchedCommand(str(device), num_envs, lambda: task, changes_shapes=_changes_shapes(task, events))
    engine, reason = choose_engine(sim, task.name, command)
    log.info("sim=auto: running on %s (%s)", ENGINE_TITLES[engine], reason)
    return _ENGINES[engine](task, sim, events, num_envs, resolve_device(str(device), engine)[0])


def _changes_shapes(task: Task, events: Events) -> bool:
    return bool(scale_ranges(events)) or num_variants(task.objects) > 1


_ENGINES: dict[str, Callable[[Task, SimCfg, Events, int, Device], MimicEnv]] = {
    "auto": _make_auto,
    "mujoco": _make_mujoco,
    "mujoco_warp": _make_mujoco_warp,
    "kinematic": _make_kinematic,
    "isaaclab": _make_isaaclab,
    "robosuite": _make_robosuite,
}


def _check_panda(robot: RobotCfg) -> None:
    """Check that the scenes of Isaac Lab, which contain their robots, keep them.

    Raises:
        ConfigError: a different robot is configured.
    """
    if robot.changes:
        raise ConfigError(
            f"robot: '{robot.label}' requires an engine without Isaac Lab, whose scenes contain their robots; use "
            "sim=mujoco, or robot=panda"
        )


ENGINE_TITLES = {
    "mujoco": "MuJoCo",
    "mujoco_warp": "MuJoCo Warp",
    "isaaclab": "Isaac Lab",
    "kinematic": "kinematic engine",
    "robosuite": "robosuite",
}


def choose_engine(sim: SimCfg, task_name: str, batched: BatchedCommand | None = None) -> tuple[str, str]:
    """Engine for a task, and the reason. `auto` selects the first of these that applies:

    0. The only engine that has the scene of the task.
    1. Isaac Lab, if `isaaclab.sh -p` or `isaaclab -p` started this process, or if the task or a setting of `sim` is for it.
    2. MuJoCo Warp on the GPU, if the command steps many envs and the GPU engine can run it on this machine.
    3. MuJoCo.

    Args:
        batched: the command, if it steps many envs; None: it steps few envs, for which MuJoCo starts faster.

    Raises:
        ConfigError: a setting of `sim` is for a different engine.
    """
    engine, reason = _selected_engine(sim, task_name, batched)
    _check_settings(sim, engine)
    return engine, reason


def _selected_engine(sim: SimCfg, task_name: str, batched: BatchedCommand | None) -> tuple[str, str]:
    own = load_task(task_name).engine if task_name in available_tasks() else None
    if own is not None and sim.engine in ("auto", own):
        return own, f"task '{task_name}' is for this engine"
    if sim.engine != "auto":
        return sim.engine, f"sim={sim.engine}"
    if task_name == "isaaclab":
        return "isaaclab", "the task is registered with Isaac Lab"
    if launcher := isaaclab_launcher():
        return "isaaclab", f"started by `{' '.join(launcher)}`"
    if settings := _settings_of("isaaclab", sim):
        return "isaaclab", f"{settings[0]} is set, which only Isaac Lab has"
    if batched is None:
        return "mujoco", "not started by `isaaclab -p`"
    if fault := batched.fault(sim):
        return "mujoco", f"not started by `isaaclab -p`; not on a GPU: {fault}"
    return GPU_ENGINE, f"not started by `isaaclab -p`, and a CUDA device is available; {batched.notes()}"


_SETTINGS = {
    "isaaclab": ("physics", "renderer", "presets", "robot_usd", "env"),
    "mujoco_warp": ("contacts", "constraints", "convex_contacts"),
    "robosuite": ("robosuite",),
}
"""Fields of `sim` that only one engine has."""


def _settings_of(engine: str, sim: SimCfg) -> list[str]:
    """Fields of `sim` that only `engine` has and that differ from their defaults."""
    return [f"sim.{name}" for name in _SETTINGS[engine] if getattr(sim, name) != getattr(SimCfg(), name)]


def _check_settings(sim: SimCfg, engine: str) -> None:
    """Check that no setting is for a different engine: it would have no effect.

    Raises:
        ConfigError: a setting of `sim` is for a different engine.
    """
    for owner in _SETTINGS:
        if owner != engine and (settings := _settings_of(owner, sim)):
            raise ConfigError(
                f"{settings[0]}: is a setting of engine '{owner}' (got engine '{engine}'); remove it, or use sim={owner}"
            )


def isaaclab_scene(task_name: str) -> str:
    """Name of the module with the Isaac Lab scene of an included task.

    Raises:
        SimulatorUnavailable: the task has no scene for Isaac Lab.
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
        task: a task from `load_task`, or an instance of your own subclass of `Task`.
        engine: `auto` (see `choose_engine`; MuJoCo Warp only with a `device` that may be a GPU), `mujoco`, `mujoco_warp`
            (on a GPU), `kinematic` (no physics), `isaaclab`, `<module>:<class>` or the name of an entry point (an engine
            outside of this package), or the settings of an engine.
        events: randomization at each reset, name -> `EventCfg`; None: the randomization of the task's configuration.
        num_envs: N.
        device: device of the tensors: `cpu`, `cuda`, `cuda:<index>`, or `auto` (CUDA if engine and machine have it).

    Raises:
        ConfigError: the engine is unknown, `task`, `events`, `num_envs` or `device` are invalid, or a setting is for a
            different engine.
        SimulatorUnavailable: the engine's simulator is not installed.
    """
    _check_arguments(task, num_envs, device)
    sim = SimCfg(engine=engine) if isinstance(engine, str) else engine
    _check_own_engine(task, sim)
    if sim.engine not in _ENGINES and not is_external(sim.engine):
        names = (*_ENGINES, *installed_engines(), "<module>:<class>")
        raise ConfigError(f"sim.engine: '{sim.engine}' is not a valid engine; {choices(sim.engine, names)}")
    if events is None:
        events = {} if task.config is None else task.config.events
    elif task.config is not None:
        # The task of the env must contain the randomization that the env uses.
        task = copy(task)
        task.config = replace(task.config, events=dict(events))
    if sim.engine != "auto":
        _check_settings(sim, sim.engine)
        device = resolve_device(str(device), sim.engine)[0]
    if sim.engine not in _ENGINES:
        external: MimicEnv = make_external(sim.engine, task, events, num_envs, device)
        if (sized := scale_ranges(events)) and getattr(external, "object_scale", None) is None:
            external.close()
            raise ConfigError(f"events: scale_range of '{next(iter(sized))}' requires sim=mujoco (got {sim.engine})")
        if (lists := [obj.name for obj in task.objects if obj.variants]) and getattr(external, "object_mesh", None) is None:
            external.close()
            raise ConfigError(f"objects.{lists[0]}.mesh: a list requires sim=mujoco or kinematic (got {sim.engine})")
        return external
    return _ENGINES[sim.engine](task, sim, events, num_envs, device)


def _check_own_engine(task: Task, sim: SimCfg) -> None:
    """Check that a task whose scene only one engine has is used with that engine.

    Raises:
        ConfigError: a different engine is configured.
    """
    if task.engine not in (None, sim.engine) and sim.engine != "auto":
        raise ConfigError(f"sim.engine: task '{task.name}' must be used with sim={task.engine} (got '{sim.engine}')")


def _check_arguments(task: Any, num_envs: Any, device: Device) -> None:
    if not isinstance(task, Task):
        remedy = "use load_task(<name>), or an instance of your own subclass of Task"
        raise ConfigError(f"task: must be a Task (got {task!r}); {remedy}")
    check_definition(task)
    if not isinstance(num_envs, int) or num_envs < 1:
        raise ConfigError(f"num_envs: must be an integer >= 1 (got {num_envs!r})")
    if (fault := scene_device_fault(str(device))) is not None:
        raise ConfigError(f"device: {fault}")


def config_of(env: MimicEnv) -> MimicEnvCfg:
    """Configuration of an environment's task: subtasks, generation settings, randomization.

    Raises:
        ConfigError: the task has no configuration, or is not a task of this package.
    """
    return task_config(env_task(env))


def env_task(env: MimicEnv) -> Task:
    """Task of an environment.

    Raises:
        ConfigError: the env has no task of this package.
    """
    task: Task | None = getattr(env, "task", None)
    if task is None:
        raise ConfigError("env: must have a task of this package; to run a gym id, use `mimic generate --task <gym id>`")
    return task


def task_config(task: Task) -> MimicEnvCfg:
    """Configuration of a task.

    Raises:
        ConfigError: the task has no configuration.
    """
    if task.config is None:
        raise ConfigError(
            f"task: '{task.name}' has no configuration (subtasks, randomization); load it with load_task('{task.name}'), or "
            "set `task.config = MimicEnvCfg(subtask_configs=..., events=...)` before make_env"
        )
    config: MimicEnvCfg = task.config
    return config


def make_scene(cfg: SceneCfg, num_envs: int) -> MimicEnv:
    """Create the environments of a command from its configuration.

    Raises:
        TaskSpecError: a subtask refers to an object or signal that the scene of a registered task does not have.
        ConfigError: the task or the engine is unknown, or a value is invalid.
        SimulatorUnavailable: the engine's simulator is not installed.
    """
    if not cfg.task.is_registered:
        events = cfg.events if isinstance(cfg, EventsCfg) else {}
        task = load_task(cfg.task.name, cfg.robot, cfg.objects)
        task.preset = cfg.task.preset
        # The command has already named the engine that `auto` selects.
        sim = replace(cfg.sim, engine=choose_engine(cfg.sim, task.name)[0])
        return make_env(task, sim, events, num_envs, cfg.device)
    _check_panda(cfg.robot)
    _check_no_mesh(cfg.objects, "tasks registered with Isaac Lab")
    env = make_registered(cfg.task.id or "", cfg.sim, num_envs, cfg.device)
    try:
        check_scene_names(getattr(cfg, "subtask_configs", {}), env.object_names, tuple(env.get_subtask_term_signals()))
    except ConfigError:
        env.close()
        raise
    return env


def make_registered(task_id: str, sim: SimCfg, num_envs: int, device: Device = "cpu") -> MimicEnv:
    """Create the Mimic environments that are registered with Isaac Lab under a gym id.

    Raises:
        ConfigError: the gym id is not registered, or its env has no success term.
        SimulatorUnavailable: Isaac Lab is not installed.
    """
    sim = _launch_isaaclab(sim, device)
    from isaaclab_mimic_ext.envs.isaaclab.make import import_registered, make_isaaclab_env

    device = resolve_device(str(device), "isaaclab")[0]
    env = make_isaaclab_env(import_registered(task_id, sim), sim, num_envs, device)
    env.task_module = task_id.rpartition(":")[0]
    return env


def _launch_isaaclab(sim: SimCfg, device: Device) -> SimCfg:
    """Launch Isaac Lab and return its resolved settings. If a script has already launched it, nothing is launched."""
    from isaaclab_mimic_ext.envs.isaaclab.launch import launch

    return launch(sim, resolve_device(str(device), "isaaclab")[0], headless=True, enable_cameras=False)

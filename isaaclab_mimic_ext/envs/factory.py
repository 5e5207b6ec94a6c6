"""Engines by name. Each is imported when it is asked for, so that none needs the others' simulators."""

import logging
from collections.abc import Callable, Mapping

import torch

from isaaclab_mimic_ext.config import EventCfg, SimCfg
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.isaaclab.installation import find_installation, isaaclab_module, resolve_physics
from isaaclab_mimic_ext.errors import ConfigError, SimulatorUnavailable, choices
from isaaclab_mimic_ext.task import Task

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
    raise SimulatorUnavailable(
        "sim.engine: 'isaaclab' is not part of this version yet; run the task with sim=mujoco or sim=kinematic"
    )


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


def make_env(task: Task, sim: SimCfg, events: Events, num_envs: int, device: Device = "cpu") -> MimicEnv:
    """An environment of the engine `sim.engine`.

    Raises:
        ConfigError: there is no such engine, or `events` or `num_envs` are wrong.
        SimulatorUnavailable: the engine's simulator is not installed.
    """
    if sim.engine not in _ENGINES:
        raise ConfigError(f"sim.engine: there is no engine '{sim.engine}'; {choices(sim.engine, _ENGINES)}")
    return _ENGINES[sim.engine](task, sim, events, num_envs, device)

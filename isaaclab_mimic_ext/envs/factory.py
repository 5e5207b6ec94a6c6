"""Engines by name. Each is imported when it is asked for, so that none needs the others' simulators."""

import logging
from collections.abc import Callable, Mapping
from importlib.util import find_spec

import torch

from isaaclab_mimic_ext.config import EventCfg, SimCfg
from isaaclab_mimic_ext.envs.base import MimicEnv
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
    if find_spec("isaaclab") is not None:
        log.warning("sim=auto: Isaac Lab is installed, but this version does not drive it yet")
    log.info("sim=auto: running on MuJoCo")
    return _make_mujoco(task, sim, events, num_envs, device)


_ENGINES: dict[str, Callable[[Task, SimCfg, Events, int, Device], MimicEnv]] = {
    "auto": _make_auto,
    "mujoco": _make_mujoco,
    "kinematic": _make_kinematic,
    "isaaclab": _make_isaaclab,
}


def make_env(task: Task, sim: SimCfg, events: Events, num_envs: int, device: Device = "cpu") -> MimicEnv:
    """An environment of the engine `sim.engine`.

    Raises:
        ConfigError: there is no such engine, or `events` or `num_envs` are wrong.
        SimulatorUnavailable: the engine's simulator is not installed.
    """
    if sim.engine not in _ENGINES:
        raise ConfigError(f"sim.engine: there is no engine '{sim.engine}'; {choices(sim.engine, _ENGINES)}")
    return _ENGINES[sim.engine](task, sim, events, num_envs, device)

"""The engine that a dataset was made with."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from isaaclab_mimic_ext.config import SimCfg
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.factory import make_env, make_registered
from isaaclab_mimic_ext.errors import SourceDataError
from isaaclab_mimic_ext.task import available_tasks, load_task

EMBEDDED = ("mujoco", "kinematic")
"""Engines that need nothing but this package and its extras."""


def make_recorded_env(
    env_args: Mapping[str, Any], sim: SimCfg, num_envs: int, device: str | torch.device = "cpu"
) -> MimicEnv:
    """An env of the task that env_args name; where `sim` leaves the engine open, on theirs.

    A task of Isaac Lab's registry goes by its gym id. Files of such a one that is ours too name both.

    Raises:
        SourceDataError: env_args name no task, or describe other actions.
        ConfigError: there is no such task or engine.
        SimulatorUnavailable: the engine's simulator is not installed.
    """
    name = env_args.get("env_name")
    if not isinstance(name, str):
        raise SourceDataError(f"env_args: env_name is {name!r}, expected the name of a task; make the file again")
    engine = env_args.get("engine")
    if sim.engine == "auto" and engine in (*EMBEDDED, "isaaclab"):
        sim = replace(sim, engine=str(engine))
    task = env_args.get("task", name)
    if task in available_tasks() or sim.engine in EMBEDDED:
        env = make_env(load_task(str(task)), sim, {}, num_envs, device)
    else:
        env = make_registered(name, sim, num_envs, device)
    wanted, found = env.env_args().get("action"), env_args.get("action", env.env_args().get("action"))
    if found != wanted:
        env.close()
        raise SourceDataError(
            f"env_args: made for another action space: {found}, this env's actions are {wanted}; it cannot be replayed here"
        )
    return env

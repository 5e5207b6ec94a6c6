"""The engine that a dataset was made with."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from isaaclab_mimic_ext.config import SimCfg
from isaaclab_mimic_ext.config.task import GYM_ID
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
    sim, task = replace(sim, engine=recorded_engine(env_args, sim)), str(env_args.get("task", name))
    if sim.engine == "isaaclab" and task not in available_tasks() and GYM_ID.fullmatch(name):
        env = make_registered(name, sim, num_envs, device)
    else:
        env = make_env(load_task(task), sim, {}, num_envs, device)
    wanted, found = env.env_args().get("action"), env_args.get("action", env.env_args().get("action"))
    if found != wanted:
        env.close()
        raise SourceDataError(
            f"env_args: made for another action space: {found}, this env's actions are {wanted}; it cannot be replayed here"
        )
    return env


def recorded_engine(env_args: Mapping[str, Any], sim: SimCfg) -> str:
    """The engine that `sim` asks for; where it leaves that open, the one that env_args name, or whose task they name."""
    if sim.engine != "auto":
        return sim.engine
    engine = env_args.get("engine")
    if engine in (*EMBEDDED, "isaaclab"):
        return str(engine)
    # Isaac Lab's own files name no engine.
    return "isaaclab" if GYM_ID.fullmatch(str(env_args.get("env_name"))) else "auto"

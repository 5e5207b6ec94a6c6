"""Tasks of Isaac Lab's registry: which there are, and what their configurations say. Isaac Lab has been launched."""

import sys
import warnings
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from isaaclab_mimic_ext.config import SimCfg
from isaaclab_mimic_ext.config.isaaclab import mimic_fields_of
from isaaclab_mimic_ext.envs.isaaclab import compat
from isaaclab_mimic_ext.envs.isaaclab.flags import PINOCCHIO
from isaaclab_mimic_ext.envs.isaaclab.installation import isaaclab_module
from isaaclab_mimic_ext.envs.isaaclab.make import success_term_of
from isaaclab_mimic_ext.errors import ConfigError, choices
from isaaclab_mimic_ext.task import available_tasks

_PINOCCHIO_TASKS = "isaaclab_mimic.envs.pinocchio_envs"
"""Registered apart from the others in 2.3."""


def registered_fields(task_id: str, sim: SimCfg) -> dict[str, Any]:
    """`datagen_config`, `subtask_configs` and `task_constraint_configs` of a registered Mimic task, as plain containers.

    Raises:
        ConfigError: there is no such task, it is no Mimic task, has no success term, or not the physics asked for.
    """
    gym_id = import_registered(task_id, sim)
    env_cfg = compat.load_env_cfg(gym_id, sim.physics)
    fields = mimic_fields_of(env_cfg)
    success_term_of(env_cfg, gym_id)
    _check_physics(env_cfg, gym_id, sim)
    return fields


def import_registered(task_id: str, sim: SimCfg) -> str:
    """Let all tasks register themselves; the gym id of `task_id`, which may have a module to import before it, `module:id`.

    Raises:
        ConfigError: there is no such module or task.
    """
    module, _, gym_id = task_id.rpartition(":")
    with warnings.catch_warnings():
        # Isaac Lab's own tasks register some of their ids twice.
        warnings.filterwarnings("ignore", message=".*Overriding environment")
        compat.import_tasks()
    for own in filter(None, map(isaaclab_module, available_tasks())):
        import_module(own)
    if PINOCCHIO in sim.launcher_args and find_spec(_PINOCCHIO_TASKS) is not None:
        import_module(_PINOCCHIO_TASKS)
    if module:
        _import_users(module)
    if not gym_id:
        raise ConfigError(f"task.id: no value; give the gym id of a Mimic task; choices: {', '.join(mimic_ids())}")
    if gym_id not in _registry():
        raise ConfigError(f"task.id: '{gym_id}' is not registered with Isaac Lab; {choices(gym_id, mimic_ids())}")
    return gym_id


def mimic_ids() -> list[str]:
    """The Mimic tasks that have registered themselves, by what their ids say."""
    return sorted(gym_id for gym_id in _registry() if "Mimic" in gym_id)


def _registry() -> dict[str, Any]:
    import gymnasium

    return gymnasium.registry


def _import_users(module: str) -> None:
    try:
        import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name):
            raise
        raise ConfigError(f"task.id: there is no module '{module}' to import (on {', '.join(sys.path[:3])}, ...)") from error


def _check_physics(env_cfg: Any, gym_id: str, sim: SimCfg) -> None:
    physics = type(getattr(env_cfg.sim, "physics", None)).__name__
    if sim.physics == "newton" and not physics.startswith("Newton"):
        raise ConfigError(
            f"sim.physics: 'newton': '{gym_id}' has no settings for Newton; it needs PhysX, and so Isaac Sim and "
            "sim.physics=default"
        )

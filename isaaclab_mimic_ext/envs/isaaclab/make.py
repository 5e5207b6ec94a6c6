"""From a gym id to an env: Isaac Lab's configuration, made ready for generation as its own generator does."""

import logging
import sys
import warnings
from contextlib import redirect_stdout
from dataclasses import fields, is_dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from isaaclab_mimic_ext.config import EventCfg, SimCfg
from isaaclab_mimic_ext.config.hydra import conf_dir
from isaaclab_mimic_ext.config.isaaclab import mimic_fields_of
from isaaclab_mimic_ext.envs.isaaclab import compat
from isaaclab_mimic_ext.envs.isaaclab.env import IsaacLabEnv
from isaaclab_mimic_ext.envs.isaaclab.installation import PINOCCHIO, isaaclab_module
from isaaclab_mimic_ext.errors import ConfigError, choices
from isaaclab_mimic_ext.task.definition import available_tasks

log = logging.getLogger(__name__)


def make_isaaclab_env(task_id: str, sim: SimCfg, num_envs: int, device: str, events: Any = None) -> IsaacLabEnv:
    """The registered Mimic env `task_id` with `num_envs` scenes; Isaac Lab has been launched.

    Args:
        events: randomization, handed to envs that place trials themselves (a configuration with the field `trial_events`).

    Raises:
        ConfigError: it is no Mimic env, or has no success term.
    """
    import gymnasium  # Comes with Isaac Lab.
    from isaaclab.envs import ManagerBasedRLMimicEnv

    env_cfg = compat.load_env_cfg(task_id, sim.physics)
    success_term = prepare(env_cfg, task_id, sim, num_envs, device)
    if events is not None and hasattr(env_cfg, "trial_events"):
        env_cfg.trial_events = events
    with redirect_stdout(sys.stderr):  # Its tables are no output of ours, which may be JSON.
        env = gymnasium.make(task_id, cfg=env_cfg).unwrapped
    if not isinstance(env, ManagerBasedRLMimicEnv):
        env.close()
        raise ConfigError(
            f"task.id: '{task_id}' is a {type(env).__name__}, not a ManagerBasedRLMimicEnv; give the id of a Mimic task"
        )
    return IsaacLabEnv(env, success_term, task_id)


def prepare(env_cfg: Any, task_id: str, sim: SimCfg, num_envs: int, device: str) -> Any:
    """Take out of an env's configuration what generation does itself; the success term that it had.

    Raises:
        ConfigError: there is none, or `sim.env` names fields that it has not.
    """
    success_term = success_term_of(env_cfg, task_id)
    env_cfg.terminations = None
    env_cfg.recorders = None
    env_cfg.observations.policy.concatenate_terms = False
    env_cfg.scene.num_envs = num_envs
    env_cfg.sim.device = device
    if sim.robot_usd is not None:
        env_cfg.scene.robot.spawn.usd_path = sim.robot_usd
    if sim.physics == "newton":
        # Without it Newton looks for the scenes at the wrong place.
        env_cfg.scene.replicate_physics = True
    try:
        env_cfg.from_dict(sim.env)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(f"env: '{task_id}' cannot be configured so: {error.args[0] if error.args else error}") from error
    _check_substeps(env_cfg.sim, task_id)
    return success_term


def _check_substeps(sim_cfg: Any, task_id: str) -> None:
    """Newton hands its state to MuJoCo's solver every so many substeps; out of step with resets, those are lost.

    Raises:
        ConfigError: the substeps of a step are no multiple of that.
    """
    physics = getattr(sim_cfg, "physics", None)
    interval = getattr(getattr(physics, "solver_cfg", None), "update_data_interval", 1)
    num_substeps = getattr(physics, "num_substeps", interval)
    if interval > 1 and num_substeps % interval:
        raise ConfigError(
            f"env.sim.physics: '{task_id}' would lose resets: num_substeps {num_substeps} is no multiple of "
            f"solver_cfg.update_data_interval {interval}; set env.sim.physics.solver_cfg.update_data_interval=1"
        )


def success_term_of(env_cfg: Any, task_id: str) -> Any:
    """The termination term that says when the task is solved.

    Raises:
        ConfigError: there is none.
    """
    term = getattr(getattr(env_cfg, "terminations", None), "success", None)
    if term is None:
        raise ConfigError(f"task.id: '{task_id}' has no termination term 'success', so that no trial could be kept")
    return term


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


def task_yaml(name: str) -> dict[str, Any]:
    """What the file `task/<name>.yaml` says, ours or of a `--config-dir`, as plain containers; it has no `defaults` list."""
    import isaaclab_mimic_ext.tasks as tasks

    folders = [*(Path(folder) for folder in tasks.__path__), conf_dir()]
    paths = [folder / "task" / f"{name}.yaml" for folder in folders]
    loaded = OmegaConf.load(next((path for path in paths if path.is_file()), paths[-1]))
    container: Any = OmegaConf.to_container(loaded, resolve=True)
    return container


def trial_events(name: str) -> dict[str, EventCfg]:
    """The randomization of a task file."""
    return {event: EventCfg(**values) for event, values in task_yaml(name).get("events", {}).items()}


def fill_mimic_cfg(env_cfg: Any, name: str) -> None:
    """Fill an Isaac Lab `MimicEnvCfg` from a task file; what only the batched generator knows is left out."""
    from isaaclab.envs.mimic_env_cfg import SubTaskConfig

    values = task_yaml(name)
    env_cfg.datagen_config.name = name
    for key, value in _known(env_cfg.datagen_config, values["datagen_config"]).items():
        setattr(env_cfg.datagen_config, key, value)
    env_cfg.subtask_configs = {
        eef: [SubTaskConfig(**_known(SubTaskConfig, subtask)) for subtask in subtasks]
        for eef, subtasks in values["subtask_configs"].items()
    }


def _known(cfg: Any, values: dict[str, Any]) -> dict[str, Any]:
    """Those of the values that Isaac Lab's class has, sequences as the tuples that it wants."""
    assert is_dataclass(cfg)
    names = {field.name for field in fields(cfg)}
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items() if key in names}

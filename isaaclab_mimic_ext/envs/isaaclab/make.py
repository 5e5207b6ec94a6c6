"""Creation of an env from a gym id. The registered configuration is changed as by Isaac Lab's `setup_env_config`."""

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
from isaaclab_mimic_ext.envs.isaaclab.assets import missing_assets
from isaaclab_mimic_ext.envs.isaaclab.env import IsaacLabEnv
from isaaclab_mimic_ext.envs.isaaclab.installation import isaaclab_module
from isaaclab_mimic_ext.envs.isaaclab.launch import has_kit
from isaaclab_mimic_ext.envs.isaaclab.launcher_flags import PINOCCHIO
from isaaclab_mimic_ext.envs.isaaclab.physics import DEFAULT, ISAACSIM, check_runtime
from isaaclab_mimic_ext.errors import ConfigError, choices
from isaaclab_mimic_ext.task.folders import available_tasks

log = logging.getLogger(__name__)


def make_isaaclab_env(task_id: str, sim: SimCfg, num_envs: int, device: str, events: Any = None) -> IsaacLabEnv:
    """Make the registered Mimic env `task_id` with `num_envs` scenes. Isaac Lab must have been launched.

    Args:
        events: randomization, passed to envs that place trials themselves (a configuration with the field `trial_events`).

    Raises:
        ConfigError: the task is not a Mimic task, or has no success term.
    """
    import gymnasium  # Isaac Lab installs it.
    from isaaclab.envs import ManagerBasedRLMimicEnv

    env_cfg = compat.load_env_cfg(task_id, sim)
    success_term = prepare_env_cfg(env_cfg, task_id, sim, num_envs, device)
    if events is not None and hasattr(env_cfg, "trial_events"):
        env_cfg.trial_events = events
    if compat.quat_is_xyzw():
        check_runtime(env_cfg, task_id, has_kit())
    try:
        with redirect_stdout(sys.stderr):  # Isaac Lab prints tables; stdout may have to be valid JSON.
            env = gymnasium.make(task_id, cfg=env_cfg).unwrapped
    except (OSError, ImportError, RuntimeError) as error:
        if (fault := missing_assets(env_cfg.scene, task_id, error)) is None:
            raise
        raise fault from error
    if not isinstance(env, ManagerBasedRLMimicEnv):
        env.close()
        raise ConfigError(
            f"task.id: '{task_id}' is a {type(env).__name__}, not a ManagerBasedRLMimicEnv; give the id of a Mimic task"
        )
    return _with_recorder_terms(env, success_term, task_id)


def _with_recorder_terms(env: Any, success_term: Any, task_id: str) -> IsaacLabEnv:
    """Make the adapter of an env, and record the values of the recorder terms of its task."""
    if (cfg := getattr(env.cfg, "mimic_recorder_config", None)) is None:
        return IsaacLabEnv(env, success_term, task_id)
    from isaaclab_mimic_ext.envs.isaaclab.recorder_terms import RecorderTerms

    terms = RecorderTerms(cfg, env)
    if not terms.active_terms:
        return IsaacLabEnv(env, success_term, task_id)
    env.recorder_manager = terms
    adapter = IsaacLabEnv(env, success_term, task_id)
    terms.begin()
    adapter.extra_records = terms
    return adapter


def prepare_env_cfg(env_cfg: Any, task_id: str, sim: SimCfg, num_envs: int, device: str) -> Any:
    """Remove terminations and recorders from an env's configuration, set its size, and return its success term.

    Raises:
        ConfigError: the configuration has no success term, or a field of `sim.env` does not exist, has a wrong type, or
            changes the control step of an included task.
    """
    success_term = success_term_of(env_cfg, task_id)
    env_cfg.terminations = None
    env_cfg.recorders = None
    env_cfg.observations.policy.concatenate_terms = False
    env_cfg.scene.num_envs = num_envs
    env_cfg.sim.device = device
    if sim.robot_usd is not None:
        for robot in robots_of(env_cfg.scene):
            robot.spawn.usd_path = sim.robot_usd
    if sim.physics not in (DEFAULT, ISAACSIM):
        # Otherwise OvPhysX has the objects once for all scenes, and Newton searches for the scenes at wrong prim paths.
        env_cfg.scene.replicate_physics = True
    step_dt = _control_step(env_cfg)
    try:
        env_cfg.from_dict(compat.without_unset_fields(env_cfg, sim.env))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(f"env: not valid for '{task_id}': {error.args[0] if error.args else error}") from error
    _check_substeps(env_cfg.sim, task_id)
    _check_control_step(env_cfg, task_id, step_dt)
    return success_term


def _control_step(env_cfg: Any) -> float:
    """Duration of a control step [s]."""
    return float(env_cfg.sim.dt * env_cfg.decimation)


def _check_control_step(env_cfg: Any, task_id: str, expected: float) -> None:
    """Check that `env.sim.dt` and `env.decimation` keep the control step, in which source demos were recorded.

    The control step of included tasks is the same on all engines. That of other tasks may change, with a warning.

    Raises:
        ConfigError: the control step of an included task is not `expected` [s].
    """
    found, dt = _control_step(env_cfg), env_cfg.sim.dt
    if abs(found - expected) < 1e-9:
        return
    fault = (
        f"env.sim.dt: the control step of '{task_id}' {{}} {expected:g} s (got {dt:g} s * decimation {env_cfg.decimation})"
    )
    decimation = max(1, round(expected / dt))
    remedy = f"use env.sim.dt={expected / decimation:g} env.decimation={decimation}"
    if hasattr(env_cfg, "mimic_task_name"):
        raise ConfigError(f"{fault.format('must be')}; {remedy}")
    log.warning("%s; demos run at %.3g times their speed; to keep it, %s", fault.format("was"), expected / found, remedy)


def robots_of(scene_cfg: Any) -> list[Any]:
    """Configurations of the arms of a scene: `robot`, or `robot_<side>` in scenes with several arms."""
    return [asset for name, asset in vars(scene_cfg).items() if name == "robot" or name.startswith("robot_")]


def _check_substeps(sim_cfg: Any, task_id: str) -> None:
    """Check the interval, in substeps, at which Newton copies its state to MuJoCo's solver.

    If the interval does not divide a step, resets do not reach the solver in time and are lost.

    Raises:
        ConfigError: the number of substeps per step is not a multiple of the interval.
    """
    physics = getattr(sim_cfg, "physics", None)
    interval = getattr(getattr(physics, "solver_cfg", None), "update_data_interval", 1)
    num_substeps = getattr(physics, "num_substeps", interval)
    if interval > 1 and num_substeps % interval:
        raise ConfigError(
            f"env.sim.physics.num_substeps: must be a multiple of solver_cfg.update_data_interval {interval}, else "
            f"'{task_id}' loses resets (got {num_substeps}); set env.sim.physics.solver_cfg.update_data_interval=1"
        )


def success_term_of(env_cfg: Any, task_id: str) -> Any:
    """Termination term `success`, which evaluates whether the task is solved.

    Raises:
        ConfigError: the configuration has no such term.
    """
    term = getattr(getattr(env_cfg, "terminations", None), "success", None)
    if term is None:
        raise ConfigError(
            f"task.id: requires a task with a termination term 'success', by which trials are judged (got '{task_id}'); "
            "add the term, or use another task"
        )
    return term


_PINOCCHIO_TASKS = "isaaclab_mimic.envs.pinocchio_envs"
"""Module of Isaac Lab 2.3 that registers the tasks that require Pinocchio; `isaaclab_mimic.envs` does not import it."""


def registered_fields(task_id: str, sim: SimCfg) -> dict[str, Any]:
    """`datagen_config`, `subtask_configs` and `task_constraint_configs` of a registered Mimic task, as plain containers.

    Raises:
        ConfigError: the task is not registered, is not a Mimic task, or has no success term or selected preset.
    """
    gym_id = import_registered(task_id, sim)
    env_cfg = compat.load_env_cfg(gym_id, sim)
    fields = mimic_fields_of(env_cfg)
    success_term_of(env_cfg, gym_id)
    return fields


def import_registered(task_id: str, sim: SimCfg) -> str:
    """Import all modules that register tasks, and return the gym id of `task_id`.

    Args:
        task_id: gym id, optionally after the name of a module to import: `module:id`.

    Raises:
        ConfigError: the module is not found, or the task is not registered.
    """
    module, _, gym_id = task_id.rpartition(":")
    with warnings.catch_warnings():
        # Isaac Lab registers some of its ids twice.
        warnings.filterwarnings("ignore", message=".*Overriding environment")
        compat.import_tasks()
    for included in filter(None, map(isaaclab_module, available_tasks())):
        import_module(included)
    if PINOCCHIO in sim.launcher_args and find_spec(_PINOCCHIO_TASKS) is not None:
        import_module(_PINOCCHIO_TASKS)
    if module:
        _import_user_module(module)
    if not gym_id:
        raise ConfigError(f"task.id: must be the gym id of a Mimic task (got no value); choices: {', '.join(mimic_ids())}")
    if gym_id in _registry():
        return gym_id
    if (current := _renamed(gym_id)) is None:
        raise ConfigError(f"task.id: '{gym_id}' is not registered with Isaac Lab; {choices(gym_id, mimic_ids())}")
    log.info("task.id: '%s' has the name '%s' in this release of Isaac Lab", gym_id, current)
    return current


def _renamed(gym_id: str) -> str | None:
    """Id of a task of release 2.3 in release 3, where most ids lost `-v0` and some begin with `IsaacContrib`."""
    stem = gym_id.removesuffix("-v0")
    names = (stem, stem.replace("Isaac-", "IsaacContrib-", 1))
    return next((name for name in names if name in _registry()), None)


def mimic_ids() -> list[str]:
    """Gym ids of the registered Mimic tasks: the ids that contain `Mimic` or `Skillgen`."""
    return sorted(gym_id for gym_id in _registry() if "Mimic" in gym_id or "Skillgen" in gym_id)


def _registry() -> dict[str, Any]:
    import gymnasium

    return gymnasium.registry


def _import_user_module(module: str) -> None:
    try:
        import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name):
            raise
        raise ConfigError(
            f"task.id: module '{module}' not found in {', '.join(sys.path[:3])}, ...; check its name, or add its folder to "
            "PYTHONPATH"
        ) from error


def task_yaml(name: str) -> dict[str, Any]:
    """Content of `task/<name>.yaml`, included or in a `--config-dir`, as plain containers. It has no `defaults` list."""
    import isaaclab_mimic_ext.tasks as tasks

    folders = [*(Path(folder) for folder in tasks.__path__), conf_dir()]
    paths = [folder / "task" / f"{name}.yaml" for folder in folders]
    loaded = OmegaConf.load(next((path for path in paths if path.is_file()), paths[-1]))
    container: Any = OmegaConf.to_container(loaded, resolve=True)
    return container


def trial_events(name: str) -> dict[str, EventCfg]:
    """Randomization in the file of a task: name -> `EventCfg`."""
    return {event: EventCfg(**values) for event, values in task_yaml(name).get("events", {}).items()}


def fill_mimic_cfg(env_cfg: Any, name: str) -> None:
    """Fill an Isaac Lab `MimicEnvCfg` from the file of a task, without the fields that Isaac Lab does not have."""
    from isaaclab.envs import mimic_env_cfg

    subtask_cfg, constraint_cfg = mimic_env_cfg.SubTaskConfig, mimic_env_cfg.SubTaskConstraintConfig
    values = task_yaml(name)
    env_cfg.datagen_config.name = name
    for key, value in _fields_in(env_cfg.datagen_config, values.get("datagen_config", {})).items():
        setattr(env_cfg.datagen_config, key, value)
    env_cfg.subtask_configs = {
        eef: [subtask_cfg(**_fields_in(subtask_cfg, subtask)) for subtask in subtasks]
        for eef, subtasks in values["subtask_configs"].items()
    }
    enums = {
        "constraint_type": mimic_env_cfg.SubTaskConstraintType,
        "coordination_scheme": mimic_env_cfg.SubTaskConstraintCoordinationScheme,
    }
    env_cfg.task_constraint_configs = [
        constraint_cfg(**{name: enums[name][value.upper()] if name in enums else value for name, value in found.items()})
        for found in (_fields_in(constraint_cfg, constraint) for constraint in values.get("task_constraint_configs", []))
    ]


def _fields_in(cfg: Any, values: dict[str, Any]) -> dict[str, Any]:
    """Values of the fields that the configuration class `cfg` has; lists become tuples, as in Isaac Lab."""
    assert is_dataclass(cfg)
    names = {field.name for field in fields(cfg)}
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items() if key in names}

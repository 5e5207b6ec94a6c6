"""From a gym id to an env: Isaac Lab's configuration, made ready for generation as its own generator does."""

import logging
import sys
from contextlib import redirect_stdout
from typing import Any

from isaaclab_mimic_ext.config import SimCfg
from isaaclab_mimic_ext.envs.isaaclab import compat
from isaaclab_mimic_ext.envs.isaaclab.env import IsaacLabEnv
from isaaclab_mimic_ext.errors import ConfigError

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

"""Isaac Lab envs for tests that step them, on OvPhysX: PhysX without Isaac Sim."""

from isaaclab_mimic_ext.config import SimCfg
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.factory import make_env
from isaaclab_mimic_ext.envs.isaaclab.make import trial_events
from isaaclab_mimic_ext.task.definition import load_task

OVPHYSX = SimCfg(engine="isaaclab", physics="ovphysx")


def make_scenes(task_name: str, num_envs: int) -> MimicEnv:
    """Make an included task in Isaac Lab with the randomization of its task file."""
    return make_env(load_task(task_name), OVPHYSX, trial_events(task_name), num_envs)

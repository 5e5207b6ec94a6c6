"""Isaac Lab envs for tests that step them, on OvPhysX: PhysX without Isaac Sim."""

import isaaclab_mimic_ext as mimic
from isaaclab_mimic_ext.config import SimCfg
from isaaclab_mimic_ext.envs.base import MimicEnv

OVPHYSX = SimCfg(engine="isaaclab", physics="ovphysx")


def make_scenes(task_name: str, num_envs: int) -> MimicEnv:
    """Make an included task in Isaac Lab with the randomization of its task file."""
    return mimic.make_env(mimic.load_task(task_name), OVPHYSX, num_envs=num_envs)

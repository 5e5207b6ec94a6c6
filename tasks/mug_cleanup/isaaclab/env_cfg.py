"""Mug cleanup in Isaac Lab: a Franka under relative IK control, a cabinet with a drawer, and a mug."""

from isaaclab.envs.mimic_env_cfg import MimicEnvCfg
from isaaclab.utils import configclass

from isaaclab_mimic_ext.envs.isaaclab.make import fill_mimic_cfg
from isaaclab_mimic_ext.envs.isaaclab.tabletop_env_cfg import TabletopEnvCfg
from isaaclab_mimic_ext.tasks.mug_cleanup.parts import OBJECT_PARTS


@configclass
class FrankaMugCleanupIKRelEnvCfg(TabletopEnvCfg):
    """Scene, observations, actions, success and randomization, as on the other engines.

    `scene.<object>.spawn.usd_path` replaces the primitives of an object by a USD file; `scene.robot.spawn.usd_path` replaces
    the arm.
    """

    def __post_init__(self) -> None:
        self.set_task("mug_cleanup", OBJECT_PARTS)


@configclass
class FrankaMugCleanupIKRelMimicEnvCfg(FrankaMugCleanupIKRelEnvCfg, MimicEnvCfg):
    """Env configuration with the settings for generation: subtasks, constraints and `datagen_config`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        fill_mimic_cfg(self, self.mimic_task_name)

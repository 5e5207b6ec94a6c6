"""Cluttered desktop organizer in Isaac Lab: a Franka under relative IK control, bottle, basket and two obstacles."""

from isaaclab.envs.mimic_env_cfg import MimicEnvCfg
from isaaclab.utils import configclass

from isaaclab_mimic_ext.envs.isaaclab.make import fill_mimic_cfg
from isaaclab_mimic_ext.envs.isaaclab.tabletop_env_cfg import TabletopEnvCfg
from isaaclab_mimic_ext.tasks.desktop_organizer_cluttered.parts import OBJECT_PARTS


@configclass
class FrankaDesktopOrganizerClutteredIKRelEnvCfg(TabletopEnvCfg):
    """Scene, observations, actions, success and randomization, as on the other engines.

    `scene.<object>.spawn.usd_path` replaces the primitives of an object by a USD file; `scene.robot.spawn.usd_path` replaces
    the arm.
    """

    def __post_init__(self) -> None:
        self.set_task("desktop_organizer_cluttered", OBJECT_PARTS, physics_steps=3)


@configclass
class FrankaDesktopOrganizerClutteredIKRelMimicEnvCfg(FrankaDesktopOrganizerClutteredIKRelEnvCfg, MimicEnvCfg):
    """Env configuration with the settings for generation: subtasks, constraints and `datagen_config`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        fill_mimic_cfg(self, self.mimic_task_name)

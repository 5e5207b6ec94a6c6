"""Two-arm tray lift in Isaac Lab: two Frankas under relative IK control, tray, stand, part and bin."""

from isaaclab.envs.mimic_env_cfg import MimicEnvCfg
from isaaclab.utils import configclass

from isaaclab_mimic_ext.envs.isaaclab.make import fill_mimic_cfg
from isaaclab_mimic_ext.envs.isaaclab.tabletop_env_cfg import TabletopEnvCfg, refine_newton
from isaaclab_mimic_ext.tasks.two_arm_lift_tray.parts import OBJECT_PARTS


@configclass
class FrankaTwoArmLiftTrayIKRelEnvCfg(TabletopEnvCfg):
    """Scene, observations, actions, success and randomization, as on the other engines.

    `scene.<object>.spawn.usd_path` replaces the primitives of an object by a USD file; `scene.robot_left.spawn.usd_path` and
    `scene.robot_right.spawn.usd_path` replace the arms.
    """

    def __post_init__(self) -> None:
        self.set_task("two_arm_lift_tray", OBJECT_PARTS)
        refine_newton(self.sim, num_substeps=5)  # With the default, the part slips out of the fingers.
        self.episode_length_s = 60.0


@configclass
class FrankaTwoArmLiftTrayIKRelMimicEnvCfg(FrankaTwoArmLiftTrayIKRelEnvCfg, MimicEnvCfg):
    """Env configuration with the settings for generation: subtasks, constraints and `datagen_config`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        fill_mimic_cfg(self, self.mimic_task_name)

"""The cabinet in Isaac Lab."""

from isaaclab.envs.mimic_env_cfg import MimicEnvCfg
from isaaclab.utils import configclass
from isaaclab_mimic_ext.envs.isaaclab.make import fill_mimic_cfg
from isaaclab_mimic_ext.envs.isaaclab.tabletop_env_cfg import TabletopEnvCfg
from isaaclab_mimic_ext.tasks.cabinet.parts import PARTS


@configclass
class FrankaCabinetIKRelEnvCfg(TabletopEnvCfg):
    """Scene of the cabinet."""

    def __post_init__(self) -> None:
        self.set_task("cabinet", PARTS)


@configclass
class FrankaCabinetIKRelMimicEnvCfg(FrankaCabinetIKRelEnvCfg, MimicEnvCfg):
    """Env configuration with the settings for generation: subtasks, constraints and `datagen_config`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        fill_mimic_cfg(self, self.mimic_task_name)

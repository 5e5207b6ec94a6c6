"""Desktop organizer in Isaac Lab, for Mimic. The subtasks are read from `conf/task/desktop_organizer.yaml`."""

from isaaclab.envs.mimic_env_cfg import MimicEnvCfg
from isaaclab.utils import configclass

from isaaclab_mimic_ext.envs.isaaclab.make import fill_mimic_cfg
from isaaclab_mimic_ext.tasks.desktop_organizer.isaaclab.env_cfg import TASK_NAME, FrankaDesktopOrganizerIKRelEnvCfg


@configclass
class FrankaDesktopOrganizerIKRelMimicEnvCfg(FrankaDesktopOrganizerIKRelEnvCfg, MimicEnvCfg):
    """Env configuration with the settings for generation: subtasks, constraints and `datagen_config`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        fill_mimic_cfg(self, TASK_NAME)

"""Desktop organizer in Isaac Lab: a Franka under relative IK control, the table and its four objects."""

from dataclasses import field

from isaaclab.utils import configclass

from isaaclab_mimic_ext.envs.isaaclab.mimic_fields import trial_events
from isaaclab_mimic_ext.envs.isaaclab.tabletop_env_cfg import TabletopEnvCfg
from isaaclab_mimic_ext.tasks.desktop_organizer.parts import OBJECT_PARTS

TASK_NAME = "desktop_organizer"


@configclass
class FrankaDesktopOrganizerIKRelEnvCfg(TabletopEnvCfg):
    """The scene, its observations, actions, success and randomization as on every engine."""

    object_usd_paths: dict[str, str] = field(default_factory=dict)
    """Object -> USD file, from Nucleus or a disk, in place of its primitives; set it before the configuration is made."""

    def __post_init__(self) -> None:
        self.set_task(TASK_NAME, OBJECT_PARTS, trial_events(TASK_NAME), self.object_usd_paths)

"""Desktop organizer in Isaac Lab: a Franka under relative IK control, the table and its four objects."""

from isaaclab.utils import configclass

from isaaclab_mimic_ext.envs.isaaclab.make import trial_events
from isaaclab_mimic_ext.envs.isaaclab.tabletop_env_cfg import TabletopEnvCfg
from isaaclab_mimic_ext.tasks.desktop_organizer.parts import OBJECT_PARTS

TASK_NAME = "desktop_organizer"


@configclass
class FrankaDesktopOrganizerIKRelEnvCfg(TabletopEnvCfg):
    """The scene, its observations, actions, success and randomization as on every engine.

    `scene.<object>.spawn.usd_path` takes a USD file in place of an object's primitives, `scene.robot.spawn.usd_path` another
    arm.
    """

    def __post_init__(self) -> None:
        self.set_task(TASK_NAME, OBJECT_PARTS, trial_events(TASK_NAME))

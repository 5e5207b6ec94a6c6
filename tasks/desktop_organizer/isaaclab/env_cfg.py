"""Desktop organizer in Isaac Lab: a Franka under relative IK control, the table and its four objects."""

from isaaclab.utils import configclass

from isaaclab_mimic_ext.envs.isaaclab.make import trial_events
from isaaclab_mimic_ext.envs.isaaclab.tabletop_env_cfg import TabletopEnvCfg
from isaaclab_mimic_ext.tasks.desktop_organizer.parts import OBJECT_PARTS

TASK_NAME = "desktop_organizer"


@configclass
class FrankaDesktopOrganizerIKRelEnvCfg(TabletopEnvCfg):
    """Scene, observations, actions, success and randomization, as on the other engines.

    `scene.<object>.spawn.usd_path` replaces the primitives of an object by a USD file; `scene.robot.spawn.usd_path` replaces
    the arm.
    """

    def __post_init__(self) -> None:
        self.set_task(TASK_NAME, OBJECT_PARTS, trial_events(TASK_NAME))

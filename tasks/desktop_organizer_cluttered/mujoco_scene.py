"""MuJoCo scene of the cluttered desktop organizer: ketchup bottle and basket, a milk carton and a cereal box."""

import mujoco

from isaaclab_mimic_ext.envs.tabletop_mjcf import build_tabletop, parts_builders
from isaaclab_mimic_ext.task.definition import Task
from isaaclab_mimic_ext.tasks.desktop_organizer_cluttered.parts import OBJECT_PARTS


def build_spec(task: Task) -> mujoco.MjSpec:
    """Build the scene with the arms of `task`. Each object is a free body with the name of the object."""
    return build_tabletop(task, parts_builders(OBJECT_PARTS))

"""MuJoCo scene of the desktop organizer."""

import mujoco

from isaaclab_mimic_ext.envs.tabletop_mjcf import build_tabletop, parts_builders
from isaaclab_mimic_ext.task.definition import Task
from isaaclab_mimic_ext.tasks.desktop_organizer.parts import OBJECT_PARTS


def build_spec(task: Task) -> mujoco.MjSpec:
    """Build the scene with the arms of `task`. Each object is a free body with the name of the object."""
    return build_tabletop(task, parts_builders(OBJECT_PARTS))

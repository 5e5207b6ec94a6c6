"""MuJoCo scene of the desktop organizer."""

from functools import partial

import mujoco

from isaaclab_mimic_ext.envs.tabletop_mjcf import add_parts, build_tabletop
from isaaclab_mimic_ext.task.definition import Task
from isaaclab_mimic_ext.tasks.desktop_organizer.parts import OBJECT_PARTS

add_ketchup = partial(add_parts, parts=OBJECT_PARTS["ketchup"])
add_basket = partial(add_parts, parts=OBJECT_PARTS["basket"])


def build_spec(task: Task) -> mujoco.MjSpec:
    """Build the scene with the arms of `task`. Each object is a free body with the name of the object."""
    return build_tabletop(task, {name: partial(add_parts, parts=parts) for name, parts in OBJECT_PARTS.items()})

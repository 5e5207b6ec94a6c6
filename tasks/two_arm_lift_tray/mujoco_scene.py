"""MuJoCo scene of the two-arm tray lift."""

import mujoco

from isaaclab_mimic_ext.envs.tabletop_mjcf import build_tabletop, parts_builders
from isaaclab_mimic_ext.task.definition import Task
from isaaclab_mimic_ext.tasks.two_arm_lift_tray.parts import OBJECT_PARTS


def build_spec(task: Task) -> mujoco.MjSpec:
    """Build the scene with the arms of `task`. Each object is a free body with the name of the object."""
    spec = build_tabletop(task, parts_builders(OBJECT_PARTS))
    front = spec.camera("front")
    # The camera is closer than in other tasks: two arms need a wide view, and the objects are far back on the table.
    front.pos, front.fovy = (1.52, 0.0, 1.05), 48
    front.alt.xyaxes = (0, 1, 0, -0.56, 0, 0.83)
    return spec

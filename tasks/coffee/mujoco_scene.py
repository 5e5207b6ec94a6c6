"""MuJoCo scene of coffee: a machine with a lid, and a pod."""

import mujoco

from isaaclab_mimic_ext.envs.tabletop_mjcf import build_tabletop, parts_builders
from isaaclab_mimic_ext.task.definition import Task
from isaaclab_mimic_ext.tasks.coffee.parts import OBJECT_PARTS


def build_spec(task: Task) -> mujoco.MjSpec:
    """Build the scene with the arms of `task`."""
    spec = build_tabletop(task, parts_builders(OBJECT_PARTS))
    spec.worldbody.add_camera(name="close", pos=(1.15, 0.45, 0.62), xyaxes=(-0.66, 0.75, 0, -0.40, -0.35, 0.85), fovy=45)
    return spec

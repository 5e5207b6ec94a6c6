"""MuJoCo scene of square peg: a nut on the table, and a peg that is fixed."""

import mujoco

from isaaclab_mimic_ext.envs.tabletop_mjcf import build_tabletop, parts_builders
from isaaclab_mimic_ext.task.definition import Task
from isaaclab_mimic_ext.tasks.square_peg.parts import OBJECT_PARTS


def build_spec(task: Task) -> mujoco.MjSpec:
    """Build the scene with the arms of `task`, the nut as a free body, and the fixed peg."""
    spec = build_tabletop(task, parts_builders(OBJECT_PARTS))
    spec.camera("front").pos, spec.camera("front").fovy = (1.45, 0.0, 0.80), 45
    spec.worldbody.add_camera(name="close", pos=(1.15, -0.55, 0.50), xyaxes=(0.737, 0.676, 0, -0.264, 0.288, 0.921), fovy=46)
    return spec

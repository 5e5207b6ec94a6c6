"""MuJoCo scene of stack cube: three cubes on the table."""

import mujoco

from isaaclab_mimic_ext.envs.tabletop_mjcf import build_tabletop, parts_builders
from isaaclab_mimic_ext.task.definition import Task
from isaaclab_mimic_ext.tasks.stack_cube.parts import OBJECT_PARTS


def build_spec(task: Task) -> mujoco.MjSpec:
    """Build the scene with the arms of `task`. Each cube is a free body with the name of the cube."""
    spec = build_tabletop(task, parts_builders(OBJECT_PARTS))
    # Cubes are small, so the camera is closer than the default view of the whole table.
    spec.camera("front").pos, spec.camera("front").fovy = (1.38, 0.0, 0.80), 42
    spec.worldbody.add_camera(name="close", pos=(1.00, -0.55, 0.45), xyaxes=(0.737, 0.676, 0, -0.264, 0.288, 0.921), fovy=42)
    return spec

"""MuJoCo scene of stack cube: three cubes on the table."""

# `size` in MuJoCo: half sizes [m]; the surface of the table is z = 0

from functools import partial

import mujoco

from isaaclab_mimic_ext.envs.panda.mjcf import COLLISION_GROUP
from isaaclab_mimic_ext.envs.tabletop_mjcf import BOX, build_tabletop, make_solid, make_visual
from isaaclab_mimic_ext.task.definition import Task
from isaaclab_mimic_ext.tasks.stack_cube.task import CUBE_MASS, CUBE_SIZE

_BLUE, _DARK_BLUE = (0.16, 0.38, 0.75, 1), (0.10, 0.26, 0.56, 1)
_RED, _DARK_RED = (0.82, 0.14, 0.12, 1), (0.60, 0.08, 0.07, 1)
_GREEN, _DARK_GREEN = (0.20, 0.62, 0.26, 1), (0.12, 0.44, 0.17, 1)
_INSET = 0.0045
"""Width of the darker rim around each face [m]."""


def build_spec(task: Task) -> mujoco.MjSpec:
    """Build the scene with the arms of `task`. Each cube is a free body with the name of the cube."""
    spec = build_tabletop(
        task,
        {
            "cube_1": partial(_add_cube, face=_BLUE, rim=_DARK_BLUE),
            "cube_2": partial(_add_cube, face=_RED, rim=_DARK_RED),
            "cube_3": partial(_add_cube, face=_GREEN, rim=_DARK_GREEN),
        },
    )
    # Cubes are small, so the camera is closer than the default view of the whole table.
    spec.camera("front").pos, spec.camera("front").fovy = (1.38, 0.0, 0.80), 42
    spec.worldbody.add_camera(name="close", pos=(1.00, -0.55, 0.45), xyaxes=(0.737, 0.676, 0, -0.264, 0.288, 0.921), fovy=42)
    return spec


def _add_cube(body: mujoco.MjsBody, face: tuple[float, ...], rim: tuple[float, ...]) -> None:
    half = CUBE_SIZE / 2
    solid = body.add_geom(name=body.name, type=BOX, size=(half, half, half), group=COLLISION_GROUP)
    make_solid(solid, CUBE_MASS, condim=4)
    make_visual(body.add_geom(type=BOX, size=(half, half, half), rgba=rim))
    for axis in range(3):
        size = [half - _INSET] * 3
        size[axis] = half + 0.0003
        make_visual(body.add_geom(type=BOX, size=size, rgba=face))

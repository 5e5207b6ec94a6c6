"""MuJoCo scene of mug cleanup: a cabinet with a drawer, and a mug, all of boxes and cylinders."""

import math

import mujoco

from isaaclab_mimic_ext.envs.panda.shape import Part, Rgba, Vec3
from isaaclab_mimic_ext.envs.tabletop_mjcf import BOX, CYLINDER, build_tabletop, make_solid, parts_builders
from isaaclab_mimic_ext.task.definition import Task
from isaaclab_mimic_ext.tasks.mug_cleanup.task import FLOOR, HANDLE_POS, HANDLE_RADIUS, MUG_HEIGHT, MUG_RADIUS, MUG_REACH

_RED_WOOD, _DARK_WOOD, _LIGHT_WOOD = (0.50, 0.24, 0.16, 1.0), (0.42, 0.19, 0.13, 1.0), (0.80, 0.64, 0.42, 1.0)
_GLAZE, _INNER = (0.90, 0.84, 0.72, 1.0), (0.80, 0.72, 0.58, 1.0)
_DRAWER_MASS = 7.85
"""Mass of the drawer [kg]."""
_NUM_SIDES = 12
"""Number of sides of the mug's wall."""
_WALL = 0.004
"""Thickness of wall and bottom of the mug [m]."""


def build_spec(task: Task) -> mujoco.MjSpec:
    """Build the scene with the arms of `task`."""
    spec = build_tabletop(task, {**parts_builders(_CABINET_PARTS), "mug": add_mug})
    spec.worldbody.add_camera(name="close", pos=(1.15, -0.45, 0.62), xyaxes=(0.66, 0.75, 0, -0.40, 0.35, 0.85), fovy=45)
    return spec


def _board(size: Vec3, pos: Vec3, rgba: Rgba = _RED_WOOD, mass: float = 0.05) -> Part:
    return Part("box", size, pos, rgba, mass=mass, solid=True)


def _bar(length: float, pos: Vec3, axis: str) -> Part:
    size = {"x": (length / 2, HANDLE_RADIUS, HANDLE_RADIUS), "y": (HANDLE_RADIUS, length / 2, HANDLE_RADIUS)}[axis]
    return Part("cylinder", size, pos, _LIGHT_WOOD, mass=0.06, solid=True, grips=True, axis=axis)


_X, _Y, _Z = HANDLE_POS
_CABINET_PARTS: dict[str, tuple[Part, ...]] = {
    "cabinet": (
        _board((0.008, 0.112, 0.063), (-0.11, 0.0, 0.065)),
        _board((0.008, 0.112, 0.063), (0.11, 0.0, 0.065)),
        _board((0.102, 0.008, 0.063), (0.0, 0.092, 0.065)),
        _board((0.102, 0.102, 0.008), (0.0, -0.008, 0.012)),
        _board((0.102, 0.102, 0.008), (0.0, 0.01, 0.126)),
        _board((0.012, 0.012, 0.063), (-0.102, -0.1, 0.065)),
        _board((0.012, 0.012, 0.063), (0.102, -0.1, 0.065)),
    ),
    "drawer": (
        _board((0.08, 0.09, 0.008), (0.0, 0.0, FLOOR - 0.008), _DARK_WOOD, mass=_DRAWER_MASS - 0.34),
        _board((0.088, 0.010, 0.046), (0.0, -0.095, 0.007), mass=0.04),
        _board((0.095, 0.008, 0.028), (0.0, 0.065, 0.008), _DARK_WOOD, mass=0.04),
        _board((0.008, 0.084, 0.028), (-0.072, 0.0, 0.0), _DARK_WOOD, mass=0.04),
        _board((0.008, 0.084, 0.028), (0.072, 0.0, 0.0), _DARK_WOOD, mass=0.04),
        _bar(0.118, (_X, _Y, _Z), "x"),
        _bar(0.060, (-0.05, -0.13, _Z), "y"),
        _bar(0.060, (0.05, -0.13, _Z), "y"),
    ),
}
"""Parts of the cabinet and its drawer, with the sizes of MimicGen's drawer."""


def add_mug(body: mujoco.MjsBody) -> None:
    """Add the mug: a bottom, a wall of flat sides, and a handle along x. Its frame is in the middle of its height."""
    half = MUG_HEIGHT / 2
    bottom = body.add_geom(type=CYLINDER, size=(MUG_RADIUS, _WALL / 2, 0), pos=(0, 0, _WALL / 2 - half), rgba=_INNER)
    make_solid(bottom, mass=0.04)
    middle, width = MUG_RADIUS - _WALL / 2, MUG_RADIUS * math.tan(math.pi / _NUM_SIDES)
    for side in range(_NUM_SIDES):
        angle = 2 * math.pi * side / _NUM_SIDES
        wall = body.add_geom(
            type=BOX,
            size=(_WALL / 2, width, half - _WALL / 2),
            pos=(middle * math.cos(angle), middle * math.sin(angle), _WALL / 2),
            quat=(math.cos(angle / 2), 0, 0, math.sin(angle / 2)),
            rgba=_GLAZE,
        )
        make_solid(wall, mass=0.004, condim=4)
    length = MUG_REACH - MUG_RADIUS
    for size, pos in (
        ((length / 2, 0.005, 0.004), (MUG_RADIUS + length / 2, 0, 0.016)),
        ((length / 2, 0.005, 0.004), (MUG_RADIUS + length / 2, 0, -0.016)),
        ((0.004, 0.005, 0.020), (MUG_REACH - 0.004, 0, 0)),
    ):
        make_solid(body.add_geom(type=BOX, size=size, pos=pos, rgba=_GLAZE), mass=0.004)

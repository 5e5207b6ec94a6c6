"""Shapes of cabinet, drawer and mug, for all engines with physics: boxes and cylinders."""

# Half sizes [m]. Frame of the cabinet: on the table; of the drawer and the mug: in their middle

import math

from isaaclab_mimic_ext.envs.panda.shape import Part, Rgba, Vec3
from isaaclab_mimic_ext.tasks.mug_cleanup.task import FLOOR, HANDLE_POS, HANDLE_RADIUS, MUG_HEIGHT, MUG_RADIUS, MUG_REACH

_RED_WOOD, _DARK_WOOD, _LIGHT_WOOD = (0.50, 0.24, 0.16, 1.0), (0.42, 0.19, 0.13, 1.0), (0.80, 0.64, 0.42, 1.0)
_GLAZE, _INNER = (0.90, 0.84, 0.72, 1.0), (0.80, 0.72, 0.58, 1.0)
_DRAWER_MASS = 7.85
"""Mass of the drawer [kg]."""
_NUM_SIDES = 12
"""Number of sides of the mug's wall."""
_WALL = 0.004
"""Thickness of wall and bottom of the mug [m]."""


def _board(size: Vec3, pos: Vec3, rgba: Rgba = _RED_WOOD, mass: float = 0.05) -> Part:
    return Part("box", size, pos, rgba, mass=mass, solid=True)


def _bar(length: float, pos: Vec3, axis: str) -> Part:
    size = {"x": (length / 2, HANDLE_RADIUS, HANDLE_RADIUS), "y": (HANDLE_RADIUS, length / 2, HANDLE_RADIUS)}[axis]
    return Part("cylinder", size, pos, _LIGHT_WOOD, mass=0.06, solid=True, grips=True, axis=axis)


def _mug() -> tuple[Part, ...]:
    """A bottom, a wall of flat sides, and a handle along x."""
    half = MUG_HEIGHT / 2
    bottom = Part("cylinder", (MUG_RADIUS, MUG_RADIUS, _WALL / 2), (0, 0, _WALL / 2 - half), _INNER, mass=0.04, solid=True)
    middle, width = MUG_RADIUS - _WALL / 2, MUG_RADIUS * math.tan(math.pi / _NUM_SIDES)
    wall = []
    for side in range(_NUM_SIDES):
        yaw = 2 * math.pi * side / _NUM_SIDES
        pos = (middle * math.cos(yaw), middle * math.sin(yaw), _WALL / 2)
        size = (_WALL / 2, width, half - _WALL / 2)
        wall.append(Part("box", size, pos, _GLAZE, mass=0.004, solid=True, grips=True, yaw=yaw))
    length = MUG_REACH - MUG_RADIUS
    handle = [
        Part("box", size, pos, _GLAZE, mass=0.004, solid=True)
        for size, pos in (
            ((length / 2, 0.005, 0.004), (MUG_RADIUS + length / 2, 0, 0.016)),
            ((length / 2, 0.005, 0.004), (MUG_RADIUS + length / 2, 0, -0.016)),
            ((0.004, 0.005, 0.020), (MUG_REACH - 0.004, 0, 0)),
        )
    ]
    return (bottom, *wall, *handle)


_X, _Y, _Z = HANDLE_POS
OBJECT_PARTS: dict[str, tuple[Part, ...]] = {
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
    "mug": _mug(),
}
"""Parts of each object, by name. Cabinet and drawer have the sizes of MimicGen's drawer."""

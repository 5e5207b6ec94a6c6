"""Shapes of machine, lid and pod, for all engines with physics: boxes and cylinders."""

# Half sizes [m]. Frame of the machine: on the table; of the lid: on its hinge; of the pod: in its middle

import math

from isaaclab_mimic_ext.envs.panda.shape import Part, Rgba, Vec3
from isaaclab_mimic_ext.tasks.coffee.task import (
    HOLDER_HALF_HEIGHT,
    HOLDER_POS,
    HOLDER_RADIUS,
    HOLE_RADIUS,
    LID_HALF,
    POD_HALF_HEIGHT,
    POD_RADIUS,
    SEAT,
)

_BLACK, _SILVER = (0.13, 0.13, 0.13, 1.0), (0.72, 0.73, 0.75, 1.0)
_RED, _COPPER, _FOIL = (0.75, 0.12, 0.10, 1.0), (0.66, 0.40, 0.22, 1.0), (0.88, 0.80, 0.66, 1.0)
_NUM_SIDES = 24
"""Number of sides of a round wall."""
_CUP_RADIUS, _CUP_BOTTOM, _CUP_TOP = 0.030, 0.010, 0.060
_LEDGE = 0.0034
"""Height in the frame of the lid above which the lid is narrower [m]."""


def _box(size: Vec3, pos: Vec3, rgba: Rgba, mass: float = 0.1) -> Part:
    return Part("box", size, pos, rgba, mass=mass, solid=True)


def _disc(
    radius: float,
    low: float,
    high: float,
    rgba: Rgba,
    mass: float,
    at: tuple[float, float] = (0.0, 0.0),
    grips: bool = False,
) -> Part:
    """Upright cylinder from height `low` to height `high`."""
    size = (radius, radius, (high - low) / 2)
    return Part("cylinder", size, (*at, (low + high) / 2), rgba, mass=mass, solid=True, grips=grips)


def _wall(inner: float, outer: float, low: float, high: float, rgba: Rgba) -> tuple[Part, ...]:
    """Round wall about the axis of the holder, of flat sides."""
    x, y, _ = HOLDER_POS
    middle, half, width = (inner + outer) / 2, (outer - inner) / 2, outer * math.tan(math.pi / _NUM_SIDES)
    sides = []
    for side in range(_NUM_SIDES):
        yaw = 2 * math.pi * side / _NUM_SIDES
        pos = (x + middle * math.cos(yaw), y + middle * math.sin(yaw), (low + high) / 2)
        size = (half, width, (high - low) / 2)
        sides.append(Part("box", size, pos, rgba, mass=0.002, solid=True, yaw=yaw))
    return tuple(sides)


_AXIS = HOLDER_POS[:2]
_BOTTOM, _RIM = HOLDER_POS[2] - HOLDER_HALF_HEIGHT, HOLDER_POS[2] + HOLDER_HALF_HEIGHT
OBJECT_PARTS: dict[str, tuple[Part, ...]] = {
    "coffee_machine": (
        _box((0.0865, 0.1005, 0.100), (0.0, -0.05, 0.100), _BLACK, mass=4.0),
        _box((0.029, 0.0915, 0.0105), (0.0, -0.058, 0.2105), _BLACK),
        _box((0.042, 0.05, 0.005), (0.0, 0.1005, 0.005), _BLACK),
        _box((0.010, 0.01305, 0.005), (0.0, 0.06355, 0.197), _SILVER),
        _disc(HOLE_RADIUS, _BOTTOM + 0.002, SEAT, _RED, 0.02, _AXIS),
        *_wall(HOLE_RADIUS, HOLDER_RADIUS, _BOTTOM, _RIM, _RED),
        _disc(_CUP_RADIUS, _CUP_BOTTOM, _CUP_TOP, _SILVER, 0.05, _AXIS),
    ),
    "lid": (
        _box(
            (LID_HALF[0], LID_HALF[1], (LID_HALF[2] + _LEDGE) / 2),
            (0.0, LID_HALF[1], (_LEDGE - LID_HALF[2]) / 2),
            _SILVER,
            0.07,
        ),
        _box(
            (0.020, LID_HALF[1], (LID_HALF[2] - _LEDGE) / 2), (0.0, LID_HALF[1], (_LEDGE + LID_HALF[2]) / 2), _SILVER, 0.02
        ),
    ),
    "coffee_pod": (
        _disc(0.0210, -POD_HALF_HEIGHT, -0.012, _COPPER, 0.002),
        _disc(0.0222, -0.012, 0.0201, _COPPER, 0.004, grips=True),
        _disc(POD_RADIUS, 0.0201, POD_HALF_HEIGHT, _FOIL, 0.001, grips=True),
    ),
}
"""Parts of each object, by name. All have the sizes of MimicGen's."""

"""Shapes of tray, stand, part and bin, for all engines with physics."""

# Half sizes [m]. Object frames: in the center of the part, at the bottom of other objects

from isaaclab_mimic_ext.envs.panda.shape import Part, Rgba, Vec3
from isaaclab_mimic_ext.tasks.two_arm_lift_tray.task import (
    BIN_FLOOR,
    BIN_HEIGHT,
    BIN_INNER,
    BIN_WALL,
    HANDLE_HEIGHT,
    HANDLE_RADIUS,
    HANDLE_Y,
    PART_HEIGHT,
    PART_RADIUS,
    STAND_SIZE,
    TRAY_FLOOR,
    TRAY_RIM,
    TRAY_SIZE,
    TRAY_WALL,
)

_HANDLE_LENGTH, _POST = 0.11, 0.005
_WALL_GAP = 0.002
"""Gap between the bin's walls and the table [m]. Only the floor of the bin touches the table, which saves contacts."""
_STAND_TOP = 0.014

_CREAM, _WALNUT, _STEEL = (0.93, 0.89, 0.80, 1.0), (0.45, 0.29, 0.18, 1.0), (0.72, 0.74, 0.77, 1.0)
_SLATE, _DARK_SLATE, _RUBBER = (0.36, 0.46, 0.56, 1.0), (0.22, 0.28, 0.34, 1.0), (0.28, 0.30, 0.33, 1.0)
_ORANGE, _BRASS = (0.93, 0.44, 0.10, 1.0), (0.82, 0.66, 0.30, 1.0)
_TEAL, _DARK_TEAL = (0.12, 0.52, 0.53, 1.0), (0.07, 0.38, 0.39, 1.0)


def _tray() -> tuple[Part, ...]:
    x, y = TRAY_SIZE[0] / 2, TRAY_SIZE[1] / 2
    parts = [Part("box", (x, y, TRAY_FLOOR / 2), (0.0, 0.0, TRAY_FLOOR / 2), _CREAM, mass=0.24, solid=True)]
    half_wall, half_height = TRAY_WALL / 2, (TRAY_RIM - TRAY_FLOOR) / 2
    middle = TRAY_FLOOR + half_height
    for sign in (-1, 1):
        across = Part("box", (half_wall, y, half_height), (sign * (x - half_wall), 0.0, middle), _WALNUT, 0.02, solid=True)
        size = (x - TRAY_WALL, half_wall, half_height)
        along = Part("box", size, (0.0, sign * (y - half_wall), middle), _WALNUT, 0.02, solid=True)
        parts += [across, along, *_handle(sign)]
    return tuple(parts)


def _handle(sign: int) -> list[Part]:
    """Round bar, around which a hand can turn, on two posts."""
    y, half_length = sign * HANDLE_Y, _HANDLE_LENGTH / 2
    bar_size = (half_length, HANDLE_RADIUS, HANDLE_RADIUS)
    bar = Part("cylinder", bar_size, (0.0, y, HANDLE_HEIGHT), _STEEL, 0.03, solid=True, grips=True, axis="x")
    half_height = (HANDLE_HEIGHT - TRAY_FLOOR) / 2
    size: Vec3 = (_POST, _POST, half_height)
    ends = (-half_length + _POST, half_length - _POST)
    return [bar, *(Part("box", size, (x, y, TRAY_FLOOR + half_height), _STEEL, 0.005, solid=True) for x in ends)]


def _stand() -> tuple[Part, ...]:
    x, y, height = STAND_SIZE[0] / 2, STAND_SIZE[1] / 2, STAND_SIZE[2]
    looks: tuple[tuple[Vec3, float, Rgba], ...] = (
        ((x, y, _STAND_TOP / 2), height - _STAND_TOP / 2, _SLATE),
        ((x * 0.80, y * 0.80, (height - _STAND_TOP) / 2), (height - _STAND_TOP) / 2, _DARK_SLATE),
        ((x * 0.96, y * 0.96, 0.004), 0.004, _SLATE),
        ((x * 0.92, y * 0.92, 0.001), height - 0.0006, _RUBBER),
    )
    hull = Part("box", (x, y, height / 2), (0.0, 0.0, height / 2), mass=3.0, solid=True)
    return (hull, *(Part("box", size, (0.0, 0.0, middle), rgba) for size, middle, rgba in looks))


def _part() -> tuple[Part, ...]:
    radius, half = PART_RADIUS, PART_HEIGHT / 2
    looks = (
        (radius * 0.92, half * 0.98, half, _BRASS),
        (radius, 0.008, 0.009, _ORANGE),
        (radius, 0.010, PART_HEIGHT - 0.012, _ORANGE),
        (radius * 0.55, 0.001, PART_HEIGHT - 0.0008, _RUBBER),
    )
    return (
        Part("cylinder", (radius, radius, half), mass=0.10, solid=True, grips=True),
        *(Part("cylinder", (r, r, length), (0.0, 0.0, height - half), rgba) for r, length, height, rgba in looks),
    )


def _bin() -> tuple[Part, ...]:
    half, half_wall = BIN_INNER / 2, BIN_WALL / 2
    parts = [Part("box", (half, half, BIN_FLOOR / 2), (0.0, 0.0, BIN_FLOOR / 2), _DARK_TEAL, mass=0.5, solid=True)]
    half_height = (BIN_HEIGHT - _WALL_GAP) / 2
    middle = _WALL_GAP + half_height
    for sign in (-1, 1):
        for size, (x, y) in (
            ((half_wall, half + BIN_WALL, half_height), (sign * (half + half_wall), 0.0)),
            ((half, half_wall, half_height), (0.0, sign * (half + half_wall))),
        ):
            rim = (size[0] + 0.001, size[1] + 0.001, 0.003)
            parts.append(Part("box", size, (x, y, middle), _TEAL, mass=0.1, solid=True))
            parts.append(Part("box", rim, (x, y, BIN_HEIGHT - 0.002), _DARK_TEAL))
    return tuple(parts)


OBJECT_PARTS: dict[str, tuple[Part, ...]] = {"tray": _tray(), "stand": _stand(), "part": _part(), "bin": _bin()}
"""Parts of each object, by name. An object stands on its first part."""

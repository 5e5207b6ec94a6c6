"""Shapes of the desktop organizer's objects, for all engines with physics."""

# Half sizes [m]. Object frames as in `task.py`: at the bottom of the basket, in the center of other objects

from isaaclab_mimic_ext.envs.panda.shape import Part, Rgba, Vec3
from isaaclab_mimic_ext.tasks.desktop_organizer.task import (
    BASKET_FLOOR,
    BASKET_HEIGHT,
    BASKET_INNER,
    BASKET_WALL,
    CREAM_CHEESE_SIZE,
    KETCHUP_HEIGHT,
    KETCHUP_RADIUS,
    ORANGE_JUICE_SIZE,
)

_WALL_GAP = 0.002
"""Gap between the basket's walls and the table [m]. Only the floor of the basket touches the table, which saves contacts."""

_RED, _DARK_RED = (0.78, 0.06, 0.05, 1.0), (0.60, 0.03, 0.03, 1.0)
_CREAM, _WHITE = (0.98, 0.94, 0.82, 1.0), (0.96, 0.96, 0.96, 1.0)
_ORANGE, _GREEN = (0.98, 0.55, 0.08, 1.0), (0.22, 0.55, 0.20, 1.0)
_YELLOW = (1.0, 0.80, 0.25, 1.0)
_BLUE, _SILVER = (0.13, 0.32, 0.66, 1.0), (0.80, 0.83, 0.87, 1.0)
_WICKER, _DARK_WICKER = (0.72, 0.52, 0.30, 1.0), (0.55, 0.38, 0.20, 1.0)


def _ketchup() -> tuple[Part, ...]:
    half, radius = KETCHUP_HEIGHT / 2, KETCHUP_RADIUS
    looks: tuple[tuple[str, Vec3, float, Rgba], ...] = (
        ("cylinder", (radius, radius, 0.034), 0.034, _RED),
        ("ellipsoid", (radius, radius, 0.016), 0.068, _RED),
        ("cylinder", (radius * 1.006, radius * 1.006, 0.018), 0.036, _CREAM),
        ("cylinder", (radius * 1.012, radius * 1.012, 0.006), 0.036, _DARK_RED),
        ("cylinder", (0.0125, 0.0125, 0.008), 0.088, _WHITE),
        ("cylinder", (0.006, 0.006, 0.002), 0.098, _WHITE),
    )
    return (
        Part("cylinder", (radius, radius, half), mass=0.2, solid=True, grips=True),
        *(Part(kind, size, (0.0, 0.0, height - half), rgba) for kind, size, height, rgba in looks),
    )


def _basket() -> tuple[Part, ...]:
    half_x, half_y, half_wall = BASKET_INNER[0] / 2, BASKET_INNER[1] / 2, BASKET_WALL / 2
    half_height = (BASKET_HEIGHT - _WALL_GAP) / 2
    middle = _WALL_GAP + half_height
    floor_pos = (0.0, 0.0, BASKET_FLOOR / 2)
    parts = [Part("box", (half_x, half_y, BASKET_FLOOR / 2), floor_pos, _DARK_WICKER, mass=1.0, solid=True)]
    for sign in (-1, 1):
        for size, (x, y) in (
            ((half_wall, half_y + BASKET_WALL, half_height), (sign * (half_x + half_wall), 0.0)),
            ((half_x, half_wall, half_height), (0.0, sign * (half_y + half_wall))),
        ):
            rim = (size[0] + 0.001, size[1] + 0.001, 0.004)
            parts.append(Part("box", size, (x, y, middle), _WICKER, mass=0.25, solid=True))
            parts.append(Part("box", rim, (x, y, BASKET_HEIGHT - 0.003), _DARK_WICKER))
    return tuple(parts)


def _orange_juice() -> tuple[Part, ...]:
    x, y, z = (0.5 * side for side in ORANGE_JUICE_SIZE)
    looks = (
        ((x, y, 0.032), 0.032, _ORANGE),
        ((x, y, 0.010), 0.074, _WHITE),
        ((x - 0.002, 0.012, 0.008), 0.092, _WHITE),
        ((x + 0.0005, y + 0.0005, 0.005), 0.056, _GREEN),
    )
    parts = [Part("box", (x, y, z), mass=0.35, solid=True)]
    parts += [Part("box", size, (0.0, 0.0, height - z), rgba) for size, height, rgba in looks]
    # Label: an orange on each side.
    for sign in (-1, 1):
        parts.append(Part("ellipsoid", (0.001, 0.015, 0.015), (sign * x, 0.0, 0.027 - z), _YELLOW))
        parts.append(Part("ellipsoid", (0.015, 0.001, 0.015), (0.0, sign * y, 0.027 - z), _YELLOW))
    return tuple(parts)


def _cream_cheese() -> tuple[Part, ...]:
    x, y, z = (0.5 * side for side in CREAM_CHEESE_SIZE)
    return (
        Part("box", (x, y, z), rgba=_SILVER, mass=0.15, solid=True),
        Part("box", (x * 0.70, y + 0.0005, z + 0.0005), rgba=_BLUE),
        Part("ellipsoid", (x * 0.42, y * 0.45, 0.0012), (0.0, 0.0, z), _WHITE),
    )


OBJECT_PARTS: dict[str, tuple[Part, ...]] = {
    "ketchup": _ketchup(),
    "basket": _basket(),
    "orange_juice": _orange_juice(),
    "cream_cheese": _cream_cheese(),
}
"""Parts of each object, by name. An object stands on its first part."""

"""Desktop organizer in MuJoCo: its objects on the table."""

# Half sizes [m] where MuJoCo asks for them; the table's surface is z = 0

import mujoco

from isaaclab_mimic_ext.envs.panda_mjcf import COLLISION_GROUP
from isaaclab_mimic_ext.envs.tabletop_mjcf import BOX, CYLINDER, ELLIPSOID, build_tabletop, make_solid, make_visual
from isaaclab_mimic_ext.task import Task
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
"""Between the basket's walls and the table: the floor alone carries it, which saves contacts [m]."""

_RED, _DARK_RED = (0.78, 0.06, 0.05, 1), (0.60, 0.03, 0.03, 1)
_CREAM, _WHITE = (0.98, 0.94, 0.82, 1), (0.96, 0.96, 0.96, 1)
_ORANGE, _GREEN = (0.98, 0.55, 0.08, 1), (0.22, 0.55, 0.20, 1)
_BLUE, _SILVER = (0.13, 0.32, 0.66, 1), (0.80, 0.83, 0.87, 1)
_WICKER, _DARK_WICKER = (0.72, 0.52, 0.30, 1), (0.55, 0.38, 0.20, 1)


def build_spec(task: Task) -> mujoco.MjSpec:
    """The scene with the arms of `task`; every movable object is a free body of the object's name."""
    return build_tabletop(
        task,
        {
            "ketchup": add_ketchup,
            "basket": add_basket,
            "orange_juice": _add_orange_juice,
            "cream_cheese": _add_cream_cheese,
        },
    )


def add_ketchup(body: mujoco.MjsBody) -> None:
    """Give a body the geoms of a bottle whose frame is in its middle."""
    half, radius = KETCHUP_HEIGHT / 2, KETCHUP_RADIUS
    hull = body.add_geom(name="ketchup", type=CYLINDER, size=(radius, half, 0), group=COLLISION_GROUP)
    make_solid(hull, 0.2, condim=4)
    for kind, size, height, rgba in (
        (CYLINDER, (radius, 0.034, 0), 0.034, _RED),
        (ELLIPSOID, (radius, radius, 0.016), 0.068, _RED),
        (CYLINDER, (radius * 1.006, 0.018, 0), 0.036, _CREAM),
        (CYLINDER, (radius * 1.012, 0.006, 0), 0.036, _DARK_RED),
        (CYLINDER, (0.0125, 0.008, 0), 0.088, _WHITE),
        (CYLINDER, (0.006, 0.002, 0), 0.098, _WHITE),
    ):
        make_visual(body.add_geom(type=kind, size=size, pos=(0, 0, height - half), rgba=rgba))


def add_basket(body: mujoco.MjsBody) -> None:
    """Give a body the geoms of a basket whose frame is below it."""
    half_x, half_y, half_wall = BASKET_INNER[0] / 2, BASKET_INNER[1] / 2, BASKET_WALL / 2
    floor = body.add_geom(
        name="basket", type=BOX, size=(half_x, half_y, BASKET_FLOOR / 2), pos=(0, 0, BASKET_FLOOR / 2), rgba=_DARK_WICKER
    )
    make_solid(floor, 1.0)
    half_height = (BASKET_HEIGHT - _WALL_GAP) / 2
    middle = _WALL_GAP + half_height
    for sign in (-1, 1):
        for size, pos in (
            ((half_wall, half_y + BASKET_WALL, half_height), (sign * (half_x + half_wall), 0)),
            ((half_x, half_wall, half_height), (0, sign * (half_y + half_wall))),
        ):
            make_solid(body.add_geom(type=BOX, size=size, pos=(*pos, middle), rgba=_WICKER), 0.25)
            rim = (size[0] + 0.001, size[1] + 0.001, 0.004)
            make_visual(body.add_geom(type=BOX, size=rim, pos=(*pos, BASKET_HEIGHT - 0.003), rgba=_DARK_WICKER))


def _add_orange_juice(body: mujoco.MjsBody) -> None:
    x, y, z = (0.5 * side for side in ORANGE_JUICE_SIZE)
    make_solid(body.add_geom(name="orange_juice", type=BOX, size=(x, y, z), group=COLLISION_GROUP), 0.35)
    for size, height, rgba in (
        ((x, y, 0.032), 0.032, _ORANGE),
        ((x, y, 0.010), 0.074, _WHITE),
        ((x - 0.002, 0.012, 0.008), 0.092, _WHITE),
        ((x + 0.0005, y + 0.0005, 0.005), 0.056, _GREEN),
    ):
        make_visual(body.add_geom(type=BOX, size=size, pos=(0, 0, height - z), rgba=rgba))
    # Label: an orange on either side.
    for sign in (-1, 1):
        for pos, size in (((sign * x, 0), (0.001, 0.015, 0.015)), ((0, sign * y), (0.015, 0.001, 0.015))):
            make_visual(body.add_geom(type=ELLIPSOID, size=size, pos=(*pos, 0.027 - z), rgba=(1.0, 0.80, 0.25, 1)))


def _add_cream_cheese(body: mujoco.MjsBody) -> None:
    x, y, z = (0.5 * side for side in CREAM_CHEESE_SIZE)
    make_solid(body.add_geom(name="cream_cheese", type=BOX, size=(x, y, z), rgba=_SILVER), 0.15)
    make_visual(body.add_geom(type=BOX, size=(x * 0.70, y + 0.0005, z + 0.0005), rgba=_BLUE))
    make_visual(body.add_geom(type=ELLIPSOID, size=(x * 0.42, y * 0.45, 0.0012), pos=(0, 0, z), rgba=_WHITE))

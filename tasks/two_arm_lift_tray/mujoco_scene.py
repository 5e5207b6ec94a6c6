"""MuJoCo scene of the two-arm tray lift."""

# `size` in MuJoCo: half sizes [m]; the surface of the table is z = 0

import mujoco

from isaaclab_mimic_ext.envs.panda.mjcf import COLLISION_GROUP
from isaaclab_mimic_ext.envs.tabletop_mjcf import BOX, CYLINDER, build_tabletop, make_solid, make_visual
from isaaclab_mimic_ext.task.definition import Task
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

_CREAM, _WALNUT, _STEEL = (0.93, 0.89, 0.80, 1), (0.45, 0.29, 0.18, 1), (0.72, 0.74, 0.77, 1)
_SLATE, _DARK_SLATE, _RUBBER = (0.36, 0.46, 0.56, 1), (0.22, 0.28, 0.34, 1), (0.28, 0.30, 0.33, 1)
_ORANGE, _BRASS = (0.93, 0.44, 0.10, 1), (0.82, 0.66, 0.30, 1)
_TEAL, _DARK_TEAL = (0.12, 0.52, 0.53, 1), (0.07, 0.38, 0.39, 1)


def build_spec(task: Task) -> mujoco.MjSpec:
    """Build the scene with the arms of `task`. Each object is a free body with the name of the object."""
    spec = build_tabletop(task, {"tray": _add_tray, "stand": _add_stand, "part": _add_part, "bin": _add_bin})
    front = spec.camera("front")
    # The camera is closer than in other tasks: two arms need a wide view, and the objects are far back on the table.
    front.pos, front.fovy = (1.52, 0.0, 1.05), 48
    front.alt.xyaxes = (0, 1, 0, -0.56, 0, 0.83)
    return spec


def _add_tray(body: mujoco.MjsBody) -> None:
    x, y = TRAY_SIZE[0] / 2, TRAY_SIZE[1] / 2
    floor = body.add_geom(name="tray", type=BOX, size=(x, y, TRAY_FLOOR / 2), pos=(0, 0, TRAY_FLOOR / 2), rgba=_CREAM)
    make_solid(floor, 0.24)
    half_wall, half_height = TRAY_WALL / 2, (TRAY_RIM - TRAY_FLOOR) / 2
    middle = TRAY_FLOOR + half_height
    for sign in (-1, 1):
        for size, pos in (
            ((half_wall, y, half_height), (sign * (x - half_wall), 0)),
            ((x - TRAY_WALL, half_wall, half_height), (0, sign * (y - half_wall))),
        ):
            make_solid(body.add_geom(type=BOX, size=size, pos=(*pos, middle), rgba=_WALNUT), 0.02)
        _add_handle(body, sign)


def _add_handle(body: mujoco.MjsBody, sign: int) -> None:
    """Add a round bar, around which a hand can turn, on two posts."""
    y, half_length = sign * HANDLE_Y, _HANDLE_LENGTH / 2
    bar = body.add_geom(
        type=CYLINDER, fromto=(-half_length, y, HANDLE_HEIGHT, half_length, y, HANDLE_HEIGHT),
        size=(HANDLE_RADIUS, 0, 0), rgba=_STEEL,
    )  # fmt: skip
    make_solid(bar, 0.03, condim=4)
    half_height = (HANDLE_HEIGHT - TRAY_FLOOR) / 2
    for end in (-1, 1):
        x = end * (half_length - _POST)
        post = body.add_geom(type=BOX, size=(_POST, _POST, half_height), pos=(x, y, TRAY_FLOOR + half_height), rgba=_STEEL)
        make_solid(post, 0.005)


def _add_stand(body: mujoco.MjsBody) -> None:
    x, y, height = STAND_SIZE[0] / 2, STAND_SIZE[1] / 2, STAND_SIZE[2]
    hull = body.add_geom(name="stand", type=BOX, size=(x, y, height / 2), pos=(0, 0, height / 2), group=COLLISION_GROUP)
    make_solid(hull, 3.0)
    for size, pos, rgba in (
        ((x, y, _STAND_TOP / 2), (0, 0, height - _STAND_TOP / 2), _SLATE),
        ((x * 0.80, y * 0.80, (height - _STAND_TOP) / 2), (0, 0, (height - _STAND_TOP) / 2), _DARK_SLATE),
        ((x * 0.96, y * 0.96, 0.004), (0, 0, 0.004), _SLATE),
        ((x * 0.92, y * 0.92, 0.001), (0, 0, height - 0.0006), _RUBBER),
    ):
        make_visual(body.add_geom(type=BOX, size=size, pos=pos, rgba=rgba))


def _add_part(body: mujoco.MjsBody) -> None:
    half = PART_HEIGHT / 2
    hull = body.add_geom(name="part", type=CYLINDER, size=(PART_RADIUS, half, 0), group=COLLISION_GROUP)
    make_solid(hull, 0.10, condim=4)
    for radius, half_length, height, rgba in (
        (PART_RADIUS * 0.92, half * 0.98, half, _BRASS),
        (PART_RADIUS, 0.008, 0.009, _ORANGE),
        (PART_RADIUS, 0.010, PART_HEIGHT - 0.012, _ORANGE),
        (PART_RADIUS * 0.55, 0.001, PART_HEIGHT - 0.0008, _RUBBER),
    ):
        make_visual(body.add_geom(type=CYLINDER, size=(radius, half_length, 0), pos=(0, 0, height - half), rgba=rgba))


def _add_bin(body: mujoco.MjsBody) -> None:
    half, half_wall = BIN_INNER / 2, BIN_WALL / 2
    floor = body.add_geom(name="bin", type=BOX, size=(half, half, BIN_FLOOR / 2), pos=(0, 0, BIN_FLOOR / 2), rgba=_DARK_TEAL)
    make_solid(floor, 0.5)
    half_height = (BIN_HEIGHT - _WALL_GAP) / 2
    middle = _WALL_GAP + half_height
    for sign in (-1, 1):
        for size, pos in (
            ((half_wall, half + BIN_WALL, half_height), (sign * (half + half_wall), 0)),
            ((half, half_wall, half_height), (0, sign * (half + half_wall))),
        ):
            make_solid(body.add_geom(type=BOX, size=size, pos=(*pos, middle), rgba=_TEAL), 0.1)
            rim = (size[0] + 0.001, size[1] + 0.001, 0.003)
            make_visual(body.add_geom(type=BOX, size=rim, pos=(*pos, BIN_HEIGHT - 0.002), rgba=_DARK_TEAL))

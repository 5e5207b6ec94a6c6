"""Desktop organizer in MuJoCo: the table, its objects, lights and cameras, around the arms of the task."""

# Half sizes [m] where MuJoCo asks for them; the table's surface is z = 0

import mujoco

from isaaclab_mimic_ext.envs.panda_mjcf import COLLISION_GROUP, GRIP_SOLREF, VISUAL_GROUP, add_panda
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

TIMESTEP = 0.002
_TABLE_CENTRE, _TABLE_HALF_SIZE = (0.40, 0.0), (0.60, 0.65)
_TABLE_THICKNESS, _TABLE_HEIGHT = 0.04, 0.75
_WALL_GAP = 0.002
"""Between the basket's walls and the table: the floor alone carries it, which saves contacts [m]."""
_AIR_DAMPING = 5e-4
"""Of the objects' free motion [N s/m, N m s]: nothing in a grasp, but a bottle that fell soon stops rolling."""
_BOX, _CYLINDER = mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_CYLINDER
_ELLIPSOID = mujoco.mjtGeom.mjGEOM_ELLIPSOID

_RED, _DARK_RED = (0.78, 0.06, 0.05, 1), (0.60, 0.03, 0.03, 1)
_CREAM, _WHITE = (0.98, 0.94, 0.82, 1), (0.96, 0.96, 0.96, 1)
_ORANGE, _GREEN = (0.98, 0.55, 0.08, 1), (0.22, 0.55, 0.20, 1)
_BLUE, _SILVER = (0.13, 0.32, 0.66, 1), (0.80, 0.83, 0.87, 1)
_WICKER, _DARK_WICKER = (0.72, 0.52, 0.30, 1), (0.55, 0.38, 0.20, 1)


def build_spec(task: Task) -> mujoco.MjSpec:
    """The scene with the arms of `task`; every movable object is a free body of the object's name."""
    spec = mujoco.MjSpec()
    spec.modelname = task.name
    spec.compiler.degree = False
    _set_options(spec)
    _add_surroundings(spec)
    for arm in task.arms:
        add_panda(spec, arm)
    builders = {
        "ketchup": _add_ketchup, "basket": _add_basket, "orange_juice": _add_orange_juice, "cream_cheese": _add_cream_cheese,
    }  # fmt: skip
    for obj in task.objects:
        body = spec.worldbody.add_body(name=obj.name, pos=(*obj.default_pos, obj.rest_height))
        joint = body.add_freejoint(name=obj.name)
        joint.damping = (_AIR_DAMPING, 0.0, 0.0)
        builders[obj.name](body)
    return spec


def _set_options(spec: mujoco.MjSpec) -> None:
    option = spec.option
    option.timestep = TIMESTEP
    option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    option.impratio = 10.0
    # A state that blew up stays so and its trial fails, rather than starting anew in the middle of it.
    option.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET


def _add_surroundings(spec: mujoco.MjSpec) -> None:
    _add_materials(spec)
    _add_lights_and_cameras(spec)
    world = spec.worldbody
    thickness, height = _TABLE_THICKNESS, _TABLE_HEIGHT
    # An endless plane in place of the table's top: contacts with it are exact and cheap.
    plane = world.add_geom(name="table", type=mujoco.mjtGeom.mjGEOM_PLANE, size=(1, 1, 0.1), group=COLLISION_GROUP)
    plane.friction = (1.0, 0.005, 0.0001)
    plane.rgba = (0, 0, 0, 0)
    top = world.add_geom(
        type=_BOX, size=(*_TABLE_HALF_SIZE, thickness / 2), pos=(*_TABLE_CENTRE, -thickness / 2), material="wood"
    )
    _make_visual(top)
    for x in (-1, 1):
        for y in (-1, 1):
            corner = (_TABLE_CENTRE[0] + x * (_TABLE_HALF_SIZE[0] - 0.05), y * (_TABLE_HALF_SIZE[1] - 0.05))
            leg = world.add_geom(
                type=_BOX, size=(0.03, 0.03, height / 2), pos=(*corner, -thickness - height / 2), material="leg"
            )
            _make_visual(leg)
    floor = world.add_geom(
        type=mujoco.mjtGeom.mjGEOM_PLANE, size=(4, 4, 0.1), pos=(0, 0, -thickness - height), material="floor"
    )
    _make_visual(floor)


def _add_materials(spec: mujoco.MjSpec) -> None:
    texture, builtin = mujoco.mjtTexture, mujoco.mjtBuiltin
    spec.add_texture(
        name="sky", type=texture.mjTEXTURE_SKYBOX, builtin=builtin.mjBUILTIN_GRADIENT,
        rgb1=(0.85, 0.89, 0.93), rgb2=(0.55, 0.62, 0.70), width=256, height=256,
    )  # fmt: skip
    spec.add_texture(
        name="floor", type=texture.mjTEXTURE_2D, builtin=builtin.mjBUILTIN_CHECKER,
        rgb1=(0.62, 0.64, 0.66), rgb2=(0.58, 0.60, 0.62), width=256, height=256,
    )  # fmt: skip
    spec.add_material(name="floor", textures=["", "floor"], texrepeat=(8, 8), specular=0.1)
    spec.add_material(name="wood", rgba=(0.80, 0.68, 0.52, 1), specular=0.25, shininess=0.3)
    spec.add_material(name="leg", rgba=(0.35, 0.35, 0.37, 1), specular=0.2)


def _add_lights_and_cameras(spec: mujoco.MjSpec) -> None:
    world, visual = spec.worldbody, spec.visual
    lamp, fill = mujoco.mjtLightType.mjLIGHT_SPOT, mujoco.mjtLightType.mjLIGHT_DIRECTIONAL
    key = world.add_light(
        type=lamp, pos=(1.3, 0.9, 2.4), dir=(-0.37, -0.38, -1), diffuse=(0.58, 0.56, 0.53), castshadow=True
    )
    key.cutoff, key.exponent, key.specular = 60.0, 2.0, (0.2, 0.2, 0.2)
    world.add_light(type=fill, pos=(1.5, -1.0, 1.5), dir=(-1, 0.6, -0.8), diffuse=(0.28, 0.29, 0.32), castshadow=False)
    visual.headlight.ambient, visual.headlight.diffuse = (0.30, 0.30, 0.31), (0.12, 0.12, 0.12)
    visual.headlight.specular = (0.0, 0.0, 0.0)
    visual.global_.offwidth, visual.global_.offheight = 1920, 1080
    visual.quality.shadowsize = 4096
    visual.map.znear = 0.01
    spec.stat.center, spec.stat.extent = (0.4, 0.0, 0.2), 1.5
    world.add_camera(name="front", pos=(1.75, 0.0, 1.00), xyaxes=(0, 1, 0, -0.477, 0, 0.879), fovy=45)
    world.add_camera(name="side", pos=(1.15, -1.15, 0.90), xyaxes=(0.843, 0.538, 0, -0.237, 0.372, 0.897), fovy=42)
    world.add_camera(name="top", pos=(0.50, 0.0, 1.35), xyaxes=(0, -1, 0, 1, 0, 0), fovy=45)


def _make_visual(geom: mujoco.MjsGeom) -> mujoco.MjsGeom:
    geom.contype, geom.conaffinity, geom.group, geom.mass = 0, 0, VISUAL_GROUP, 0.0
    return geom


def _make_solid(geom: mujoco.MjsGeom, mass: float, condim: int = 3) -> mujoco.MjsGeom:
    geom.condim, geom.solref, geom.mass = condim, GRIP_SOLREF, mass
    geom.friction = (1.0, 0.02, 0.0001)
    return geom


def _add_ketchup(body: mujoco.MjsBody) -> None:
    half, radius = KETCHUP_HEIGHT / 2, KETCHUP_RADIUS
    hull = body.add_geom(name="ketchup", type=_CYLINDER, size=(radius, half, 0), group=COLLISION_GROUP)
    _make_solid(hull, 0.2, condim=4)
    for kind, size, height, rgba in (
        (_CYLINDER, (radius, 0.034, 0), 0.034, _RED),
        (_ELLIPSOID, (radius, radius, 0.016), 0.068, _RED),
        (_CYLINDER, (radius * 1.006, 0.018, 0), 0.036, _CREAM),
        (_CYLINDER, (radius * 1.012, 0.006, 0), 0.036, _DARK_RED),
        (_CYLINDER, (0.0125, 0.008, 0), 0.088, _WHITE),
        (_CYLINDER, (0.006, 0.002, 0), 0.098, _WHITE),
    ):
        _make_visual(body.add_geom(type=kind, size=size, pos=(0, 0, height - half), rgba=rgba))


def _add_basket(body: mujoco.MjsBody) -> None:
    half_x, half_y, half_wall = BASKET_INNER[0] / 2, BASKET_INNER[1] / 2, BASKET_WALL / 2
    floor = body.add_geom(
        name="basket", type=_BOX, size=(half_x, half_y, BASKET_FLOOR / 2), pos=(0, 0, BASKET_FLOOR / 2), rgba=_DARK_WICKER
    )
    _make_solid(floor, 1.0)
    half_height = (BASKET_HEIGHT - _WALL_GAP) / 2
    middle = _WALL_GAP + half_height
    for sign in (-1, 1):
        for size, pos in (
            ((half_wall, half_y + BASKET_WALL, half_height), (sign * (half_x + half_wall), 0)),
            ((half_x, half_wall, half_height), (0, sign * (half_y + half_wall))),
        ):
            _make_solid(body.add_geom(type=_BOX, size=size, pos=(*pos, middle), rgba=_WICKER), 0.25)
            rim = (size[0] + 0.001, size[1] + 0.001, 0.004)
            _make_visual(body.add_geom(type=_BOX, size=rim, pos=(*pos, BASKET_HEIGHT - 0.003), rgba=_DARK_WICKER))


def _add_orange_juice(body: mujoco.MjsBody) -> None:
    x, y, z = (0.5 * side for side in ORANGE_JUICE_SIZE)
    _make_solid(body.add_geom(name="orange_juice", type=_BOX, size=(x, y, z), group=COLLISION_GROUP), 0.35)
    for size, height, rgba in (
        ((x, y, 0.032), 0.032, _ORANGE),
        ((x, y, 0.010), 0.074, _WHITE),
        ((x - 0.002, 0.012, 0.008), 0.092, _WHITE),
        ((x + 0.0005, y + 0.0005, 0.005), 0.056, _GREEN),
    ):
        _make_visual(body.add_geom(type=_BOX, size=size, pos=(0, 0, height - z), rgba=rgba))
    # Label: an orange on either side.
    for sign in (-1, 1):
        for pos, size in (((sign * x, 0), (0.001, 0.015, 0.015)), ((0, sign * y), (0.015, 0.001, 0.015))):
            _make_visual(body.add_geom(type=_ELLIPSOID, size=size, pos=(*pos, 0.027 - z), rgba=(1.0, 0.80, 0.25, 1)))


def _add_cream_cheese(body: mujoco.MjsBody) -> None:
    x, y, z = (0.5 * side for side in CREAM_CHEESE_SIZE)
    _make_solid(body.add_geom(name="cream_cheese", type=_BOX, size=(x, y, z), rgba=_SILVER), 0.15)
    _make_visual(body.add_geom(type=_BOX, size=(x * 0.70, y + 0.0005, z + 0.0005), rgba=_BLUE))
    _make_visual(body.add_geom(type=_ELLIPSOID, size=(x * 0.42, y * 0.45, 0.0012), pos=(0, 0, z), rgba=_WHITE))

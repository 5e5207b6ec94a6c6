"""MuJoCo scene of the cluttered desktop organizer: ketchup bottle and basket, a milk carton and a cereal box."""

# `size` in MuJoCo: half sizes [m]

import mujoco

from isaaclab_mimic_ext.envs.panda.mjcf import COLLISION_GROUP
from isaaclab_mimic_ext.envs.tabletop_mjcf import BOX, CYLINDER, build_tabletop, make_solid, make_visual
from isaaclab_mimic_ext.task.definition import Task
from isaaclab_mimic_ext.tasks.desktop_organizer.mujoco_scene import add_basket, add_ketchup
from isaaclab_mimic_ext.tasks.desktop_organizer_cluttered.task import CEREAL_SIZE, MILK_SIZE

_WHITE, _BLUE = (0.96, 0.97, 0.98, 1), (0.20, 0.42, 0.78, 1)
_YELLOW, _BROWN = (0.98, 0.80, 0.16, 1), (0.55, 0.33, 0.14, 1)


def build_spec(task: Task) -> mujoco.MjSpec:
    """Build the scene with the arms of `task`. Each object is a free body with the name of the object."""
    builders = {"ketchup": add_ketchup, "basket": add_basket, "milk": _add_milk, "cereal": _add_cereal}
    return build_tabletop(task, builders)


def _add_milk(body: mujoco.MjsBody) -> None:
    x, y, z = (0.5 * side for side in MILK_SIZE)
    make_solid(body.add_geom(name="milk", type=BOX, size=(x, y, z), group=COLLISION_GROUP), 0.5)
    gable = 0.035
    for size, height, rgba in (
        ((x, y, z - gable / 2), -gable / 2, _WHITE),
        ((x * 0.7, y, gable / 4), z - 0.75 * gable, _WHITE),
        ((0.004, y, gable / 4), z - gable / 4, _WHITE),
        ((x + 0.0005, y + 0.0005, 0.03), -0.02, _BLUE),
    ):
        make_visual(body.add_geom(type=BOX, size=size, pos=(0, 0, height), rgba=rgba))


def _add_cereal(body: mujoco.MjsBody) -> None:
    x, y, z = (0.5 * side for side in CEREAL_SIZE)
    make_solid(body.add_geom(name="cereal", type=BOX, size=(x, y, z), rgba=_YELLOW), 0.35)
    make_visual(body.add_geom(type=BOX, size=(x + 0.0005, y + 0.0005, 0.012), pos=(0, 0, z - 0.03), rgba=_BROWN))
    for sign in (-1, 1):
        bowl = body.add_geom(type=CYLINDER, fromto=(sign * x, 0, -0.02, sign * (x + 0.001), 0, -0.02), rgba=_BROWN)
        bowl.size = (0.035, 0, 0)
        make_visual(bowl)

"""robosuite's NutAssemblySquare, with the signals, conditions and configuration of `square_peg`."""

from isaaclab_mimic_ext.task.definition import SceneObject
from isaaclab_mimic_ext.task.robosuite import RobosuiteTask
from isaaclab_mimic_ext.tasks.square_peg.task import (
    HANDLE_END,
    OUTER_HALF,
    PEG_HALF,
    PEG_HEIGHT,
    THICKNESS,
    SquarePeg,
)

TABLE_HEIGHT = 0.82
"""Height of the table in robosuite's world frame [m]."""
PEG_CENTER = 0.85
"""Height of the frame of the peg in robosuite's world frame [m]. The peg goes through the table."""


class RobosuiteSquare(RobosuiteTask, SquarePeg):
    """A Panda grasps a square nut by its handle and puts it on a square peg."""

    name = "robosuite_square"
    environment = "NutAssemblySquare"
    bodies = {"square_nut": "SquareNut_main", "square_peg": "peg1"}  # noqa: RUF012
    objects = (
        SceneObject(
            "square_nut", 0.081, TABLE_HEIGHT + THICKNESS / 2, (-0.1125, 0.1675),
            half_size=((OUTER_HALF + HANDLE_END) / 2, OUTER_HALF, THICKNESS / 2),
            box_center=((HANDLE_END - OUTER_HALF) / 2, 0.0, 0.0),
        ),
        SceneObject(
            "square_peg", 0.0227, PEG_CENTER, (0.23, 0.10), half_size=(PEG_HALF, PEG_HALF, PEG_HEIGHT / 2), fixed=True,
            box_center=(0.0, 0.0, TABLE_HEIGHT + PEG_HEIGHT / 2 - PEG_CENTER),
        ),
    )  # fmt: skip
    table_bounds = ((-0.4, 0.4), (-0.4, 0.4))
    table_height = TABLE_HEIGHT
    quaternion_columns = {"object": (3, 10)}  # noqa: RUF012


def make_task() -> RobosuiteSquare:
    return RobosuiteSquare()

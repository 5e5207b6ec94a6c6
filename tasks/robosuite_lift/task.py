"""robosuite's Lift: signals, success and reasons of failure."""

# N envs

from torch import Tensor

from isaaclab_mimic_ext.task.definition import Graspable, SceneObject, SceneState
from isaaclab_mimic_ext.task.reasons import FailureReason
from isaaclab_mimic_ext.task.robosuite import RobosuiteTask

TABLE_HEIGHT = 0.8
"""Height of the table in robosuite's world frame [m]."""
HALF_SIZE = (0.0213, 0.0205, 0.0201)
"""Half the size of the cube that robosuite draws with the model of the environment [m]."""
GRASP_DISTANCE = 0.03
"""Largest distance of the grip site from the center of a held cube [m]."""
GRIP_TOLERANCE = 0.004
"""Largest difference between the gap of the fingers and the width of the cube while they hold it [m]."""
LIFTED = 0.04
"""Height of the center of the cube above the table from which robosuite considers it lifted [m]."""


class RobosuiteLift(RobosuiteTask):
    """A Panda lifts a red cube."""

    name = "robosuite_lift"
    environment = "Lift"
    bodies = {"cube": "cube_main"}  # noqa: RUF012
    objects = (SceneObject("cube", HALF_SIZE[0] * 2**0.5, TABLE_HEIGHT + HALF_SIZE[2], (0.0, 0.0), half_size=HALF_SIZE),)
    signal_names = ("grasp",)
    table_bounds = ((-0.4, 0.4), (-0.4, 0.4))
    quaternion_columns = {"object": (3,)}  # noqa: RUF012
    failure_reasons = (
        FailureReason("the cube was never grasped", "grasp"),
        FailureReason("the cube was never lifted", "lifted"),
        FailureReason("the cube was dropped", "lifted", "lost"),
    )

    def signals(self, scene: SceneState) -> dict[str, Tensor]:
        """Term signal `grasp`: the gripper holds the cube. Name -> (N,) bool."""
        return {"grasp": self.is_held(scene, GRASP_DISTANCE, GRIP_TOLERANCE)}

    def success(self, scene: SceneState) -> Tensor:
        """Return whether the cube is lifted, (N,) bool."""
        return scene.object_pose[:, 0, 2, 3] > TABLE_HEIGHT + LIFTED

    def conditions(self, scene: SceneState) -> dict[str, Tensor]:
        """Term signal, and `lifted`: the cube is lifted. Name -> (N,) bool."""
        return {**self.signals(scene), "lifted": self.success(scene)}

    def graspable(self) -> dict[str, tuple[Graspable, ...]]:
        return {"robot0": (Graspable("cube", half_width=HALF_SIZE[0]),)}


def make_task() -> RobosuiteLift:
    return RobosuiteLift()

"""robosuite's Stack: signals, success and reasons of failure. Signals and configuration are those of MimicGen's Stack_D0."""

# N envs

from torch import Tensor

from isaaclab_mimic_ext.task.definition import Graspable, SceneObject, SceneState
from isaaclab_mimic_ext.task.reasons import FailureReason
from isaaclab_mimic_ext.task.robosuite import RobosuiteTask

TABLE_HEIGHT = 0.8
"""Height of the table in robosuite's world frame [m]."""
HALF_A, HALF_B = 0.02, 0.025
"""Half the edge length of cubeA and cubeB [m]."""
GRASP_DISTANCE = 0.03
"""Largest distance of the grip site from the center of a held cube [m]."""
GRIP_TOLERANCE = 0.004
"""Largest difference between the gap of the fingers and the edge length while they hold the cube [m]."""
LIFTED = 0.04
"""Height of the center of cubeA above the table from which robosuite considers it lifted [m]."""
STACK_TOLERANCE = 0.005
"""Tolerance of the height of cubeA on cubeB [m]."""


class RobosuiteStack(RobosuiteTask):
    """A Panda puts the red cubeA onto the green cubeB."""

    name = "robosuite_stack"
    environment = "Stack"
    bodies = {"cubeA": "cubeA_main", "cubeB": "cubeB_main"}  # noqa: RUF012
    objects = (
        SceneObject("cubeA", HALF_A * 2**0.5, TABLE_HEIGHT + HALF_A, (0.0, 0.0), half_size=(HALF_A,) * 3),
        SceneObject("cubeB", HALF_B * 2**0.5, TABLE_HEIGHT + HALF_B, (0.0, 0.1), half_size=(HALF_B,) * 3),
    )
    signal_names = ("grasp",)
    table_bounds = ((-0.4, 0.4), (-0.4, 0.4))
    quaternion_columns = {"object": (3, 10)}  # noqa: RUF012
    failure_reasons = (
        FailureReason("cubeA was never grasped", "grasp"),
        FailureReason("cubeA was never lifted", "lifted"),
        FailureReason("cubeA was not put on cubeB", "on_cubeB"),
    )

    def signals(self, scene: SceneState) -> dict[str, Tensor]:
        """Term signal `grasp`: the gripper holds cubeA. Name -> (N,) bool."""
        return {"grasp": self._is_held(scene)}

    def success(self, scene: SceneState) -> Tensor:
        """Return whether cubeA is on cubeB and not in the gripper, (N,) bool."""
        return self._is_on(scene) & ~self._is_held(scene)

    def conditions(self, scene: SceneState) -> dict[str, Tensor]:
        """Term signals; `lifted`: cubeA is held above the table; `on_cubeB`: cubeA is on cubeB. Name -> (N,) bool."""
        lifted = scene.object_pose[:, 0, 2, 3] > TABLE_HEIGHT + LIFTED
        return {**self.signals(scene), "lifted": lifted & self._is_held(scene), "on_cubeB": self._is_on(scene)}

    def graspable(self) -> dict[str, tuple[Graspable, ...]]:
        return {"robot0": (Graspable("cubeA", half_width=HALF_A),)}

    def _is_held(self, scene: SceneState) -> Tensor:
        return self.is_held(scene, GRASP_DISTANCE, GRIP_TOLERANCE)

    def _is_on(self, scene: SceneState) -> Tensor:
        offset = scene.object_pose[:, 0, :3, 3] - scene.object_pose[:, 1, :3, 3]
        above = (offset[:, :2].abs() < HALF_A + HALF_B).all(-1)
        return above & ((offset[:, 2] - HALF_A - HALF_B).abs() < STACK_TOLERANCE)


def make_task() -> RobosuiteStack:
    return RobosuiteStack()

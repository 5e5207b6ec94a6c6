"""robosuite's PickPlaceCan: signals, success and reasons of failure."""

# N envs

import torch
from torch import Tensor

from isaaclab_mimic_ext.task.definition import Graspable, SceneObject, SceneState, once_per_scene
from isaaclab_mimic_ext.task.reasons import FailureReason
from isaaclab_mimic_ext.task.robosuite import RobosuiteTask

# Sizes [m]. Frame of the bin: in its middle, in the middle of its floor
FLOOR = 0.82
"""Height of the floor of the bins in robosuite's world frame."""
RADIUS, HALF_HEIGHT = 0.025, 0.04
"""Radius and half the height of the can."""
GRIP_HEIGHT = 0.015
"""Height of the grip site above the center of the can while it holds the can, so that the palm is above the walls."""
COMPARTMENT, COMPARTMENT_SIZE = (0.0975, 0.1225), (0.195, 0.245)
"""Center of the can's compartment in the frame of the bin, and its size along x and y."""

# Thresholds of signals and success
GRASP_DISTANCE = 0.03
"""Largest distance of the grip site from the grip of a held can [m]."""
GRIP_TOLERANCE = 0.005
"""Largest difference between the gap of the fingers and the diameter of the can while they hold it [m]."""
LIFTED = 0.04
"""Height of the bottom of the can above the floor from which it is lifted [m]."""
BIN_HEIGHT = 0.1
"""Largest height of the center of a can in the bin above the frame of the bin [m]."""
CLEAR_DISTANCE = 0.0424
"""Least distance of the grip site from the center of the can at the end [m]. robosuite: 1 - tanh(10 d) < 0.6."""


class RobosuiteCan(RobosuiteTask):
    """A Panda moves a can from one bin to its compartment of another bin."""

    name = "robosuite_can"
    environment = "PickPlaceCan"
    bodies = {"can": "Can_main", "bin": "bin2"}  # noqa: RUF012
    objects = (
        SceneObject("can", RADIUS, FLOOR + HALF_HEIGHT, (0.1, -0.25), half_size=(RADIUS, RADIUS, HALF_HEIGHT)),
        SceneObject(
            "bin", 0.32, FLOOR - 0.02, (0.1, 0.28), half_size=(0.21, 0.26, 0.06), box_center=(0.0, 0.0, 0.04), fixed=True
        ),
    )
    signal_names = ("grasp",)
    table_bounds = ((-0.2, 0.4), (-0.6, 0.6))
    quaternion_columns = {"object": (3, 10)}  # noqa: RUF012
    failure_reasons = (
        FailureReason("the can was never grasped", "grasp"),
        FailureReason("the can was never lifted", "lifted"),
        FailureReason("the can did not get into its compartment", "in_bin"),
    )

    def signals(self, scene: SceneState) -> dict[str, Tensor]:
        """Term signal `grasp`: the gripper holds the can. Name -> (N,) bool."""
        return {"grasp": self._is_held(scene)}

    def success(self, scene: SceneState) -> Tensor:
        """Return whether the can is in its compartment and the hand is clear of it, (N,) bool."""
        distance = torch.linalg.vector_norm(scene.eef_pose[:, 0, :3, 3] - scene.object_pose[:, 0, :3, 3], dim=-1)
        return self._is_in_bin(scene) & (distance > CLEAR_DISTANCE)

    def conditions(self, scene: SceneState) -> dict[str, Tensor]:
        """Term signal; `lifted`: the can is held above the floor; `in_bin`: it is in its compartment. Name -> (N,) bool."""
        lifted = scene.object_pose[:, 0, 2, 3] > FLOOR + HALF_HEIGHT + LIFTED
        return {**self.signals(scene), "lifted": lifted & self._is_held(scene), "in_bin": self._is_in_bin(scene)}

    def graspable(self) -> dict[str, tuple[Graspable, ...]]:
        return {"robot0": (Graspable("can", half_width=RADIUS, grip_pos=(0.0, 0.0, GRIP_HEIGHT)),)}

    @once_per_scene
    def _is_held(self, scene: SceneState) -> Tensor:
        return self.is_held(scene, GRASP_DISTANCE, GRIP_TOLERANCE)

    @once_per_scene
    def _is_in_bin(self, scene: SceneState) -> Tensor:
        offset = scene.object_pose[:, 0, :3, 3] - scene.object_pose[:, 1, :3, 3]
        from_center = (offset[:, :2] - offset.new_tensor(COMPARTMENT)).abs()
        within = (from_center < 0.5 * offset.new_tensor(COMPARTMENT_SIZE)).all(-1)
        return within & (offset[:, 2] > 0.0) & (offset[:, 2] < BIN_HEIGHT)


def make_task() -> RobosuiteCan:
    return RobosuiteCan()

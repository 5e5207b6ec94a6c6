"""robosuite's TwoArmLift: signals, success and reasons of failure."""

# N envs

import math

import torch
from torch import Tensor

from isaaclab_mimic_ext.task.definition import Arm, Graspable, SceneObject, SceneState
from isaaclab_mimic_ext.task.reasons import FailureReason
from isaaclab_mimic_ext.task.robosuite import RobosuiteTask

TABLE_HEIGHT = 0.8
"""Height of the table in robosuite's world frame [m]."""
POT_HALF = 0.07
"""Half the edge length of the pot [m]. Its frame is in its center."""
HANDLE_Y, HANDLE_Z, HANDLE_RADIUS = 0.16, 0.06, 0.01
"""Position and half the width of the bars of the handles in the frame of the pot [m]. The bars are parallel to x."""
SIDES = (1.0, -1.0)
"""Sign of y of the handle of each arm."""

GRASP_DISTANCE = 0.03
"""Largest distance of the grip site from the line in the middle of a held bar [m]."""
BAR_HALF = 0.04
"""Largest distance of the grip site from the middle of a held bar along the bar [m]."""
GRIP_TOLERANCE = 0.004
"""Largest difference between the gap of the fingers and the width of the bar while they hold it [m]."""
LIFTED = 0.1
"""Height of the bottom of the pot above the table from which robosuite considers the pot lifted [m]."""


class RobosuiteTwoArmLift(RobosuiteTask):
    """Two Pandas face each other. Each grasps a handle of a pot, then both lift the pot."""

    name = "robosuite_two_arm_lift"
    environment = "TwoArmLift"
    robots = ("Panda", "Panda")
    arms = (
        Arm("robot0", "robot0", base_pos=(0.0, -0.56, 0.0), base_yaw=0.5 * math.pi),
        Arm("robot1", "robot1", base_pos=(0.0, 0.56, 0.0), base_yaw=-0.5 * math.pi),
    )
    bodies = {"pot": "pot_root"}  # noqa: RUF012
    objects = (
        SceneObject(
            "pot", 0.18, TABLE_HEIGHT + POT_HALF, (0.0, 0.0), half_size=(POT_HALF, HANDLE_Y + HANDLE_RADIUS, POT_HALF)
        ),
    )
    signal_names = ("robot0_grasp", "robot1_grasp")
    table_bounds = ((-0.4, 0.4), (-0.4, 0.4))
    quaternion_columns = {"object": (3,)}  # noqa: RUF012
    failure_reasons = (
        FailureReason("robot0 never grasped its handle", "robot0_grasp"),
        FailureReason("robot1 never grasped its handle", "robot1_grasp"),
        FailureReason("the pot was never lifted", "lifted"),
        FailureReason("the pot was dropped", "lifted", "lost"),
    )

    def signals(self, scene: SceneState) -> dict[str, Tensor]:
        """Term signals `robot0_grasp`, `robot1_grasp`: the arm holds its handle. Name -> (N,) bool."""
        return {name: self._holds(scene, arm) for arm, name in enumerate(self.signal_names)}

    def success(self, scene: SceneState) -> Tensor:
        """Return whether the pot is lifted, (N,) bool."""
        return scene.object_pose[:, 0, 2, 3] - POT_HALF > TABLE_HEIGHT + LIFTED

    def conditions(self, scene: SceneState) -> dict[str, Tensor]:
        """Term signals, and `lifted`: the pot is lifted. Name -> (N,) bool."""
        return {**self.signals(scene), "lifted": self.success(scene)}

    def graspable(self) -> dict[str, tuple[Graspable, ...]]:
        grips = [(0.0, side * HANDLE_Y, HANDLE_Z) for side in SIDES]
        return {
            arm.eef_name: (Graspable("pot", half_width=HANDLE_RADIUS, grip_pos=grip),)
            for arm, grip in zip(self.arms, grips, strict=True)
        }

    def _holds(self, scene: SceneState, arm: int) -> Tensor:
        """Return whether an arm holds its handle, (N,) bool."""
        pot = scene.object_pose[:, 0]
        offset = scene.eef_pose[:, arm, :3, 3] - pot[:, :3, 3]
        in_pot = (pot[:, :3, :3] * offset[..., None]).sum(-2)
        across = in_pot[:, 1:] - in_pot.new_tensor((SIDES[arm] * HANDLE_Y, HANDLE_Z))
        near = (torch.linalg.vector_norm(across, dim=-1) < GRASP_DISTANCE) & (in_pot[:, 0].abs() < BAR_HALF)
        gap = scene.finger_pos[:, arm].sum(-1)
        return near & ((gap - 2 * HANDLE_RADIUS).abs() < GRIP_TOLERANCE)


def make_task() -> RobosuiteTwoArmLift:
    return RobosuiteTwoArmLift()

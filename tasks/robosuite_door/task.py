"""robosuite's Door: signals, success and reasons of failure."""

# N envs

import torch
from torch import Tensor

from isaaclab_mimic_ext.task.definition import Graspable, SceneObject, SceneState, once_per_scene
from isaaclab_mimic_ext.task.reasons import FailureReason
from isaaclab_mimic_ext.task.robosuite import RobosuiteTask

# Frames of door and handle at rest: x to the hinge, y to the back of the door, z up. Sizes [m]
DOOR_HEIGHT = 1.1
"""Height of the center of the door in robosuite's world frame."""
HINGE = (0.255, 0.0, 0.0)
"""Position of the hinge in the frame of the door."""
GRIP = (0.12, -0.10, 0.0)
"""Position of the grip site in the frame of the handle while it holds the end of the handle."""
HANDLE_HALF = 0.02
"""Half the height of the bar of the handle."""

# Thresholds of signals and success
GRASP_DISTANCE = 0.03
"""Largest distance of the grip site from the end of a held handle [m]."""
GRIP_TOLERANCE = 0.006
"""Largest difference between the gap of the fingers and the height of the bar while they hold it [m]."""
UNLATCHED = 1.2
"""Angle of the handle from which the latch is clear of the frame [rad]."""
OPEN = 0.3
"""Angle of the door from which robosuite considers it open [rad]."""


class RobosuiteDoor(RobosuiteTask):
    """A Panda grasps the handle of a door, turns it, and pulls the door open."""

    name = "robosuite_door"
    environment = "Door"
    bodies = {"frame": "Door_frame", "door": "Door_door", "handle": "Door_latch"}  # noqa: RUF012
    placed = ("Door_main",)
    objects = (
        SceneObject("frame", 0.59, DOOR_HEIGHT, (0.1, -0.35), half_size=(0.3, 0.03, 0.3), fixed=True),
        SceneObject("door", 0.23, DOOR_HEIGHT, (-0.2, -0.35), half_size=(0.22, 0.02, 0.29)),
        SceneObject("handle", 0.2, DOOR_HEIGHT - 0.025, (-0.03, -0.35), half_size=(0.15, 0.12, 0.03)),
    )
    signal_names = ("grasp", "unlatched")
    table_bounds = ((-0.6, 0.6), (-0.6, 0.4))
    failure_reasons = (
        FailureReason("the handle was never grasped", "grasp"),
        FailureReason("the handle was not turned far enough", "unlatched"),
        FailureReason("the door was not opened far enough", "open"),
    )

    def signals(self, scene: SceneState) -> dict[str, Tensor]:
        """Term signals `grasp`: the gripper holds the handle; `unlatched`: the held handle is turned. Name -> (N,) bool."""
        held = self._is_held(scene)
        return {"grasp": held, "unlatched": held & (self._handle_angle(scene) > UNLATCHED)}

    def success(self, scene: SceneState) -> Tensor:
        """Return whether the door is open, (N,) bool."""
        frame, door = scene.object_pose[:, 0, :3, 0], scene.object_pose[:, 1, :3, 0]
        sine = frame[:, 0] * door[:, 1] - frame[:, 1] * door[:, 0]
        return torch.asin(sine.clamp(-1.0, 1.0)) > OPEN

    def conditions(self, scene: SceneState) -> dict[str, Tensor]:
        """Term signals, and `open`: the door is open. Name -> (N,) bool."""
        return {**self.signals(scene), "open": self.success(scene)}

    def graspable(self) -> dict[str, tuple[Graspable, ...]]:
        return {"robot0": (Graspable("handle", half_width=HANDLE_HALF, grip_pos=GRIP),)}

    @once_per_scene
    def _is_held(self, scene: SceneState) -> Tensor:
        return self.is_held(scene, GRASP_DISTANCE, GRIP_TOLERANCE)

    def _handle_angle(self, scene: SceneState) -> Tensor:
        """Angle by which the end of the handle is turned up, (N,) [rad]."""
        return torch.asin(scene.object_pose[:, 2, 2, 0].clamp(-1.0, 1.0))


def make_task() -> RobosuiteDoor:
    return RobosuiteDoor()

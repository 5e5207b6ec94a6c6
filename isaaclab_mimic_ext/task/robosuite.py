"""Tasks whose scenes are environments of robosuite."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from isaaclab_mimic_ext.task.definition import Arm, SceneState, Task

ENGINE = "robosuite"


class RobosuiteTask(Task):
    """Base class of tasks in an environment of robosuite, which places its objects itself.

    Poses are in robosuite's world frame, whose origin is on the floor below the middle of the table. End effectors are
    robosuite's grip sites. Signals are functions of poses and fingers, as in all tasks; trials are judged by robosuite's own
    `_check_success`. `success` approximates it from poses and fingers, for recorded states, which have no contacts.
    """

    engine = ENGINE
    arms: tuple[Arm, ...] = (Arm("robot0", "robot0"),)
    environment: str
    """Name of the environment in robosuite."""
    imports: tuple[str, ...] = ()
    """Modules that register environments with robosuite, such as `mimicgen`; each worker imports them first."""
    robots: tuple[str, ...] = ("Panda",)
    """Names of the robots in robosuite."""
    bodies: Mapping[str, str]
    """Object -> body of MuJoCo whose pose is the object's."""
    placed: tuple[str, ...] = ()
    """Bodies of MuJoCo that robosuite places in the model and not by a joint; their poses are recorded with the joints."""
    options: Mapping[str, Any] = {}
    """Further arguments of `robosuite.make`."""

    def is_held(self, scene: SceneState, max_distance: float, max_gap_error: float) -> Tensor:
        """Return whether the only arm holds the object that it can grasp (`graspable`), (N,) bool.

        Args:
            max_distance: largest distance of the grip site from the grip of the held object [m].
            max_gap_error: largest difference between the gap of the fingers and the width of the held object [m].
        """
        ((item,),) = self.graspable().values()
        pose = scene.object_pose[:, self.object_id(item.object_name)]
        grip = pose[:, :3, 3] + (pose[:, :3, :3] * pose.new_tensor(item.grip_pos)).sum(-1)
        distance = torch.linalg.vector_norm(scene.eef_pose[:, 0, :3, 3] - grip, dim=-1)
        gap = scene.finger_pos[:, 0].sum(-1)
        return (distance < max_distance) & ((gap - 2 * item.half_width).abs() < max_gap_error)

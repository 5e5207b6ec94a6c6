"""State of all envs in one buffer, which kernels fill and one copy passes on."""

# N envs, E arms, O objects, Q of them on joints, J entries of an arm's joint state

import math

import torch
from torch import Tensor

from isaaclab_mimic_ext.envs.robots import arms_of
from isaaclab_mimic_ext.task.definition import SceneState, Task


class SceneBuffer:
    """Memory of a `SceneState`, which is never replaced, so that recorded launches may refer to it.

    Attributes:
        views: tensors of the buffer by the names of the fields of `SceneState`.
    """

    def __init__(self, task: Task, num_envs: int, device: torch.device):
        num_arms, num_objects, num_joints = len(task.arms), len(task.objects), arms_of(task).num_joints + 2
        num_jointed = len(task.jointed_names)
        self._shapes = {
            "joint_pos": (num_envs, num_arms, num_joints),
            "joint_vel": (num_envs, num_arms, num_joints),
            "eef_pose": (num_envs, num_arms, 4, 4),
            "object_pose": (num_envs, num_objects, 4, 4),
            "root_pose": (num_envs, num_objects, 7),
            "root_velocity": (num_envs, num_objects, 6),
            "object_joint_pos": (num_envs, num_jointed),
            "object_joint_vel": (num_envs, num_jointed),
        }
        self._sizes = [math.prod(shape) for shape in self._shapes.values()]
        self._flat = torch.zeros(sum(self._sizes), device=device)
        self.views = self._split(self._flat)

    def _split(self, flat: Tensor) -> dict[str, Tensor]:
        parts = flat.split(self._sizes)
        return {name: part.view(shape) for (name, shape), part in zip(self._shapes.items(), parts, strict=True)}

    def scene(self, device: torch.device) -> SceneState:
        """Copy of the buffer on a device."""
        return SceneState(**self._split(self._flat.clone().to(device)))

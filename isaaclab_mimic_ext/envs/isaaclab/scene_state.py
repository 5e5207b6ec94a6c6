"""State of a scene as Isaac Lab's `scene.get_state(is_relative=True)`, with fewer operations."""

# N envs, K articulations and rigid objects

from typing import Any

import torch
from torch import Tensor

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.envs.base import NestedTensors
from isaaclab_mimic_ext.envs.isaaclab import compat


class SceneStateReader:
    """Reader of a scene's state. The returned tensors are valid until the next step or reset.

    Isaac Lab's method copies each value. This reader copies only root poses, all in one stack. Scenes whose state it does
    not reproduce, for example with deformable objects, are read by Isaac Lab's method.

    Args:
        scene: Isaac Lab's scene after the first reset.
    """

    def __init__(self, scene: Any):
        self._scene = scene
        self._is_known = _has_equal_leaves(self._read(), self._read_by_isaaclab())

    def read(self) -> NestedTensors:
        """State by group, asset and quantity, leaves (N, ...)."""
        return self._read() if self._is_known else self._read_by_isaaclab()

    def _read_by_isaaclab(self) -> NestedTensors:
        groups = compat.tree_from_isaaclab(self._scene.get_state(is_relative=True))
        return {group: assets for group, assets in groups.items() if assets}

    def _read(self) -> NestedTensors:
        articulations, objects = self._scene.articulations, self._scene.rigid_objects
        poses = iter(self._root_poses([asset.data for asset in (*articulations.values(), *objects.values())]))
        state = {
            "articulation": {
                name: {
                    "root_pose": next(poses),
                    "root_velocity": compat.tensor(asset.data.root_vel_w),
                    "joint_position": compat.tensor(asset.data.joint_pos),
                    "joint_velocity": compat.tensor(asset.data.joint_vel),
                }
                for name, asset in articulations.items()
            },
            "rigid_object": {
                name: {"root_pose": next(poses), "root_velocity": compat.tensor(asset.data.root_vel_w)}
                for name, asset in objects.items()
            },
        }
        return compat.tree_from_isaaclab({group: assets for group, assets in state.items() if assets})

    def _root_poses(self, data: list[Any]) -> tuple[Tensor, ...]:
        """Root poses in the env frame, K tensors (N, 7)."""
        if not data:
            return ()
        poses = torch.stack([compat.tensor(each.root_pose_w) for each in data])
        poses[..., :3] -= self._scene.env_origins
        return poses.unbind(0)


def _has_equal_leaves(one: NestedTensors, other: NestedTensors) -> bool:
    """Return whether two states have the same leaves in the same order, with equal values (NaN equals NaN)."""
    leaves, others = trees.flatten(one), trees.flatten(other)
    return list(leaves) == list(others) and all(
        torch.allclose(leaf, others[path], rtol=0.0, atol=0.0, equal_nan=True) for path, leaf in leaves.items()
    )

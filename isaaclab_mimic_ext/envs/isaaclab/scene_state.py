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
        fixed_roots_stay: whether only resets move the roots of articulations with a fixed base; these are read once then,
            until `forget_fixed_roots`.
    """

    def __init__(self, scene: Any, fixed_roots_stay: bool = False):
        self._scene = scene
        self._fixed_roots_stay = fixed_roots_stay
        self._fixed_roots: dict[str, dict[str, Tensor]] = {}
        self._is_known = _has_equal_leaves(self._read(), self._read_by_isaaclab())

    def read(self) -> NestedTensors:
        """State by group, asset and quantity, leaves (N, ...)."""
        return self._read() if self._is_known else self._read_by_isaaclab()

    def forget_fixed_roots(self) -> None:
        """Read the roots of articulations with a fixed base again in the next `read`."""
        self._fixed_roots.clear()

    def _read_by_isaaclab(self) -> NestedTensors:
        groups = compat.tree_from_isaaclab(self._scene.get_state(is_relative=True))
        return {group: assets for group, assets in groups.items() if assets}

    def _read(self) -> NestedTensors:
        articulations, objects = self._scene.articulations, self._scene.rigid_objects
        roots = self._roots({**articulations, **objects})
        state = {
            "articulation": {
                name: {
                    **roots[name],
                    "joint_position": compat.tensor(asset.data.joint_pos),
                    "joint_velocity": compat.tensor(asset.data.joint_vel),
                }
                for name, asset in articulations.items()
            },
            "rigid_object": {name: roots[name] for name in objects},
        }
        return compat.tree_from_isaaclab({group: assets for group, assets in state.items() if assets})

    def _roots(self, assets: dict[str, Any]) -> dict[str, dict[str, Tensor]]:
        """Root pose (N, 7) in the env frame and root velocity (N, 6) of each asset."""
        moving = {name: asset.data for name, asset in assets.items() if name not in self._fixed_roots}
        if not moving:
            return dict(self._fixed_roots)
        poses = torch.stack([compat.tensor(data.root_pose_w) for data in moving.values()])
        poses[..., :3] -= self._scene.env_origins
        roots = {
            name: {"root_pose": pose, "root_velocity": compat.tensor(data.root_vel_w)}
            for (name, data), pose in zip(moving.items(), poses.unbind(0), strict=True)
        }
        if self._fixed_roots_stay:
            fixed = [name for name in roots if getattr(assets[name], "is_fixed_base", False)]
            self._fixed_roots.update({name: {key: each.clone() for key, each in roots[name].items()} for name in fixed})
        return roots | self._fixed_roots


def _has_equal_leaves(one: NestedTensors, other: NestedTensors) -> bool:
    """Return whether two states have the same leaves in the same order, with equal values (NaN equals NaN)."""
    leaves, others = trees.flatten(one), trees.flatten(other)
    return list(leaves) == list(others) and all(
        torch.allclose(leaf, others[path], rtol=0.0, atol=0.0, equal_nan=True) for path, leaf in leaves.items()
    )

"""Objects of a task in an Isaac Lab scene: rigid bodies, and articulations for objects with parts on joints."""

# N envs, n of them addressed, O objects, Q of them on joints

from typing import Any

import torch
from torch import Tensor

from isaaclab_mimic_ext.envs.base import NestedTensors
from isaaclab_mimic_ext.envs.isaaclab import compat
from isaaclab_mimic_ext.task.definition import SceneState, Task
from isaaclab_mimic_ext.task.objects import articulations

_OF_JOINTS = ("joint_position", "joint_velocity")


def joint_name(object_name: str) -> str:
    """Name of the joint of an object on a joint."""
    return f"{object_name}_joint"


class SceneObjects:
    """Reader and writer of the objects of a task.

    An object without joints is an asset with its name. An object with parts on joints is an articulation with its name, in
    which it and each of its parts is a body with its name.
    """

    def __init__(self, scene: Any, task: Task):
        self._scene = scene
        parts = articulations(task.objects)
        root_of = {name: root for root, names in parts.items() for name in (root, *names)}
        self._bodies: list[tuple[Any, int | None]] = []
        for name in task.object_names:
            asset = scene[root_of.get(name, name)]
            self._bodies.append((asset, asset.find_bodies(name)[0][0] if name in root_of else None))
        self._parts = [(name, task.object_id(name)) for name in root_of]
        self._roots = [task.object_id(obj.name) for obj in task.objects if obj.name not in task.jointed_names]
        self._joints: dict[str, tuple[Any, list[int], list[int]]] = {}
        """For each articulation: asset, indices of its joints in the task's order, and their columns in (N, Q)."""
        for root, names in parts.items():
            joint_ids = scene[root].find_joints([joint_name(name) for name in names], preserve_order=True)[0]
            self._joints[root] = scene[root], joint_ids, [task.jointed_names.index(name) for name in names]
        self._num_joints = len(task.jointed_names)

    def world_poses(self) -> list[Tensor]:
        """Pose of each object in the world frame, O times (N, 7), in Isaac Lab's order [m]."""
        return [self._of_body(asset, body, "link_pose_w") for asset, body in self._bodies]

    def velocities(self) -> Tensor:
        """Linear and angular velocity of each object's center of mass, (N, O, 6) [m/s, rad/s]."""
        return torch.stack([self._of_body(asset, body, "com_vel_w") for asset, body in self._bodies], dim=1)

    def joints(self) -> tuple[Tensor, Tensor]:
        """Positions and velocities of the objects on joints, (N, Q) each [m, m/s; hinges rad, rad/s]."""
        state = self._scene.env_origins.new_zeros(2, len(self._scene.env_origins), self._num_joints)
        for asset, joint_ids, columns in self._joints.values():
            for values, name in zip(state, ("joint_pos", "joint_vel"), strict=True):
                values[:, columns] = compat.tensor(getattr(asset.data, name))[:, joint_ids]
        return state[0], state[1]

    def write(self, env_ids: Tensor, root_pose: Tensor, joint_pos: Tensor) -> None:
        """Write poses (n, O, 7), xyzw, env frame [m], and positions of the joints (n, Q) [m, rad], with zero velocities.

        The poses of objects on joints follow from the joints.
        """
        origin = self._scene.env_origins[env_ids]
        for index in self._roots:
            pose = root_pose[:, index]
            quat = compat.quat_to_isaaclab(pose[:, 3:])
            compat.write_root(self._bodies[index][0], torch.cat((pose[:, :3] + origin, quat), dim=-1), env_ids)
        for asset, joint_ids, columns in self._joints.values():
            position = joint_pos[:, columns].contiguous()
            compat.write_joints(asset, position, torch.zeros_like(position), joint_ids, env_ids)

    def recorded(self, state: NestedTensors, scene: SceneState) -> NestedTensors:
        """State of the scene as embedded engines record it: also with a root state for each body of an articulation.

        Args:
            state: state in Isaac Lab's layout, leaves (N, ...).
            scene: the same state.
        """
        bodies = {
            name: {"root_pose": scene.root_pose[:, index], "root_velocity": scene.root_velocity[:, index]}
            for name, index in self._parts
        }
        ordered = {
            root: {**state["articulation"][root], **{name: state["articulation"][root][name][:, ids] for name in _OF_JOINTS}}
            for root, (_, ids, _) in self._joints.items()
        }
        return {
            **state,
            "articulation": {**state["articulation"], **ordered},
            "rigid_object": {**state.get("rigid_object", {}), **bodies},
        }

    def in_isaaclab_order(self, state: NestedTensors) -> NestedTensors:
        """A recorded state with the joints of the articulations in the order of Isaac Lab's assets."""
        ordered = {
            root: {
                **state["articulation"][root],
                **{name: _scattered(state["articulation"][root][name], ids) for name in _OF_JOINTS},
            }
            for root, (_, ids, _) in self._joints.items()
        }
        return {**state, "articulation": {**state["articulation"], **ordered}}

    @staticmethod
    def _of_body(asset: Any, body: int | None, quantity: str) -> Tensor:
        """A quantity (N, K) of a body of an articulation, or of a rigid object (`body` is None)."""
        if body is None:
            return compat.tensor(getattr(asset.data, f"root_{quantity}"))
        return compat.tensor(getattr(asset.data, f"body_{quantity}"))[:, body]


def _scattered(values: Tensor, columns: list[int]) -> Tensor:
    """Values (N, K) with column i at `columns[i]`."""
    result = torch.empty_like(values)
    result[:, columns] = values
    return result

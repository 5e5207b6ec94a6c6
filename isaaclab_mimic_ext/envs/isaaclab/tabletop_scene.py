"""A table-top task's scene as Isaac Lab has it: reading it, and writing where trials begin."""

# N envs, n of them addressed, E arms, O objects, J = 9 joints of an arm (7 and two fingers)

from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from isaaclab_mimic_ext.envs.isaaclab import compat
from isaaclab_mimic_ext.envs.panda import EEF_OFFSET, NUM_ARM_JOINTS
from isaaclab_mimic_ext.math import matrix_from_quat_xyzw, pose_from_pos_rot
from isaaclab_mimic_ext.task import SceneState, Task, load_task

ARM_JOINTS = tuple(f"panda_joint{index + 1}" for index in range(NUM_ARM_JOINTS))
FINGER_JOINTS = ("panda_finger_joint1", "panda_finger_joint2")
HAND = "panda_hand"

_readers: WeakKeyDictionary[Any, "SceneReader"] = WeakKeyDictionary()


@cache
def cached_task(name: str) -> Task:
    """The task of that name, one for everybody."""
    return load_task(name)


def scene_reader(env: Any, task_name: str) -> "SceneReader":
    """The reader of an Isaac Lab env's scene; one an env."""
    if env not in _readers:
        _readers[env] = SceneReader(env, cached_task(task_name))
    return _readers[env]


class SceneReader:
    """The present of an Isaac Lab env as a `SceneState`, whose assets have the names of the task's arms and objects."""

    def __init__(self, env: Any, task: Task):
        self.task = task
        self._scene = env.scene
        self._arms = [env.scene[arm.name] for arm in task.arms]
        self._objects = [env.scene[name] for name in task.object_names]
        names = [*ARM_JOINTS, *FINGER_JOINTS]
        self.joint_ids = [arm.find_joints(names, preserve_order=True)[0] for arm in self._arms]
        self._hands = [arm.find_bodies(HAND)[0][0] for arm in self._arms]

    def read(self) -> SceneState:
        """The state of all envs, env frame."""
        origin = self._scene.env_origins
        arms = [arm.data for arm in self._arms]
        ids = self.joint_ids
        root_pose = torch.stack([self._root_pose(asset.data, origin) for asset in self._objects], dim=1)
        return SceneState(
            joint_pos=torch.stack([compat.tensor(arm.joint_pos)[:, i] for arm, i in zip(arms, ids, strict=True)], dim=1),
            joint_vel=torch.stack([compat.tensor(arm.joint_vel)[:, i] for arm, i in zip(arms, ids, strict=True)], dim=1),
            eef_pose=torch.stack([self._eef_pose(arm, i, origin) for arm, i in zip(arms, self._hands, strict=True)], dim=1),
            object_pose=pose_from_pos_rot(root_pose[..., :3], matrix_from_quat_xyzw(root_pose[..., 3:])),
            root_pose=root_pose,
            root_velocity=torch.stack([compat.tensor(asset.data.root_com_vel_w) for asset in self._objects], dim=1),
        )

    def _eef_pose(self, arm: Any, hand: int, origin: Tensor) -> Tensor:
        quat_xyzw = compat.quat_from_isaaclab(compat.tensor(arm.body_link_quat_w)[:, hand])
        rot = matrix_from_quat_xyzw(quat_xyzw)
        pos = compat.tensor(arm.body_link_pos_w)[:, hand] - origin + EEF_OFFSET * rot[..., 2]
        return pose_from_pos_rot(pos, rot)

    def _root_pose(self, asset: Any, origin: Tensor) -> Tensor:
        pos = compat.tensor(asset.root_link_pos_w) - origin
        return torch.cat((pos, compat.quat_from_isaaclab(compat.tensor(asset.root_link_quat_w))), dim=-1)

    def write(self, env_ids: Tensor, joint_pos: Tensor, root_pose: Tensor) -> None:
        """Put everything of some envs to rest: joints (n, E, J) and objects (n, O, 7) xyzw, env frame."""
        origin = self._scene.env_origins[env_ids]
        for index, arm in enumerate(self._arms):
            position = joint_pos[:, index].contiguous()
            compat.write_joints(arm, position, torch.zeros_like(position), self.joint_ids[index], env_ids)
        for index, asset in enumerate(self._objects):
            pose = root_pose[:, index]
            quat = compat.quat_to_isaaclab(pose[:, 3:])
            compat.write_root(asset, torch.cat((pose[:, :3] + origin, quat), dim=-1), env_ids)

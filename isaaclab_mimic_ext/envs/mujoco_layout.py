"""Indices of a task's arms and objects in MuJoCo's arrays."""

# E arms, O objects, F of them free, B fixed or on joints, M fixed, Q on joints, A joints of an arm, G joints and K actuators
# of its gripper

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from isaaclab_mimic_ext.envs.mujoco_model import arm_actuators, arm_joints
from isaaclab_mimic_ext.envs.robots import arms_of
from isaaclab_mimic_ext.task.definition import Task

_QPOS_OF_POSE_XYZW = (0, 1, 2, 4, 5, 6, 3)
"""Index into a free joint's qpos (position, quaternion wxyz) of each entry of a pose (position, quaternion xyzw)."""


@dataclass(frozen=True)
class SceneLayout:
    """Indices into MuJoCo's arrays, int64.

    Attributes:
        joint_qpos, joint_dof: (E, A + G), into qpos and qvel, of the joints of arms and grippers.
        arm_joint: (E, A), ids of the arm joints.
        ctrl: (E, A + K), into ctrl, of the actuators of arms and grippers.
        eef_site: (E,), ids of the end effector sites.
        finger_site: (E, 2), ids of the sites of the fingers; (E, 0) if the G joints are the fingers.
        body: (O,), ids of the objects' bodies.
        free: (F,), indices of the free objects in all objects.
        root_qpos: (F, 7), into qpos, in the order position, quaternion xyzw.
        root_dof: (F, 6), into qvel, linear, then angular.
        bound: (B,), indices of the other objects in all objects.
        fixed: (M,), indices of the fixed objects in all objects.
        mocap: (M,), into mocap_pos and mocap_quat, of the fixed objects.
        object_qpos, object_dof: (Q,), into qpos and qvel, of the joints of objects.
    """

    joint_qpos: Tensor
    joint_dof: Tensor
    arm_joint: Tensor
    ctrl: Tensor
    eef_site: Tensor
    finger_site: Tensor
    body: Tensor
    free: Tensor
    root_qpos: Tensor
    root_dof: Tensor
    bound: Tensor
    fixed: Tensor
    mocap: Tensor
    object_qpos: Tensor
    object_dof: Tensor

    @classmethod
    def from_model(cls, model: Any, task: Task) -> "SceneLayout":
        """Indices of the task's arms and objects in a `mujoco.MjModel`."""
        arms = arms_of(task)
        joints = _ids(model.joint, [arm_joints(task, arm.name) for arm in task.arms])
        free = [obj.name for obj in task.objects if obj.is_free]
        fixed = [obj.name for obj in task.objects if obj.fixed]
        roots, on_objects = _ids(model.joint, free), _ids(model.joint, task.jointed_names)
        qpos, dof = torch.from_numpy(model.jnt_qposadr).long(), torch.from_numpy(model.jnt_dofadr).long()
        return cls(
            joint_qpos=qpos[joints],
            joint_dof=dof[joints],
            arm_joint=joints[:, : arms.num_joints],
            ctrl=_ids(model.actuator, [arm_actuators(task, arm.name) for arm in task.arms]),
            eef_site=_ids(model.site, [f"{arm.name}/eef" for arm in task.arms]),
            finger_site=_ids(model.site, [[f"{arm.name}/{site}" for site in arms.finger_sites] for arm in task.arms]),
            body=_ids(model.body, task.object_names),
            free=_indices(task, free),
            root_qpos=qpos[roots][:, None] + torch.tensor(_QPOS_OF_POSE_XYZW),
            root_dof=dof[roots][:, None] + torch.arange(6),
            bound=_indices(task, [obj.name for obj in task.objects if not obj.is_free]),
            fixed=_indices(task, fixed),
            mocap=torch.from_numpy(model.body_mocapid).long()[_ids(model.body, fixed)],
            object_qpos=qpos[on_objects],
            object_dof=dof[on_objects],
        )


def _ids(lookup: Any, names: Any) -> Tensor:
    """Ids of a nested sequence of names, int64."""
    ids = [lookup(name).id if isinstance(name, str) else _ids(lookup, name).tolist() for name in names]
    return torch.tensor(ids, dtype=torch.int64)


def _indices(task: Task, names: Iterable[str]) -> Tensor:
    """Indices of objects in all objects, int64."""
    return torch.tensor([task.object_id(name) for name in names], dtype=torch.int64)

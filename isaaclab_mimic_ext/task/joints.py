"""Poses and velocities of objects on joints, from the states of their bases and joints."""

# N envs, O objects, Q objects on joints

from collections.abc import Sequence

import torch
from torch import Tensor

from isaaclab_mimic_ext.math import matrix_from_axis_angle, pose_from_pos_rot, quat_xyzw_from_matrix
from isaaclab_mimic_ext.task.objects import SLIDE, SceneObject, jointed_objects


class ObjectJoints:
    """Kinematics of the objects on joints of a task.

    Attributes:
        objects: the Q objects on joints.
        ids: their indices in all objects.
    """

    def __init__(self, objects: Sequence[SceneObject], device: torch.device):
        names = [obj.name for obj in objects]
        self.objects = jointed_objects(objects)
        self.ids = tuple(names.index(obj.name) for obj in self.objects)
        self._base_ids = tuple(names.index(obj.base) for obj in self.objects)
        self._pos = torch.tensor([obj.pos for obj in self.objects], device=device).reshape(len(self.ids), 3)
        axis = torch.tensor([obj.axis for obj in self.objects], dtype=torch.float64).reshape(len(self.ids), 3)
        self._axis = (axis / axis.norm(dim=-1, keepdim=True)).to(device, torch.float32)
        self.limits = torch.tensor([obj.limits for obj in self.objects], device=device).reshape(len(self.ids), 2)
        self.start_pos = torch.tensor([obj.start_joint_pos for obj in self.objects], device=device)

    def __bool__(self) -> bool:
        return bool(self.ids)

    def place(self, object_pose: Tensor, joint_pos: Tensor) -> Tensor:
        """Poses (N, O, 4, 4) in which the objects on joints are at joint positions (N, Q) [m, rad]; a copy."""
        placed = object_pose.clone()
        for column, (object_id, base_id) in enumerate(zip(self.ids, self._base_ids, strict=True)):
            placed[:, object_id] = placed[:, base_id] @ self._offset(column, joint_pos[:, column])
        return placed

    def place_roots(self, root_pose: Tensor, object_pose: Tensor) -> Tensor:
        """Root poses (N, O, 7) with those of the objects on joints from `object_pose` (N, O, 4, 4); a copy."""
        placed = root_pose.clone()
        for object_id in self.ids:
            pose = object_pose[:, object_id]
            placed[:, object_id] = torch.cat((pose[:, :3, 3], quat_xyzw_from_matrix(pose[:, :3, :3])), dim=-1)
        return placed

    def velocities(self, object_pose: Tensor, root_velocity: Tensor, joint_vel: Tensor) -> Tensor:
        """Velocities (N, O, 6) with those of the objects on joints, from joint velocities (N, Q) [m/s, rad/s]; a copy."""
        moved = root_velocity.clone()
        for column, (object_id, base_id) in enumerate(zip(self.ids, self._base_ids, strict=True)):
            base = object_pose[:, base_id]
            along = (base[:, :3, :3] * self._axis[column].to(base.dtype)).sum(-1) * joint_vel[:, column, None]
            linear, angular = moved[:, base_id].split(3, dim=-1)
            lever = object_pose[:, object_id, :3, 3] - base[:, :3, 3]
            linear = linear + torch.linalg.cross(angular, lever)
            if self._slides(column):
                linear = linear + along
            else:
                angular = angular + along
            moved[:, object_id] = torch.cat((linear, angular), dim=-1)
        return moved

    def follow(self, column: int, object_pose: Tensor, grip_pos: Tensor, hand_pos: Tensor, joint_pos: Tensor) -> Tensor:
        """Joint positions (N,) of one object that bring a point of it as near to a hand as the joint allows.

        Args:
            column: index of the object in 0 ... Q - 1.
            object_pose: (N, O, 4, 4).
            grip_pos: (N, 3), point in the frame of the object [m].
            hand_pos: (N, 3), position of the hand, env frame [m].
            joint_pos: (N,), present position [m, rad].
        """
        base, axis = object_pose[:, self._base_ids[column]], self._axis[column]
        from_origin = hand_pos - base[:, :3, 3]
        hand = (base[:, :3, :3] * from_origin[..., None]).sum(-2) - self._pos[column]
        if self._slides(column):
            goal = ((hand - grip_pos) * axis).sum(-1)
        else:
            goal = joint_pos + self._turn(axis, self._rotated(column, grip_pos, joint_pos), hand)
        return goal.clamp(*self.limits[column])

    def _rotated(self, column: int, vector: Tensor, angle: Tensor) -> Tensor:
        return (matrix_from_axis_angle(self._axis[column] * angle[:, None]) * vector[:, None]).sum(-1)

    @staticmethod
    def _turn(axis: Tensor, start: Tensor, goal: Tensor) -> Tensor:
        """Angle (N,) about `axis` from vectors `start` to `goal`, (N, 3) each, in (-pi, pi) [rad]."""
        start = start - (start * axis).sum(-1, keepdim=True) * axis
        goal = goal - (goal * axis).sum(-1, keepdim=True) * axis
        sin = (torch.linalg.cross(start, goal) * axis).sum(-1)
        cos = (start * goal).sum(-1)
        # Half of the angle: its tangent is defined for all angles but half a turn. `atan2` would depend on N.
        return 2.0 * torch.atan(sin / ((sin * sin + cos * cos).sqrt() + cos).clamp(min=1e-12))

    def _slides(self, column: int) -> bool:
        return self.objects[column].kind == SLIDE

    def _offset(self, column: int, joint_pos: Tensor) -> Tensor:
        """Poses (N, 4, 4) of one object in the frame of its base."""
        motion = self._axis[column].to(joint_pos.dtype) * joint_pos[:, None]
        pos = self._pos[column].to(joint_pos.dtype).expand_as(motion)
        if self._slides(column):
            rot = torch.eye(3, dtype=motion.dtype, device=motion.device).expand(len(motion), 3, 3)
            return pose_from_pos_rot(pos + motion, rot)
        return pose_from_pos_rot(pos, matrix_from_axis_angle(motion))


def joint_columns(objects: Sequence[SceneObject], names: Sequence[str]) -> list[int]:
    """Columns of objects on joints in tensors (N, Q)."""
    order = [obj.name for obj in jointed_objects(objects)]
    return [order.index(name) for name in names]

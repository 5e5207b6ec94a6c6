"""Forward kinematics of a chain of hinge joints, batched, and postures that reach a pose."""

# B postures, A arm joints

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from isaaclab_mimic_ext.envs.panda.kinematics import joint_step, point_jacobian, pose_error
from isaaclab_mimic_ext.math import matrix_from_axis_angle, pose_from_pos_rot

_NUM_SEEDS, _NUM_STEPS, _MAX_STEP = 96, 60, 0.5
_NUM_STEPS_PER_POSE = 15
_POS_TOLERANCE, _ROT_TOLERANCE = 1e-3, 0.02
_WANTED_MARGIN, _MARGIN_WEIGHT = 0.1, 4.0
"""Fraction of its range that a joint keeps from its limits if possible, and weight of what is missing."""


@dataclass(frozen=True)
class Chain:
    """Arm joints between the base and the end effector.

    Attributes:
        fixed: (A + 1, 4, 4), pose of each joint in the frame behind the previous joint, then that of the end effector [m].
        axis: (A, 3), axis of each joint, unit length.
        zero: (A,), angle at which a joint does not turn its frame [rad].
    """

    fixed: Tensor
    axis: Tensor
    zero: Tensor

    def poses(self, joint_pos: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """End effector poses (..., 4, 4), points on the axes (..., A, 3) and directions of the axes (..., A, 3), base frame.

        Args:
            joint_pos: (..., A) [rad].
        """
        fixed, axis = self.fixed.to(joint_pos), self.axis.to(joint_pos)
        turns = matrix_from_axis_angle((joint_pos - self.zero.to(joint_pos))[..., None] * axis)
        pose = fixed[0].expand(*joint_pos.shape[:-1], 4, 4)
        anchors, axes = [], []
        for index in range(len(axis)):
            anchors.append(pose[..., :3, 3])
            axes.append((pose[..., :3, :3] * axis[index]).sum(-1))
            rot = pose[..., :3, :3] @ turns[..., index, :, :]
            pose = pose_from_pos_rot(pose[..., :3, 3], rot) @ fixed[index + 1]
        return pose, torch.stack(anchors, -2), torch.stack(axes, -2)

    def forward(self, joint_pos: Tensor) -> Tensor:
        """End effector poses (..., 4, 4), base frame [m], from arm joint angles (..., A) [rad]."""
        return self.poses(joint_pos)[0]

    def turned(self) -> "Chain":
        """Chain whose end effector is turned by half a turn about its z axis, which is the same for two fingers."""
        fixed = self.fixed.clone()
        fixed[-1, :, :2] *= -1.0
        return Chain(fixed, self.axis, self.zero)

    def distances(self, eef_pose: Tensor, start: Sequence[float], limits: Tensor, rot_weight: float) -> Tensor:
        """Distances (T,) of the end effector from the poses (T, 4, 4) of a path that the chain follows from `start` [m].

        Args:
            limits, rot_weight: as in `postures`.
        """
        low, high = limits.double().unbind(-1)
        joint_pos = torch.tensor(start, dtype=torch.float64)[None]
        found = []
        for target in eef_pose.double():
            for _ in range(_NUM_STEPS_PER_POSE):
                pose, anchor, axis = self.poses(joint_pos)
                error = pose_error(target[None], pose)
                if float(error.norm()) < _POS_TOLERANCE:
                    break
                jacobian = point_jacobian(pose[:, :3, 3], anchor, axis)
                step = joint_step(jacobian, error, torch.zeros_like(joint_pos), 0.02, rot_weight, _MAX_STEP)
                joint_pos = (joint_pos + step).clamp(low, high)
            found.append((self.forward(joint_pos)[0, :3, 3] - target[:3, 3]).norm())
        return torch.stack(found)

    def postures(self, target: Tensor, limits: Tensor, rot_weight: float) -> tuple[Tensor, Tensor]:
        """Postures (B, A) [rad] that reach a pose (4, 4), base frame [m], the best first, and their scores (B,).

        The best postures are far from singular postures and joint limits, with links high and in the plane y = 0.

        Args:
            limits: (A, 2), lower and upper limit of each joint [rad].
            rot_weight: weight of the rotation, see `joint_step`.
        """
        low, high = limits.double().clamp(-torch.pi, torch.pi).unbind(-1)
        generator = torch.Generator().manual_seed(0)
        joint_pos = low + torch.rand(_NUM_SEEDS, len(low), generator=generator, dtype=torch.float64) * (high - low)
        target = target.double().expand(_NUM_SEEDS, 4, 4)
        for _ in range(_NUM_STEPS):
            pose, anchor, axis = self.poses(joint_pos)
            jacobian, error = point_jacobian(pose[:, :3, 3], anchor, axis), pose_error(target, pose)
            step = joint_step(jacobian, error, torch.zeros_like(joint_pos), 0.02, rot_weight, _MAX_STEP)
            joint_pos = (joint_pos + step).clamp(low, high)
        pose, anchor, axis = self.poses(joint_pos)
        error = pose_error(target, pose)
        reached = (error[:, :3].norm(dim=-1) < _POS_TOLERANCE) & (rot_weight * error[:, 3:].norm(dim=-1) < _ROT_TOLERANCE)
        singular = torch.linalg.svdvals(point_jacobian(pose[:, :3, 3], anchor, axis))[:, -1]
        margin = (torch.minimum(joint_pos - low, high - joint_pos) / (high - low)).amin(-1)
        score = posture_scores(singular, anchor, margin)
        order = score.masked_fill(~reached, -torch.inf).argsort(descending=True, stable=True)
        best = order[: int(reached.sum())]
        return joint_pos[best], score[best]


def posture_scores(singular: Tensor, anchor: Tensor, margin: Tensor) -> Tensor:
    """Scores (B,) of postures, the highest for the best.

    Args:
        singular: (B,), smallest singular value of the Jacobian.
        anchor: (B, A, 3), points on the joint axes, base frame [m].
        margin: (B,), smallest distance of a joint from its limits, as a fraction of its range.
    """
    # Near a limit, a joint stops and the hand leaves its path.
    free = _MARGIN_WEIGHT * margin.clamp(max=_WANTED_MARGIN) + 0.5 * margin
    return singular + 0.5 * anchor[..., 2].mean(-1) - anchor[..., 1].abs().mean(-1) + free

"""Kinematics of the Franka Emika Panda: published modified Denavit-Hartenberg parameters and joint limits."""

# E arms of an env, B arms (of all envs), J = 7 arm joints

import math
from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from isaaclab_mimic_ext.math import axis_angle_from_matrix, pose_from_pos_rot, yaw_matrix
from isaaclab_mimic_ext.task.definition import Arm

NUM_ARM_JOINTS = 7

FINGER_OPEN = 0.04
"""Distance of a finger from the middle of the open gripper [m]."""

HOME = (0.0444, -0.1894, -0.1107, -2.5148, 0.0044, 2.3775, 0.6952, FINGER_OPEN, FINGER_OPEN)
"""Start posture of Isaac Lab's Franka stack task, hand pointing down: seven joint angles [rad], two finger positions [m]."""

JOINT_LIMITS = (
    (-2.8973, 2.8973), (-1.7628, 1.7628), (-2.8973, 2.8973), (-3.0718, -0.0698),
    (-2.8973, 2.8973), (-0.0175, 3.7525), (-2.8973, 2.8973),
)  # fmt: skip
"""Lower and upper limit of each arm joint [rad]."""

DH_PARAMETERS = (
    (0.0, 0.333, 0.0),
    (0.0, 0.0, -math.pi / 2),
    (0.0, 0.316, math.pi / 2),
    (0.0825, 0.0, math.pi / 2),
    (-0.0825, 0.384, -math.pi / 2),
    (0.0, 0.0, math.pi / 2),
    (0.088, 0.0, math.pi / 2),
)
"""(a [m], d [m], alpha [rad]) of each joint, in Craig's convention."""

FLANGE_OFFSET = 0.107
"""Distance from joint 7 to the flange, along z [m]."""

HAND_YAW = -math.pi / 4
"""Rotation of the hand about the flange's z axis [rad]."""

EEF_OFFSET = 0.1034
"""Distance from the hand frame to the end effector frame between the finger tips, along z [m]."""

HAND_BOXES = (
    ((0.0, 0.0, -0.020), (0.012, 0.055, 0.030)),
    ((0.0, 0.0, -0.070), (0.024, 0.102, 0.028)),
    ((0.0, 0.0, -0.160), (0.060, 0.060, 0.065)),
)
"""Center and half size of the bounding boxes of open fingers, palm and flange, in the end effector's frame [m]."""

WRIST = (0.0, 0.0, -0.21)
"""Intersection of the axes of joints 6 and 7, without their offset of 88 mm, in the end effector's frame [m]."""

IK_DAMPING = 0.05
"""Damping of the inverse kinematics [m, rad]: bounds the joint steps near singular postures."""

POSTURE_GAIN = 0.05
"""Fraction of the distance to the home posture that the redundant joint moves per control step."""

SHOULDER_HEIGHT = DH_PARAMETERS[0][1]
"""Height of the shoulder (joint 2) above the base [m]."""

MAX_REACH = 0.78
"""Largest distance of the wrist from the shoulder: stretched upper arm and forearm, plus the wrist's offset [m]."""


def forward_kinematics(joint_pos: Tensor) -> Tensor:
    """End effector poses (..., 4, 4), base frame [m], from arm joint angles (..., 7) [rad]."""
    pose = _link(joint_pos[..., 0], *DH_PARAMETERS[0])
    for index in range(1, NUM_ARM_JOINTS):
        pose = pose @ _link(joint_pos[..., index], *DH_PARAMETERS[index])
    return pose @ _link(torch.full_like(joint_pos[..., 0], HAND_YAW), 0.0, FLANGE_OFFSET + EEF_OFFSET, 0.0)


def _link(theta: Tensor, a: float, d: float, alpha: float) -> Tensor:
    """Modified Denavit-Hartenberg transforms (..., 4, 4) for joint angles (...)."""
    cos, sin, zero, one = torch.cos(theta), torch.sin(theta), torch.zeros_like(theta), torch.ones_like(theta)
    ca, sa = math.cos(alpha), math.sin(alpha)
    elements = (
        cos, -sin, zero, a * one,
        sin * ca, cos * ca, -sa * one, -sa * d * one,
        sin * sa, cos * sa, ca * one, ca * d * one,
        zero, zero, zero, one,
    )  # fmt: skip
    return torch.stack(elements, dim=-1).unflatten(-1, (4, 4))


def base_poses(arms: Sequence[Arm], device: torch.device | None = None) -> Tensor:
    """Poses of the arms' bases, (E, 4, 4), env frame [m]."""
    yaw = torch.tensor([arm.base_yaw for arm in arms], device=device)
    pos = torch.tensor([arm.base_pos for arm in arms], device=device)
    return pose_from_pos_rot(pos, yaw_matrix(yaw))


def point_jacobian(point: Tensor, anchor: Tensor, axis: Tensor) -> Tensor:
    """Jacobians (B, 6, J), three linear rows, then three angular, of points on the last links of chains of hinge joints.

    Args:
        point: (B, 3), all in one frame [m].
        anchor: (B, J, 3), a point on the axis of each joint [m].
        axis: (B, J, 3), direction of the axis, unit length.
    """
    linear = torch.linalg.cross(axis, point[:, None] - anchor)
    return torch.cat((linear, axis), dim=-1).transpose(-1, -2)


def pose_error(target_pose: Tensor, pose: Tensor) -> Tensor:
    """Difference (B, 6) from poses (B, 4, 4) to target poses (B, 4, 4): translation [m], then rotation vector [rad]."""
    rot = torch.bmm(target_pose[:, :3, :3], pose[:, :3, :3].transpose(-1, -2))
    return torch.cat((target_pose[:, :3, 3] - pose[:, :3, 3], axis_angle_from_matrix(rot)), dim=-1)


def joint_step(
    jacobian: Tensor,
    error: Tensor,
    posture_step: Tensor,
    damping: float,
    rot_weight: float = 1.0,
    max_step: float = math.inf,
) -> Tensor:
    """Joint steps (B, J) [rad] of damped least squares (Wampler 1986), with a preferred step instead of zero.

    Minimizes |jacobian dq - error|^2 + damping^2 |dq - posture_step|^2.

    Args:
        jacobian: (B, 6, J), from `point_jacobian`.
        error: (B, 6), from `pose_error` [m, rad].
        posture_step: (B, J), preferred step; it acts where `error` leaves the joints free [rad].
        rot_weight: factor of the angular rows [m/rad].
        max_step: largest step of a joint [rad].
    """
    if rot_weight != 1.0:
        weight = _task_weight(rot_weight, jacobian.dtype, jacobian.device)
        jacobian, error = weight[:, None] * jacobian, weight * error
    jacobian_t = jacobian.transpose(-1, -2)
    gram = torch.bmm(jacobian, jacobian_t)
    gram.diagonal(dim1=-2, dim2=-1).add_(damping**2)
    rest = error[..., None] - torch.bmm(jacobian, posture_step[..., None])
    # Without check of errors: one unstable scene must not stop the others.
    solution = torch.linalg.solve_ex(gram, rest, check_errors=False).result
    return (posture_step + torch.bmm(jacobian_t, solution).squeeze(-1)).clamp(-max_step, max_step)


@cache
def _task_weight(rot_weight: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Factors of the six rows of a Jacobian."""
    return torch.tensor([1.0] * 3 + [rot_weight] * 3, dtype=dtype, device=device)

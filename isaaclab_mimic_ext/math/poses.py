"""Poses as homogeneous matrices (..., 4, 4), rotations as matrices (..., 3, 3), quaternions in the order xyzw.

Row i of each result depends bitwise only on row i of the input, at any batch size: trials must not change with the number
of envs. Therefore this module uses only elementwise operations and batched products, and `atan` instead of `atan2`. In
torch on the CPU, the vectorized body and the scalar tail of `atan2` round differently.
"""

from functools import cache

import torch
from torch import Tensor

_SMALL = 1e-12


def pose_from_pos_rot(pos: Tensor, rot: Tensor) -> Tensor:
    """Poses (..., 4, 4) from positions (..., 3) [m] and rotation matrices (..., 3, 3)."""
    upper = torch.cat((rot, pos[..., None]), dim=-1)
    return torch.cat((upper, _last_row(pos.dtype, pos.device).expand(*pos.shape[:-1], 1, 4)), dim=-2)


@cache
def _last_row(dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor([[0.0, 0.0, 0.0, 1.0]], dtype=dtype, device=device)


def pose_from_pos_quat(pos: Tensor, quat_xyzw: Tensor) -> Tensor:
    """Poses (..., 4, 4) from positions (..., 3) [m] and quaternions (..., 4)."""
    return pose_from_pos_rot(pos, matrix_from_quat_xyzw(quat_xyzw))


def invert_pose(pose: Tensor) -> Tensor:
    """Inverse of rigid poses (..., 4, 4)."""
    rot_t = pose[..., :3, :3].transpose(-1, -2)
    pos = -(rot_t * pose[..., None, :3, 3]).sum(-1)
    return pose_from_pos_rot(pos, rot_t)


def matrix_from_quat_xyzw(quat_xyzw: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) from quaternions (..., 4) of any norm > 0."""
    x, y, z, w = quat_xyzw.unbind(-1)
    s = 2.0 / (quat_xyzw * quat_xyzw).sum(-1)
    elements = (
        1 - s * (y * y + z * z), s * (x * y - z * w), s * (x * z + y * w),
        s * (x * y + z * w), 1 - s * (x * x + z * z), s * (y * z - x * w),
        s * (x * z - y * w), s * (y * z + x * w), 1 - s * (x * x + y * y),
    )  # fmt: skip
    return torch.stack(elements, dim=-1).unflatten(-1, (3, 3))


def rotate(vector: Tensor, quat_xyzw: Tensor) -> Tensor:
    """Vectors (..., 3), rotated by unit quaternions (..., 4)."""
    axis = quat_xyzw[..., :3]
    twice = 2.0 * torch.linalg.cross(axis, vector)
    return vector + quat_xyzw[..., 3:] * twice + torch.linalg.cross(axis, twice)


def quat_xyzw_from_matrix(rot: Tensor) -> Tensor:
    """Unit quaternions (..., 4) with w >= 0 from rotation matrices (..., 3, 3), by Shepperd's method.

    There are four formulas, each divides by a different component of q. The formula of the largest component is used, so
    that the result is also exact near half turns. The candidates, 4 q_i q for each i, are linear in the elements of the
    matrix.
    """
    one = _one(rot.dtype, rot.device).expand(*rot.shape[:-2], 1)
    elements = torch.cat((rot.flatten(-2), one), dim=-1)
    candidates = (elements[..., None, None, :] * _quat_candidates(rot.dtype, rot.device)).sum(-1)
    largest = candidates.diagonal(dim1=-2, dim2=-1).argmax(-1, keepdim=True).unsqueeze(-1)
    quat = candidates.gather(-2, largest.expand(*largest.shape[:-1], 4)).squeeze(-2)
    quat = torch.where(quat[..., 3:] < 0, -quat, quat)
    return quat / quat.square().sum(-1, keepdim=True).sqrt()


@cache
def _one(dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.ones(1, dtype=dtype, device=device)


@cache
def _quat_candidates(dtype: torch.dtype, device: torch.device) -> Tensor:
    """Weights (4, 4, 10): entry (i, j) weights the nine elements of a rotation matrix and 1 into the sum 4 q_i q_j."""
    one = 9
    signed_elements = (
        (((0, 1), (4, -1), (8, -1), (one, 1)), ((1, 1), (3, 1)), ((2, 1), (6, 1)), ((7, 1), (5, -1))),
        (((1, 1), (3, 1)), ((0, -1), (4, 1), (8, -1), (one, 1)), ((5, 1), (7, 1)), ((2, 1), (6, -1))),
        (((2, 1), (6, 1)), ((5, 1), (7, 1)), ((0, -1), (4, -1), (8, 1), (one, 1)), ((3, 1), (1, -1))),
        (((7, 1), (5, -1)), ((2, 1), (6, -1)), ((3, 1), (1, -1)), ((0, 1), (4, 1), (8, 1), (one, 1))),
    )
    weights = torch.zeros(4, 4, 10, dtype=dtype)
    for i, row in enumerate(signed_elements):
        for j, terms in enumerate(row):
            for element, sign in terms:
                weights[i, j, element] = sign
    return weights.to(device)


def axis_angle_from_matrix(rot: Tensor) -> Tensor:
    """Rotation vectors (..., 3) [rad], of length <= pi, from rotation matrices (..., 3, 3)."""
    quat = quat_xyzw_from_matrix(rot)
    vec, w = quat[..., :3], quat[..., 3:]
    norm = vec.square().sum(-1, keepdim=True).sqrt()
    angle = 2.0 * torch.atan(norm / w.clamp(min=_SMALL))
    # For small angles both approach 0; the limit of their ratio is 2.
    return vec * (angle / norm.clamp(min=_SMALL)).masked_fill_(norm < 1e-6, 2.0)


def matrix_from_axis_angle(axis_angle: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) from rotation vectors (..., 3) [rad]."""
    half = 0.5 * axis_angle.square().sum(-1, keepdim=True).sqrt()
    scale = (0.5 * torch.sin(half) / half.clamp(min=_SMALL)).masked_fill_(half < 1e-6, 0.5)
    return matrix_from_quat_xyzw(torch.cat((axis_angle * scale, torch.cos(half)), dim=-1))


def yaw_matrix(yaw: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) about z from angles (...) [rad]."""
    cos, sin, zero, one = torch.cos(yaw), torch.sin(yaw), torch.zeros_like(yaw), torch.ones_like(yaw)
    return torch.stack((cos, -sin, zero, sin, cos, zero, zero, zero, one), dim=-1).unflatten(-1, (3, 3))


def rotation_angle(rot_a: Tensor, rot_b: Tensor) -> Tensor:
    """Angle of the rotation `rot_a @ rot_b^T`, (...) in [0, pi] [rad]. Float32 error: 1e-6 near 0, 1e-3 near pi."""
    chord = (rot_a - rot_b).square().sum((-1, -2))  # 8 sin^2(angle / 2)
    sin_half = (0.125 * chord).clamp(max=1.0).sqrt()
    cos_half = (1.0 - 0.125 * chord).clamp(min=0.0).sqrt()
    return 2.0 * torch.atan(sin_half / cos_half.clamp(min=_SMALL))


def interpolate_poses(start: Tensor, goal: Tensor, fraction: Tensor) -> Tensor:
    """Poses (..., 4, 4) at `fraction` (...) between start and goal: position linear, rotation along the geodesic."""
    fraction = fraction[..., None]
    pos = start[..., :3, 3] + fraction * (goal[..., :3, 3] - start[..., :3, 3])
    start_rot = start[..., :3, :3]
    step = axis_angle_from_matrix(start_rot.transpose(-1, -2) @ goal[..., :3, :3])
    rot = start_rot @ matrix_from_axis_angle(fraction * step)
    return pose_from_pos_rot(pos, rot)

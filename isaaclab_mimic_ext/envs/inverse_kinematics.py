"""Differential inverse kinematics by damped least squares, for many arms at once."""

# B arms (of all envs), J = 7 joints

import torch
from torch import Tensor

from isaaclab_mimic_ext.math import axis_angle_from_matrix


def point_jacobian(point: Tensor, anchor: Tensor, axis: Tensor) -> Tensor:
    """Jacobians (B, 6, J), linear above angular, of points (B, 3) [m] on the last links of chains of hinges.

    Args:
        anchor: (B, J, 3), a point on each hinge's axis [m].
        axis: (B, J, 3), its direction, unit length.
    """
    linear = torch.linalg.cross(axis, point[:, None] - anchor)
    return torch.cat((linear, axis), dim=-1).transpose(-1, -2)


def pose_error(target_pose: Tensor, pose: Tensor) -> Tensor:
    """Twists (B, 6) [m, rad] that lead from poses (B, 4, 4) to target poses."""
    rot = target_pose[:, :3, :3] @ pose[:, :3, :3].transpose(-1, -2)
    return torch.cat((target_pose[:, :3, 3] - pose[:, :3, 3], axis_angle_from_matrix(rot)), dim=-1)


def joint_step(jacobian: Tensor, error: Tensor, posture_step: Tensor, damping: float) -> Tensor:
    """Joint steps (B, J) [rad] towards the target, and along `posture_step` (B, J) as far as the target leaves free.

    Minimises |J dq - error|^2 + damping^2 |dq - posture_step|^2 (Wampler 1986, with a preferred step in place of zero).
    """
    jacobian_t = jacobian.transpose(-1, -2)
    gram = jacobian @ jacobian_t
    gram.diagonal(dim1=-2, dim2=-1).add_(damping**2)
    rest = error[..., None] - jacobian @ posture_step[..., None]
    # No check: a scene that blew up must not stop the others.
    solution = torch.linalg.solve_ex(gram, rest, check_errors=False).result
    return posture_step + (jacobian_t @ solution).squeeze(-1)

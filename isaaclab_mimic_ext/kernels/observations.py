"""Quaternions of end effectors, with the bits of torch operations on a CPU; see `kernels.actions` about `sqrt`."""

# N envs, E end effectors

import torch
import warp as wp
from torch import Tensor

from isaaclab_mimic_ext.kernels import RepeatedLaunch, as_array
from isaaclab_mimic_ext.kernels.poses import quat_from_matrix, rotation, square_of_norm
from isaaclab_mimic_ext.math import quat_xyzw_from_matrix

wp.set_module_options({"fuse_fp": False})


@wp.kernel(enable_backward=False)
def _quat_kernel(
    pose: wp.array(dtype=wp.mat44, ndim=2),
    quat: wp.array(dtype=wp.vec4, ndim=2),
    square: wp.array(dtype=wp.float32, ndim=2),
):
    """Quaternion xyzw with w >= 0 of a pose, of any norm, and the square of its norm."""
    n, e = wp.tid()
    q = quat_from_matrix(rotation(pose[n, e]))
    quat[n, e] = q
    square[n, e] = square_of_norm(q)


@wp.kernel(enable_backward=False)
def _nearest_kernel(
    norm: wp.array(dtype=wp.float32, ndim=2),
    near: wp.array(dtype=wp.vec4),
    quat: wp.array(dtype=wp.vec4, ndim=2),
):
    """Divide `quat` by its norm; of the two signs, the one nearer to `near` (E,)."""
    n, e = wp.tid()
    q, length, home = quat[n, e], norm[n, e], near[e]
    unit = wp.vec4(q[0] / length, q[1] / length, q[2] / length, q[3] / length)
    cosine = ((unit[0] * home[0] + unit[1] * home[1]) + unit[2] * home[2]) + unit[3] * home[3]
    quat[n, e] = wp.where(cosine < 0.0, -unit, unit)


class NearestQuaternions:
    """Unit quaternions xyzw of N x E poses, with the sign nearer to given ones, in buffers of its own.

    Args:
        near: (E, 4), quaternions xyzw.
    """

    def __init__(self, num_envs: int, near: Tensor):
        device, shape = near.device, (num_envs, len(near))
        self._pose, self._quat = torch.zeros(*shape, 4, 4, device=device), torch.zeros(*shape, 4, device=device)
        self._norm = torch.zeros(*shape, device=device)
        pose, norm = as_array(self._pose, dtype=wp.mat44), as_array(self._norm)
        quat, home = as_array(self._quat, dtype=wp.vec4), as_array(near.contiguous(), dtype=wp.vec4)
        self._read = RepeatedLaunch(_quat_kernel, shape, [pose], [quat, norm], device)
        self._choose = RepeatedLaunch(_nearest_kernel, shape, [norm, home], [quat], device)

    def __call__(self, pose: Tensor) -> Tensor:
        """Quaternions (N, E, 4) of poses (N, E, 4, 4). The next call overwrites them."""
        self._pose.copy_(pose)
        self._read()
        self._norm.sqrt_()
        self._choose()
        return self._quat


def nearest_quaternions_torch(pose: Tensor, near: Tensor) -> Tensor:
    """Reference implementation of `NearestQuaternions` in torch operations, for tests."""
    quat = quat_xyzw_from_matrix(pose[..., :3, :3])
    return torch.where((quat * near).sum(-1, keepdim=True) < 0, -quat, quat)

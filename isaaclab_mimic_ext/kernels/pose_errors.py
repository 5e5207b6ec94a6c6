"""Differences of poses in float64, with the bits of torch operations on a CPU; see `kernels.actions` about `sqrt`."""

# B pairs of poses

import torch
import warp as wp
from torch import Tensor

from isaaclab_mimic_ext.kernels import RepeatedLaunch, as_array
from isaaclab_mimic_ext.kernels.poses import row_of_largest, square_of_norm

wp.set_module_options({"fuse_fp": False})

_SMALL = wp.constant(wp.float64(1e-12))


@wp.kernel(enable_backward=False)
def _rotation_kernel(
    target: wp.array(dtype=wp.float64, ndim=3),
    pose: wp.array(dtype=wp.float64, ndim=3),
    error: wp.array(dtype=wp.float64, ndim=2),
    quat: wp.array(dtype=wp.vec4d),
    norm: wp.array(dtype=wp.float64),
):
    """Translation, and the quaternion xyzw with w >= 0 of the rotation, of any norm; the square of its norm."""
    b = wp.tid()
    m = wp.mat33d()
    for i in range(3):
        error[b, i] = target[b, i, 3] - pose[b, i, 3]
        for j in range(3):
            first = (wp.float64(0.0) + target[b, i, 0] * pose[b, j, 0]) + target[b, i, 1] * pose[b, j, 1]
            m[i, j] = first + target[b, i, 2] * pose[b, j, 2]
    q = _quat_from_matrix(m)
    quat[b] = q
    norm[b] = square_of_norm(q)


@wp.kernel(enable_backward=False)
def _normalize_kernel(norm: wp.array(dtype=wp.float64), quat: wp.array(dtype=wp.vec4d), sine: wp.array(dtype=wp.float64)):
    """Divide `quat` by its norm; square of the norm of its vector part."""
    b = wp.tid()
    q, length = quat[b], norm[b]
    unit = wp.vec4d(q[0] / length, q[1] / length, q[2] / length, q[3] / length)
    quat[b] = unit
    sine[b] = (unit[0] * unit[0] + unit[1] * unit[1]) + unit[2] * unit[2]


@wp.kernel(enable_backward=False)
def _tangent_kernel(quat: wp.array(dtype=wp.vec4d), sine: wp.array(dtype=wp.float64), tangent: wp.array(dtype=wp.float64)):
    """Tangent of half of the rotation angle, whose sine is the norm of the vector part."""
    b = wp.tid()
    tangent[b] = sine[b] / wp.max(quat[b][3], _SMALL)


@wp.kernel(enable_backward=False)
def _vector_kernel(
    quat: wp.array(dtype=wp.vec4d),
    sine: wp.array(dtype=wp.float64),
    half_angle: wp.array(dtype=wp.float64),
    error: wp.array(dtype=wp.float64, ndim=2),
):
    """Rotation vector [rad]."""
    b = wp.tid()
    # For small angles both approach 0; the limit of their ratio is 2.
    ratio = wp.float64(2.0) * half_angle[b] / wp.max(sine[b], _SMALL)
    if sine[b] < wp.float64(1.0e-6):
        ratio = wp.float64(2.0)
    for i in range(3):
        error[b, 3 + i] = quat[b][i] * ratio


@wp.func
def _quat_from_matrix(m: wp.mat33d) -> wp.vec4d:
    """As `kernels.poses.quat_from_matrix`; torch adds the terms of a sum of float64 in this order."""
    zero, one = wp.float64(0.0), wp.float64(1.0)
    x = (one - m[2, 2]) + (m[0, 0] - m[1, 1])
    y = (one - m[2, 2]) + (m[1, 1] - m[0, 0])
    z = (one + m[2, 2]) + (-m[0, 0] - m[1, 1])
    w = (one + m[2, 2]) + (m[0, 0] + m[1, 1])
    xy, xz, yz = (zero + m[0, 1]) + m[1, 0], (zero + m[0, 2]) + m[2, 0], (zero + m[1, 2]) + m[2, 1]
    xw, yw, zw = m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]
    return row_of_largest(x, y, z, w, xy, xz, yz, xw, yw, zw)


class PoseErrors:
    """Differences of B pairs of poses on the CPU, in buffers of its own."""

    def __init__(self, num_pairs: int):
        device = torch.device("cpu")

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(num_pairs, *shape, dtype=torch.float64)

        self._target, self._pose, self._error = zeros(4, 4), zeros(4, 4), zeros(6)
        self._norm, self._sine, self._half_angle = zeros(), zeros(), zeros()
        target, pose, error, norm, sine, angle = (
            as_array(each) for each in (self._target, self._pose, self._error, self._norm, self._sine, self._half_angle)
        )
        quat = as_array(zeros(4), dtype=wp.vec4d)
        self._rotate = RepeatedLaunch(_rotation_kernel, num_pairs, [target, pose], [error, quat, norm], device)
        self._normalize = RepeatedLaunch(_normalize_kernel, num_pairs, [norm], [quat, sine], device)
        self._divide = RepeatedLaunch(_tangent_kernel, num_pairs, [quat, sine], [angle], device)
        self._turn = RepeatedLaunch(_vector_kernel, num_pairs, [quat, sine, angle], [error], device)

    def __call__(self, target_pose: Tensor, pose: Tensor) -> Tensor:
        """As `pose_error`, (B, 6) float64; its arguments may be float32. The next call overwrites the result."""
        self._target.copy_(target_pose)
        self._pose.copy_(pose)
        self._rotate()
        self._norm.sqrt_()
        self._normalize()
        self._sine.sqrt_()
        self._divide()
        self._half_angle.atan_()
        self._turn()
        return self._error

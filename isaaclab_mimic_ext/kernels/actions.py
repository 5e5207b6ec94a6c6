"""Relative task-space actions from target poses and back, one thread per end effector.

The kernels contain the operations of their torch twins in the same order, without fused multiply-add, so that both have
the same bits on a CPU. `sqrt`, `atan`, `sin` and `cos` round differently in each library. They are torch's, and divide the
computation into several kernels.
"""

# N envs, E end effectors, A = 7 E action entries: of each end effector three of position, three of rotation, the gripper

from typing import Any

import torch
import warp as wp
from torch import Tensor

from isaaclab_mimic_ext.kernels import RepeatedLaunch, as_array
from isaaclab_mimic_ext.kernels.poses import pose_from, position, product33, quat_from_matrix, rotation, square_of_norm
from isaaclab_mimic_ext.math import axis_angle_from_matrix, matrix_from_axis_angle, pose_from_pos_rot

wp.set_module_options({"fuse_fp": False})

_SMALL = wp.constant(wp.float32(1e-12))
NUM_POSE = 6
NUM_ENTRIES = NUM_POSE + 1


@wp.kernel(enable_backward=False)
def _rotation_kernel(
    target: wp.array(dtype=wp.mat44, ndim=2),
    pose: wp.array(dtype=wp.mat44, ndim=2),
    quat: wp.array(dtype=wp.vec4, ndim=2),
    square: wp.array(dtype=wp.float32, ndim=2),
):
    """Quaternion xyzw of the rotation from `pose` to `target`, of any norm, and the square of its norm."""
    n, e = wp.tid()
    q = quat_from_matrix(product33(rotation(target[n, e]), wp.transpose(rotation(pose[n, e]))))
    quat[n, e] = q
    square[n, e] = square_of_norm(q)


@wp.kernel(enable_backward=False)
def _normalize_kernel(
    norm: wp.array(dtype=wp.float32, ndim=2),
    quat: wp.array(dtype=wp.vec4, ndim=2),
    square: wp.array(dtype=wp.float32, ndim=2),
):
    """Divide `quat` by its norm; square of the norm of its vector part."""
    n, e = wp.tid()
    q, length = quat[n, e], norm[n, e]
    unit = wp.vec4(q[0] / length, q[1] / length, q[2] / length, q[3] / length)
    quat[n, e] = unit
    square[n, e] = (unit[0] * unit[0] + unit[1] * unit[1]) + unit[2] * unit[2]


@wp.kernel(enable_backward=False)
def _tangent_kernel(
    quat: wp.array(dtype=wp.vec4, ndim=2),
    sine: wp.array(dtype=wp.float32, ndim=2),
    tangent: wp.array(dtype=wp.float32, ndim=2),
):
    """Tangent of half of the rotation angle, whose sine is the norm of the vector part."""
    n, e = wp.tid()
    tangent[n, e] = sine[n, e] / wp.max(quat[n, e][3], _SMALL)


@wp.kernel(enable_backward=False)
def _action_kernel(
    target: wp.array(dtype=wp.mat44, ndim=2),
    pose: wp.array(dtype=wp.mat44, ndim=2),
    quat: wp.array(dtype=wp.vec4, ndim=2),
    sine: wp.array(dtype=wp.float32, ndim=2),
    half_angle: wp.array(dtype=wp.float32, ndim=2),
    gripper: wp.array(dtype=wp.float32, ndim=2),
    noise: wp.array(dtype=wp.float32, ndim=3),
    scale: wp.array(dtype=wp.float32),
    noisy: wp.array(dtype=wp.float32, ndim=2),
    clean: wp.array(dtype=wp.float32, ndim=2),
):
    n, e = wp.tid()
    # For small angles both approach 0; the limit of their ratio is 2.
    ratio = 2.0 * half_angle[n, e] / wp.max(sine[n, e], _SMALL)
    if sine[n, e] < 1.0e-6:
        ratio = 2.0
    first = NUM_ENTRIES * e
    for i in range(3):
        pos = (target[n, e][i, 3] - pose[n, e][i, 3]) / scale[i]
        rot = quat[n, e][i] * ratio / scale[3 + i]
        clean[n, first + i] = _clipped(pos)
        clean[n, first + 3 + i] = _clipped(rot)
        noisy[n, first + i] = _clipped(pos + noise[n, e, i])
        noisy[n, first + 3 + i] = _clipped(rot + noise[n, e, 3 + i])
    clean[n, first + NUM_POSE] = gripper[n, e]
    noisy[n, first + NUM_POSE] = gripper[n, e]


@wp.kernel(enable_backward=False)
def _turn_kernel(
    actions: wp.array(dtype=wp.float32, ndim=2),
    scale: wp.array(dtype=wp.float32),
    square: wp.array(dtype=wp.float32, ndim=2),
):
    """Square of the angle of each action's rotation [rad^2]."""
    n, e = wp.tid()
    turn = _scaled(actions, scale, n, e, 3)
    square[n, e] = (turn[0] * turn[0] + turn[1] * turn[1]) + turn[2] * turn[2]


@wp.kernel(enable_backward=False)
def _target_kernel(
    actions: wp.array(dtype=wp.float32, ndim=2),
    pose: wp.array(dtype=wp.mat44, ndim=2),
    scale: wp.array(dtype=wp.float32),
    half_angle: wp.array(dtype=wp.float32, ndim=2),
    sine: wp.array(dtype=wp.float32, ndim=2),
    cosine: wp.array(dtype=wp.float32, ndim=2),
    target: wp.array(dtype=wp.mat44, ndim=2),
):
    n, e = wp.tid()
    half = half_angle[n, e]
    ratio = 0.5 * sine[n, e] / wp.max(half, _SMALL)
    if half < 1.0e-6:
        ratio = 0.5
    vec = _scaled(actions, scale, n, e, 3) * ratio
    present = pose[n, e]
    rot = product33(_matrix_from_quat(vec[0], vec[1], vec[2], cosine[n, e]), rotation(present))
    target[n, e] = pose_from(rot, position(present) + _scaled(actions, scale, n, e, 0))


@wp.func
def _clipped(value: wp.float32) -> wp.float32:
    """Value in [-1, 1]; NaN remains NaN."""
    return wp.where(value > 1.0, 1.0, wp.where(value < -1.0, -1.0, value))


@wp.func
def _scaled(
    actions: wp.array(dtype=wp.float32, ndim=2), scale: wp.array(dtype=wp.float32), n: int, e: int, offset: int
) -> wp.vec3:
    """Three clipped and scaled entries of the action of one end effector [m, or rad]."""
    first = NUM_ENTRIES * e + offset
    return wp.vec3(
        _clipped(actions[n, first]) * scale[offset],
        _clipped(actions[n, first + 1]) * scale[offset + 1],
        _clipped(actions[n, first + 2]) * scale[offset + 2],
    )


@wp.func
def _matrix_from_quat(x: wp.float32, y: wp.float32, z: wp.float32, w: wp.float32) -> wp.mat33:
    s = 2.0 / (((x * x + y * y) + z * z) + w * w)
    return wp.mat33(
        1.0 - s * (y * y + z * z), s * (x * y - z * w), s * (x * z + y * w),
        s * (x * y + z * w), 1.0 - s * (x * x + z * z), s * (y * z - x * w),
        s * (x * z - y * w), s * (y * z + x * w), 1.0 - s * (x * x + y * y),
    )  # fmt: skip


class ActionKernels:
    """Conversions of N envs with E end effectors in buffers of its own.

    Args:
        scale: (6,), size of an action of 1: three entries [m], three [rad].
    """

    def __init__(self, num_envs: int, num_eefs: int, scale: Tensor):
        device, shape = scale.device, (num_envs, num_eefs)

        def zeros(*size: int) -> Tensor:
            return torch.zeros(*size, device=device)

        self._target, self._pose, self._reached = (zeros(*shape, 4, 4) for _ in range(3))
        self._gripper, self._noise = zeros(*shape), zeros(*shape, NUM_POSE)
        self._norm, self._sine, self._cosine, self._half_angle = (zeros(*shape) for _ in range(4))
        self._noisy, self._clean, self._actions = (zeros(num_envs, NUM_ENTRIES * num_eefs) for _ in range(3))
        target, pose, reached = (as_array(each, dtype=wp.mat44) for each in (self._target, self._pose, self._reached))
        gripper, noise, weights = (as_array(each) for each in (self._gripper, self._noise, scale))
        norm, sine, cosine, angle = (as_array(each) for each in (self._norm, self._sine, self._cosine, self._half_angle))
        noisy, clean, actions = (as_array(each) for each in (self._noisy, self._clean, self._actions))
        quat = as_array(zeros(*shape, 4), dtype=wp.vec4)

        def launch(kernel: Any, *arrays: Any) -> RepeatedLaunch:
            return RepeatedLaunch(kernel, shape, arrays, [], device)

        self._rotate = launch(_rotation_kernel, target, pose, quat, norm)
        self._normalize = launch(_normalize_kernel, norm, quat, sine)
        self._divide = launch(_tangent_kernel, quat, sine, angle)
        self._act = launch(_action_kernel, target, pose, quat, sine, angle, gripper, noise, weights, noisy, clean)
        self._turn = launch(_turn_kernel, actions, weights, angle)
        self._reach = launch(_target_kernel, actions, pose, weights, angle, sine, cosine, reached)

    def from_targets(self, target: Tensor, pose: Tensor, gripper: Tensor, noise: Tensor | None) -> tuple[Tensor, Tensor]:
        """Actions (N, A) with and without noise; arguments as in `actions_from_targets_torch`.

        The next call overwrites both.
        """
        self._target.copy_(target)
        self._pose.copy_(pose)
        self._gripper.copy_(gripper[..., 0])
        if noise is None:
            self._noise.zero_()
        else:
            self._noise.copy_(noise)
        self._rotate()
        self._norm.sqrt_()
        self._normalize()
        self._sine.sqrt_()
        self._divide()
        self._half_angle.atan_()
        self._act()
        return self._noisy, self._clean

    def to_targets(self, actions: Tensor, pose: Tensor) -> Tensor:
        """Target poses (N, E, 4, 4), env frame [m]; arguments as in `targets_from_actions_torch`.

        The next call overwrites them.
        """
        self._actions.copy_(actions)
        self._pose.copy_(pose)
        self._turn()
        self._half_angle.sqrt_().mul_(0.5)
        torch.sin(self._half_angle, out=self._sine)
        torch.cos(self._half_angle, out=self._cosine)
        self._reach()
        return self._reached


def actions_from_targets_torch(
    target: Tensor, pose: Tensor, gripper: Tensor, noise: Tensor, scale: Tensor
) -> tuple[Tensor, Tensor]:
    """Reference implementation of `ActionKernels.from_targets` in torch operations, for tests.

    Args:
        target, pose: (N, E, 4, 4), target and present poses, env frame [m].
        gripper: (N, E, 1).
        noise: (N, E, 6), in the units of the action.
    """
    rot = axis_angle_from_matrix(target[..., :3, :3] @ pose[..., :3, :3].transpose(-1, -2))
    entries = torch.cat(((target - pose)[..., :3, 3], rot), dim=-1) / scale
    noisy, clean = (torch.cat((part.clamp(-1.0, 1.0), gripper), dim=-1) for part in (entries + noise, entries))
    return noisy.flatten(1), clean.flatten(1)


def targets_from_actions_torch(actions: Tensor, pose: Tensor, scale: Tensor) -> Tensor:
    """Reference implementation of `ActionKernels.to_targets` in torch operations, for tests.

    Args:
        actions: (N, A), relative to `pose`.
        pose: (N, E, 4, 4), env frame [m].
    """
    delta = actions.unflatten(-1, (pose.shape[1], NUM_ENTRIES))[..., :NUM_POSE].clamp(-1.0, 1.0) * scale
    rot = matrix_from_axis_angle(delta[..., 3:]) @ pose[..., :3, :3]
    return pose_from_pos_rot(pose[..., :3, 3] + delta[..., :3], rot)

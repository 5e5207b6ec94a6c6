"""Poses of bodies in the env frame from an engine's world positions and quaternions, one thread per body."""

# N envs, K bodies

from collections.abc import Sequence

import torch
import warp as wp
from torch import Tensor

from isaaclab_mimic_ext.kernels import RepeatedLaunch, as_array
from isaaclab_mimic_ext.kernels.poses import pose_from, square_of_norm
from isaaclab_mimic_ext.math import matrix_from_quat_xyzw, pose_from_pos_rot

wp.set_module_options({"fuse_fp": False})


@wp.kernel(enable_backward=False)
def _pose_kernel(
    world: wp.array3d(dtype=wp.float32),
    origin: wp.array(dtype=wp.vec3),
    reach: wp.array(dtype=wp.float32),
    local: wp.array3d(dtype=wp.float32),
    pose: wp.array2d(dtype=wp.mat44),
):
    n, k = wp.tid()
    x, y, z, w = world[n, k, 3], world[n, k, 4], world[n, k, 5], world[n, k, 6]
    s = 2.0 / square_of_norm(wp.vec4(x, y, z, w))
    rot = wp.mat33(
        1.0 - s * (y * y + z * z), s * (x * y - z * w), s * (x * z + y * w),
        s * (x * y + z * w), 1.0 - s * (x * x + z * z), s * (y * z - x * w),
        s * (x * z - y * w), s * (y * z + x * w), 1.0 - s * (x * x + y * y),
    )  # fmt: skip
    pos = wp.vec3(world[n, k, 0], world[n, k, 1], world[n, k, 2]) - origin[n]
    for i in range(3):
        local[n, k, i] = pos[i]
        local[n, k, 3 + i] = world[n, k, 3 + i]
    local[n, k, 6] = w
    pose[n, k] = pose_from(rot, pos + reach[k] * wp.vec3(rot[0, 2], rot[1, 2], rot[2, 2]))


class BodyPoses:
    """Poses of N x K bodies in the env frame.

    Args:
        reach: (K,), distance from the origin of each body to the origin of its pose, along the body's z-axis [m].
    """

    def __init__(self, num_envs: int, reach: Tensor):
        num_bodies, device = len(reach), reach.device
        self._world = torch.zeros(num_envs, num_bodies, 7, device=device)
        self._local = torch.zeros_like(self._world)
        self._pose = torch.zeros(num_envs, num_bodies, 4, 4, device=device)
        self._origins = torch.zeros(num_envs, 3, device=device)
        inputs = [as_array(self._world), as_array(self._origins, dtype=wp.vec3), as_array(reach)]
        outputs = [as_array(self._local), as_array(self._pose, dtype=wp.mat44)]
        self._compute = RepeatedLaunch(_pose_kernel, (num_envs, num_bodies), inputs, outputs, device)

    def __call__(self, world: Sequence[Tensor], origins: Tensor) -> tuple[Tensor, Tensor]:
        """Compute positions and quaternions (N, K, 7), and poses (N, K, 4, 4), in the env frame [m].

        Args:
            world: K times (N, 7), position of a body in the world frame [m] and quaternion xyzw.
            origins: (N, 3), origin of each env frame in the world frame [m].
        """
        torch.stack([*world], dim=1, out=self._world)
        self._origins.copy_(origins)
        self._compute()
        return self._local.clone(), self._pose.clone()


def body_poses_torch(world: Tensor, origins: Tensor, reach: Tensor) -> tuple[Tensor, Tensor]:
    """Reference implementation of `BodyPoses` in torch operations, for tests; `world` (N, K, 7)."""
    local = torch.cat((world[..., :3] - origins[:, None], world[..., 3:]), dim=-1)
    rot = matrix_from_quat_xyzw(local[..., 3:])
    return local, pose_from_pos_rot(local[..., :3] + reach[:, None] * rot[..., 2], rot)

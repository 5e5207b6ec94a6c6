"""Scene of a batch of MuJoCo, float64, as the float32 tensors of `SceneState`, one thread per env.

The kernel has the bits of `MujocoEnv.read_scene_torch`: the order of the operations is the same, and none are fused.
"""

# N envs, E arms, O objects, all of them free, J entries of an arm's joint state, B bodies, S sites

import warp as wp

wp.set_module_options({"fuse_fp": False})


@wp.kernel(enable_backward=False)
def read_scene_kernel(
    qpos: wp.array(dtype=wp.float64, ndim=2),
    qvel: wp.array(dtype=wp.float64, ndim=2),
    xpos: wp.array(dtype=wp.float64, ndim=3),
    xmat: wp.array(dtype=wp.float64, ndim=3),
    site_xpos: wp.array(dtype=wp.float64, ndim=3),
    site_xmat: wp.array(dtype=wp.float64, ndim=3),
    joint_qpos: wp.array(dtype=wp.int32, ndim=2),
    joint_dof: wp.array(dtype=wp.int32, ndim=2),
    eef_site: wp.array(dtype=wp.int32),
    body: wp.array(dtype=wp.int32),
    root_qpos: wp.array(dtype=wp.int32, ndim=2),
    root_dof: wp.array(dtype=wp.int32, ndim=2),
    joint_pos: wp.array(dtype=wp.float32, ndim=3),
    joint_vel: wp.array(dtype=wp.float32, ndim=3),
    eef_pose: wp.array(dtype=wp.float32, ndim=4),
    object_pose: wp.array(dtype=wp.float32, ndim=4),
    root_pose: wp.array(dtype=wp.float32, ndim=3),
    root_velocity: wp.array(dtype=wp.float32, ndim=3),
):
    """Fields of `SceneState` of N envs, from the arrays of the batch and their indices in `SceneLayout`."""
    n = wp.tid()
    for e in range(joint_qpos.shape[0]):
        for j in range(joint_qpos.shape[1]):
            joint_pos[n, e, j] = wp.float32(qpos[n, joint_qpos[e, j]])
            joint_vel[n, e, j] = wp.float32(qvel[n, joint_dof[e, j]])
        _write_pose(site_xpos, site_xmat, n, eef_site[e], eef_pose, e)
    for o in range(body.shape[0]):
        b = body[o]
        _write_pose(xpos, xmat, n, b, object_pose, o)
        for i in range(7):
            root_pose[n, o, i] = wp.float32(qpos[n, root_qpos[o, i]])
        for i in range(3):
            root_velocity[n, o, i] = wp.float32(qvel[n, root_dof[o, i]])
            # The angular velocity of a free joint is in the frame of its body.
            x = xmat[n, b, 3 * i] * qvel[n, root_dof[o, 3]]
            y = xmat[n, b, 3 * i + 1] * qvel[n, root_dof[o, 4]]
            z = xmat[n, b, 3 * i + 2] * qvel[n, root_dof[o, 5]]
            # As torch's sums, from zero: a sum of negative zeros is positive.
            root_velocity[n, o, 3 + i] = wp.float32(((wp.float64(0.0) + x) + y) + z)


@wp.func
def _write_pose(
    pos: wp.array(dtype=wp.float64, ndim=3), rot: wp.array(dtype=wp.float64, ndim=3), n: int, source: int,
    pose: wp.array(dtype=wp.float32, ndim=4), index: int,
):  # fmt: skip
    for i in range(3):
        for j in range(3):
            pose[n, index, i, j] = wp.float32(rot[n, source, 3 * i + j])
        pose[n, index, i, 3] = wp.float32(pos[n, source, i])
        pose[n, index, 3, i] = wp.float32(0.0)
    pose[n, index, 3, 3] = wp.float32(1.0)

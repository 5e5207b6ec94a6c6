"""Transfers between the state of MuJoCo Warp and the tensors of `SceneState`, one thread per arm or object."""

# N worlds (envs), n of them addressed, E arms of an env, O objects, F of them free, B fixed or on joints, M fixed, Q on
# joints, J entries of an arm's joint state, the two fingers last, A arm joints, G joints and K actuators of a gripper

import warp as wp

from isaaclab_mimic_ext.kernels.poses import pose_from


@wp.kernel(enable_backward=False)
def read_arms_kernel(
    qpos: wp.array(dtype=wp.float32, ndim=2),
    qvel: wp.array(dtype=wp.float32, ndim=2),
    site_pos: wp.array(dtype=wp.vec3, ndim=2),
    site_rot: wp.array(dtype=wp.mat33, ndim=2),
    joint_qpos: wp.array(dtype=wp.int32, ndim=2),
    joint_dof: wp.array(dtype=wp.int32, ndim=2),
    site: wp.array(dtype=wp.int32),
    joint_pos: wp.array(dtype=wp.float32, ndim=3),
    joint_vel: wp.array(dtype=wp.float32, ndim=3),
    eef_pose: wp.array(dtype=wp.mat44, ndim=2),
):
    """End effector poses (N, E), and the joint positions and velocities (N, E, J) that MuJoCo's joints contain.

    `joint_qpos` and `joint_dof` are (E, J), or (E, A) if `read_fingers_kernel` computes the fingers.
    """
    n, e = wp.tid()
    for j in range(joint_qpos.shape[1]):
        joint_pos[n, e, j] = qpos[n, joint_qpos[e, j]]
        joint_vel[n, e, j] = qvel[n, joint_dof[e, j]]
    eef_pose[n, e] = pose_from(site_rot[n, site[e]], site_pos[n, site[e]])


@wp.kernel(enable_backward=False)
def read_fingers_kernel(
    qvel: wp.array(dtype=wp.float32, ndim=2),
    site_pos: wp.array(dtype=wp.vec3, ndim=2),
    site_rot: wp.array(dtype=wp.mat33, ndim=2),
    eef_site: wp.array(dtype=wp.int32),
    finger_site: wp.array(dtype=wp.int32, ndim=2),
    joint_dof: wp.array(dtype=wp.int32, ndim=2),
    finger_ratio: wp.array(dtype=wp.float32, ndim=2),
    joint_pos: wp.array(dtype=wp.float32, ndim=3),
    joint_vel: wp.array(dtype=wp.float32, ndim=3),
):
    """Positions and velocities of the fingers, the last two entries of (N, E, J), from the sites of the fingers.

    `finger_ratio` is (2, G): velocity of a finger per velocity of a joint of the gripper.
    """
    n, e, k = wp.tid()
    rot = site_rot[n, eef_site[e]]
    closing = wp.vec3(rot[0, 1], rot[1, 1], rot[2, 1])
    place = wp.dot(site_pos[n, finger_site[e, k]] - site_pos[n, eef_site[e]], closing)
    num_joints = joint_pos.shape[2] - 2
    joint_pos[n, e, num_joints + k] = wp.where(k == 0, place, -place)
    joint_vel[n, e, num_joints + k] = 0.0
    for g in range(finger_ratio.shape[1]):
        joint_vel[n, e, num_joints + k] += finger_ratio[k, g] * qvel[n, joint_dof[e, num_joints + g]]


@wp.kernel(enable_backward=False)
def read_objects_kernel(
    qpos: wp.array(dtype=wp.float32, ndim=2),
    qvel: wp.array(dtype=wp.float32, ndim=2),
    body_pos: wp.array(dtype=wp.vec3, ndim=2),
    body_rot: wp.array(dtype=wp.mat33, ndim=2),
    body: wp.array(dtype=wp.int32),
    free: wp.array(dtype=wp.int32),
    root_qpos: wp.array(dtype=wp.int32, ndim=2),
    root_dof: wp.array(dtype=wp.int32, ndim=2),
    object_pose: wp.array(dtype=wp.mat44, ndim=2),
    root_pose: wp.array(dtype=wp.float32, ndim=3),
    root_velocity: wp.array(dtype=wp.float32, ndim=3),
):
    """Poses of the bodies of free objects (N, F); poses (7) and velocities (6) of their free joints, in the env frame.

    `free` has the indices of the free objects in the outputs (N, O, ...).
    """
    n, f = wp.tid()
    o = free[f]
    rot = body_rot[n, body[o]]
    object_pose[n, o] = pose_from(rot, body_pos[n, body[o]])
    for i in range(7):
        root_pose[n, o, i] = qpos[n, root_qpos[f, i]]
    for i in range(3):
        root_velocity[n, o, i] = qvel[n, root_dof[f, i]]
    angular = rot * wp.vec3(qvel[n, root_dof[f, 3]], qvel[n, root_dof[f, 4]], qvel[n, root_dof[f, 5]])
    for i in range(3):
        root_velocity[n, o, 3 + i] = angular[i]


@wp.kernel(enable_backward=False)
def write_arms_kernel(
    env_ids: wp.array(dtype=wp.int64),
    joint_pos: wp.array(dtype=wp.float32, ndim=3),
    joint_vel: wp.array(dtype=wp.float32, ndim=3),
    joint_qpos: wp.array(dtype=wp.int32, ndim=2),
    joint_dof: wp.array(dtype=wp.int32, ndim=2),
    qpos: wp.array(dtype=wp.float32, ndim=2),
    qvel: wp.array(dtype=wp.float32, ndim=2),
):
    """Write positions and velocities (n, E, A + G) of the joints of arms and grippers to the worlds `env_ids`."""
    i, e, j = wp.tid()
    n = int(env_ids[i])
    qpos[n, joint_qpos[e, j]] = joint_pos[i, e, j]
    qvel[n, joint_dof[e, j]] = joint_vel[i, e, j]


@wp.kernel(enable_backward=False)
def write_commands_kernel(
    env_ids: wp.array(dtype=wp.int64),
    command: wp.array(dtype=wp.float32, ndim=3),
    actuator: wp.array(dtype=wp.int32, ndim=2),
    ctrl: wp.array(dtype=wp.float32, ndim=2),
):
    """Write commands (n, E, A + K) of arms and grippers to the worlds `env_ids`."""
    i, e, j = wp.tid()
    ctrl[int(env_ids[i]), actuator[e, j]] = command[i, e, j]


@wp.kernel(enable_backward=False)
def write_objects_kernel(
    env_ids: wp.array(dtype=wp.int64),
    root_pose: wp.array(dtype=wp.float32, ndim=3),
    root_velocity: wp.array(dtype=wp.float32, ndim=3),
    free: wp.array(dtype=wp.int32),
    root_qpos: wp.array(dtype=wp.int32, ndim=2),
    root_dof: wp.array(dtype=wp.int32, ndim=2),
    qpos: wp.array(dtype=wp.float32, ndim=2),
    qvel: wp.array(dtype=wp.float32, ndim=2),
):
    """Write root poses (n, O, 7) and velocities (n, O, 6), env frame, to the F free joints of the worlds `env_ids`."""
    i, f = wp.tid()
    n = int(env_ids[i])
    o = free[f]
    for k in range(7):
        qpos[n, root_qpos[f, k]] = root_pose[i, o, k]
    quat = wp.normalize(wp.quat(root_pose[i, o, 3], root_pose[i, o, 4], root_pose[i, o, 5], root_pose[i, o, 6]))
    angular = wp.vec3(root_velocity[i, o, 3], root_velocity[i, o, 4], root_velocity[i, o, 5])
    local = wp.quat_rotate_inv(quat, angular)
    for k in range(3):
        qvel[n, root_dof[f, k]] = root_velocity[i, o, k]
        qvel[n, root_dof[f, 3 + k]] = local[k]


@wp.kernel(enable_backward=False)
def read_bound_kernel(
    body_pos: wp.array(dtype=wp.vec3, ndim=2),
    body_quat: wp.array(dtype=wp.quat, ndim=2),
    body_rot: wp.array(dtype=wp.mat33, ndim=2),
    body: wp.array(dtype=wp.int32),
    bound: wp.array(dtype=wp.int32),
    object_pose: wp.array(dtype=wp.mat44, ndim=2),
    root_pose: wp.array(dtype=wp.float32, ndim=3),
):
    """Poses (N, B) of the bodies of objects that are fixed or on joints, as matrices and as (7), in the env frame.

    `bound` has the indices of these objects in the outputs (N, O, ...). MuJoCo's quaternions are wxyz.
    """
    n, b = wp.tid()
    o = bound[b]
    pos = body_pos[n, body[o]]
    quat = body_quat[n, body[o]]
    object_pose[n, o] = pose_from(body_rot[n, body[o]], pos)
    for i in range(3):
        root_pose[n, o, i] = pos[i]
        root_pose[n, o, 3 + i] = quat[1 + i]
    root_pose[n, o, 6] = quat[0]


@wp.kernel(enable_backward=False)
def read_joints_kernel(
    values: wp.array(dtype=wp.float32, ndim=2),
    address: wp.array(dtype=wp.int32),
    of_joints: wp.array(dtype=wp.float32, ndim=2),
):
    """Read one value per joint of an object, (N, Q), from qpos or qvel."""
    n, q = wp.tid()
    of_joints[n, q] = values[n, address[q]]


@wp.kernel(enable_backward=False)
def write_joints_kernel(
    env_ids: wp.array(dtype=wp.int64),
    of_joints: wp.array(dtype=wp.float32, ndim=2),
    address: wp.array(dtype=wp.int32),
    values: wp.array(dtype=wp.float32, ndim=2),
):
    """Write one value per joint of an object, (n, Q), to qpos or qvel of the worlds `env_ids`."""
    i, q = wp.tid()
    values[int(env_ids[i]), address[q]] = of_joints[i, q]


@wp.kernel(enable_backward=False)
def write_fixed_kernel(
    env_ids: wp.array(dtype=wp.int64),
    root_pose: wp.array(dtype=wp.float32, ndim=3),
    fixed: wp.array(dtype=wp.int32),
    mocap: wp.array(dtype=wp.int32),
    mocap_pos: wp.array(dtype=wp.vec3, ndim=2),
    mocap_quat: wp.array(dtype=wp.quat, ndim=2),
):
    """Write the poses of the M fixed objects, of (n, O, 7), to the mocap bodies of the worlds `env_ids`."""
    i, m = wp.tid()
    n = int(env_ids[i])
    o = fixed[m]
    mocap_pos[n, mocap[m]] = wp.vec3(root_pose[i, o, 0], root_pose[i, o, 1], root_pose[i, o, 2])
    # MuJoCo's quaternions are wxyz.
    mocap_quat[n, mocap[m]] = wp.quat(root_pose[i, o, 6], root_pose[i, o, 3], root_pose[i, o, 4], root_pose[i, o, 5])


@wp.kernel(enable_backward=False)
def command_kernel(
    arm_target: wp.array(dtype=wp.float32, ndim=3),
    open_gripper: wp.array(dtype=wp.bool, ndim=2),
    open_command: wp.array(dtype=wp.float32),
    closed_command: wp.array(dtype=wp.float32),
    actuator: wp.array(dtype=wp.int32, ndim=2),
    ctrl: wp.array(dtype=wp.float32, ndim=2),
):
    """Write the targets of arm joints (N, E, A) and the commands (K,) of open or closed grippers (N, E) to the commands."""
    n, e, j = wp.tid()
    num_joints = arm_target.shape[2]
    target = 0.0
    if j < num_joints:
        target = arm_target[n, e, j]
    elif open_gripper[n, e]:
        target = open_command[j - num_joints]
    else:
        target = closed_command[j - num_joints]
    ctrl[n, actuator[e, j]] = target


@wp.kernel(enable_backward=False)
def clear_kernel(
    env_ids: wp.array(dtype=wp.int64),
    time: wp.array(dtype=wp.float32),
    warm_start: wp.array(dtype=wp.float32, ndim=2),
):
    """Clear time and warm start of the worlds `env_ids`: a trial must not depend on earlier trials in its world."""
    i = wp.tid()
    n = int(env_ids[i])
    time[n] = 0.0
    for k in range(warm_start.shape[1]):
        warm_start[n, k] = 0.0


@wp.kernel(enable_backward=False)
def clear_rows_kernel(env_ids: wp.array(dtype=wp.int64), jacobian: wp.array(dtype=wp.float32, ndim=3)):
    """Clear the constraint rows of the worlds `env_ids`: the solver multiplies unused rows by zero, which keeps a NaN."""
    i, row = wp.tid()
    for column in range(jacobian.shape[2]):
        jacobian[int(env_ids[i]), row, column] = 0.0


@wp.kernel(enable_backward=False)
def overflow_kernel(overflow: wp.array(dtype=wp.int32), combined: wp.array(dtype=wp.int32)):
    """Add the overflow bits of all worlds to `combined`, which keeps them: a reset must not hide an overflow."""
    n = wp.tid()
    if overflow[n] != 0:
        wp.atomic_or(combined, 0, overflow[n])

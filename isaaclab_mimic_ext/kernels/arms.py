"""Joint targets of arms by one step of differential inverse kinematics, one thread per arm.

The torch twin is `point_jacobian`, `pose_error` and `joint_step` of `envs/panda/kinematics.py`.
"""

# N envs, E arms of an env, J joints of an arm that move the end effector

import warp as wp

Vec6 = wp.types.vector(length=6, dtype=wp.float32)
Mat66 = wp.types.matrix(shape=(6, 6), dtype=wp.float32)


@wp.kernel(enable_backward=False)
def joint_target_kernel(
    target_pose: wp.array(dtype=wp.mat44, ndim=2),
    qpos: wp.array(dtype=wp.float32, ndim=2),
    point: wp.array(dtype=wp.vec3, ndim=2),
    rot: wp.array(dtype=wp.mat33, ndim=2),
    anchor: wp.array(dtype=wp.vec3, ndim=2),
    axis: wp.array(dtype=wp.vec3, ndim=2),
    site: wp.array(dtype=wp.int32),
    joint: wp.array(dtype=wp.int32, ndim=2),
    joint_qpos: wp.array(dtype=wp.int32, ndim=2),
    limits: wp.array(dtype=wp.vec2),
    posture: wp.array(dtype=wp.float32),
    posture_gain: wp.float32,
    damping: wp.float32,
    rot_weight: wp.float32,
    max_step: wp.float32,
    target: wp.array(dtype=wp.float32, ndim=3),
):
    """Joint targets (N, E, J) [rad] for target poses (N, E), from the state of MuJoCo's joints and sites.

    Minimizes |jacobian dq - error|^2 + damping^2 |dq - posture_step|^2 (damped least squares, Wampler 1986), where the
    angular rows are multiplied by `rot_weight` [m/rad]. No joint moves more than `max_step` [rad].
    """
    n, e = wp.tid()
    tip = point[n, site[e]]
    weight = Vec6(1.0, 1.0, 1.0, rot_weight, rot_weight, rot_weight)
    residual = wp.cw_mul(weight, _pose_error(target_pose[n, e], tip, rot[n, site[e]]))
    gram = Mat66()
    for row in range(6):
        gram[row, row] = damping * damping
    for j in range(joint.shape[1]):
        column = wp.cw_mul(weight, _column(axis[n, joint[e, j]], tip - anchor[n, joint[e, j]]))
        residual -= column * (posture_gain * (posture[j] - qpos[n, joint_qpos[e, j]]))
        gram += wp.outer(column, column)
    solution = _solve_positive_definite(gram, residual)
    for j in range(joint.shape[1]):
        column = wp.cw_mul(weight, _column(axis[n, joint[e, j]], tip - anchor[n, joint[e, j]]))
        position = qpos[n, joint_qpos[e, j]]
        step = posture_gain * (posture[j] - position) + wp.dot(column, solution)
        # `clamp` would turn a NaN into a limit.
        step = wp.where(wp.isfinite(step), wp.clamp(step, -max_step, max_step), step)
        goal = position + step
        target[n, e, j] = wp.where(wp.isfinite(goal), wp.clamp(goal, limits[j][0], limits[j][1]), goal)


@wp.func
def _column(axis: wp.vec3, arm: wp.vec3) -> Vec6:
    """Column of the Jacobian of a hinge joint: linear, then angular velocity of a point at `arm` from the axis."""
    linear = wp.cross(axis, arm)
    return Vec6(linear[0], linear[1], linear[2], axis[0], axis[1], axis[2])


@wp.func
def _pose_error(target: wp.mat44, pos: wp.vec3, rot: wp.mat33) -> Vec6:
    """Translation [m] and rotation vector [rad] from a pose to its target."""
    target_rot = wp.mat33(
        target[0, 0], target[0, 1], target[0, 2],
        target[1, 0], target[1, 1], target[1, 2],
        target[2, 0], target[2, 1], target[2, 2],
    )  # fmt: skip
    turn = wp.normalize(wp.quat_from_matrix(target_rot * wp.transpose(rot)))
    vec = wp.vec3(turn[0], turn[1], turn[2])
    sine = wp.length(vec)
    # For small angles the ratio of angle and sine approaches 2.
    scale = 2.0
    if sine > 1.0e-6:
        scale = 2.0 * wp.atan2(sine, wp.abs(turn[3])) / sine
    if turn[3] < 0.0:
        scale = -scale
    vec = vec * scale
    return Vec6(target[0, 3] - pos[0], target[1, 3] - pos[1], target[2, 3] - pos[2], vec[0], vec[1], vec[2])


@wp.func
def _solve_positive_definite(matrix: Mat66, vector: Vec6) -> Vec6:
    """Solution of matrix x = vector by Cholesky factorization."""
    lower = Mat66()
    for row in range(6):
        for column in range(row + 1):
            total = matrix[row, column]
            for k in range(column):
                total -= lower[row, k] * lower[column, k]
            if row == column:
                lower[row, row] = wp.sqrt(total)
            else:
                lower[row, column] = total / lower[column, column]
    solution = Vec6()
    for row in range(6):
        total = vector[row]
        for k in range(row):
            total -= lower[row, k] * solution[k]
        solution[row] = total / lower[row, row]
    for step in range(6):
        row = 5 - step
        total = solution[row]
        for k in range(row + 1, 6):
            total -= lower[k, row] * solution[k]
        solution[row] = total / lower[row, row]
    return solution

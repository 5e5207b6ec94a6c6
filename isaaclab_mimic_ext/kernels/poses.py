"""Functions on poses and rotations for kernels.

Products have the operations of torch's batched products of small matrices on a CPU, in the same order. Warp's own products
fuse multiplication and addition, also where a module disables this.
"""

import warp as wp


@wp.func
def rotation(pose: wp.mat44) -> wp.mat33:
    return wp.mat33(
        pose[0, 0], pose[0, 1], pose[0, 2], pose[1, 0], pose[1, 1], pose[1, 2], pose[2, 0], pose[2, 1], pose[2, 2]
    )


@wp.func
def position(pose: wp.mat44) -> wp.vec3:
    return wp.vec3(pose[0, 3], pose[1, 3], pose[2, 3])


@wp.func
def pose_from(rot: wp.mat33, pos: wp.vec3) -> wp.mat44:
    return wp.mat44(
        rot[0, 0], rot[0, 1], rot[0, 2], pos[0],
        rot[1, 0], rot[1, 1], rot[1, 2], pos[1],
        rot[2, 0], rot[2, 1], rot[2, 2], pos[2],
        0.0, 0.0, 0.0, 1.0,
    )  # fmt: skip


@wp.func
def product33(a: wp.mat33, b: wp.mat33) -> wp.mat33:
    result = wp.mat33()
    for i in range(3):
        for j in range(3):
            result[i, j] = ((0.0 + a[i, 0] * b[0, j]) + a[i, 1] * b[1, j]) + a[i, 2] * b[2, j]
    return result


@wp.func
def product44(a: wp.mat44, b: wp.mat44) -> wp.mat44:
    result = wp.mat44()
    for i in range(4):
        for j in range(4):
            first = ((0.0 + a[i, 0] * b[0, j]) + a[i, 1] * b[1, j]) + a[i, 2] * b[2, j]
            result[i, j] = first + a[i, 3] * b[3, j]
    return result


@wp.func
def inverse(pose: wp.mat44) -> wp.mat44:
    rot = wp.transpose(rotation(pose))
    p = position(pose)
    pos = wp.vec3()
    for i in range(3):
        pos[i] = -((rot[i, 0] * p[0] + rot[i, 1] * p[1]) + rot[i, 2] * p[2])
    return pose_from(rot, pos)


@wp.func
def quat_from_matrix(m: wp.mat33) -> wp.vec4:
    """Quaternion xyzw with w >= 0, of any norm; see `math.quat_xyzw_from_matrix`."""
    x = ((1.0 - m[2, 2]) + m[0, 0]) - m[1, 1]
    y = ((1.0 - m[2, 2]) - m[0, 0]) + m[1, 1]
    z = ((1.0 + m[2, 2]) - m[0, 0]) - m[1, 1]
    w = ((1.0 + m[2, 2]) + m[0, 0]) + m[1, 1]
    xy, xz, yz = m[0, 1] + m[1, 0], m[0, 2] + m[2, 0], m[1, 2] + m[2, 1]
    xw, yw, zw = m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]
    quat = wp.vec4(x, xy, xz, xw)
    largest = x
    if y > largest:
        quat = wp.vec4(xy, y, yz, yw)
        largest = y
    if z > largest:
        quat = wp.vec4(xz, yz, z, zw)
        largest = z
    if w > largest:
        quat = wp.vec4(xw, yw, zw, w)
    return wp.where(quat[3] < 0.0, -quat, quat)

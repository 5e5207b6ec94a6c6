"""Functions on poses and rotations for kernels.

Products have the operations of torch's batched products of small matrices on a CPU, in the same order. Warp's own products
fuse multiplication and addition, also where a module disables this.
"""

from typing import Any

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
    return row_of_largest(x, y, z, w, xy, xz, yz, xw, yw, zw)


@wp.func
def row_of_largest(x: Any, y: Any, z: Any, w: Any, xy: Any, xz: Any, yz: Any, xw: Any, yw: Any, zw: Any):
    """Row of a symmetric matrix, given by its entries, with the largest diagonal entry; with the sign for w >= 0."""
    row = wp.vector(x, xy, xz, xw)
    largest = x
    if y > largest:
        row = wp.vector(xy, y, yz, yw)
        largest = y
    if z > largest:
        row = wp.vector(xz, yz, z, zw)
        largest = z
    if w > largest:
        row = wp.vector(xw, yw, zw, w)
    return wp.where(row[3] < row.dtype(0.0), -row, row)


@wp.func
def square_of_norm(quat: Any):
    """Square of the norm of a quaternion."""
    return ((quat[0] * quat[0] + quat[1] * quat[1]) + quat[2] * quat[2]) + quat[3] * quat[3]

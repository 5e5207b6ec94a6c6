"""Batched operations on rigid-body poses and rotations."""

from isaaclab_mimic_ext.math.poses import (
    axis_angle_from_matrix,
    interpolate_poses,
    invert_pose,
    matrix_from_axis_angle,
    matrix_from_quat_xyzw,
    pose_from_pos_quat,
    pose_from_pos_rot,
    quat_xyzw_from_matrix,
    rotate,
    rotation_angle,
    yaw_matrix,
)

__all__ = [
    "axis_angle_from_matrix",
    "interpolate_poses",
    "invert_pose",
    "matrix_from_axis_angle",
    "matrix_from_quat_xyzw",
    "pose_from_pos_quat",
    "pose_from_pos_rot",
    "quat_xyzw_from_matrix",
    "rotate",
    "rotation_angle",
    "yaw_matrix",
]

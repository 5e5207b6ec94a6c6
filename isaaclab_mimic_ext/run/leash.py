"""Target poses that a person moves, kept near the hands."""

# N envs, E end effectors

import math

import torch
from torch import Tensor

from isaaclab_mimic_ext.math import axis_angle_from_matrix, matrix_from_axis_angle, pose_from_pos_rot

MAX_DISTANCE = 0.045
"""Largest distance of a target from its hand [m]. A hand that moves freely follows its target at up to 0.58 m/s at 20 Hz
within it, and the recorded action stays below its limit of 5 cm."""
MAX_ANGLE = 0.22
"""Largest rotation of a target relative to its hand [rad]; the limit of an action is 0.25 rad."""


class LeashedTarget:
    """Target poses of all hands. Commands move the target, and the hand follows.

    Adding a command to the measured pose of the hand instead would lose the part of the previous command that the hand has
    not completed yet: a Panda in MuJoCo moves 64 % of the commanded distance. The leash keeps the target near a hand that
    cannot follow, such as a hand on the table. Without a command the target stays, so that the hand does not creep.

    Attributes:
        pose: (N, E, 4, 4), target poses, env frame [m].
    """

    def __init__(self, eef_pose: Tensor, max_distance: float = MAX_DISTANCE, max_angle: float = MAX_ANGLE):
        """Start at the measured poses `eef_pose` (N, E, 4, 4) of the hands."""
        self._max_distance, self._max_angle = max_distance, max_angle
        self._min_trace = 1.0 + 2.0 * math.cos(0.99 * max_angle)
        """Trace of a rotation whose angle is just below the limit."""
        self.pose = eef_pose.clone()

    def move(self, motion: Tensor, eef_pose: Tensor) -> Tensor:
        """Move the targets, pull them back to the leash, and return their poses (N, E, 4, 4).

        Args:
            motion: (N, E, 6), translation [m] and rotation vector [rad] about the axes of the env frame.
            eef_pose: (N, E, 4, 4), measured poses of the hands, env frame [m].
        """
        hand_pos, hand_rot = eef_pose[..., :3, 3], eef_pose[..., :3, :3]
        offset = self.pose[..., :3, 3] + motion[..., :3] - hand_pos
        rot = self.pose[..., :3, :3]
        if bool(motion[..., 3:].any()):
            rot = matrix_from_axis_angle(motion[..., 3:]) @ rot
        # In most steps the trace excludes a large angle: the angle itself takes 60 operations.
        if bool(((rot * hand_rot).sum((-1, -2)) < self._min_trace).any()):
            rot = self._shortened(rot, hand_rot)
        self.pose = pose_from_pos_rot(hand_pos + _limited(offset, self._max_distance), rot)
        return self.pose

    def _shortened(self, rot: Tensor, hand_rot: Tensor) -> Tensor:
        """Rotations (N, E, 3, 3), turned back to the largest angle to those of the hands."""
        turn = axis_angle_from_matrix(rot @ hand_rot.transpose(-1, -2))
        shortened = matrix_from_axis_angle(_limited(turn, self._max_angle)) @ hand_rot
        return torch.where((turn.norm(dim=-1) > self._max_angle)[..., None, None], shortened, rot)


def _limited(vector: Tensor, max_length: float) -> Tensor:
    """Vectors (..., 3), shortened to a length of at most `max_length`."""
    length = vector.norm(dim=-1, keepdim=True)
    return vector * (max_length / length.clamp(min=max_length))

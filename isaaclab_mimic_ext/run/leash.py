"""Target poses that a person moves, kept near the hands."""

# N envs, E end effectors

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isaaclab_mimic_ext.math import axis_angle_from_matrix, matrix_from_axis_angle

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
        hand, moved, pose = eef_pose.cpu().numpy(), motion.cpu().numpy(), self.pose.cpu().numpy().copy()
        hand_pos, hand_rot, turn = hand[..., :3, 3], hand[..., :3, :3], moved[..., 3:]
        offset = pose[..., :3, 3] + moved[..., :3] - hand_pos
        # In most steps the host excludes large distances and angles: to shorten them takes 60 torch operations.
        if (offset * offset).sum(-1).max() > (0.99 * self._max_distance) ** 2:
            offset = _limited(torch.from_numpy(offset), self._max_distance).numpy()
        pose[..., :3, 3] = hand_pos + offset
        if turn.any():
            pose[..., :3, :3] = _turned(turn, pose[..., :3, :3])
        if (pose[..., :3, :3] * hand_rot).sum((-1, -2)).min() < self._min_trace:
            pose[..., :3, :3] = self._shortened(pose[..., :3, :3], hand_rot)
        self.pose = torch.from_numpy(pose).to(eef_pose.device)
        return self.pose

    def _shortened(self, rot: NDArray[np.float32], hand_rot: NDArray[np.float32]) -> NDArray[np.float32]:
        """Rotations (N, E, 3, 3), turned back to the largest angle to those of the hands."""
        wanted, hand = torch.from_numpy(rot), torch.from_numpy(hand_rot)
        turn = axis_angle_from_matrix(wanted @ hand.transpose(-1, -2))
        shortened = matrix_from_axis_angle(_limited(turn, self._max_angle)) @ hand
        return torch.where((turn.norm(dim=-1) > self._max_angle)[..., None, None], shortened, wanted).numpy()


def _turned(turn: NDArray[np.float32], rot: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rotations (..., 3, 3), turned by rotation vectors (..., 3) [rad] about the axes of their frame."""
    return (matrix_from_axis_angle(torch.from_numpy(turn)) @ torch.from_numpy(rot)).numpy()


def _limited(vector: Tensor, max_length: float) -> Tensor:
    """Vectors (..., 3), shortened to a length of at most `max_length`."""
    length = vector.norm(dim=-1, keepdim=True)
    return vector * (max_length / length.clamp(min=max_length))

"""Step from which the hands of an episode stand still until its end: a policy that stopped."""

# N envs, n of them selected, E end effectors

import torch
from torch import Tensor

MAX_SPEED = 0.01
"""Speed below which a hand stands still [m/s]; a hand that holds its place is slower."""
MIN_STEPS = 20
"""Smallest number of steps at the end of an episode for which the hands must stand still. Pauses of demos are shorter."""


class Stillness:
    """Notes in which step the hands moved last, for N envs.

    Args:
        eef_pose: (N, E, 4, 4), poses of the hands [m].
        step_dt: duration of a step [s].
    """

    def __init__(self, eef_pose: Tensor, step_dt: float):
        self._max_distance = MAX_SPEED * step_dt
        self._pos = eef_pose[..., :3, 3].clone()
        self._end_of_motion = torch.zeros(len(eef_pose), dtype=torch.int64, device=eef_pose.device)

    def begin(self, env_ids: Tensor, eef_pose: Tensor) -> None:
        """Begin new episodes in the envs `env_ids` (n,) with the poses (N, E, 4, 4) of the hands in all envs."""
        self._end_of_motion.index_fill_(0, env_ids, 0)
        self._pos[env_ids] = eef_pose[env_ids][..., :3, 3]

    def watch(self, step: Tensor, eef_pose: Tensor) -> None:
        """Note the poses (N, E, 4, 4) after the step `step`, (N,), of each env."""
        pos = eef_pose[..., :3, 3].clone()
        moves = (pos - self._pos).norm(dim=-1).amax(-1) > self._max_distance
        self._end_of_motion = torch.where(moves, step + 1, self._end_of_motion)
        self._pos = pos

    def still_from(self, env_ids: Tensor, lengths: Tensor) -> Tensor:
        """Step from which the hands stand still until the end of the episodes in `env_ids`, (n,); -1: they moved.

        Args:
            lengths: (n,), numbers of steps of the episodes.
        """
        since = self._end_of_motion[env_ids]
        return torch.where(lengths - since >= MIN_STEPS, since, -1)

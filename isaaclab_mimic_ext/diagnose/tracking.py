"""How far end effectors are from where they were told to be, by subtask."""

# N envs, n of them addressed, E end effectors, S subtasks

import torch
from torch import Tensor

TRACKING = ("position mean [m]", "position max [m]", "rotation mean [rad]", "rotation max [rad]")
"""The last axis of what `TrackingError.summary` gives."""


class TrackingError:
    """Sums up the distance between each step's target and what the step reached, on the device."""

    def __init__(self, num_envs: int, num_eefs: int, num_subtasks: int, device: torch.device):
        # Distance [m], half the angle [rad], and in the sum how many steps.
        self._sum = torch.zeros(num_envs, num_eefs, num_subtasks, 3, device=device)
        self._max = torch.zeros_like(self._sum)
        self._one = torch.ones(num_envs, num_eefs, device=device)
        # The sums hold half the angle.
        self._factor = torch.tensor([1.0, 2.0], device=device)

    def begin(self, env_ids: Tensor) -> None:
        """Forget the last trials of `env_ids` (n,)."""
        self._sum[env_ids] = 0.0
        self._max[env_ids] = 0.0

    def add(self, target_pose: Tensor, eef_pose: Tensor, subtask: Tensor) -> None:
        """Note one step of every env.

        Args:
            target_pose, eef_pose: (N, E, 4, 4), where each end effector was to go, and where it is, env frame [m].
            subtask: (N, E), which one it is in.
        """
        difference = (target_pose - eef_pose)[..., :3, :]
        squares = (difference * difference).sum(-2)
        # |R - R'| (Frobenius) is 2 sqrt(2) sin(angle / 2): exact near 0, where the trace is not.
        chord = (squares[..., :3].sum(-1) * 0.125).clamp_(max=1.0)
        error = torch.stack((squares[..., 3], chord, self._one), dim=-1).sqrt_()
        error[..., 1].asin_()
        at = subtask[..., None, None].expand(-1, -1, 1, 3)
        self._sum.scatter_add_(2, at, error[:, :, None])
        self._max.scatter_reduce_(2, at, error[:, :, None], "amax")

    def summary(self, env_ids: Tensor) -> Tensor:
        """Means and maxima of the present trials, (n, E, S, 4) as `TRACKING` names them; NaN where no step was made."""
        total, largest = self._sum[env_ids], self._max[env_ids]
        count = total[..., 2]
        mean = total[..., :2] / count[..., None]
        largest = torch.where(count[..., None] > 0, largest[..., :2], torch.nan)
        return torch.stack((mean * self._factor, largest * self._factor), dim=-1).flatten(-2)

"""Mobile base: all end effectors of a trial wait until the base has reached its goal.

A controller inside the env drives the base to the target pose of the end effector `body`. The time that this takes differs
from the source demo. If the base is late, `body` stays at the last waypoint of its segment until the env reports the
arrival, and all other end effectors wait with it. If the base is early, all end effectors skip the remaining waypoints of
the drive. Source: Isaac Lab Mimic's navigation controller.
"""

# N envs, E end effectors

from collections.abc import Mapping

import torch
from torch import Tensor

MISSED_GOAL = "the base did not reach its goal"


class Navigation:
    """State of the mobile bases of N envs, and its effect on the waypoints of all end effectors.

    Args:
        body: index of the end effector `body`, the base.
        max_wait: largest number of steps to wait for the base in one trial.

    Attributes:
        holds: (N,) bool, the base is at the last waypoint of its segment, but has not reached its goal.
        failed: (N,) bool, the current trial has waited for the base for more than `max_wait` steps.
    """

    def __init__(self, body: int, max_wait: int, num_envs: int, device: torch.device):
        self._body, self._max_wait = body, max_wait
        self.holds = torch.zeros(num_envs, dtype=torch.bool, device=device)
        self._was_navigating, self._is_navigating = torch.zeros_like(self.holds), torch.zeros_like(self.holds)
        self._num_waited = torch.zeros(num_envs, dtype=torch.int64, device=device)

    @property
    def failed(self) -> Tensor:
        return self._num_waited > self._max_wait

    def begin_trials(self, env_ids: Tensor) -> None:
        """Clear the state of the previous trials of `env_ids` (n,)."""
        for flags in (self.holds, self._was_navigating, self._is_navigating):
            flags.index_fill_(0, env_ids, False)
        self._num_waited.index_fill_(0, env_ids, 0)

    def observe(self, state: Mapping[str, Tensor]) -> None:
        """Store the state of the bases after a step, as returned by `MimicEnv.get_navigation_state`."""
        self._was_navigating = self._is_navigating
        # A new tensor: the env may overwrite its own tensors, and this class must not write them.
        self._is_navigating = state["is_navigating"] & ~state["navigation_goal_reached"]

    def advance(self, begun: Tensor, cursor: Tensor, last: Tensor) -> Tensor:
        """Return in which envs no segment may end in this step, (N, 1) bool, because the base has not arrived.

        Where the base has arrived early, advances `cursor` in place.

        Args:
            begun: (N, E) bool, the end effector has an unfinished segment.
            cursor, last: (N, E) int32, index of the current and the last waypoint of each segment.
        """
        body_begun, remaining = begun[:, self._body], (last - cursor)[:, self._body]
        self.holds = body_begun & (remaining <= 0) & self._is_navigating
        self._num_waited += self.holds
        arrives = self._was_navigating & ~self._is_navigating & body_begun & (remaining > 1)
        # Skip to the waypoint before the last: the next step executes the last one.
        skipped = torch.minimum((remaining - 1)[:, None], last - cursor - 1).clamp(min=0)
        cursor += torch.where(arrives[:, None] & begun, skipped, 0)
        return self.holds[:, None]

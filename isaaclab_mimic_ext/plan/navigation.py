"""A mobile base: trials in which everybody waits until it has reached its goal.

An env's own controller drives the base to the target of the end effector `body`; how long that takes, no demonstration
knows. So `body` stays at the last waypoint of a segment until the env says that it is there, and all others stand still with
it. Where it is there early, all skip what the demonstration took longer. Source: Isaac Lab Mimic's navigation controller.
"""

# N envs, E end effectors

from collections.abc import Mapping

import torch
from torch import Tensor

MISSED_GOAL = "the base did not reach its goal"


class Navigation:
    """What N envs say of their bases, and what follows for the waypoints of all end effectors.

    Attributes:
        holds: (N,) bool, the base is at the end of its segment, but not at its goal.
        failed: (N,) bool, the present trial has waited longer than `max_wait` for it.
    """

    def __init__(self, body: int, max_wait: int, num_envs: int, device: torch.device):
        self._body, self._max_wait = body, max_wait
        self.holds = torch.zeros(num_envs, dtype=torch.bool, device=device)
        self._was_under_way, self._is_under_way = torch.zeros_like(self.holds), torch.zeros_like(self.holds)
        self._num_waited = torch.zeros(num_envs, dtype=torch.int64, device=device)

    @property
    def failed(self) -> Tensor:
        return self._num_waited > self._max_wait

    def begin_trials(self, env_ids: Tensor) -> None:
        """Forget the last trials of `env_ids` (n,)."""
        for flags in (self.holds, self._was_under_way, self._is_under_way):
            flags[env_ids] = False
        self._num_waited[env_ids] = 0

    def observe(self, state: Mapping[str, Tensor]) -> None:
        """Take what the envs say after a step: `MimicEnv.get_navigation_state`."""
        self._was_under_way = self._is_under_way
        # New tensors: the env's own may be written by the env, and must not be written here.
        self._is_under_way = state["is_navigating"] & ~state["navigation_goal_reached"]

    def advance(self, begun: Tensor, cursor: Tensor, last: Tensor) -> Tensor:
        """Whose segment may not end yet, (N, 1) bool; moves `cursor` on in place where the base has arrived early.

        Args:
            begun: (N, E) bool.
            cursor, last: (N, E) int32, present and last waypoint of every segment.
        """
        body_begun, remaining = begun[:, self._body], (last - cursor)[:, self._body]
        self.holds = body_begun & (remaining <= 0) & self._is_under_way
        self._num_waited += self.holds
        arrives = self._was_under_way & ~self._is_under_way & body_begun & (remaining > 1)
        # The last waypoint itself is the next one.
        skipped = torch.minimum((remaining - 1)[:, None], last - cursor - 1).clamp(min=0)
        cursor += torch.where(arrives[:, None] & begun, skipped, 0)
        return self.holds[:, None]

"""The planned stretches that lead to the skills of N trials: one for each end effector at a time."""

# N envs, E end effectors, O objects, R rows (an env and an end effector) addressed, L steps of the longest path

import torch
from torch import Tensor

from isaaclab_mimic_ext.demos.pool import SourcePool
from isaaclab_mimic_ext.kernels.waypoints import Segments
from isaaclab_mimic_ext.plan.motion import MotionPlanner, MotionQuery


class Transits:
    """Asks a motion planner and keeps its paths where the waypoint kernel reads them.

    Attributes:
        paths: (N, E, L, 4, 4), env frame [m].
        failure: (N,) int64, the largest `MotionFailure` of the present trial's end effectors.
    """

    def __init__(self, planner: MotionPlanner, num_envs: int, num_eefs: int, device: torch.device):
        self._planner = planner
        self.paths = torch.eye(4, device=device).repeat(num_envs, num_eefs, planner.max_length, 1, 1)
        self.failure = torch.zeros(num_envs, dtype=torch.int64, device=device)

    @property
    def max_length(self) -> int:
        """L."""
        return self._planner.max_length

    def begin_trials(self, env_ids: Tensor) -> None:
        """Forget the failures of the last trials of `env_ids` (n,)."""
        self.failure[env_ids] = 0

    def plan(
        self,
        place: tuple[Tensor, Tensor],
        pool: SourcePool,
        segments: Segments,
        eef_pose: Tensor,
        object_pose: Tensor,
        attached: Tensor | None,
    ) -> Tensor:
        """Plan the way to each row's segment; its length (R,) [steps]. Who fails stands still for a step.

        Args:
            place: env and end effector of each row, (R,) each.
            segments: chosen, transformed, and with the pose that the way starts from.
            eef_pose: (N, E, 4, 4), present, env frame [m].
            object_pose: (N, O, 4, 4), present, env frame [m].
            attached: (N, E) int64, the object in each gripper, -1 for none; None: no gripper holds anything.
        """
        env_ids, eef_ids = place
        source = eef_ids, segments.demo[place].long(), segments.start[place].long()
        is_prepended = (segments.prepend[place] > 0)[:, None, None]
        first = torch.where(is_prepended, pool.eef_pose[source], pool.target_eef_pose[source])
        goal = segments.transform[place] @ first
        held = torch.full_like(eef_ids, -1) if attached is None else attached[place]
        query = MotionQuery(*place, segments.start_pose[place], goal, eef_pose[place], object_pose[env_ids], held)
        plan = self._planner.plan(query)
        self.paths[place] = plan.path
        self.failure.scatter_reduce_(0, env_ids, plan.failure, "amax")
        return plan.length

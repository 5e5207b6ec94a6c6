"""Transits of N trials: planned motion to the next skill of each end effector (SkillGen)."""

# N envs, E end effectors, O objects, R rows (an env and one of its end effectors each), L steps of the longest path

import torch
from torch import Tensor

from isaaclab_mimic_ext.demos.pool import SourcePool
from isaaclab_mimic_ext.kernels.waypoints import Segments
from isaaclab_mimic_ext.plan.motion import MotionPlanner, MotionQuery


class Transits:
    """Calls a motion planner and stores its paths in a buffer that the waypoint kernel reads.

    Attributes:
        paths: (N, E, L, 4, 4), one path per end effector, env frame [m].
        failure: (N,) int64, largest `MotionFailure` code among the end effectors of the current trial.
    """

    def __init__(self, planner: MotionPlanner, num_envs: int, num_eefs: int, device: torch.device):
        self._planner = planner
        self.paths = torch.eye(4, device=device).repeat(num_envs, num_eefs, planner.max_length, 1, 1)
        self.failure = torch.zeros(num_envs, dtype=torch.int64, device=device)

    @property
    def max_length(self) -> int:
        """Largest number of steps of a transit, L."""
        return self._planner.max_length

    def begin_trials(self, env_ids: Tensor) -> None:
        """Clear the failures of the previous trials of `env_ids` (n,)."""
        self.failure.index_fill_(0, env_ids, 0)

    def plan(
        self,
        place: tuple[Tensor, Tensor],
        pool: SourcePool,
        segments: Segments,
        eef_pose: Tensor,
        object_pose: Tensor,
        attached: Tensor | None,
    ) -> Tensor:
        """Plan a transit to the segment of each row. Rows without a plan hold for one step.

        Args:
            place: env and end effector of each row, (R,) int64 each.
            segments: table of all segments, with source demo, transform and `start_pose` of these rows already entered.
            eef_pose: (N, E, 4, 4), present, env frame [m].
            object_pose: (N, O, 4, 4), present, env frame [m].
            attached: (N, E) int64, index of the object in each gripper, -1 if empty; None: all grippers are empty.

        Returns:
            Number of steps of each transit, (R,) int64.
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

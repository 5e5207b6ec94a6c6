"""Where every trial is in its plan: the state of N trials as tensors, advanced by masks."""

# N envs, E end effectors, D demos, S subtasks, n envs or R (env, eef) rows addressed, O objects, G gripper entries

from dataclasses import dataclass

import torch
from torch import Tensor

from isaaclab_mimic_ext.config import DataGenConfig
from isaaclab_mimic_ext.demos.pool import SourcePool
from isaaclab_mimic_ext.kernels.waypoints import Segments, WaypointReader
from isaaclab_mimic_ext.math import invert_pose
from isaaclab_mimic_ext.plan.select import choose_nearest, pose_distance
from isaaclab_mimic_ext.plan.subtasks import Strategy, SubtaskTable
from isaaclab_mimic_ext.rng import Draws, Stream


@dataclass
class Waypoints:
    """Where the end effectors should go in this step.

    Attributes:
        target_eef_pose: (N, E, 4, 4), env frame [m].
        gripper_action: (N, E, G).
        noise_std: (N, E), of this step's action, in the action's units.
    """

    target_eef_pose: Tensor
    gripper_action: Tensor
    noise_std: Tensor


@dataclass
class _Rows:
    """The segments that begin in one step, and what they would be from every source demo.

    Attributes:
        env_ids, eef_ids, subtask: (R,).
        starts, ends: (R, D), the segment's span in each demo [steps].
        eef_now, object_now: (R, 4, 4), env frame [m].
        object_then: (R, D, 4, 4), at the segment's start in each demo [m].
        to_now: (R, D, 4, 4), from each demo's env frame to the present one.
    """

    env_ids: Tensor
    eef_ids: Tensor
    subtask: Tensor
    starts: Tensor
    ends: Tensor
    eef_now: Tensor
    object_now: Tensor
    object_then: Tensor
    to_now: Tensor


class TrialPlanner:
    """Plans N trials side by side: boundaries, selection, transform, interpolation, hold.

    The caller begins trials and segments for the envs that are due and advances all by one step at a time. There is no
    waypoint buffer: each step's waypoint is computed from the cursor, so that holding is not advancing.
    """

    def __init__(self, pool: SourcePool, table: SubtaskTable, config: DataGenConfig, num_envs: int):
        device = pool.lengths.device
        num_eefs, num_demos, num_subtasks = pool.subtask_ends.shape
        self.pool, self.table, self.config = pool, table, config
        self.num_envs, self.num_eefs, self.seed = num_envs, num_eefs, config.seed
        self.segments = Segments.empty(num_envs, num_eefs, device)
        self.subtask = torch.zeros(num_envs, num_eefs, dtype=torch.int64, device=device)
        self.finished = torch.ones(num_envs, num_eefs, dtype=torch.bool, device=device)
        self.steps_held = torch.zeros(num_envs, dtype=torch.int64, device=device)
        self.trials = torch.zeros(num_envs, dtype=torch.int64, device=device)
        self.chosen_demos = torch.zeros(num_envs, num_eefs, num_subtasks, dtype=torch.int32, device=device)
        """The source demo of every subtask of the present trial, -1 before it is chosen."""
        self.boundaries = torch.zeros(num_envs, num_eefs, num_demos, num_subtasks + 1, dtype=torch.int64, device=device)
        """Where each subtask of each demo starts, and in the last place where the last one ends, offsets included."""
        self._eef_ids = torch.arange(num_eefs, device=device)
        self._demo_ids = torch.arange(num_demos, device=device)
        self._selects_per_subtask = config.generation_select_src_per_subtask and (
            config.compat_select != "isaaclab" or config.generation_select_src_per_arm
        )
        self._reader = WaypointReader(
            pool.target_eef_pose, pool.eef_pose, pool.gripper_action, self.segments, config.legacy_small_rotation
        )

    @property
    def horizon(self) -> int:
        """The most steps that a trial can take."""
        table, ends = self.table, self.pool.subtask_ends
        latest, earliest = ends + table.offset_high[:, None], ends + table.offset_low[:, None]
        starts = torch.cat((table.first_low[:, None, None].expand(-1, ends.shape[1], 1), earliest[..., :-1]), dim=-1)
        longest = (latest - starts).amax(1) + table.num_interpolation + table.num_fixed + 1
        exists = torch.arange(ends.shape[-1], device=ends.device) < table.num_subtasks[:, None]
        return int((longest * exists).sum(-1).max()) + self.config.num_final_hold_steps

    def begin_trials(self, env_ids: Tensor, draws: Draws) -> None:
        """Draw the boundaries of the trials of `draws` (n,), which start in `env_ids` (n,); their first segments are due."""
        table, ends = self.table, self.pool.subtask_ends
        low, high = table.offset_low[:, None].expand_as(ends), table.offset_high[:, None].expand_as(ends)
        first_low, first_high = (bound[:, None].expand(ends.shape[:2]) for bound in (table.first_low, table.first_high))
        shifted = ends + draws.integers(Stream.BOUNDARY, low, high, step=0)
        first = draws.integers(Stream.BOUNDARY, first_low, first_high, step=1)
        self.boundaries[env_ids] = torch.cat((first[..., None], shifted), dim=-1)
        self.trials[env_ids] = draws.trials
        self.subtask[env_ids] = 0
        self.finished[env_ids] = False
        self.steps_held[env_ids] = 0
        self.chosen_demos[env_ids] = -1

    def begin_segments(self, env_ids: Tensor, eef_ids: Tensor, eef_pose: Tensor, object_pose: Tensor) -> None:
        """Select, transform and join the segment that begins now in each row (env, eef), both (R,).

        Args:
            eef_pose: (N, E, 4, 4), present, env frame [m].
            object_pose: (N, O, 4, 4), present, env frame [m].
        """
        rows = self._rows(env_ids, eef_ids, eef_pose, object_pose)
        demo = self._select(rows)
        chosen = (torch.arange(len(demo), device=demo.device), demo)
        is_first = rows.subtask == 0
        start_pose = rows.eef_now
        if self.config.generation_interpolate_from_last_target_pose:
            last_target = self._reader.target[env_ids, eef_ids]
            start_pose = torch.where(is_first[:, None, None], start_pose, last_target)
        segments, place, entry = self.segments, (env_ids, eef_ids), (eef_ids, rows.subtask)
        segments.demo[place] = demo.int()
        segments.start[place] = rows.starts[chosen].int()
        segments.length[place] = (rows.ends - rows.starts)[chosen].int()
        segments.cursor[place] = 0
        segments.num_interpolation[place] = self.table.num_interpolation[entry].int()
        segments.num_fixed[place] = self.table.num_fixed[entry].int()
        segments.prepend[place] = (is_first | self.config.generation_transform_first_robot_pose).int()
        segments.transform[place] = rows.to_now[chosen]
        segments.start_pose[place] = start_pose
        self.chosen_demos[env_ids, eef_ids, rows.subtask] = demo.int()

    def _rows(self, env_ids: Tensor, eef_ids: Tensor, eef_pose: Tensor, object_pose: Tensor) -> _Rows:
        subtask = self.subtask[env_ids, eef_ids]
        bounds = self.boundaries[env_ids, eef_ids]
        at = subtask[:, None, None].expand(-1, bounds.shape[1], 1)
        starts, ends = bounds.gather(-1, at).squeeze(-1), bounds.gather(-1, at + 1).squeeze(-1)
        object_id = self.table.object_id[eef_ids, subtask]
        identity = torch.eye(4, device=object_pose.device).expand(self.num_envs, 1, 4, 4)
        object_now = torch.cat((object_pose, identity), dim=1)[env_ids, object_id]
        object_then = self.pool.object_pose[object_id[:, None], self._demo_ids, starts]
        to_now = object_now[:, None] @ invert_pose(object_then)
        return _Rows(env_ids, eef_ids, subtask, starts, ends, eef_pose[env_ids, eef_ids], object_now, object_then, to_now)

    def _select(self, rows: _Rows) -> Tensor:
        """The source demo of each row, (R,): a new choice, or the one in use where it is to be kept."""
        table, entry = self.table, (rows.eef_ids, rows.subtask)
        strategy = table.strategy[entry]
        draws = Draws(self.seed, self.trials[rows.env_ids])
        uniform = draws.uniform(Stream.SELECTION, (1,), step=rows.subtask * self.num_eefs + rows.eef_ids).squeeze(-1)
        count = torch.where(strategy == Strategy.RANDOM, self.pool.num_demos, table.nn_k[entry])
        demo = choose_nearest(self._distances(rows, strategy), count, uniform)
        in_use = self.chosen_demos[rows.env_ids, rows.eef_ids, (rows.subtask - 1).clamp(min=0)].long()
        anew = (rows.subtask == 0) | self._selects_per_subtask
        return torch.where(anew, demo, in_use)

    def _distances(self, rows: _Rows, strategy: Tensor) -> Tensor:
        """What each demo's segment is away from the present, (R, D); all alike under `random`."""
        table, entry = self.table, (rows.eef_ids, rows.subtask)
        weights = table.pos_weight[entry][:, None], table.rot_weight[entry][:, None]
        distance = torch.zeros_like(rows.starts, dtype=torch.float32)
        if Strategy.NEAREST_NEIGHBOR_OBJECT in table.strategies:
            of_object = pose_distance(rows.object_then, rows.object_now[:, None], *weights)
            distance = torch.where((strategy == Strategy.NEAREST_NEIGHBOR_OBJECT)[:, None], of_object, distance)
        if Strategy.NEAREST_NEIGHBOR_ROBOT_DISTANCE in table.strategies:
            moved = rows.to_now @ self.pool.eef_pose[rows.eef_ids[:, None], self._demo_ids, rows.starts]
            of_robot = pose_distance(moved, rows.eef_now[:, None], *weights)
            distance = torch.where((strategy == Strategy.NEAREST_NEIGHBOR_ROBOT_DISTANCE)[:, None], of_robot, distance)
        return distance

    def waypoints(self) -> Waypoints:
        """This step's waypoints; the tensors are overwritten by the next call."""
        target, gripper = self._reader.read()
        segments = self.segments
        in_segment = segments.cursor >= segments.num_interpolation + segments.num_fixed
        place = (self._eef_ids, self.subtask)
        noisy = (in_segment | self.table.noise_everywhere[place]) & ~self.finished
        return Waypoints(target, gripper, torch.where(noisy, self.table.noise_std[place], 0.0))

    def advance(self) -> tuple[Tensor, Tensor]:
        """Move on by one step: whether each eef's next segment is due, (N, E) bool, and each trial has ended, (N,) bool."""
        holding = self.finished.all(-1)
        self.steps_held += holding
        self.segments.cursor += 1
        last_waypoint = self.segments.num_waypoints - 1
        ended = self.segments.cursor > last_waypoint
        is_last = self.subtask + 1 >= self.table.num_subtasks
        due = ended & ~is_last
        self.finished |= ended & is_last
        self.subtask += due
        # A finished eef stays at its last waypoint.
        torch.minimum(self.segments.cursor, last_waypoint, out=self.segments.cursor)
        return due, self.finished.all(-1) & (self.steps_held >= self.config.num_final_hold_steps)

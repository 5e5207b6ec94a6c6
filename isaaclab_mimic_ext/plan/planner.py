"""Where every trial is in its plan: the state of N trials as tensors, advanced by masks."""

# N envs, E end effectors, D demos, S subtasks, n envs or R (env, eef) rows addressed, O objects, G gripper entries,
# P pose entries of an action

from dataclasses import dataclass

import torch
from torch import Tensor

from isaaclab_mimic_ext.config import DataGenConfig
from isaaclab_mimic_ext.config.task import BODY
from isaaclab_mimic_ext.demos.pool import SourcePool
from isaaclab_mimic_ext.kernels.waypoints import Segments, WaypointReader
from isaaclab_mimic_ext.math import invert_pose
from isaaclab_mimic_ext.plan.constraints import Constraints, ConstraintTable, Standing, shared_transform
from isaaclab_mimic_ext.plan.motion import MOTION_FAILURES, MotionPlanner
from isaaclab_mimic_ext.plan.navigation import MISSED_GOAL, Navigation
from isaaclab_mimic_ext.plan.segments import (
    SegmentRows,
    SharedChoices,
    choose_nearest,
    draw_spans,
    longest_trial,
    segment_distances,
)
from isaaclab_mimic_ext.plan.subtasks import Strategy, SubtaskTable
from isaaclab_mimic_ext.plan.transits import Transits
from isaaclab_mimic_ext.rng import Draws, Stream


@dataclass
class Waypoints:
    """Where the end effectors should go in this step.

    Attributes:
        target_eef_pose: (N, E, 4, 4), env frame [m].
        gripper_action: (N, E, G).
        noise_std: (N, E, P), of this step's action, in the action's units.
    """

    target_eef_pose: Tensor
    gripper_action: Tensor
    noise_std: Tensor


class TrialPlanner:
    """Plans N trials side by side: boundaries, selection, transform, interpolation, waiting, hold.

    The caller begins trials and segments for the envs that are due and advances all by one step at a time. There is no
    waypoint buffer: each step's waypoint is computed from the cursor, so that holding is not advancing.

    Args:
        motion_planner: plans the way to each segment, in place of interpolation (SkillGen).

    Attributes:
        first_eefs: the end effectors whose first segment is due when a trial begins; the others wait for some of them.
        horizon: the most steps that a trial can take.
        navigation: takes what the env says of its base, before `advance`; None where no base is waited for.
        failure_messages: what is said of each code of `failure`, from 1 on.
        subtask: (N, E) int64, the one that is executed, or comes next.
        begun: (N, E) bool, whether it has a segment that is not over.
        finished: (N, E) bool, all subtasks are done.
        trials: (N,) int64.
        steps_held: (N,) int64, since all end effectors have finished.
        chosen_demos: (N, E, S) int32, the source demo of every subtask of the present trial, -1 before it is chosen.
        starts, ends: (N, E, D, S) int64, which steps [start, end) of each demo are each subtask, offsets included.
    """

    failure_messages = (*MOTION_FAILURES[1:], MISSED_GOAL)

    def __init__(
        self,
        pool: SourcePool,
        table: SubtaskTable,
        constraints: ConstraintTable,
        config: DataGenConfig,
        num_envs: int,
        motion_planner: MotionPlanner | None = None,
    ):
        device = pool.lengths.device
        num_eefs, num_demos, num_subtasks = pool.subtask_ends.shape
        self.pool, self.table, self.config = pool, table, config
        self.num_envs, self.num_eefs, self.seed = num_envs, num_eefs, config.seed
        self.first_eefs = constraints.first_eefs
        self._transits = None if motion_planner is None else Transits(motion_planner, num_envs, num_eefs, device)
        transit_length = None if self._transits is None else self._transits.max_length
        self.horizon = longest_trial(pool, table, constraints, transit_length) + config.num_final_hold_steps
        self.navigation = None
        if config.use_navigation_controller:
            body, max_wait = constraints.eef_names.index(BODY), config.max_navigation_wait_steps
            self.navigation = Navigation(body, max_wait, num_envs, device)
            self.horizon += max_wait + 1
        self._allocate(num_demos, num_subtasks, device)
        self._eef_ids = torch.arange(num_eefs, device=device)
        self._demo_ids = torch.arange(num_demos, device=device)
        # Constants on the device: assigning a Python number uploads it.
        self._before_first = torch.tensor(-1, dtype=torch.int32, device=device)
        self._true = torch.tensor(True, device=device)
        self._selects_per_subtask = config.generation_select_src_per_subtask and (
            config.compat_select != "isaaclab" or config.generation_select_src_per_arm
        )
        shares_by_index = not config.generation_select_src_per_arm
        self._shared = SharedChoices(constraints, num_envs, num_subtasks, shares_by_index) if num_eefs > 1 else None
        self._constraints = Constraints(constraints)
        self._settles = bool(table.num_settle.any())
        self._reader = WaypointReader(
            pool.target_eef_pose, pool.eef_pose, pool.gripper_action, self.segments, config.legacy_small_rotation,
            None if self._transits is None else self._transits.paths,
        )  # fmt: skip

    def _allocate(self, num_demos: int, num_subtasks: int, device: torch.device) -> None:
        """What is known of the trials: nothing yet, all are over."""
        shape = self.num_envs, self.num_eefs

        def zeros(*size: int, dtype: torch.dtype = torch.int64) -> Tensor:
            return torch.zeros(size, dtype=dtype, device=device)

        self.segments = Segments.empty(*shape, device)
        self.subtask, self._steps_still = zeros(*shape), zeros(*shape)
        self.begun, self.finished = zeros(*shape, dtype=torch.bool), ~zeros(*shape, dtype=torch.bool)
        self.trials, self.steps_held = zeros(self.num_envs), zeros(self.num_envs)
        self.chosen_demos = zeros(*shape, num_subtasks, dtype=torch.int32)
        self.starts, self.ends = (zeros(*shape, num_demos, num_subtasks) for _ in range(2))

    @property
    def plans_motion(self) -> bool:
        """Whether `begin_segments` needs to know what is attached."""
        return self._transits is not None

    @property
    def failure(self) -> Tensor | None:
        """(N,) int64, why the present trial cannot go on, 0 where it can; None where nothing can fail."""
        failure = None if self._transits is None else self._transits.failure
        if self.navigation is None:
            return failure
        missed = len(self.failure_messages) * self.navigation.failed
        return missed if failure is None else torch.where(failure > 0, failure, missed)

    def begin_trials(self, env_ids: Tensor, draws: Draws, eef_pose: Tensor) -> None:
        """Draw the boundaries of the trials of `draws` (n,), which start in `env_ids` (n,).

        The first segments of `first_eefs` are due; the others hold their pose of (N, E, 4, 4), env frame [m].
        """
        self.starts[env_ids], self.ends[env_ids] = draw_spans(self.pool, self.table, draws)
        self.trials[env_ids] = draws.trials
        self.subtask[env_ids] = 0
        self.begun[env_ids] = self.finished[env_ids] = False
        self.steps_held[env_ids] = 0
        self._steps_still[env_ids] = 0
        self.chosen_demos[env_ids] = -1
        self.segments.cursor[env_ids] = -1
        self._reader.target[env_ids] = eef_pose[env_ids]
        self._reader.gripper[env_ids] = self.pool.gripper_action[:, 0, 0]
        if self._shared is not None:
            self._shared.forget(env_ids)
        if self._transits is not None:
            self._transits.begin_trials(env_ids)
        if self.navigation is not None:
            self.navigation.begin_trials(env_ids)

    def begin_segments(
        self, env_ids: Tensor, eef_ids: Tensor, eef_pose: Tensor, object_pose: Tensor, attached: Tensor | None = None
    ) -> None:
        """Select, transform and join the segment that begins now in each row (env, eef), both (R,), by env and then eef.

        Args:
            eef_pose: (N, E, 4, 4), present, env frame [m].
            object_pose: (N, O, 4, 4), present, env frame [m].
            attached: (N, E) int64, the object in each gripper, -1 for none; for the motion planner.
        """
        # Select: which source demo each segment follows, and how it is moved to the present objects.
        rows = self._rows(env_ids, eef_ids, eef_pose, object_pose)
        demo, transform = self._choose(rows)
        chosen = (torch.arange(len(demo), device=demo.device), demo)
        # Join: interpolate from the present pose, or go on from the last target.
        is_first = rows.subtask == 0
        start_pose = rows.eef_now
        if self.config.generation_interpolate_from_last_target_pose:
            last_target = self._reader.target[env_ids, eef_ids]
            start_pose = torch.where(is_first[:, None, None], start_pose, last_target)
        # Enter the segment into the table that waypoints are computed from.
        segments, place, entry = self.segments, (env_ids, eef_ids), (eef_ids, rows.subtask)
        segments.demo[place] = demo.int()
        segments.start[place] = rows.starts[chosen].int()
        segments.length[place] = (rows.ends - rows.starts)[chosen].int()
        segments.cursor[place] = self._before_first
        segments.num_fixed[place] = self.table.num_fixed[entry].int()
        segments.prepend[place] = (is_first | self.config.generation_transform_first_robot_pose).int()
        segments.transform[place] = transform
        segments.start_pose[place] = start_pose
        lead_in = self.table.num_interpolation[entry]
        if self._transits is not None:
            lead_in = self._transits.plan(place, self.pool, segments, eef_pose, object_pose, attached)
        segments.num_interpolation[place] = lead_in.int()
        self.begun[place] = self._true
        self.chosen_demos[env_ids, eef_ids, rows.subtask] = demo.int()
        # A trial has no gripper action before its first: nothing changes then, and nothing needs to settle.
        first_gripper = self.pool.gripper_action[eef_ids, demo, rows.starts[chosen]]
        self._reader.gripper[place] = torch.where(is_first[:, None], first_gripper, self._reader.gripper[place])

    def _rows(self, env_ids: Tensor, eef_ids: Tensor, eef_pose: Tensor, object_pose: Tensor) -> SegmentRows:
        subtask = self.subtask[env_ids, eef_ids]
        starts, ends = (spans[env_ids, eef_ids, :, subtask] for spans in (self.starts, self.ends))
        object_id = self.table.object_id[eef_ids, subtask]
        identity = torch.eye(4, device=object_pose.device).expand(self.num_envs, 1, 4, 4)
        object_now = torch.cat((object_pose, identity), dim=1)[env_ids, object_id]
        object_then = self.pool.object_pose[object_id[:, None], self._demo_ids, starts]
        to_now = object_now[:, None] @ invert_pose(object_then)
        return SegmentRows(
            env_ids, eef_ids, subtask, starts, ends, eef_pose[env_ids, eef_ids], object_now, object_then, to_now
        )

    def _choose(self, rows: SegmentRows) -> tuple[Tensor, Tensor]:
        """The source demo (R,) of each row, and the transform (R, 4, 4) from its env frame to the present one."""
        demo = self._select(rows)
        anew = (rows.subtask == 0) | self._selects_per_subtask
        in_use = self.chosen_demos[rows.env_ids, rows.eef_ids, (rows.subtask - 1).clamp(min=0)].long()
        demo = torch.where(anew, demo, in_use)
        index = torch.arange(len(demo), device=demo.device)
        if self._shared is None:
            return demo, rows.to_now[index, demo]
        sharers = self._shared.sharers(rows.env_ids, rows.eef_ids, rows.subtask)
        demo = self._shared.choose(sharers, demo, anew)
        table, to_now = self._shared.table, rows.to_now[index, demo]
        if not table.num_groups:
            return demo, to_now
        uniform = Draws(self.seed, self.trials[rows.env_ids]).uniform(Stream.COORDINATION, (6,), step=sharers.group)
        of_group = shared_transform(table, sharers.group, rows.object_now, rows.object_then[index, demo], to_now, uniform)
        return demo, self._shared.share_transform(sharers, of_group, to_now)

    def _select(self, rows: SegmentRows) -> Tensor:
        """The source demo of each row, (R,), by its subtask's strategy."""
        table, entry = self.table, (rows.eef_ids, rows.subtask)
        strategy = table.strategy[entry]
        draws = Draws(self.seed, self.trials[rows.env_ids])
        uniform = draws.uniform(Stream.SELECTION, (1,), step=rows.subtask * self.num_eefs + rows.eef_ids).squeeze(-1)
        count = table.nn_k[entry].masked_fill(strategy == Strategy.RANDOM, self.pool.num_demos)
        return choose_nearest(segment_distances(rows, strategy, self.pool, table), count, uniform)

    def waypoints(self) -> Waypoints:
        """This step's waypoints; the tensors are overwritten by the next call."""
        moves = self._moves()
        self.segments.cursor += moves
        self._steps_still = (self._steps_still + 1).masked_fill_(moves, 0)
        target, gripper = self._reader.read()
        segments = self.segments
        in_segment = segments.cursor >= segments.num_interpolation + segments.num_fixed
        place = (self._eef_ids, self.subtask)
        # Who waits or is done stands still.
        noisy = (in_segment | self.table.noise_everywhere[place]) & moves
        return Waypoints(target, gripper, self.table.noise_std[place].masked_fill_(~noisy[..., None], 0.0))

    def _moves(self) -> Tensor:
        """(N, E) bool, who goes on to its next waypoint."""
        if not self._settles and self._constraints.never_wait and self.navigation is None:
            return self.begun
        waits = self._must_settle() if self._settles else torch.zeros_like(self.begun)
        if self.navigation is not None:
            waits = waits | self.navigation.holds[:, None]
        if not self._constraints.never_wait:
            waits = self._constraints.must_wait(self._standing(), self._num_common_steps(), waits)
        return self.begun & ~waits

    def _must_settle(self) -> Tensor:
        """(N, E) bool, whose gripper is to change next, but has not stood still for long enough."""
        segments = self.segments
        index = (segments.cursor + 1 - segments.num_interpolation - segments.num_fixed).clamp(min=0)
        step = (segments.start + (index - segments.prepend).clamp(min=0)).clamp(max=self.pool.gripper_action.shape[2] - 1)
        following = self.pool.gripper_action[self._eef_ids, segments.demo.long(), step.long()]
        changes = ((following > 0) != (self._reader.gripper > 0)).any(-1)
        if self._transits is not None:  # On a planned stretch the gripper stays as it is.
            changes &= segments.cursor + 1 >= segments.num_interpolation
        return changes & (self._steps_still < self.table.num_settle[self._eef_ids, self.subtask])

    def _standing(self) -> Standing:
        remaining = self.segments.num_waypoints - 1 - self.segments.cursor
        return Standing(self.subtask, self.begun, self.finished, remaining)

    def _num_common_steps(self) -> Tensor:
        """(N, K), how many last steps each coordinated pair goes in step: as many as the shorter source segment has."""
        pairs = self._constraints.table.coordinated
        if not len(pairs) or self._shared is None:
            return torch.zeros(self.num_envs, 0, dtype=torch.int64, device=self.subtask.device)
        demo = self._shared.demo_of_group[:, self._constraints.table.group[pairs.eef[0], pairs.subtask[0]]].clamp(min=0)
        env_ids = torch.arange(self.num_envs, device=demo.device)[:, None, None]
        place = (env_ids, pairs.eef.T, demo[..., None])
        at = (*place, pairs.subtask.T)
        return (self.ends[at] - self.starts[at]).amin(-1)

    def advance(self) -> tuple[Tensor, Tensor]:
        """Move on by one step: whether each eef's next segment is due, (N, E) bool, and each trial has ended, (N,) bool."""
        self.steps_held += self.finished.all(-1)
        cursor, last = self.segments.cursor, self.segments.num_waypoints - 1
        ended = self.begun & (cursor >= last)
        if self.navigation is not None:
            ended &= ~self.navigation.advance(self.begun, cursor, last)
        is_last = self.subtask + 1 >= self.table.num_subtasks
        self.begun &= ~ended
        self.finished |= ended & is_last
        self.subtask += ended & ~is_last
        due = self._constraints.may_begin(self._standing())
        return due, self.finished.all(-1) & (self.steps_held >= self.config.num_final_hold_steps)

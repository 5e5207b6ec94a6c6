"""Planner of N trials: their state as tensors (N, E), advanced by one step at a time with masks."""

# N envs, E end effectors, D demos, S subtasks, n envs or R rows (an env and one of its end effectors each) addressed,
# O objects, G gripper entries, P pose entries of an action, K coordinated pairs of subtasks

from dataclasses import dataclass

import torch
from torch import Tensor

from isaaclab_mimic_ext.config import DataGenConfig
from isaaclab_mimic_ext.config.task import BODY
from isaaclab_mimic_ext.demos.pool import SourcePool
from isaaclab_mimic_ext.kernels import RepeatedLaunch, arguments_of
from isaaclab_mimic_ext.kernels.progress import advance_kernel, move_kernel
from isaaclab_mimic_ext.kernels.waypoints import Segments, WaypointReader
from isaaclab_mimic_ext.plan.constraints import Constraints, ConstraintTable, Progress
from isaaclab_mimic_ext.plan.motion import MOTION_FAILURES, MotionPlanner
from isaaclab_mimic_ext.plan.navigation import MISSED_GOAL, Navigation
from isaaclab_mimic_ext.plan.remaining import ExpectedSteps
from isaaclab_mimic_ext.plan.segments import SegmentStart, draw_spans, longest_trial
from isaaclab_mimic_ext.plan.sizes import ObjectBoxes, SizeAdaptation
from isaaclab_mimic_ext.plan.subtasks import SubtaskTable
from isaaclab_mimic_ext.plan.transits import Transits
from isaaclab_mimic_ext.rng import Draws


@dataclass
class Waypoints:
    """Waypoints of all end effectors for one step.

    Attributes:
        target_eef_pose: (N, E, 4, 4), env frame [m].
        gripper_action: (N, E, G).
        noise_std: (N, E, P), standard deviation of the noise on this step's action, in the action's units.
    """

    target_eef_pose: Tensor
    gripper_action: Tensor
    noise_std: Tensor


class TrialPlanner:
    """Plans N trials in parallel: subtask boundaries, source demos, transforms, interpolation or transits, and waiting.

    The caller begins trials and segments where they are due, and advances all trials by one step at a time. Each step's
    waypoint is computed from the cursor of its segment; waypoints are not stored. To hold, the cursor stays.

    Args:
        motion_planner: plans a transit to each segment, instead of interpolation (SkillGen).
        boxes: boxes of the objects, to whose sizes segments are adapted; None: they have their own size.

    Attributes:
        sizes: adaptation to the sizes of objects; None: not adapted.
        first_eefs: indices of the end effectors that begin with the trial; constraints delay the others.
        horizon: largest number of steps of a trial.
        navigation: receives the state of the mobile bases before each `advance`; None if bases are not waited for.
        failure_messages: text of each code of `failure`, beginning with code 1.
        subtask: (N, E) int64, index of the current subtask: the one that is executed, or the next one.
        begun: (N, E) bool, the current subtask has an unfinished segment.
        finished: (N, E) bool, all subtasks are finished.
        trials: (N,) int64, number of the current trial.
        start: begins segments, and contains the choices of source demos.
        steps_held: (N,) int64, number of steps since all end effectors have finished.
        chosen_demos: (N, E, S) int32, source demo of each subtask of the current trial, -1 until it is selected.
        starts, ends: (N, E, D, S) int64, first and exclusive last step of each subtask in each demo, offsets included.
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
        boxes: ObjectBoxes | None = None,
    ):
        device = pool.lengths.device
        num_eefs, num_demos, num_subtasks = pool.subtask_ends.shape
        self.pool, self.table, self.config = pool, table, config
        self.has_noise = bool(table.noise_std.any())
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
        self._expected = ExpectedSteps(pool, table, constraints)
        self._allocate(num_demos, num_subtasks, device)
        self._eef_ids = torch.arange(num_eefs, device=device)
        self._constraints = Constraints(constraints)
        self._settles = bool(table.num_settle.any())
        self.sizes = None if boxes is None else SizeAdaptation(pool, table, boxes, num_envs)
        self._reader = WaypointReader(
            pool.target_eef_pose, pool.eef_pose, pool.gripper_action, self.segments, config.legacy_small_rotation,
            None if self._transits is None else self._transits.paths,
            None if self.sizes is None else self.sizes.tensors,
        )  # fmt: skip
        progress = {"subtask": self.subtask, "begun": self.begun}
        progress |= {"first_free": self._first_free, "last_waypoint": self._last_waypoint}
        last, spans = (self._reader.target, self._reader.gripper), (self.starts, self.ends)
        self.start = SegmentStart(pool, table, constraints, config, self.segments, progress, last, spans)
        self.chosen_demos = self.start.chosen_demos
        self._record_launches(constraints)

    def _record_launches(self, constraints: ConstraintTable) -> None:
        """Record the launches of the kernels of `waypoints` and `advance`, which share the state of the trials."""
        device, segments, table = self.subtask.device, self.segments, self.table
        state = {
            "begun": self.begun, "waits": self._waits, "subtask": self.subtask, "first_free": self._first_free,
            "noise_everywhere": table.noise_everywhere, "noise_table": table.noise_std, "cursor": segments.cursor,
            "steps_waited": self._steps_waited, "noise_std": self._noise_std, "last_waypoint": self._last_waypoint,
            "holds": self._holds, "num_subtasks": table.num_subtasks,
            "num_final_hold_steps": self.config.num_final_hold_steps, "after_eef": constraints.starts_after.eef,
            "after_subtask": constraints.starts_after.subtask, "start_group": constraints.start_group,
            "start_members": constraints.start_members, "finished": self.finished, "steps_held": self.steps_held,
            "due": self._due, "ended": self._ended,
        }  # fmt: skip
        shape = self.num_envs, self.num_eefs
        self._move = RepeatedLaunch(move_kernel, shape, arguments_of(move_kernel, state), [], device)
        self._advance = RepeatedLaunch(advance_kernel, self.num_envs, arguments_of(advance_kernel, state), [], device)

    def _allocate(self, num_demos: int, num_subtasks: int, device: torch.device) -> None:
        """Allocate the state of N trials, all of which are finished."""
        shape = self.num_envs, self.num_eefs

        def zeros(*size: int, dtype: torch.dtype = torch.int64) -> Tensor:
            return torch.zeros(size, dtype=dtype, device=device)

        self.segments = Segments.empty(*shape, device)
        # Of each segment, updated when segments begin: first waypoint of its path after the fixed ones, and last waypoint.
        self._first_free, self._last_waypoint = (torch.zeros_like(self.segments.cursor) for _ in range(2))
        self.subtask, self._steps_waited = zeros(*shape), zeros(*shape)
        self.begun, self.finished = zeros(*shape, dtype=torch.bool), ~zeros(*shape, dtype=torch.bool)
        self.trials, self.steps_held = zeros(self.num_envs), zeros(self.num_envs)
        self.starts, self.ends = (zeros(*shape, num_demos, num_subtasks) for _ in range(2))
        self._waits, self._due = (zeros(*shape, dtype=torch.bool) for _ in range(2))
        self._holds, self._ended = (zeros(self.num_envs, dtype=torch.bool) for _ in range(2))
        self._noise_std = zeros(*shape, self.table.noise_std.shape[-1], dtype=torch.float32)

    @property
    def plans_motion(self) -> bool:
        """Return whether transits are planned, so that `begin_segments` needs `attached`."""
        return self._transits is not None

    @property
    def failure(self) -> Tensor | None:
        """Code of the reason why the current trial cannot continue, (N,) int64; 0 if it can. None: planning cannot fail."""
        failure = None if self._transits is None else self._transits.failure
        if self.navigation is None:
            return failure
        missed = len(self.failure_messages) * self.navigation.failed
        return missed if failure is None else torch.where(failure > 0, failure, missed)

    def begin_trials(self, env_ids: Tensor, draws: Draws, eef_pose: Tensor) -> None:
        """Begin the trials of `draws` (n,) in `env_ids` (n,), and draw their subtask boundaries.

        The first segments of `first_eefs` are then due. The other end effectors hold their pose.

        Args:
            eef_pose: (N, E, 4, 4), present, env frame [m].
        """
        self.starts[env_ids], self.ends[env_ids] = draw_spans(self.pool, self.table, draws)
        self.trials[env_ids] = draws.trials
        self.subtask.index_fill_(0, env_ids, 0)
        self.begun.index_fill_(0, env_ids, False)
        self.finished.index_fill_(0, env_ids, False)
        self.steps_held.index_fill_(0, env_ids, 0)
        self._steps_waited.index_fill_(0, env_ids, 0)
        self.segments.cursor.index_fill_(0, env_ids, -1)
        self._reader.target[env_ids] = eef_pose[env_ids]
        self._reader.gripper[env_ids] = self.pool.gripper_action[:, 0, 0]
        self.start.begin_trials(env_ids, draws.trials)
        if self._transits is not None:
            self._transits.begin_trials(env_ids)
        if self.navigation is not None:
            self.navigation.begin_trials(env_ids)

    def begin_segments(
        self, env_ids: Tensor, eef_ids: Tensor, eef_pose: Tensor, object_pose: Tensor, attached: Tensor | None = None
    ) -> None:
        """Begin the next segment of each row: select a source demo, transform its segment, and join it to the present pose.

        Args:
            env_ids, eef_ids: (R,) int64, env and end effector of each row, without duplicates.
            eef_pose: (N, E, 4, 4), present, env frame [m].
            object_pose: (N, O, 4, 4), present, env frame [m].
            attached: (N, E) int64, index of the object in each gripper, -1 if empty; used by the motion planner only.
        """
        self.start.begin_rows(env_ids, eef_ids, eef_pose, object_pose)
        if self._transits is None:
            return
        segments, place = self.segments, (env_ids, eef_ids)
        lead_in = self._transits.plan(place, self.pool, segments, eef_pose, object_pose, attached)
        segments.num_interpolation[place] = lead_in.int()
        torch.add(segments.num_interpolation, segments.num_fixed, out=self._first_free)
        torch.sub(segments.num_waypoints, 1, out=self._last_waypoint)

    def begin_due(self, due: Tensor, eef_pose: Tensor, object_pose: Tensor) -> None:
        """Begin the next segments of a mask (N, E) bool, without knowing on the host which these are; no transits."""
        self.start.begin(due, eef_pose, object_pose)

    def hold(self, is_active: Tensor) -> None:
        """Keep the state of the trials that are over: all but those in `is_active` (N,) bool. Their segments end."""
        self.begun &= is_active[:, None]

    def remaining_steps(self, step: Tensor) -> Tensor:
        """Expected number of steps until the end of each trial, (N,), after `step` (N,) steps."""
        return self._expected.remaining(self, step)

    def waypoints(self) -> Waypoints:
        """Advance all end effectors that need not wait, and return the waypoints of this step.

        The next call overwrites the returned tensors.
        """
        self._find_waits()
        self._move()
        return Waypoints(*self._reader.read(), self._noise_std)

    def _find_waits(self) -> None:
        """Write to `_waits` which end effectors must not advance to their next waypoint."""
        if not self._settles and self._constraints.never_wait and self.navigation is None:
            return
        waits = self._must_settle() if self._settles else torch.zeros_like(self.begun)
        if self.navigation is not None:
            waits = waits | self.navigation.holds[:, None]
        if not self._constraints.never_wait:
            waits = self._constraints.must_wait(self._progress(), self._num_common_steps(), waits)
        self._waits.copy_(waits)

    def _must_settle(self) -> Tensor:
        """Return which end effectors must settle: their gripper action changes at the next waypoint, (N, E) bool."""
        segments = self.segments
        index = (segments.cursor + 1 - segments.num_interpolation - segments.num_fixed).clamp(min=0)
        step = (segments.start + (index - segments.prepend).clamp(min=0)).clamp(max=self.pool.gripper_action.shape[2] - 1)
        following = self.pool.gripper_action[self._eef_ids, segments.demo.long(), step.long()]
        changes = ((following >= 0) != (self._reader.gripper >= 0)).any(-1)
        if self._transits is not None:  # In a transit, the gripper action does not change.
            changes &= segments.cursor + 1 >= segments.num_interpolation
        return changes & (self._steps_waited < self.table.num_settle[self._eef_ids, self.subtask])

    def _progress(self) -> Progress:
        remaining = self._last_waypoint - self.segments.cursor
        return Progress(self.subtask, self.begun, self.finished, remaining)

    def _num_common_steps(self) -> Tensor:
        """Number of steps before its end that each coordinated pair executes in lockstep, (N, K) int64.

        This is the length of the shorter source segment.
        """
        pairs = self._constraints.table.coordinated
        if not len(pairs):
            return torch.zeros(self.num_envs, 0, dtype=torch.int64, device=self.subtask.device)
        demo = self.start.demo_of_group[:, self._constraints.table.group[pairs.eef[0], pairs.subtask[0]]].clamp(min=0)
        env_ids = torch.arange(self.num_envs, device=demo.device)[:, None, None]
        place = (env_ids, pairs.eef.T, demo[..., None])
        at = (*place, pairs.subtask.T)
        return (self.ends[at] - self.starts[at]).amin(-1)

    def advance(self) -> tuple[Tensor, Tensor]:
        """End finished segments after a step.

        Returns:
            Whether the next segment of each end effector is due, (N, E) bool, and whether each trial has ended, (N,) bool.
            The next call overwrites both.
        """
        if self.navigation is not None:
            holds = self.navigation.advance(self.begun, self.segments.cursor, self._last_waypoint)
            self._holds.copy_(holds[:, 0])
        self._advance()
        return self._due, self._ended

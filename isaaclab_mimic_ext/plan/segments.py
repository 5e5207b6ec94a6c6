"""Segments: their spans in the source demos, the selection of a source demo, and choices shared by end effectors.

A span is the first and exclusive last step of a subtask in a demo. Nominal spans are read from the demos; random offsets of
each trial shift them.
"""

# N envs, E end effectors, D demos, S subtasks, T steps of the longest demo, n trials, C groups of coordinated subtasks,
# R rows (an env and one of its end effectors each), G gripper entries

import torch
from torch import Tensor

from isaaclab_mimic_ext.config import DataGenConfig
from isaaclab_mimic_ext.config.constraints import SubtaskId
from isaaclab_mimic_ext.demos.pool import SourcePool
from isaaclab_mimic_ext.kernels import RepeatedLaunch, as_array, as_struct
from isaaclab_mimic_ext.kernels import segments as kernels
from isaaclab_mimic_ext.kernels.waypoints import Segments
from isaaclab_mimic_ext.math import matrix_from_axis_angle, rotation_angle
from isaaclab_mimic_ext.plan.constraints import ConstraintTable
from isaaclab_mimic_ext.plan.subtasks import SubtaskTable
from isaaclab_mimic_ext.rng import Draws, Stream


def draw_spans(pool: SourcePool, table: SubtaskTable, draws: Draws) -> tuple[Tensor, Tensor]:
    """Draw first and exclusive last step of each subtask in each demo for n trials, (n, E, D, S) int64 each."""
    like = pool.subtask_ends
    low, high = _bounds(table.offset_low, table.offset_high, like)
    ends = like + draws.integers(Stream.BOUNDARY, low, high, step=0)
    if pool.subtask_starts is not None:
        low, high = _bounds(table.start_low, table.start_high, like)
        return pool.subtask_starts + draws.integers(Stream.BOUNDARY, low, high, step=2), ends
    low, high = (bound[:, None].expand(like.shape[:2]) for bound in (table.first_low, table.first_high))
    start = draws.integers(Stream.BOUNDARY, low, high, step=1)
    return torch.cat((start[..., None], ends[..., :-1]), dim=-1), ends


def widest_spans(pool: SourcePool, table: SubtaskTable) -> tuple[Tensor, Tensor]:
    """Earliest start and latest end of each subtask that any trial can draw, (E, D, S) each [steps]."""
    latest, earliest = (pool.subtask_ends + bound[:, None] for bound in (table.offset_high, table.offset_low))
    if pool.subtask_starts is not None:
        return pool.subtask_starts + table.start_low[:, None], latest
    first = table.first_low[:, None, None].expand(-1, latest.shape[1], 1)
    return torch.cat((first, earliest[..., :-1]), dim=-1), latest


def longest_trial(
    pool: SourcePool, table: SubtaskTable, constraints: ConstraintTable, transit_length: int | None = None
) -> int:
    """Upper bound of the number of steps of a trial for any draw, waiting included. It sizes the recorder's buffers.

    Args:
        transit_length: largest number of steps of the transit before each subtask, which replaces interpolation; None:
            interpolation is used.
    """
    starts, latest = widest_spans(pool, table)
    lead_in = table.num_interpolation if transit_length is None else transit_length
    longest = (latest - starts).amax(1) + lead_in + table.num_fixed + 1
    settling = table.num_settle * (1 + gripper_changes(pool, starts, latest).amax(1))
    durations, pauses = (subtask_durations(constraints, table, steps) for steps in (longest, settling))
    return constraints.order.longest_time(durations, pauses)


def subtask_durations(constraints: ConstraintTable, table: SubtaskTable, steps: Tensor) -> dict[SubtaskId, int]:
    """Durations (E, S) [steps] by end effector and index of the subtask, for `constraints.order`."""
    return {
        (eef_name, index): int(steps[eef, index])
        for eef, eef_name in enumerate(constraints.eef_names)
        for index in range(int(table.num_subtasks[eef]))
    }


def _bounds(low: Tensor, high: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    return low[:, None].expand_as(like), high[:, None].expand_as(like)


def gripper_changes(pool: SourcePool, starts: Tensor, ends: Tensor) -> Tensor:
    """Number of gripper changes within [starts, ends), all (E, D, S); 0 for subtasks that an end effector does not have."""
    is_open = pool.gripper_action >= 0
    changes = (is_open[:, :, 1:] != is_open[:, :, :-1]).any(-1).cumsum(-1)
    num_changes = torch.cat((torch.zeros_like(changes[..., :1]), changes), dim=-1)
    return num_changes.gather(-1, ends - 1) - num_changes.gather(-1, starts.clamp(max=num_changes.shape[-1] - 1))


def pose_distance(pose_a: Tensor, pose_b: Tensor, pos_weight: Tensor, rot_weight: Tensor) -> Tensor:
    """Distance `pos_weight * |dp| [m] + rot_weight * angle [rad]` between poses (..., 4, 4), shape (...)."""
    offset = pose_a[..., :3, 3] - pose_b[..., :3, 3]
    distance = (offset * offset).sum(-1).sqrt()
    return pos_weight * distance + rot_weight * rotation_angle(pose_a[..., :3, :3], pose_b[..., :3, :3])


def choose_nearest(distance: Tensor, num_candidates: Tensor, uniform: Tensor) -> Tensor:
    """Choose one demo per row, uniformly among the nearest `num_candidates` (R,); indices (R,) int64.

    Args:
        distance: (R, D); among equal distances, the demo with the smaller index counts as nearer.
        num_candidates: (R,) int64; values above D mean all demos.
        uniform: (R,) on (0, 1), random numbers that choose the demo.
    """
    order = torch.argsort(distance, dim=-1, stable=True)
    count = num_candidates.clamp(max=distance.shape[-1])
    rank = (uniform * count).floor().long()
    return order.gather(-1, rank[:, None]).squeeze(-1)


class SegmentStart:
    """Selects source demos and their transforms where segments begin, and enters the segments; for N trials.

    Source demos and transforms are shared by coordinated subtasks. Unless each end effector selects its own
    (`generation_select_src_per_arm`), the one that first begins its subtask i selects the source demo of subtask i for all.

    Args:
        progress: tensors (N, E) of `TrialPlanner` that begins change: `first_free`, `last_waypoint`, `begun`, `subtask`.
        last: last waypoints, target poses (N, E, 4, 4) and gripper actions (N, E, G).
        spans: first and exclusive last step of each subtask in each demo, (N, E, D, S) each.

    Attributes:
        demo_of_group: source demo of each group, (N, C + 1) int64; -1 until the first subtask of the group begins.
        uniform: (N, S, E) in (0, 1), random numbers that select the source demos.
        chosen_demos: source demo of each subtask, (N, E, S) int32; -1 until it is selected.
    """

    def __init__(
        self,
        pool: SourcePool,
        table: SubtaskTable,
        constraints: ConstraintTable,
        config: DataGenConfig,
        segments: Segments,
        progress: dict[str, Tensor],
        last: tuple[Tensor, Tensor],
        spans: tuple[Tensor, Tensor],
    ):
        device, seed = pool.lengths.device, config.seed
        num_envs, num_eefs, num_demos, num_subtasks = spans[0].shape
        num_columns, self._num_eefs, self._seed = constraints.num_groups + 1, num_eefs, seed
        self._constraints = constraints

        def integers(*size: int, dtype: torch.dtype = torch.int64) -> Tensor:
            return torch.full(size, -1, dtype=dtype, device=device)

        # The last column of groups belongs to subtasks without a group; its demo stays at -1.
        self.demo_of_group, self._demo_of_index = integers(num_envs, num_columns), integers(num_envs, num_subtasks)
        self.chosen_demos = integers(num_envs, num_eefs, num_subtasks, dtype=torch.int32)
        self.uniform = torch.zeros(num_envs, num_subtasks, num_eefs, device=device)
        self._offset, self._turn = (torch.zeros(num_envs, num_columns, *size, device=device) for size in ((3,), (3, 3)))
        self._due = torch.zeros(num_envs, num_eefs, dtype=torch.bool, device=device)
        self._true = torch.tensor(True, device=device)
        self._eef_pose = torch.zeros(num_envs, num_eefs, 4, 4, device=device)
        self._object_pose = torch.eye(4, device=device).repeat(num_envs, len(pool.object_pose), 1, 1)
        transform_of_group = torch.zeros(num_envs, num_columns, 4, 4, device=device)
        distance = torch.zeros(num_envs, num_demos, device=device)
        rules = {
            "selects_per_subtask": int(_selects_per_subtask(config)),
            "shares_by_index": int(num_eefs > 1 and not config.generation_select_src_per_arm),
            "from_last_target": int(config.generation_interpolate_from_last_target_pose),
            "moves_first_pose": int(config.generation_transform_first_robot_pose),
        }
        choices = {
            "uniform": self.uniform, "offset": self._offset, "turn": self._turn, "chosen_demos": self.chosen_demos,
            "demo_of_index": self._demo_of_index, "demo_of_group": self.demo_of_group,
            "transform_of_group": transform_of_group, "distance": distance,
        }  # fmt: skip
        entered = {**vars(segments), **progress, "target": last[0], "gripper": last[1]}
        inputs = [
            as_array(self._due),
            as_array(progress["subtask"]),
            as_struct(kernels.Sources, vars(pool)),
            as_struct(kernels.Subtasks, {**vars(table), **vars(constraints)}),
            as_struct(kernels.Rules, rules),
            as_struct(kernels.Scene, {"eef_pose": self._eef_pose, "object_pose": self._object_pose}),
            as_struct(kernels.Spans, {"starts": spans[0], "ends": spans[1]}),
            as_struct(kernels.Choices, choices),
            as_struct(kernels.Entered, entered),
        ]
        self._launch = RepeatedLaunch(kernels.begin_segments_kernel, num_envs, inputs, [], device)

    def begin_trials(self, env_ids: Tensor, trials: Tensor) -> None:
        """Forget the choices of the previous trials of `env_ids` (n,), and draw for the new ones, `trials` (n,)."""
        self._demo_of_index.index_fill_(0, env_ids, -1)
        self.demo_of_group.index_fill_(0, env_ids, -1)
        self.chosen_demos.index_fill_(0, env_ids, -1)
        num_subtasks, num_groups = self._demo_of_index.shape[1], self._constraints.num_groups
        uniform = self._draw(Stream.SELECTION, trials, num_subtasks * self._num_eefs, (1,))
        self.uniform[env_ids] = uniform.view(-1, num_subtasks, self._num_eefs)
        if num_groups:
            noise = 2.0 * self._draw(Stream.COORDINATION, trials, num_groups, (6,)) - 1.0
            turn = matrix_from_axis_angle(noise[..., 3:] * self._constraints.rot_noise_scale[:-1])
            self._offset[env_ids, :-1] = noise[..., :3] * self._constraints.pos_noise_scale[:-1]
            self._turn[env_ids, :-1] = turn

    def _draw(self, stream: Stream, trials: Tensor, num_steps: int, shape: tuple[int, ...]) -> Tensor:
        """Uniform numbers of trials (n,) at the steps 0 to `num_steps` - 1, (n, num_steps, *shape)."""
        steps = torch.arange(num_steps, device=trials.device).repeat(len(trials))
        draws = Draws(self._seed, trials.repeat_interleave(num_steps)).uniform(stream, shape, steps)
        return draws.unflatten(0, (len(trials), num_steps))

    def begin_rows(self, env_ids: Tensor, eef_ids: Tensor, eef_pose: Tensor, object_pose: Tensor) -> None:
        """Begin the next segment of each row; arguments as in `TrialPlanner.begin_segments`."""
        self._due.zero_()
        self._due[env_ids, eef_ids] = self._true
        self._begin(eef_pose, object_pose)

    def begin(self, due: Tensor, eef_pose: Tensor, object_pose: Tensor) -> None:
        """Begin the next segments of a mask (N, E) bool; further arguments as in `TrialPlanner.begin_segments`."""
        self._due.copy_(due)
        self._begin(eef_pose, object_pose)

    def _begin(self, eef_pose: Tensor, object_pose: Tensor) -> None:
        self._eef_pose.copy_(eef_pose)
        self._object_pose[:, :-1].copy_(object_pose)
        self._launch()


def _selects_per_subtask(config: DataGenConfig) -> bool:
    """Return whether a source demo is selected for each subtask, instead of for each trial."""
    return config.generation_select_src_per_subtask and (
        config.compat_select != "isaaclab" or config.generation_select_src_per_arm
    )

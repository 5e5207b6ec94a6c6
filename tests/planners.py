"""Planners of trials for tests of the selection of source demos."""

# N envs, E end effectors, D demos, S subtasks, T steps

from collections.abc import Mapping, Sequence

import torch

from isaaclab_mimic_ext.config import DataGenConfig, SubTaskConfig, SubTaskConstraintConfig
from isaaclab_mimic_ext.demos.pool import SourcePool
from isaaclab_mimic_ext.plan.constraints import build_constraints
from isaaclab_mimic_ext.plan.planner import TrialPlanner
from isaaclab_mimic_ext.plan.subtasks import build_table

CPU = torch.device("cpu")
IDENTITY = torch.eye(4)


def make_planner(
    subtasks: Mapping[str, list[SubTaskConfig]],
    eef_pose: torch.Tensor,
    object_pose: torch.Tensor,
    num_envs: int,
    constraints: Sequence[SubTaskConstraintConfig] = (),
) -> TrialPlanner:
    """Planner of tasks with one object, `object`. Each end effector has S subtasks, of one step each.

    Args:
        eef_pose, object_pose: (D, 4, 4), at the start of each demo.
    """
    num_eefs, num_demos, num_subtasks = len(subtasks), len(eef_pose), len(next(iter(subtasks.values())))
    num_steps = num_subtasks + 1
    eef_poses = eef_pose[None, :, None].repeat(num_eefs, 1, num_steps, 1, 1)
    objects = torch.stack((object_pose, torch.eye(4).expand_as(object_pose)))[:, :, None].repeat(1, 1, num_steps, 1, 1)
    ends = torch.arange(1, num_subtasks + 1).repeat(num_eefs, num_demos, 1)
    grippers, lengths = torch.ones(num_eefs, num_demos, num_steps, 1), torch.full((num_demos,), num_steps)
    pool = SourcePool(tuple(map(str, range(num_demos))), eef_poses, eef_poses, grippers, objects, ends, lengths)
    table = build_table(dict(subtasks), ["object"], [6] * num_eefs, CPU)
    config = DataGenConfig(generation_select_src_per_subtask=True)
    return TrialPlanner(pool, table, build_constraints(constraints, subtasks, CPU), config, num_envs)


def selected_demos(
    planner: TrialPlanner,
    rows: tuple[torch.Tensor, torch.Tensor],
    uniform: torch.Tensor,
    poses: tuple[torch.Tensor, torch.Tensor] = (IDENTITY, IDENTITY),
) -> list[int]:
    """Source demos of the segments that begin in rows (R,), env and end effector, with random numbers `uniform` (R,).

    `poses`: present poses (4, 4) of all end effectors, and of the object.
    """
    env_ids, eef_ids = rows
    subtask = planner.subtask[rows]
    planner.start.uniform[env_ids, subtask, eef_ids] = uniform
    eef_pose, object_pose = poses
    eef_pose, object_pose = (
        eef_pose.expand(planner.num_envs, planner.num_eefs, 4, 4),
        object_pose.expand(planner.num_envs, 1, 4, 4),
    )
    planner.begin_segments(*rows, eef_pose, object_pose)
    return planner.chosen_demos[env_ids, eef_ids, subtask].tolist()

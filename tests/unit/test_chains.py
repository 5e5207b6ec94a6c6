"""Chains of end effectors: waits and choices spread through the whole chain within one step."""

# E = 4 end effectors

import pytest
import torch

from isaaclab_mimic_ext.config import SubTaskConfig, SubTaskConstraintConfig
from isaaclab_mimic_ext.plan.constraints import Constraints, ConstraintTable, Progress, build_constraints
from isaaclab_mimic_ext.plan.planner import TrialPlanner
from isaaclab_mimic_ext.rng import Draws
from tests.planners import CPU, make_planner, selected_demos

EEFS = ("a", "b", "c", "d")
NUM_DEMOS = 10


def pairs_of(*pairs: tuple[str, str]) -> list[SubTaskConstraintConfig]:
    """Coordinated pairs of subtasks, each named such as `a0`."""
    return [
        SubTaskConstraintConfig(
            eef_subtask_constraint_tuple=[[name[0], int(name[1])] for name in pair], constraint_type="coordination"
        )
        for pair in pairs
    ]


def coordinated(*pairs: tuple[str, str]) -> ConstraintTable:
    """Table of coordinated pairs of end effectors with two subtasks each."""
    return build_constraints(pairs_of(*pairs), {eef: [SubTaskConfig(), SubTaskConfig()] for eef in EEFS}, CPU)


def planner_of(*pairs: tuple[str, str]) -> TrialPlanner:
    """Planner of two envs with `NUM_DEMOS` source demos, selected at random."""
    poses = torch.eye(4).repeat(NUM_DEMOS, 1, 1)
    return make_planner({eef: [SubTaskConfig(), SubTaskConfig()] for eef in EEFS}, poses, poses, 2, pairs_of(*pairs))


def choosing(demos: list[int]) -> torch.Tensor:
    """Random numbers that select these demos."""
    return (torch.tensor(demos) + 0.5) / NUM_DEMOS


@pytest.mark.parametrize("waiting", range(4))
@pytest.mark.parametrize("pairs", [("a0 b0", "b0 c0", "c0 d0"), ("c0 d0", "b0 c0", "a0 b0"), ("a0 b0", "a0 c0", "a0 d0")])
def test_waiting_end_effector_makes_all_wait_that_are_in_lockstep_with_it(pairs: tuple[str, ...], waiting: int) -> None:
    constraints = Constraints(coordinated(*(tuple(pair.split()) for pair in pairs)))
    zeros = torch.zeros(2, 4, dtype=torch.int64)
    progress = Progress(zeros, zeros == 0, zeros > 0, zeros + 3)
    waits = torch.zeros(2, 4, dtype=torch.bool)
    waits[0, waiting] = True
    found = constraints.must_wait(progress, torch.full((2, 3), 5), waits)
    assert found.tolist() == [[True] * 4, [False] * 4]


def test_selected_demo_spreads_through_groups_and_subtask_indices() -> None:
    """d1 shares the demo of c0 (same group), c0 that of b0 (same index), and b0 that of a1 (same group)."""
    planner = planner_of(("a1", "b0"), ("c0", "d1"))
    planner.subtask[:] = torch.tensor([1, 0, 0, 1])
    rows = torch.arange(2).repeat_interleave(4), torch.arange(4).repeat(2)
    assert selected_demos(planner, rows, choosing([5, 6, 7, 8, 1, 2, 3, 4])) == [5] * 4 + [1] * 4


def test_new_trial_does_not_reuse_shared_choices_of_the_previous_trial() -> None:
    planner = planner_of(("a0", "b1"))

    def select(eef: int, subtask: int, own: list[int]) -> list[int]:
        planner.subtask[:, eef] = subtask
        return selected_demos(planner, (torch.arange(2), torch.full((2,), eef)), choosing(own))

    assert select(0, 0, [3, 4]) == [3, 4]
    assert select(1, 1, [7, 7]) == select(2, 0, [7, 7]) == [3, 4]
    second = torch.tensor([1])
    planner.begin_trials(second, Draws(0, second), torch.eye(4).expand(2, 4, 4, 4))
    assert select(1, 1, [7, 7]) == [3, 7]
    assert select(2, 0, [8, 8]) == [3, 8]


@pytest.mark.parametrize("strategy", ["nearest_neighbor_object", "nearest_neighbor_robot_distance"])
def test_demos_of_which_distances_are_equal_or_nan_are_selected_in_their_order(strategy: str) -> None:
    poses = torch.eye(4).repeat(5, 1, 1)
    poses[:, 0, 3] = torch.tensor([2.0, 1.0, torch.nan, 1.0, 0.5])
    subtask = SubTaskConfig("object", selection_strategy=strategy, selection_strategy_kwargs={"nn_k": 9})
    objects = poses if strategy == "nearest_neighbor_object" else torch.eye(4).expand_as(poses)
    planner = make_planner({"franka": [subtask]}, poses, objects, 5)
    rows = torch.arange(5), torch.zeros(5, dtype=torch.int64)
    assert selected_demos(planner, rows, (torch.arange(5) + 0.5) / 5) == [4, 1, 3, 0, 2]

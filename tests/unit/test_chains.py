"""Chains of end effectors: waits and choices spread through the whole chain within one step."""

# R rows (an env and an end effector), E = 4 end effectors

import pytest
import torch

from isaaclab_mimic_ext.config import SubTaskConfig, SubTaskConstraintConfig
from isaaclab_mimic_ext.plan.constraints import Constraints, ConstraintTable, Progress, build_constraints
from isaaclab_mimic_ext.plan.segments import SharedChoices

CPU = torch.device("cpu")
EEFS = ("a", "b", "c", "d")


def coordinated(*pairs: tuple[str, str]) -> ConstraintTable:
    """Pairs of subtasks, each named such as `a0`, of end effectors with two subtasks each."""
    configs = [
        SubTaskConstraintConfig(
            eef_subtask_constraint_tuple=[[name[0], int(name[1])] for name in pair], constraint_type="coordination"
        )
        for pair in pairs
    ]
    return build_constraints(configs, {eef: [SubTaskConfig(), SubTaskConfig()] for eef in EEFS}, CPU)


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
    shared = SharedChoices(coordinated(("a1", "b0"), ("c0", "d1")), num_envs=2, num_subtasks=2, by_index=True)
    env_ids, eef_ids = torch.arange(2).repeat_interleave(4), torch.arange(4).repeat(2)
    sharing_rows = shared.sharing_rows(env_ids, eef_ids, torch.tensor([1, 0, 0, 1]).repeat(2))
    own = torch.tensor([5, 6, 7, 8, 1, 2, 3, 4])
    assert shared.share_demos(sharing_rows, own, torch.ones(8, dtype=torch.bool)).tolist() == [5] * 4 + [1] * 4


def test_new_trial_does_not_reuse_shared_choices_of_the_previous_trial() -> None:
    shared = SharedChoices(coordinated(("a0", "b1")), num_envs=2, num_subtasks=2, by_index=True)
    selects = torch.ones(2, dtype=torch.bool)

    def select(eef: int, subtask: int, own: list[int]) -> list[int]:
        rows = (torch.arange(2), torch.full((2,), eef), torch.full((2,), subtask))
        return shared.share_demos(shared.sharing_rows(*rows), torch.tensor(own), selects).tolist()

    assert select(0, 0, [3, 4]) == [3, 4]
    assert select(1, 1, [7, 7]) == select(2, 0, [7, 7]) == [3, 4]
    shared.reset(torch.tensor([1]))
    assert select(1, 1, [7, 7]) == [3, 7]
    assert select(2, 0, [8, 8]) == [3, 8]

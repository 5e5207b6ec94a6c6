"""The batched planner against the oracle: many constraints, short segments and long waits."""

# N envs, E end effectors

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.golden import oracle_trial
from tests.golden.hard_specs import SETTLES, WAITS, random_hard_spec
from tests.golden.specs import OBJECTS, Spec, random_poses
from tests.golden.test_against_oracle import PlannerBesideOracle
from tests.tiers import first_in_check

NUM_SPECS = 60
NUM_BLOCKS = 6
NUM_STEPS = 1000
"""Upper bound of the number of steps of any trial of these specs."""


class HardTrialsBesideOracle(PlannerBesideOracle):
    def make_spec(self) -> Spec:
        return random_hard_spec(self.seed)[0]

    def compare_waypoints(self) -> None:
        # Before the end too: neither planner nor oracle has one in a deadlock.
        assert self.steps.max() <= self.planner.horizon < NUM_STEPS, f"seed {self.seed}: longer than the horizon"
        super().compare_waypoints()


@pytest.mark.slow
@pytest.mark.parametrize("block", first_in_check(range(NUM_BLOCKS)))
def test_planner_follows_the_oracle_through_chains_of_constraints(block: int, device: torch.device) -> None:
    per_block = NUM_SPECS // NUM_BLOCKS
    for seed in range(block * per_block, (block + 1) * per_block):
        HardTrialsBesideOracle(seed, device).run()


@pytest.mark.slow
def test_tasks_refused_as_deadlocks_never_end_in_the_oracle() -> None:
    """Refused tasks must not include a task that a trial can complete."""
    poses = random_poses(np.random.default_rng(0), (8,), 0.3)
    num_refused = 0
    for seed in range(NUM_SPECS):
        spec, deadlocks = random_hard_spec(seed)
        scene = dict(zip(spec.eefs, poses, strict=False)), dict(zip(OBJECTS, poses[::-1], strict=False))
        for sequentials, coordinations in deadlocks[:1]:
            refused = replace(spec, sequentials=sequentials, coordinations=coordinations)
            steps = oracle_trial.Trial(refused.problem, refused.chance(0), lambda scene=scene: scene).run()
            assert all(next(steps, None) is not None for _ in range(NUM_STEPS)), f"seed {seed}"
            num_refused += 1
    assert num_refused > NUM_SPECS // 4


@pytest.mark.slow
def test_hard_specs_cover_the_edge_cases() -> None:
    specs = [random_hard_spec(seed)[0] for seed in range(NUM_SPECS)]
    assert {len(spec.eefs) for spec in specs} == {2, 3, 4}
    assert {c.min_time_diff for spec in specs for c in spec.sequentials} == set(WAITS)
    assert {s.num_settle for spec in specs for items in spec.subtasks.values() for s in items} == set(SETTLES)
    chained = [len({eef for c in spec.coordinations for eef, _ in c.members}) for spec in specs if spec.coordinations]
    assert chained.count(4) > 5
    assert any(len(spec.sequentials) > 4 and len(spec.coordinations) > 1 for spec in specs)

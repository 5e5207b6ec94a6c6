"""The batched planner with SkillGen against the oracle, waypoint for waypoint, with a motion planner of this test."""

# N envs, E end effectors, R rows, L steps of the longest path

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from isaaclab_mimic_ext.errors import TaskSpecError
from isaaclab_mimic_ext.math import interpolate_poses
from isaaclab_mimic_ext.plan.motion import MotionFailure, MotionPlan, MotionQuery
from isaaclab_mimic_ext.plan.planner import TrialPlanner
from isaaclab_mimic_ext.rng import Draws
from tests.golden import oracle, oracle_trial
from tests.golden.specs import EEFS, OBJECTS, Spec, random_poses, random_skill_spec
from tests.golden.test_against_oracle import NUM_ENVS, TRIALS_PER_ENV, PlannerBesideOracle
from tests.tiers import first_in_check

NUM_SPECS = 60
NUM_BLOCKS = 6
MAX_LENGTH = 2 + 3 * (len(EEFS) - 1) + len(OBJECTS)
BUMP = 0.02
"""Height of a path above the straight line in its middle part [m]."""


def num_steps(eef_id: int, attached: int) -> int:
    """Number of steps of a path; depends on the end effector and the attached object."""
    return 2 + 3 * eef_id + attached + 1


class BumpPlanner:
    """Straight paths with a bump; planning fails for the rows (env, eef) in `doomed`."""

    max_length = MAX_LENGTH

    def __init__(self, doomed: tuple[tuple[int, int], ...] = ()):
        self.doomed = doomed

    def plan(self, query: MotionQuery) -> MotionPlan:
        length = num_steps(query.eef_ids, query.attached)  # type: ignore[arg-type]
        step = torch.minimum(torch.arange(1, MAX_LENGTH + 1, device=length.device), length[:, None])
        shape = (-1, MAX_LENGTH, -1, -1)
        start, goal = query.start[:, None].expand(shape), query.goal[:, None].expand(shape)
        path = interpolate_poses(start, goal, step / length[:, None])
        path[..., 2, 3] += BUMP * step * (length[:, None] - step)
        failure = torch.zeros_like(length)
        for env_id, eef_id in self.doomed:
            failure[(query.env_ids == env_id) & (query.eef_ids == eef_id)] = MotionFailure.OBSTRUCTED
        return MotionPlan(path, length, failure)


class SkillsBesideOracle(PlannerBesideOracle):
    """The object in each gripper is random and does not change."""

    def make_spec(self) -> Spec:
        return random_skill_spec(self.seed)

    def make_planner(self) -> TrialPlanner:
        self.attached = np.random.default_rng([self.seed, 3]).integers(-1, len(OBJECTS), (NUM_ENVS, len(self.spec.eefs)))
        return self.spec.planner(NUM_ENVS, self.device, BumpPlanner())

    def problem_of(self, env_id: int) -> oracle_trial.Problem:
        def way(eef: str, begin: oracle.Pose, goal: oracle.Pose) -> list[oracle.Pose]:
            eef_id = self.spec.eefs.index(eef)
            count = num_steps(eef_id, int(self.attached[env_id, eef_id]))
            poses = [oracle.interpolate(begin, goal, step / count) for step in range(1, count + 1)]
            for step, pose in enumerate(poses, start=1):
                pose[2, 3] += BUMP * step * (count - step)
            return poses

        return replace(super().problem_of(env_id), motion=way)

    def begin_segments(self, env_ids: np.ndarray, eef_ids: np.ndarray) -> None:
        eef, objects = self.tensor(self.eef).float(), self.tensor(self.objects).float()
        self.planner.begin_segments(self.tensor(env_ids), self.tensor(eef_ids), eef, objects, self.tensor(self.attached))


@pytest.mark.slow
@pytest.mark.parametrize("block", first_in_check(range(NUM_BLOCKS)))
def test_planner_with_skills_follows_the_oracle_waypoint_for_waypoint(block: int, device: torch.device) -> None:
    per_block = NUM_SPECS // NUM_BLOCKS
    for seed in range(block * per_block, (block + 1) * per_block):
        pair = SkillsBesideOracle(seed, device)
        pair.run()
        assert pair.num_compared > NUM_ENVS * TRIALS_PER_ENV


@pytest.mark.slow
def test_specs_cover_gaps_between_skills_and_every_start_offset() -> None:
    specs = [random_skill_spec(seed) for seed in range(NUM_SPECS)]
    spans = [oracle.nominal_skills(demo, eef) for spec in specs for demo in spec.demos for eef in spec.eefs]
    gaps = {start - end for of_eef in spans for (_, end), (start, _) in pairwise(of_eef)}
    assert {2, 3, 4} <= gaps
    assert {of_eef[0][0] for of_eef in spans} >= {0, 1, 2, 3}
    offsets = {subtask.skill_start_offsets for spec in specs for items in spec.subtasks.values() for subtask in items}
    assert offsets == {(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)}
    assert any(spec.sequentials for spec in specs) and any(spec.coordinations for spec in specs)


def test_offsets_that_make_random_skills_invalid_are_refused() -> None:
    spec = random_skill_spec(3)
    wide = {eef: [replace(s, skill_start_offsets=(0, 40)) for s in items] for eef, items in spec.subtasks.items()}
    with pytest.raises(TaskSpecError, match="would then have no steps"):
        replace(spec, subtasks=wide).pool(torch.device("cpu"))


def test_failed_transit_fails_only_its_own_trial(device: torch.device) -> None:
    spec = random_skill_spec(1)
    num_envs, num_eefs = 3, len(spec.eefs)
    assert num_eefs == 2
    motion_planner = BumpPlanner()
    planner = spec.planner(num_envs, device, motion_planner)
    motion_planner.doomed = ((1, planner.first_eefs[0]),)
    poses = torch.from_numpy(random_poses(np.random.default_rng(0), (num_envs, num_eefs + len(OBJECTS)), 0.5))
    eef, objects = poses.float().to(device).split([num_eefs, len(OBJECTS)], dim=1)
    every_env = torch.arange(num_envs, device=device)
    planner.begin_trials(every_env, Draws(1, every_env), eef)
    first = torch.tensor(planner.first_eefs, device=device)
    rows = every_env.repeat_interleave(len(first)), first.repeat(num_envs)
    planner.begin_segments(*rows, eef, objects)
    assert planner.failure is not None
    assert planner.failure.tolist() == [0, int(MotionFailure.OBSTRUCTED), 0]
    # A later successful transit does not clear the failure of the trial.
    motion_planner.doomed = ()
    planner.begin_segments(*rows, eef, objects)
    assert planner.failure.tolist() == [0, int(MotionFailure.OBSTRUCTED), 0]
    assert planner.failure_messages[int(planner.failure[1]) - 1] == "no clear path"
    planner.begin_trials(every_env[1:2], Draws(1, every_env[1:2]), eef)
    assert planner.failure.tolist() == [0, 0, 0]

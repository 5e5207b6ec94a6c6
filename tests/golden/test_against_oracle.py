"""The batched planner, and the generation loop around it, against the oracle: waypoint for waypoint, whole trials."""

# N envs, E end effectors, D demos, S subtasks

from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest
import torch

from isaaclab_mimic_ext.plan.planner import TrialPlanner
from isaaclab_mimic_ext.rng import Draws
from tests.golden import oracle, oracle_trial
from tests.golden.specs import OBJECTS, Spec, random_poses, random_spec
from tests.tiers import first_in_check

NUM_SPECS = 240
NUM_BLOCKS = 12
NUM_ENVS = 4
TRIALS_PER_ENV = 2
NUM_POSES = 60
TOLERANCE = 1e-5


class PlannerBesideOracle:
    """N envs whose end effectors and objects move at random while the planner and one oracle each run a trial."""

    def __init__(self, seed: int, device: torch.device):
        self.seed, self.device = seed, device
        self.spec = self.make_spec()
        self.rng = np.random.default_rng([seed, 1])
        self.planner = self.make_planner()
        self.trials = np.full(NUM_ENVS, -1)
        self.plans: list[Iterator[dict[str, oracle.Waypoint]]] = [iter(()) for _ in range(NUM_ENVS)]
        self.steps = np.zeros(NUM_ENVS, dtype=int)
        self.wait = self.rng.integers(0, 7, NUM_ENVS)
        self.num_started = self.num_compared = self.num_waits = 0
        self.poses = random_poses(self.rng, (NUM_POSES,), self.spec.rotation)
        self.move_world()

    def make_spec(self) -> Spec:
        return random_spec(self.seed)

    def make_planner(self) -> TrialPlanner:
        return self.spec.planner(NUM_ENVS, self.device)

    def problem_of(self, env_id: int) -> oracle_trial.Problem:
        return self.spec.problem

    def move_world(self) -> None:
        # New poses are not drawn in each step, because that would take most of the test's time.
        self.eef = self.poses[self.rng.integers(0, NUM_POSES, (NUM_ENVS, len(self.spec.eefs)))]
        self.objects = self.poses[self.rng.integers(0, NUM_POSES, (NUM_ENVS, len(OBJECTS)))]

    def run(self) -> None:
        while self.num_started < NUM_ENVS * TRIALS_PER_ENV or (self.trials >= 0).any():
            self.start_trials()
            self.compare_waypoints()
            self.move_world()
            self.advance()

    def start_trials(self) -> None:
        """Begin a trial in each idle env that has waited long enough."""
        idle = self.trials < 0
        room = NUM_ENVS * TRIALS_PER_ENV - self.num_started
        env_ids = np.flatnonzero(idle & (self.wait <= 0))[:room]
        self.wait -= idle
        if not len(env_ids):
            return
        trials = np.arange(self.num_started, self.num_started + len(env_ids))
        self.num_started += len(env_ids)
        self.trials[env_ids], self.steps[env_ids] = trials, 0
        for env_id, trial in zip(env_ids, trials, strict=True):
            chance = self.spec.chance(int(trial))
            self.plans[env_id] = oracle_trial.Trial(self.problem_of(env_id), chance, self.scene_of(env_id)).run()
        draws = Draws(self.spec.config.seed, self.tensor(trials))
        self.planner.begin_trials(self.tensor(env_ids), draws, self.tensor(self.eef).float())
        first = np.array(self.planner.first_eefs, dtype=int)
        self.begin_segments(np.repeat(env_ids, len(first)), np.tile(first, len(env_ids)))

    def scene_of(self, env_id: int) -> oracle.Scene:
        return lambda: (
            dict(zip(self.spec.eefs, self.eef[env_id], strict=True)),
            dict(zip(OBJECTS, self.objects[env_id], strict=True)),
        )

    def begin_segments(self, env_ids: np.ndarray, eef_ids: np.ndarray) -> None:
        eef, objects = self.tensor(self.eef).float(), self.tensor(self.objects).float()
        self.planner.begin_segments(self.tensor(env_ids), self.tensor(eef_ids), eef, objects)

    def compare_waypoints(self) -> None:
        waypoints = self.planner.waypoints()
        found = {
            name: values.cpu().numpy()
            for name, values in {
                "pose": waypoints.target_eef_pose,
                "gripper": waypoints.gripper_action,
                "noise_std": waypoints.noise_std,
                "subtask": self.planner.subtask,
                "chosen": self.planner.chosen_demos,
            }.items()
        }
        for env_id in np.flatnonzero(self.trials >= 0):
            place = f"seed {self.seed}, trial {self.trials[env_id]}, step {self.steps[env_id]}"
            step = next(self.plans[env_id], None)
            assert step is not None, f"{place}: the planner continues, the oracle has ended"
            for eef_id, (eef, expected) in enumerate(step.items()):
                self.compare(f"{place}, {eef}", {name: rows[env_id, eef_id] for name, rows in found.items()}, expected)
            self.steps[env_id] += 1

    def compare(self, place: str, found: dict[str, np.ndarray], expected: oracle.Waypoint) -> None:
        if not expected.holds:
            assert found["subtask"] == expected.subtask, place
            assert found["chosen"][expected.subtask] == expected.demo, place
        assert np.abs(found["pose"] - expected.pose).max() <= TOLERANCE, place
        assert (found["gripper"] == expected.gripper).all(), place
        assert (found["noise_std"] == np.float32(expected.noise_std)).all(), place
        self.num_compared += 1
        self.num_waits += expected.holds

    def advance(self) -> None:
        due, ended = (flags.cpu().numpy() for flags in self.planner.advance())
        active = self.trials >= 0
        for env_id in np.flatnonzero(ended & active):
            place = f"seed {self.seed}, trial {self.trials[env_id]}, step {self.steps[env_id]}"
            assert next(self.plans[env_id], None) is None, f"{place}: the planner has ended, the oracle continues"
            assert self.steps[env_id] <= self.planner.horizon, f"{place}: longer than the horizon"
            self.trials[env_id] = -1
            self.wait[env_id] = self.rng.integers(0, 4)
        env_ids, eef_ids = np.nonzero(due & active[:, None] & ~ended[:, None])
        if len(env_ids):
            self.begin_segments(env_ids, eef_ids)

    def tensor(self, values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self.device)


@pytest.mark.parametrize("block", first_in_check(range(NUM_BLOCKS)))
def test_planner_follows_the_oracle_waypoint_for_waypoint(block: int, device: torch.device) -> None:
    per_block = NUM_SPECS // NUM_BLOCKS
    for seed in range(block * per_block, (block + 1) * per_block):
        pair = PlannerBesideOracle(seed, device)
        pair.run()
        assert pair.num_compared > NUM_ENVS * TRIALS_PER_ENV


@pytest.mark.slow
def test_specs_cover_every_rule() -> None:
    specs: list[Spec] = [random_spec(seed) for seed in range(NUM_SPECS)]
    subtasks = [subtask for spec in specs for of_eef in spec.subtasks.values() for subtask in of_eef]
    assert {len(spec.demos) for spec in specs} == set(range(1, 9))
    assert {len(of_eef) for spec in specs for of_eef in spec.subtasks.values()} == set(range(1, 6))
    assert {s.strategy for s in subtasks} == {"random", "nearest_neighbor_object", "nearest_neighbor_robot_distance"}
    assert {s.num_interpolation for s in subtasks} == set(range(8))
    assert {s.num_fixed for s in subtasks} == set(range(5))
    assert any(s.num_interpolation == s.num_fixed == 0 for s in subtasks)
    assert any(spec.rules.num_final_hold == 0 for spec in specs)
    assert any(spec.rules.legacy_small_rotation and spec.rotation == 0.02 for spec in specs)


@pytest.mark.slow
def test_specs_cover_every_kind_of_constraint() -> None:
    specs: list[Spec] = [random_spec(seed) for seed in range(NUM_SPECS)]
    coordinations = [constraint for spec in specs for constraint in spec.coordinations]
    assert {len(spec.eefs) for spec in specs} == {1, 2, 3}
    assert {c.min_time_diff for spec in specs for c in spec.sequentials} == {-1, 1, 2, 3, 5, 20}
    assert {(c.scheme, c.synchronize_start, c.pos_noise > 0) for c in coordinations} == set(
        product(("replay", "transform", "translate"), (False, True), (False, True))
    )
    several = [spec for spec in specs if len(spec.coordinations) > 1]
    assert any(len({who for c in spec.coordinations for who in c.members}) == 3 for spec in several), "no chain of three"
    assert any(spec.sequentials and spec.coordinations for spec in specs)
    assert any(spec.planner(1, torch.device("cpu")).first_eefs != tuple(range(len(spec.eefs))) for spec in specs)

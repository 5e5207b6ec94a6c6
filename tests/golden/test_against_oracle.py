"""The batched planner, and the generation loop around it, against the oracle: waypoint for waypoint, whole trials."""

# N envs, D demos, S subtasks

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from isaaclab_mimic_ext.plan.planner import TrialPlanner
from isaaclab_mimic_ext.rng import Draws
from tests.golden import oracle
from tests.golden.specs import OBJECTS, Spec, random_poses, random_spec

NUM_SPECS = 240
NUM_BLOCKS = 12
NUM_ENVS = 4
TRIALS_PER_ENV = 2
TOLERANCE = 1e-5


class _PlannerBesideOracle:
    """N envs whose end effectors and objects move at random while the planner and one oracle each run a trial."""

    def __init__(self, seed: int, device: torch.device):
        self.seed, self.device = seed, device
        self.spec = random_spec(seed)
        self.rng = np.random.default_rng([seed, 1])
        self.planner = TrialPlanner(self.spec.pool(device), self.spec.table(device), self.spec.config, NUM_ENVS)
        self.trials = np.full(NUM_ENVS, -1)
        self.plans: list[Iterator[oracle.Waypoint]] = [iter(()) for _ in range(NUM_ENVS)]
        self.last: list[oracle.Waypoint | None] = [None] * NUM_ENVS
        self.steps = np.zeros(NUM_ENVS, dtype=int)
        self.wait = self.rng.integers(0, 7, NUM_ENVS)
        self.num_started = 0
        self.num_compared = 0
        self.move_world()

    def move_world(self) -> None:
        self.eef = random_poses(self.rng, (NUM_ENVS, 1), self.spec.rotation)
        self.objects = random_poses(self.rng, (NUM_ENVS, len(OBJECTS)), self.spec.rotation)

    def run(self) -> None:
        while self.num_started < NUM_ENVS * TRIALS_PER_ENV or (self.trials >= 0).any():
            self.start_trials()
            self.compare_waypoints()
            self.move_world()
            self.advance()

    def start_trials(self) -> None:
        """A trial in every idle env whose wait is over."""
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
            spec = self.spec
            chance = spec.chance(int(trial))
            self.plans[env_id] = oracle.run_trial(spec.demos, spec.subtasks, spec.rules, chance, self.scene_of(env_id))
        draws = Draws(self.spec.config.seed, self.tensor(trials))
        self.planner.begin_trials(self.tensor(env_ids), draws)
        self.begin_segments(env_ids, np.zeros_like(env_ids))

    def scene_of(self, env_id: int) -> oracle.Scene:
        return lambda: (self.eef[env_id, 0], dict(zip(OBJECTS, self.objects[env_id], strict=True)))

    def begin_segments(self, env_ids: np.ndarray, eef_ids: np.ndarray) -> None:
        eef, objects = self.tensor(self.eef).float(), self.tensor(self.objects).float()
        self.planner.begin_segments(self.tensor(env_ids), self.tensor(eef_ids), eef, objects)

    def compare_waypoints(self) -> None:
        waypoints = self.planner.waypoints()
        target, gripper = waypoints.target_eef_pose[:, 0].cpu().numpy(), waypoints.gripper_action[:, 0].cpu().numpy()
        noise_std = waypoints.noise_std[:, 0].cpu().numpy()
        subtask, finished = self.planner.subtask[:, 0].cpu().numpy(), self.planner.finished[:, 0].cpu().numpy()
        chosen = self.planner.chosen_demos[:, 0].cpu().numpy()
        for env_id in np.flatnonzero(self.trials >= 0):
            place = f"seed {self.seed}, trial {self.trials[env_id]}, step {self.steps[env_id]}"
            expected = next(self.plans[env_id], None)
            assert expected is not None, f"{place}: the planner goes on, the oracle has ended"
            assert subtask[env_id] == expected.subtask, place
            assert chosen[env_id, expected.subtask] == expected.demo, place
            assert finished[env_id] == expected.is_hold, place
            assert np.abs(target[env_id] - expected.pose).max() <= TOLERANCE, place
            assert (gripper[env_id] == expected.gripper).all(), place
            assert noise_std[env_id] == np.float32(expected.noise_std), place
            self.steps[env_id] += 1
            self.num_compared += 1

    def advance(self) -> None:
        due, ended = (flags.cpu().numpy() for flags in self.planner.advance())
        active = self.trials >= 0
        for env_id in np.flatnonzero(ended & active):
            place = f"seed {self.seed}, trial {self.trials[env_id]}, step {self.steps[env_id]}"
            assert next(self.plans[env_id], None) is None, f"{place}: the planner has ended, the oracle goes on"
            assert self.steps[env_id] <= self.planner.horizon, f"{place}: longer than the horizon"
            self.trials[env_id] = -1
            self.wait[env_id] = self.rng.integers(0, 4)
        env_ids, eef_ids = np.nonzero(due & active[:, None] & ~ended[:, None])
        if len(env_ids):
            self.begin_segments(env_ids, eef_ids)

    def tensor(self, values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self.device)


@pytest.mark.parametrize("block", range(NUM_BLOCKS))
def test_planner_follows_the_oracle_waypoint_for_waypoint(block: int, device: torch.device) -> None:
    per_block = NUM_SPECS // NUM_BLOCKS
    for seed in range(block * per_block, (block + 1) * per_block):
        pair = _PlannerBesideOracle(seed, device)
        pair.run()
        assert pair.num_compared > NUM_ENVS * TRIALS_PER_ENV


def test_specs_reach_every_rule() -> None:
    specs: list[Spec] = [random_spec(seed) for seed in range(NUM_SPECS)]
    subtasks = [subtask for spec in specs for subtask in spec.subtasks]
    assert {len(spec.demos) for spec in specs} == set(range(1, 9))
    assert {len(spec.subtasks) for spec in specs} == set(range(1, 6))
    assert {s.strategy for s in subtasks} == {"random", "nearest_neighbor_object", "nearest_neighbor_robot_distance"}
    assert {s.num_interpolation for s in subtasks} == set(range(8))
    assert {s.num_fixed for s in subtasks} == set(range(5))
    assert any(s.num_interpolation == s.num_fixed == 0 for s in subtasks)
    assert any(spec.rules.num_final_hold == 0 for spec in specs)
    assert any(spec.rules.legacy_small_rotation and spec.rotation == 0.02 for spec in specs)

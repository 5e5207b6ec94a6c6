"""The generation loop around a stub env, against the oracle: actions passed to the env, and success of each trial."""

# N envs, O objects, E end effectors,
# A action entries: 16 of the target pose, one of the gripper, 6 of the noise for each of them

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from isaaclab_mimic_ext.rng import Draws, Stream
from isaaclab_mimic_ext.run.episodes import TrialOutcomes
from isaaclab_mimic_ext.run.generator import Generator
from isaaclab_mimic_ext.run.ledger import TrialLedger
from isaaclab_mimic_ext.run.watch import TrialWatch
from tests.golden import oracle, oracle_trial
from tests.golden.specs import ACTION_NOISE_DIM, OBJECTS, Spec, random_poses, random_spec
from tests.tiers import first_in_check

NUM_WORLD_STEPS = 400
NUM_SPECS = 14


class _StubEnv:
    """Env without dynamics: the state at each step of a trial is drawn from the trial's number."""

    object_names = OBJECTS

    def __init__(self, num_envs: int, spec: Spec, num_doomed: int):
        self.num_envs, self.device, self.spec, self.num_doomed = num_envs, torch.device("cpu"), spec, num_doomed
        self.eef_names = tuple(spec.eefs)
        self.pose_dims = (ACTION_NOISE_DIM,) * len(self.eef_names)
        self.trials = np.zeros(num_envs, dtype=int)
        self.steps = np.zeros(num_envs, dtype=int)
        self.films: dict[int, _Film] = {}

    def film(self, trial: int) -> "_Film":
        if trial not in self.films:
            self.films[trial] = _Film(trial, self.spec, trial < self.num_doomed)
        return self.films[trial]

    def reset(self, env_ids: Tensor, draws: Draws) -> None:
        self.trials[env_ids.numpy()] = draws.trials.numpy()
        self.steps[env_ids.numpy()] = 0

    def step(self, actions: Tensor, env_ids: Tensor | None = None) -> None:
        self.steps[slice(None) if env_ids is None else env_ids.numpy()] += 1

    def _frames(self, name: str) -> Tensor:
        at = zip(self.trials, np.minimum(self.steps, NUM_WORLD_STEPS - 1), strict=True)
        return torch.from_numpy(np.stack([getattr(self.film(trial), name)[step] for trial, step in at]))

    @property
    def eef_pose(self) -> Tensor:
        return self._frames("eefs").float()

    @property
    def object_pose(self) -> Tensor:
        return self._frames("objects").float()

    failure_reasons = ()

    def failure_conditions(self) -> dict[str, Tensor]:
        return {"done": self._frames("success")}

    def check(self) -> None:
        pass

    def hopeless(self, over: dict[str, Tensor]) -> None:
        return None

    def success(self) -> Tensor:
        return self._frames("success")

    def target_eef_pose_to_action(self, target: Tensor, gripper: Tensor, noise: Tensor | None = None) -> Tensor:
        added = target.new_zeros(*target.shape[:2], 6) if noise is None else noise
        return torch.cat((target.flatten(2), gripper, added), dim=-1).flatten(1)


class _Film:
    def __init__(self, trial: int, spec: Spec, is_doomed: bool):
        rng = np.random.default_rng([trial, 7])
        # Poses repeat periodically, because drawing them takes most of the test's time.
        num_eefs = len(spec.eefs)
        self.eefs = np.resize(random_poses(rng, (11, num_eefs), spec.rotation), (NUM_WORLD_STEPS, num_eefs, 4, 4))
        self.objects = np.resize(random_poses(rng, (11, len(OBJECTS)), spec.rotation), (NUM_WORLD_STEPS, len(OBJECTS), 4, 4))
        self.success = np.repeat(rng.integers(0, 2, NUM_WORLD_STEPS // 4), 4).astype(bool) & (not is_doomed)


class _StubRecorder:
    """Stores actions and success of each trial; refuses more steps than the real buffers hold."""

    def __init__(self, num_envs: int, horizon: int):
        self.horizon = horizon
        self.rows: list[list[np.ndarray]] = [[] for _ in range(num_envs)]
        self.episodes: dict[int, tuple[np.ndarray, bool, int]] = {}
        self.committed = 0

    def begin(self, env_ids: Tensor) -> None:
        for env_id in env_ids.tolist():
            self.rows[env_id] = []

    def before_step(self, step: Tensor) -> None:
        assert int(step.max()) < self.horizon, "a step beyond the recorder's buffers"
        assert int(step.min()) >= 0

    def after_step(self, step: Tensor, actions: Tensor, success: Tensor, clean_actions: Tensor | None = None) -> None:
        for rows, row in zip(self.rows, actions.numpy(), strict=True):
            rows.append(row.copy())

    def take(self, env_ids: Tensor, lengths: np.ndarray) -> "_StubEpisodes":
        return _StubEpisodes([np.stack(self.rows[env_id]) for env_id in env_ids.tolist()])

    def put(self, episodes: "_StubEpisodes", ended: TrialOutcomes, committed: int) -> None:
        assert committed >= self.committed
        self.committed = committed
        for actions, trial, ok, length in zip(episodes.actions, ended.trials, ended.success, ended.lengths, strict=True):
            self.episodes[int(trial)] = (actions, bool(ok), int(length))


@dataclass
class _StubEpisodes:
    actions: list[np.ndarray]

    def first_nonfinite_step(self) -> np.ndarray:
        return np.full(len(self.actions), -1)


def _generate(
    seed: int, num_envs: int, num_trials: int, guarantee: bool, num_doomed: int = 0
) -> tuple[Spec, _StubEnv, _StubRecorder, Generator]:
    """Run a random spec; the first `num_doomed` trials never succeed, the others at random."""
    spec = random_spec(seed)
    spec.config.generation_num_trials = num_trials
    spec.config.generation_guarantee = guarantee
    spec.config.max_num_failures = None
    spec.config.max_total_failures = 20
    env = _StubEnv(num_envs, spec, num_doomed)
    planner = spec.planner(num_envs, env.device)
    recorder = _StubRecorder(num_envs, planner.horizon)
    signals = [[*[None] * (planner.chosen_demos.shape[-1] - 1), "done"]]
    watch = TrialWatch(env, spec.config, signals, planner.failure_messages)  # type: ignore[arg-type]
    generator = Generator(env, planner, recorder, TrialLedger(spec.config), watch, spec.config)  # type: ignore[arg-type]
    generator.run()
    return spec, env, recorder, generator


def _expected(spec: Spec, env: _StubEnv, trial: int) -> tuple[np.ndarray, bool]:
    """Actions (T, A) of a trial by the oracle, and whether it succeeds."""
    film, actions = env.film(trial), []

    def scene() -> tuple[dict[str, oracle.Pose], dict[str, oracle.Pose]]:
        step = len(actions)
        return (
            dict(zip(spec.eefs, film.eefs[step], strict=True)),
            dict(zip(OBJECTS, film.objects[step], strict=True)),
        )

    draws = Draws(spec.config.seed, torch.tensor([trial]))
    for waypoints in oracle_trial.Trial(spec.problem, spec.chance(trial), scene).run():
        normal = draws.normal(Stream.ACTION_NOISE, (len(spec.eefs), ACTION_NOISE_DIM), len(actions))[0].double().numpy()
        parts = [
            (waypoint.pose.ravel(), waypoint.gripper, row * waypoint.noise_std)
            for waypoint, row in zip(waypoints.values(), normal, strict=True)
        ]
        actions.append(np.concatenate([part for of_eef in parts for part in of_eef]))
    return np.stack(actions), oracle.succeeded(film.success[1 : len(actions) + 1].tolist(), spec.rules)


@pytest.mark.parametrize("seed", first_in_check(range(NUM_SPECS), 4))
def test_generated_trials_agree_with_the_oracle(seed: int) -> None:
    spec, env, recorder, generator = _generate(1000 + seed, num_envs=1 + seed % 6, num_trials=5, guarantee=bool(seed % 3))
    assert generator.ledger.is_over
    for trial, (actions, success, length) in recorder.episodes.items():
        expected, counts = _expected(spec, env, trial)
        place = f"seed {seed}, trial {trial}"
        assert length == len(actions) == len(expected), place
        assert np.abs(actions - expected).max() <= 1e-5, place
        assert success == counts, place
    outcomes = [recorder.episodes[trial][1] for trial in range(generator.ledger.committed)]
    assert generator.ledger.num_successes == sum(outcomes)


def test_idle_envs_do_not_exceed_the_buffers_while_trials_are_repeated() -> None:
    """More envs than required trials: some never start a trial, others fail repeatedly."""
    _, _, recorder, generator = _generate(seed=1003, num_envs=9, num_trials=3, guarantee=True, num_doomed=10)
    assert len(recorder.episodes) >= 13
    assert generator.ledger.is_over

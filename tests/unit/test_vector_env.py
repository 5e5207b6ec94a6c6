"""Environments behind Gymnasium's interface: spaces, ends of episodes in all modes, scenes, and the layout of LeRobot."""

import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

import isaaclab_mimic_ext as mimic
from isaaclab_mimic_ext.learn import vector_env
from isaaclab_mimic_ext.rng import Domain, Draws
from tests import requires

requires.module("gymnasium", "gymnasium")
TASK = mimic.load_task("desktop_organizer")
HORIZON = 4

Make = Callable[..., mimic.VectorEnv]


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[mimic.VectorEnv] = []

    def make_one(num_envs: int = 3, **arguments: Any) -> mimic.VectorEnv:
        env = mimic.make_env(TASK, engine="kinematic", num_envs=num_envs)
        made.append(mimic.VectorEnv(env, **{"horizon": HORIZON, **arguments}))
        return made[-1]

    yield make_one
    for env in made:
        env.close()


def idle(env: mimic.VectorEnv) -> np.ndarray:
    return np.zeros((env.num_envs, 7), np.float32)


def solve(monkeypatch: pytest.MonkeyPatch, env: mimic.VectorEnv, solved: list[bool]) -> None:
    """Let the task report success in some envs."""
    monkeypatch.setattr(env._env, "success", lambda: torch.tensor(solved))


def test_observations_are_in_their_space_and_change_only_with_steps(make: Make) -> None:
    env = make()
    first, info = env.reset(seed=3)
    assert env.observation_space.contains(first) and env.single_action_space.shape == (7,)
    assert (env.single_action_space.low == -1).all()
    assert info["is_success"].tolist() == [False] * 3 and info["_is_success"].all()
    before = {name: values.copy() for name, values in first.items()}
    actions = idle(env)
    actions[:, 2] = -1.0
    later, *_ = env.step(actions)
    assert all(np.array_equal(first[name], before[name]) for name in first)
    assert (later["eef_pos"][:, 2] < first["eef_pos"][:, 2]).all()


def test_scenes_are_those_of_an_evaluation_for_any_number_of_envs(make: Make) -> None:
    env = make()
    poses = env.reset(seed=3)[0]
    inner = mimic.make_env(TASK, engine="kinematic", num_envs=1)
    inner.reset(torch.tensor([0]), Draws(3, torch.tensor([2]), Domain.EVALUATION))
    found = inner.observations()
    assert all(np.array_equal(found[name][0].numpy(), values[2]) for name, values in poses.items())
    inner.close()
    env.reset(seed=[7, 2, 9])
    again = env.reset(seed=[0, 0, 2])[0]
    assert all(np.array_equal(values[2], poses[name][2]) for name, values in again.items())
    assert env.reset()[1]["episode_number"].tolist() == [10, 11, 12]


def test_next_step_begins_the_next_episode_and_ignores_its_action(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    env = make(stop_at_success=True)
    env.reset(seed=3)
    solve(monkeypatch, env, [True, False, False])
    monkeypatch.setattr(env._config, "num_success_steps", 2)
    _, reward, terminated, truncated, info = env.step(idle(env))
    assert reward.tolist() == [1, 0, 0] and not terminated.any() and not info["is_success"].any()
    last, reward, terminated, truncated, info = env.step(idle(env))
    assert terminated.tolist() == info["is_success"].tolist() == [True, False, False] and not truncated.any()
    first, reward, terminated, truncated, info = env.step(idle(env))
    assert reward.tolist() == [0, 0, 0] and not terminated.any() and not info["is_success"].any()
    assert info["episode_number"].tolist() == [3, 1, 2]
    assert any(not np.array_equal(first[name][0], last[name][0]) for name in first)
    _, _, terminated, truncated, _ = env.step(idle(env))
    assert truncated.tolist() == [False, True, True] and not terminated.any()


def test_same_step_returns_the_last_observations_in_the_information(make: Make) -> None:
    env = make(autoreset_mode="SameStep")
    env.reset(seed=3)
    for _ in range(HORIZON - 1):
        assert "final_obs" not in env.step(idle(env))[4]
    first, _, _, truncated, info = env.step(idle(env))
    assert truncated.all() and info["_final_obs"].all() and info["episode_number"].tolist() == [3, 4, 5]
    assert info["final_info"]["episode_number"].tolist() == [0, 1, 2]
    assert info["final_info"]["is_success"].tolist() == [False] * 3
    assert any(not np.array_equal(info["final_obs"][0][name], first[name][0]) for name in first)
    assert not env.step(idle(env))[3].any()


def test_disabled_requires_a_reset_of_the_envs_that_have_ended(make: Make) -> None:
    env = make(autoreset_mode="Disabled")
    env.reset(seed=3)
    for _ in range(HORIZON):
        truncated = env.step(idle(env))[3]
    assert truncated.all()
    with pytest.raises(mimic.ConfigError, match=r"step: the episodes of envs \[0, 1, 2\] have ended; call reset"):
        env.step(idle(env))
    info = env.reset(options={"reset_mask": np.array([True, False, True])})[1]
    assert info["episode_number"].tolist() == [3, 1, 4]


def test_layout_of_lerobot_separates_the_robot_from_the_objects(make: Make) -> None:
    terms = make().reset(seed=3)[0]
    env = make(layout="lerobot")
    found = env.reset(seed=3)[0]
    assert env.observation_space.contains(found) and {*found} == {"agent_pos", "environment_state"}
    widths = sum(values[0].size for name, values in terms.items() if name != "actions")
    assert found["agent_pos"].shape[1] + found["environment_state"].shape[1] == widths
    assert np.array_equal(found["agent_pos"][:, : terms["eef_pos"].shape[1]], terms["eef_pos"])
    assert env.call("_max_episode_steps") == (HORIZON,) * 3
    assert env.call("task_description")[0] == "desktop organizer"


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"horizon": 0}, r"horizon: must be >= 1 \(got 0\)"),
    ({"layout": "lerobt"}, "layout: 'lerobt' is not valid; choices: terms, lerobot "),
    ({"autoreset_mode": "Never"}, r"autoreset_mode: 'Never' is not valid; choices: NextStep, SameStep, Disabled"),
    ({"seed": -1}, "seed: must be a whole number from 0 to "),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], message: str, make: Make) -> None:
    with pytest.raises(mimic.ConfigError, match=message):
        make(**arguments)


def test_wrong_actions_and_masks_are_refused(make: Make) -> None:
    env = make()
    env.reset()
    with pytest.raises(mimic.ConfigError, match=r"actions: must have shape \(3, 7\), .* \(got \(3, 6\)\)"):
        env.step(np.zeros((3, 6)))
    with pytest.raises(mimic.ConfigError, match="actions: must be finite numbers"):
        env.step(np.full((3, 7), np.nan))
    with pytest.raises(mimic.ConfigError, match="reset_mask: must be an array of 3 booleans"):
        env.reset(options={"reset_mask": np.zeros(3, bool)})
    with pytest.raises(mimic.ConfigError, match=r"seed: must be a number, or 3 numbers \(got 2\)"):
        env.reset(seed=[1, 2])


def test_missing_gymnasium_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gymnasium.vector", None)
    with pytest.raises(mimic.DependencyMissing, match=r"VectorEnv: requires gymnasium >= 1\.1; install with"):
        vector_env._autoreset_mode("NextStep")

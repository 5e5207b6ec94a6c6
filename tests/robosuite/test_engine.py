"""The engine `robosuite`: the rules of all engines, trials by their numbers, and workers that die."""

import os
import signal

import pytest
import torch

from isaaclab_mimic_ext.checks.engine import KEPT, RULES, Bench, check_engine
from isaaclab_mimic_ext.envs.engine_checks import outputs_of
from isaaclab_mimic_ext.envs.robosuite.env import RobosuiteEnv
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.task.definition import load_task
from tests.robosuite.conftest import MakeEnv

NUM_STEPS = 8


def begin(env: RobosuiteEnv, trials: list[int]) -> None:
    env.reset(torch.arange(env.num_envs), Draws(5, torch.tensor(trials)))


def step(env: RobosuiteEnv, trials: list[int], number: int) -> None:
    """Make a step with actions that depend on the trial and the number of the step."""
    angle = torch.tensor(trials)[:, None] + number * torch.arange(1, env.action_dim + 1)
    env.step(torch.sin(angle.float()))


def run(env: RobosuiteEnv, trials: list[int]) -> dict[str, torch.Tensor]:
    begin(env, trials)
    for number in range(NUM_STEPS):
        step(env, trials, number)
    return outputs_of(env)


def test_the_engine_keeps_the_rules_of_all_engines(make: MakeEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    # robosuite drops its objects from 1 cm above the table.
    for rule in ("placement of objects", "objects at rest"):
        monkeypatch.delitem(RULES, rule)
    bench = Bench(lambda num_envs: make(num_envs, 2), load_task("robosuite_stack"))
    assert [(each.rule, each.fault) for each in check_engine(bench) if each.outcome != KEPT] == []


def test_trials_have_the_same_bits_with_any_number_of_envs_and_workers(make: MakeEnv) -> None:
    together = run(make(3, 2), [0, 7, 4])
    alone = run(make(1, 1), [7])
    for name, value in together.items():
        assert torch.equal(value[1:2], alone[name]), name


def test_a_worker_that_is_killed_is_replaced_and_its_trials_keep_their_bits(make: MakeEnv) -> None:
    env, trials = make(3, 2), [0, 7, 4]
    expected = run(make(3, 1), trials)
    begin(env, trials)
    for number in range(NUM_STEPS):
        if number in (3, 4):
            os.kill(env._workers.process_ids[0], signal.SIGKILL)
        step(env, trials, number)
    assert env._workers.num_deaths == 2
    for name, value in outputs_of(env).items():
        assert torch.equal(value, expected[name]), name

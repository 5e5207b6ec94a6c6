"""Action noise: standard deviation, correlation over time, axes, and dependence on the trial only."""

# N envs, E end effectors, P pose entries of an action, T steps

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from isaaclab_mimic_ext.config import DataGenConfig, SubTaskConfig
from isaaclab_mimic_ext.errors import TaskSpecError
from isaaclab_mimic_ext.plan.subtasks import ActionNoise, build_table
from isaaclab_mimic_ext.rng import Draws, Stream

CPU = torch.device("cpu")
CORRELATION_STEPS = 8.0


def sample_noise(process: str, num_envs: int, num_steps: int, first_trial: int = 0) -> Tensor:
    """Noise of `num_envs` trials that begin in the same step, (T, N, 2, 6)."""
    config = DataGenConfig(action_noise_process=process, action_noise_correlation_steps=CORRELATION_STEPS)
    noise = ActionNoise(config, (num_envs, 2, 6), CPU)
    draws = Draws(config.seed, first_trial + torch.arange(num_envs))
    return torch.stack([noise.sample(draws, torch.full((num_envs,), step)).clone() for step in range(num_steps)])


def test_white_noise_equals_the_draws_of_the_trial() -> None:
    draws = Draws(DataGenConfig().seed, torch.arange(3))
    assert torch.equal(sample_noise("white", 3, 5)[4], draws.normal(Stream.ACTION_NOISE, (2, 6), torch.full((3,), 4)))


def test_noise_of_each_trial_equals_its_draws_when_trials_begin_at_any_step() -> None:
    config, num_steps = DataGenConfig(), 40
    lengths, trials, step = torch.tensor([7, 16, 23]), torch.tensor([0, 1, 2]), torch.zeros(3, dtype=torch.int64)
    noise, draws = ActionNoise(config, (3, 2, 6), CPU), Draws(config.seed, trials)
    for _ in range(num_steps):
        assert torch.equal(noise.sample(draws, step), draws.normal(Stream.ACTION_NOISE, (2, 6), step))
        step += 1
        ended = (step == lengths).nonzero().flatten()
        trials[ended], step[ended] = trials[ended] + 3, 0
        noise.begin(ended, Draws(config.seed, trials[ended]))
    assert trials.min() > 2


@pytest.mark.parametrize("process", ["white", "ornstein_uhlenbeck"])
def test_noise_has_unit_standard_deviation_in_each_step(process: str) -> None:
    deviation = sample_noise(process, 2000, 12).std(dim=(1, 2, 3))
    np.testing.assert_allclose(deviation, np.ones(12), atol=0.03)


@pytest.mark.parametrize("lag", [1, 4, 8])
def test_correlation_of_noise_decays_with_its_correlation_time(lag: int) -> None:
    noise = sample_noise("ornstein_uhlenbeck", 2000, 12).double()
    correlation = float((noise[lag] * noise[0]).mean())
    assert correlation == pytest.approx(math.exp(-lag / CORRELATION_STEPS), abs=0.03)
    white = sample_noise("white", 2000, 12)
    assert float((white[lag] * white[0]).mean()) == pytest.approx(0.0, abs=0.03)


def test_correlated_noise_does_not_depend_on_other_envs_or_earlier_trials() -> None:
    config = DataGenConfig(action_noise_process="ornstein_uhlenbeck", action_noise_correlation_steps=CORRELATION_STEPS)
    alone = sample_noise("ornstein_uhlenbeck", 1, 6, first_trial=5)[:, 0]
    noise, trials = ActionNoise(config, (2, 2, 6), CPU), torch.tensor([7, 9])
    draws = Draws(config.seed, trials)
    for step in range(4):
        noise.sample(draws, torch.full((2,), step))
    trials[0] = 5
    noise.begin(torch.tensor([0]), Draws(config.seed, trials[:1]))
    for step in range(6):
        assert torch.equal(noise.sample(draws, torch.tensor([step, 4 + step]))[0], alone[step])


def test_noise_can_differ_by_axis() -> None:
    axes = [0.0, 0.1, 0.2, 0.0, 0.0, 0.3]
    subtasks = {"franka": [SubTaskConfig(action_noise=0.5), SubTaskConfig(action_noise=axes)]}
    table = build_table(subtasks, ["mug"], [6], CPU)
    torch.testing.assert_close(table.noise_std, torch.tensor([[[0.5] * 6, axes]]))


def test_noise_with_too_few_axes_is_refused() -> None:
    subtasks = {"franka": [SubTaskConfig(), SubTaskConfig(action_noise=[0.1, 0.2])]}
    message = r"subtask_configs\.franka\.1\.action_noise: must have one entry .* 6 in all \(got 2\); use 6 entries"
    with pytest.raises(TaskSpecError, match=message):
        build_table(subtasks, ["mug"], [6], CPU)

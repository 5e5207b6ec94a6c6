"""Draws: their distribution, and their dependence on (seed, trial, stream, step) only."""

# n trials

import math

import pytest
import torch

from isaaclab_mimic_ext.errors import ConfigError
from isaaclab_mimic_ext.kernels.philox import philox_words
from isaaclab_mimic_ext.rng import Domain, Draws, Stream

SHAPE = (50,)


def _draws(seed: int = 3, num_trials: int = 4000) -> Draws:
    return Draws(seed, torch.arange(num_trials))


def _largest_gap(values: torch.Tensor, cumulative: torch.Tensor) -> float:
    """Kolmogorov distance of a sorted sample from a distribution, from the cumulative probability of each value."""
    count = len(values)
    steps = torch.arange(count + 1, dtype=torch.float64) / count
    return float(torch.maximum((cumulative - steps[:-1]).abs(), (cumulative - steps[1:]).abs()).max())


def test_uniform_draws_are_strictly_between_zero_and_one() -> None:
    uniform = _draws().uniform(Stream.OBJECT_POSE, SHAPE)
    assert uniform.dtype == torch.float32
    assert float(uniform.min()) > 0.0
    assert float(uniform.max()) < 1.0


def test_extreme_words_are_mapped_into_the_open_interval() -> None:
    words = torch.tensor([0, 2**32 - 1])
    extremes = ((words >> 9).float() + 0.5) * 2.0**-23
    assert 0.0 < float(extremes[0]) < float(extremes[1]) < 1.0


def test_uniform_draws_are_uniform() -> None:
    values = _draws().uniform(Stream.OBJECT_POSE, SHAPE).double().flatten()
    assert abs(float(values.mean()) - 0.5) < 4 * math.sqrt(1 / 12 / len(values))
    assert abs(float(values.var()) - 1 / 12) < 0.002
    ordered = values.sort().values
    assert _largest_gap(ordered, ordered) < 1.95 / math.sqrt(len(ordered))


def test_normal_draws_are_normal() -> None:
    values = _draws().normal(Stream.ACTION_NOISE, (7,), step=3).double().flatten()
    count = len(values)
    assert bool(values.isfinite().all())
    assert abs(float(values.mean())) < 4 / math.sqrt(count)
    assert abs(float(values.var()) - 1.0) < 4 * math.sqrt(2 / count)
    assert abs(float((values**3).mean())) < 4 * math.sqrt(15 / count)
    assert abs(float((values**4).mean()) - 3.0) < 4 * math.sqrt(96 / count)
    ordered = values.sort().values
    assert _largest_gap(ordered, torch.special.ndtr(ordered)) < 1.95 / math.sqrt(count)


def test_entries_of_a_draw_are_uncorrelated() -> None:
    for values in (_draws().uniform(Stream.OBJECT_POSE, (12,)), _draws().normal(Stream.ACTION_NOISE, (12,))):
        centered = (values - values.mean(0)).double()
        correlation = torch.corrcoef(centered.T) - torch.eye(12, dtype=torch.float64)
        assert float(correlation.abs().max()) < 5 / math.sqrt(len(values))


@pytest.mark.parametrize(("low", "high"), [(0, 0), (3, 8), (-4, 2), (0, 1), (-1, 9)])
def test_integers_reach_both_bounds_and_are_uniform(low: int, high: int) -> None:
    values = _draws().integers(Stream.BOUNDARY, torch.full((9,), low), torch.full((9,), high))
    assert values.dtype == torch.int64
    counts = torch.bincount(values.flatten() - low, minlength=high - low + 1).double()
    assert int(values.min()) == low
    assert int(values.max()) == high
    expected = values.numel() / (high - low + 1)
    freedom = high - low
    chi_squared = float(((counts - expected) ** 2 / expected).sum())
    assert chi_squared <= freedom + 5 * math.sqrt(2 * max(freedom, 1))


def test_integers_never_leave_their_range_even_for_the_largest_draw() -> None:
    largest = torch.tensor(1.0 - 2.0**-24)
    for count in range(1, 5000):
        assert int((largest * count).floor()) == count - 1


def test_draws_do_not_depend_on_order_or_other_trials() -> None:
    trials = torch.arange(1000, 1200)
    shuffled = torch.randperm(200, generator=torch.Generator().manual_seed(0))
    for name in ("uniform", "normal"):
        together = getattr(Draws(9, trials), name)(Stream.OBJECT_POSE, (3, 5), 4)
        apart = getattr(Draws(9, trials[shuffled]), name)(Stream.OBJECT_POSE, (3, 5), 4)
        assert torch.equal(apart, together[shuffled])
        alone = getattr(Draws(9, trials[17:18]), name)(Stream.OBJECT_POSE, (3, 5), 4)
        assert torch.equal(alone[0], together[17])


def test_scalar_step_and_step_per_trial_give_the_same_draws() -> None:
    draws = _draws(num_trials=10)
    steps = torch.tensor([4, 0, 4, 9, 1, 2, 3, 4, 5, 6])
    each = draws.uniform(Stream.ACTION_NOISE, SHAPE, steps)
    for row, step in enumerate(steps.tolist()):
        assert torch.equal(each[row], draws.uniform(Stream.ACTION_NOISE, SHAPE, step)[row])


def test_seed_trial_stream_and_step_each_change_every_draw() -> None:
    seeds = (0, 1, 2, 2**32, 2**63, 2**64 - 1)
    drawn = [
        Draws(seed, torch.tensor([trial])).uniform(stream, SHAPE, step)
        for seed in seeds
        for trial in (0, 1, 2**31)
        for stream in Stream
        for step in (0, 1, 500)
    ]
    assert len({tuple(values[0].tolist()) for values in drawn}) == len(drawn)
    # Draws are not shifted copies of each other either.
    firsts = torch.stack([values[0, :4] for values in drawn]).flatten()
    assert len(firsts.unique()) > 0.99 * len(firsts)


def test_stream_numbers_do_not_change() -> None:
    """Reproducibility of existing datasets depends on these numbers."""
    numbers = {"OBJECT_POSE": 0, "JOINT_POSITION": 1, "BOUNDARY": 2, "SELECTION": 3, "ACTION_NOISE": 4, "OPERATOR": 5}
    assert {name: int(Stream[name]) for name in numbers} == numbers
    assert len({int(stream) for stream in Stream}) == len(Stream)


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_seed_out_of_range_is_refused(seed: int) -> None:
    with pytest.raises(ConfigError, match=r"seed: must be from 0 to"):
        Draws(seed, torch.arange(3))


def test_evaluation_and_generation_have_no_common_draws() -> None:
    generation = torch.stack([_draws(seed, 300).uniform(stream, SHAPE) for seed in (1, 2, 3) for stream in Stream])
    held_out = Draws(2, torch.arange(300), Domain.EVALUATION)
    evaluation = torch.stack([held_out.uniform(stream, SHAPE) for stream in Stream])
    # A value of 23 bits repeats by chance; a row of fifty does not.
    rows = {tuple(row) for row in generation.flatten(0, -2).tolist()}
    assert not rows & {tuple(row) for row in evaluation.flatten(0, -2).tolist()}


def test_draws_of_generation_do_not_contain_the_domain() -> None:
    first = _draws(3, 1).uniform(Stream.OBJECT_POSE, (4,))
    expected = philox_words(
        3, int(Stream.OBJECT_POSE), torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.int64), 1
    )
    assert torch.equal(first, ((expected[:, 0] >> 9).float() + 0.5) * 2.0**-23)

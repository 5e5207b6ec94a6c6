"""Remaining time of generation and evaluation: estimated from control steps, also before the first trial has ended."""

import numpy as np
import pytest

from isaaclab_mimic_ext.learn.remaining import ExpectedLengths
from isaaclab_mimic_ext.learn.trainer import Schedule, Trainer
from isaaclab_mimic_ext.run import share
from isaaclab_mimic_ext.run.share import ShareOfSteps, Steps

HORIZON = 300


def expected_at(lengths: np.ndarray, step: int, stop_at_success: bool = True) -> tuple[float, float]:
    """Estimated and actual number of remaining steps of episodes that began together, after `step` steps."""
    expected = ExpectedLengths(HORIZON, stop_at_success)
    for length in lengths[lengths <= step].tolist():
        expected.add(length)
    running = lengths[lengths > step]
    total, _ = expected.remaining(np.full(len(running), step), num_waiting=0)
    return total, float((running - step).sum())


@pytest.mark.parametrize(("rate", "first_step"), [(0.0, 230), (0.5, 180), (1.0, 180)])
def test_remaining_steps_of_episodes_that_run_together_are_right_after_the_usual_successes(
    rate: float, first_step: int
) -> None:
    rng = np.random.default_rng(0)
    lengths = np.where(rng.random(100) < rate, rng.normal(150, 8, 100).round().astype(int), HORIZON)
    for step in (first_step, 260, 290):
        estimated, actual = expected_at(lengths, step)
        assert estimated == pytest.approx(actual, rel=0.2, abs=200)


def test_remaining_steps_of_successful_episodes_do_not_grow_to_the_horizon() -> None:
    """A third of 100 successful episodes has ended: the others need 10 steps each, and not the 150 of a failure."""
    lengths = np.random.default_rng(0).normal(150, 8, 100).round().astype(int)
    estimated, actual = expected_at(lengths, 146)
    to_the_horizon = float((HORIZON - 146) * (lengths > 146).sum())
    assert 0.5 * actual < estimated < 0.25 * to_the_horizon


@pytest.mark.parametrize("step", [0, 100, 299])
def test_remaining_steps_are_exact_if_episodes_run_to_the_horizon(step: int) -> None:
    estimated, actual = expected_at(np.full(10, HORIZON), step, stop_at_success=False)
    assert estimated == pytest.approx(actual)


def test_episodes_that_have_yet_to_begin_count_with_the_mean_of_successes_and_failures() -> None:
    expected = ExpectedLengths(HORIZON, True)
    for length in [100] * 49 + [HORIZON] * 49:
        expected.add(length)
    total, longest = expected.remaining(np.zeros(0), num_waiting=10)
    assert (total, longest) == (pytest.approx(10 * 200, rel=0.02), 0.0)


def test_share_of_steps_never_decreases_and_stays_below_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(share, "_PERIOD", 0.0)
    remaining = [100.0, 50.0, 200.0, 0.0]
    shares = ShareOfSteps(lambda: Steps(remaining.pop(0), 0.0))
    seen = [shares.after(Steps(done, 0.0)) for done in (0.0, 50.0, 60.0, 70.0)]
    assert seen == [0.0, 0.5, 0.5, 0.99]


def test_a_step_of_few_envs_takes_more_than_their_share_of_a_full_step() -> None:
    assert Steps(1, 1).work > 0.1 * Steps(40, 1).work


def test_share_of_a_training_includes_the_evaluations_that_are_left() -> None:
    """Ten epochs of 1 s with two evaluations of 20 s: after half of the epochs, half of the time has passed."""
    trainer = Trainer.__new__(Trainer)
    trainer.schedule = Schedule(epochs=10, steps_per_epoch=1, save_every=0, evaluate_every=5, seed=1)
    trainer.epoch, trainer._first_epoch, trainer._evaluation_times = 5, 0, [20.0]
    assert trainer._share(25.0) == pytest.approx(0.5)
    trainer._first_epoch = 5
    assert trainer._share(0.1) is None

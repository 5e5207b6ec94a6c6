"""Lanes: trials begin in free lanes and count their steps and successes; the next trial starts from zero."""

import numpy as np
import pytest
import torch

from isaaclab_mimic_ext.run.lanes import Lanes


def lanes_with(*trials: int, num_envs: int = 4) -> Lanes:
    lanes = Lanes(num_envs, "cpu")
    lanes.begin(np.array(trials, dtype=np.int64))
    return lanes


def mask(*values: int) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.bool)


def test_new_lanes_are_idle() -> None:
    lanes = Lanes(4, "cpu")
    assert (lanes.num_active, lanes.num_free) == (0, 4)
    assert not lanes.is_active.any()
    assert lanes.env_ids is not None and len(lanes.env_ids) == 0


def test_trials_begin_in_the_first_free_lanes() -> None:
    lanes = lanes_with(10, 11, 12)
    lanes.end(np.array([1]))
    env_ids = lanes.begin(np.array([13, 14]))
    assert env_ids.tolist() == [1, 3]
    assert lanes.trial.tolist() == [10, 13, 12, 14]


def test_env_ids_are_none_if_all_lanes_are_active() -> None:
    lanes = lanes_with(0, 1, 2)
    assert lanes.env_ids is not None and lanes.env_ids.tolist() == [0, 1, 2]
    lanes.begin(np.array([3]))
    assert lanes.env_ids is None
    lanes.end(np.array([0, 2]))
    assert lanes.env_ids.tolist() == [1, 3]


def test_host_and_device_agree_on_which_lanes_are_active() -> None:
    rng, lanes, next_trial = np.random.default_rng(0), Lanes(9, "cpu"), 0
    for _ in range(50):
        num_trials = int(rng.integers(0, lanes.num_free + 1))
        lanes.begin(np.arange(next_trial, next_trial + num_trials))
        next_trial += num_trials
        lanes.advance(torch.ones(9, dtype=torch.bool))
        lanes.end(np.flatnonzero(lanes.active & (rng.random(9) < 0.4)))
        assert lanes.is_active.tolist() == lanes.active.tolist()
        assert lanes.num_active + lanes.num_free == 9
        env_ids = torch.arange(9) if lanes.env_ids is None else lanes.env_ids
        assert env_ids.tolist() == np.flatnonzero(lanes.active).tolist()
        assert (lanes.step[~lanes.is_active] == 0).all()
    running = lanes.trial[lanes.is_active].tolist()
    assert len(set(running)) == len(running)


def test_only_active_lanes_count_steps_and_successes() -> None:
    lanes = lanes_with(0, 1)
    for _ in range(3):
        lanes.advance(mask(1, 1, 1, 1))
    assert lanes.step.tolist() == [3, 3, 0, 0]
    assert lanes.num_success_steps.tolist() == [3, 3, 0, 0]


def test_successes_count_in_a_row() -> None:
    lanes = lanes_with(0, 1, num_envs=2)
    for success in (mask(1, 0), mask(1, 1), mask(0, 1), mask(1, 1)):
        lanes.advance(success)
    assert lanes.num_success_steps.tolist() == [1, 3]
    assert lanes.has_held(2).tolist() == [False, True]
    assert lanes.step.tolist() == [4, 4]


def test_ended_lane_keeps_its_success_counter_until_its_next_trial() -> None:
    lanes = lanes_with(0, 1, num_envs=2)
    lanes.advance(mask(1, 1))
    lanes.end(np.array([0]))
    lanes.advance(mask(0, 1))
    assert lanes.num_success_steps.tolist() == [1, 2]
    lanes.begin(np.array([2]))
    assert lanes.num_success_steps.tolist() == [0, 2]
    assert lanes.step.tolist() == [0, 2]


def test_idle_lanes_never_end() -> None:
    lanes = lanes_with(0, 1)
    assert lanes.active_among(mask(0, 1, 1, 1)).tolist() == [1]


def test_more_trials_than_free_lanes_are_refused() -> None:
    with pytest.raises(AssertionError, match="5 trials for 4 free lanes"):
        lanes_with(*range(5))


def test_trial_tensor_is_written_in_place() -> None:
    """Draws keep the tensor of trial numbers: it is written in place."""
    lanes = Lanes(2, "cpu")
    trial = lanes.trial
    lanes.begin(np.array([7, 8]))
    assert trial.tolist() == [7, 8]

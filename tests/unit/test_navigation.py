"""Mobile base: all end effectors wait for a late base, and skip the rest of the drive if the base is early."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from isaaclab_mimic_ext.config import DataGenConfig
from isaaclab_mimic_ext.plan.navigation import MISSED_GOAL, Navigation
from isaaclab_mimic_ext.run.result import RunResult
from tests.mobile_base import NUM_DRIVE, NUM_WORK, MobileBaseEnv, make_generator

HOLD = 3
NOMINAL = 1 + NUM_DRIVE + NUM_WORK + HOLD
"""Number of steps of a trial without waiting or skipping; the first waypoint is the initial pose of the demo."""


def run(tmp_path: Path, speed: list[float], num_trials: int | None = None, **settings: Any) -> RunResult:
    """One trial in each env, or `num_trials`."""
    config = DataGenConfig(
        generation_guarantee=False,
        generation_num_trials=num_trials or len(speed),
        max_num_failures=None,
        num_final_hold_steps=HOLD,
        num_success_steps=2,
        **{"use_navigation_controller": True, **settings},
    )
    generator = make_generator(MobileBaseEnv(speed), tmp_path / "demo.hdf5", config)
    generator.run()
    return generator.close()


def episodes(tmp_path: Path, file: str = "demo.hdf5") -> dict[int, h5py.Group]:
    """The recorded trials of a file, by number."""
    with h5py.File(tmp_path / file) as data:
        demos = data["data"].values()
        return {
            int(demo.attrs["trial"]): {"actions": demo["actions"][()], "base": demo["obs/base_pos"][()]} for demo in demos
        }


def test_slow_base_is_waited_for(tmp_path):
    report = run(tmp_path, [0.02])
    assert report.num_successes == 1
    episode = episodes(tmp_path)[0]
    num_steps = len(episode["actions"])
    # The base drives for about 50 steps; 12 in the source demo.
    assert 40 + NUM_WORK + HOLD < num_steps < 70 + NUM_WORK + HOLD
    target = episode["actions"][NUM_DRIVE + 2 : -NUM_WORK - HOLD - 2, :3]
    np.testing.assert_array_equal(target, np.broadcast_to(target[0], target.shape))
    hand = episode["actions"][NUM_DRIVE + 2 : -NUM_WORK - HOLD - 2, 4:7]
    np.testing.assert_array_equal(hand, np.broadcast_to(hand[0], hand.shape))


def test_without_waiting_the_base_is_late(tmp_path):
    report = run(tmp_path, [0.02], use_navigation_controller=False)
    assert report.num_successes == 0
    assert len(episodes(tmp_path, "failed.hdf5")[0]["actions"]) == NOMINAL


def test_early_base_lets_all_end_effectors_skip_the_rest_of_the_drive(tmp_path):
    report = run(tmp_path, [0.5])
    assert report.num_successes == 1
    assert len(episodes(tmp_path)[0]["actions"]) < NOMINAL - 4


def test_base_that_does_not_arrive_fails_only_its_own_trial_with_the_reason(tmp_path):
    report = run(tmp_path, [0.05, 0.0, 0.1], max_navigation_wait_steps=40)
    assert report.num_successes == 2
    assert report.failures == {f"the planner failed: {MISSED_GOAL}": 1}
    assert set(episodes(tmp_path)) == {0, 2}
    assert len(episodes(tmp_path, "failed.hdf5")[1]["actions"]) == NUM_DRIVE + 40 + 1


@pytest.mark.slow
def test_envs_wait_only_for_their_own_base(tmp_path):
    speeds = [0.02, 0.04, 0.08]
    run(tmp_path, speeds)
    lengths = {trial: len(episode["actions"]) for trial, episode in episodes(tmp_path).items()}
    assert lengths[0] > lengths[1] > lengths[2]
    alone = tmp_path / "alone"
    alone.mkdir()
    run(alone, speeds[:1])
    np.testing.assert_array_equal(episodes(alone)[0]["actions"], episodes(tmp_path)[0]["actions"])


@pytest.mark.slow
def test_sequential_trials_equal_parallel_trials(tmp_path):
    """Each trial waits for about 40 steps, which must not carry over to the next trial."""
    alone = tmp_path / "alone"
    alone.mkdir()
    for folder, speed in ((tmp_path, [0.02] * 3), (alone, [0.02])):
        assert run(folder, speed, num_trials=3, max_navigation_wait_steps=60).num_successes == 3
    for trial, episode in episodes(tmp_path).items():
        np.testing.assert_array_equal(episodes(alone)[trial]["actions"], episode["actions"])


def test_new_trial_resets_the_navigation_state():
    navigation = Navigation(body=0, max_wait=5, num_envs=1, device=torch.device("cpu"))
    at, last = torch.tensor([[3, 3]], dtype=torch.int32), torch.tensor([[9, 9]], dtype=torch.int32)
    driving, arrived = torch.tensor([True]), torch.tensor([False])
    navigation.observe({"is_navigating": driving, "navigation_goal_reached": ~driving})
    navigation.begin_trials(torch.tensor([0]))
    navigation.observe({"is_navigating": arrived, "navigation_goal_reached": ~arrived})
    navigation.advance(torch.ones(1, 2, dtype=torch.bool), at, last)
    assert at.tolist() == [[3, 3]]


def test_base_that_stays_at_its_goal_arrives_once():
    """The env may keep reporting the arrival, which must not skip waypoints of the next subtask."""
    navigation = Navigation(body=0, max_wait=5, num_envs=1, device=torch.device("cpu"))
    begun, last, yes = torch.ones(1, 2, dtype=torch.bool), torch.tensor([[9, 9]], dtype=torch.int32), torch.tensor([True])
    cursors = []
    for is_navigating, has_arrived in ((yes, ~yes), (yes, yes), (yes, yes), (~yes, yes)):
        cursor = torch.tensor([[3, 3]], dtype=torch.int32)
        navigation.observe({"is_navigating": is_navigating, "navigation_goal_reached": has_arrived})
        navigation.advance(begun, cursor, last)
        cursors.append(cursor[0, 0].item())
    assert cursors == [3, 8, 3, 3]


def test_flags_of_the_env_are_not_modified():
    """An env may return buffers that it writes in place; a new trial must not write them."""
    navigation = Navigation(body=0, max_wait=5, num_envs=1, device=torch.device("cpu"))
    state = {"is_navigating": torch.tensor([True]), "navigation_goal_reached": torch.tensor([False])}
    cursor, last = torch.tensor([[3, 3]], dtype=torch.int32), torch.tensor([[9, 9]], dtype=torch.int32)
    navigation.observe(state)
    state["navigation_goal_reached"][0] = True
    navigation.observe(state)
    navigation.advance(torch.ones(1, 2, dtype=torch.bool), cursor, last)
    assert cursor.tolist() == [[8, 8]]
    navigation.begin_trials(torch.tensor([0]))
    assert state["is_navigating"].tolist() == state["navigation_goal_reached"].tolist() == [True]


@pytest.mark.parametrize(("cursor", "expected"), [([3, 3], [8, 8]), ([3, 5], [8, 8]), ([9, 2], [9, 2]), ([8, 2], [8, 2])])
def test_skipping_stops_before_the_last_waypoint_of_each(cursor, expected):
    """The next waypoint of the base is then its last one; other end effectors skip at most to their own last one."""
    navigation = Navigation(body=0, max_wait=5, num_envs=1, device=torch.device("cpu"))
    at, last = torch.tensor([cursor], dtype=torch.int32), torch.tensor([[9, 9]], dtype=torch.int32)
    for is_navigating in (True, False):
        state = torch.tensor([is_navigating])
        navigation.observe({"is_navigating": state, "navigation_goal_reached": ~state})
    navigation.advance(torch.ones(1, 2, dtype=torch.bool), at, last)
    assert at.tolist() == [expected]

"""Steps of an attempt that are taken back and made again are bit by bit the same."""

# N = 1 env

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch import Tensor

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.config import DataGenConfig
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.factory import make_env
from isaaclab_mimic_ext.files.hdf5 import datasets_below
from isaaclab_mimic_ext.run.live import DISCARDED, LIVE_REASONS, Choice, Request
from isaaclab_mimic_ext.run.live_state import LiveState
from isaaclab_mimic_ext.run.record import record
from isaaclab_mimic_ext.run.result import RunResult
from isaaclab_mimic_ext.task.definition import load_task
from tests import requires
from tests.kinematic_sources import make_kinematic_env
from tests.people import Person

SEED = 5


class Rewinder(Person):
    """Follows the operator's plan by its frame numbers, and carries out wishes at given steps.

    Args:
        wishes: number of steps of the attempt -> steps to go to, once each.
    """

    def __init__(self, env: MimicEnv, wishes: Mapping[int, int]):
        super().__init__(env)
        self._wishes = dict(wishes)
        self.states: dict[int, list[Tensor]] = {}

    def next_request(self, state: LiveState) -> Request:
        leaves = trees.flatten(self.env.get_state()).values()
        self.states.setdefault(state.step, []).append(torch.cat([leaf.flatten().clone() for leaf in leaves]))
        if state.step in self._wishes:
            return Request(Choice.GO_TO, self._wishes.pop(state.step))
        if state.is_complete:
            return Request(Choice.KEEP)
        self.frame = max(state.step - 2, 0)  # Commands are not read in the first two steps.
        return Request(Choice.STEP)

    def review(self, demo: Mapping[str, np.ndarray]) -> None:
        self.reviewed = dict(demo)

    def attributes(self) -> Mapping[str, int | str]:
        return {"num_rewinds": 1}


def recorded(env: MimicEnv, path: Path, wishes: Mapping[int, int]) -> tuple[Rewinder, dict[str, np.ndarray]]:
    person = Rewinder(env, wishes)
    record(env, path, person, 1, seed=SEED, config=DataGenConfig(num_success_steps=5), step_hz=1e6)
    with h5py.File(path) as file:
        assert file["data/demo_0"].attrs["num_rewinds"] == 1
        return person, {path: dataset[()] for path, dataset in datasets_below(file["data/demo_0"])}


def check_rewinds(env: MimicEnv, folder: Path, wishes: dict[int, int]) -> None:
    _, straight = recorded(env, folder / "straight.hdf5", {})
    person, rewound = recorded(env, folder / "rewound.hdf5", wishes)
    assert straight.keys() == rewound.keys()
    for path, leaf in straight.items():
        assert np.array_equal(leaf, rewound[path]), path
    visited = {step: states for step, states in person.states.items() if len(states) > 1}
    assert visited.keys() >= set(wishes.values())
    for step, states in visited.items():
        assert all(torch.equal(states[0], other) for other in states), step
    for path, leaf in person.reviewed.items():
        assert np.array_equal(leaf, straight[path]), path


class Undecided(Rewinder):
    """Carries out requests at given steps: (number of steps of the attempt, request), in this order.

    Attributes:
        num_given_up: number of steps that can come back, at each request.
    """

    def __init__(self, env: MimicEnv, *requests: tuple[int, Request]):
        super().__init__(env, {})
        self._requests = list(requests)
        self.num_given_up: list[int] = []
        self._others: list[Any] = []

    def next_request(self, state: LiveState) -> Request:
        if not self._requests or self._requests[0][0] != state.step:
            return super().next_request(state)
        self.num_given_up.append(state.num_given_up_steps)
        request = self._requests.pop(0)[1]
        plan = (self._targets, self._grippers, self.num_frames)
        if request.choice is Choice.UNDO:
            self._targets, self._grippers, self.num_frames = self._others.pop()
        self._others.append(plan)
        return request


DISCARD, UNDO, AGAIN = Request(Choice.DISCARD), Request(Choice.UNDO), Request(Choice.GO_TO, 0, gives_up=True)


def recorded_by(person: Undecided, path: Path, num_demos: int) -> tuple[RunResult, list[dict[str, Any]]]:
    """Record, and return the result, and the number and the datasets of each demo."""
    result = record(person.env, path, person, num_demos, seed=SEED, config=DataGenConfig(num_success_steps=5), step_hz=1e6)
    with h5py.File(path) as file:
        demos = [file[f"data/demo_{index}"] for index in range(num_demos)]
        read = [{path: dataset[()] for path, dataset in datasets_below(demo)} for demo in demos]
        return result, [{"trial": int(demo.attrs["trial"]), **leaves} for demo, leaves in zip(demos, read, strict=True)]


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Demo of a person who never gives up."""
    path = tmp_path_factory.mktemp("straight") / "raw.hdf5"
    return recorded_by(Undecided(make_kinematic_env(1)), path, 1)[1][0]


def test_attempt_that_was_given_up_continues_exactly_and_the_next_scene_waits(
    tmp_path: Path, straight: dict[str, Any]
) -> None:
    person = Undecided(make_kinematic_env(1), (80, DISCARD), (20, UNDO))
    result, (first, second) = recorded_by(person, tmp_path / "raw.hdf5", 2)
    assert person.num_given_up == [0, 80]
    assert (result.num_attempts, result.failures) == (2, {})
    assert (first["trial"], second["trial"]) == (0, 1)
    assert all(np.array_equal(leaf, first[path]) for path, leaf in straight.items())


def test_attempt_that_stays_given_up_ends_before_the_next_demo(tmp_path: Path) -> None:
    # The second attempt has no steps, so the first one can still come back; the third one waits for its end.
    person = Undecided(make_kinematic_env(1), (80, DISCARD), (0, DISCARD), (0, UNDO), (90, DISCARD))
    result, (demo,) = recorded_by(person, tmp_path / "raw.hdf5", 1)
    assert person.num_given_up == [0, 80, 80, 0]
    assert demo["trial"] == 2
    assert result.failures == {LIVE_REASONS[DISCARDED]: 2}


def test_steps_before_the_same_scene_began_again_come_back(tmp_path: Path, straight: dict[str, Any]) -> None:
    person = Undecided(make_kinematic_env(1), (80, AGAIN), (30, UNDO))
    _, (demo,) = recorded_by(person, tmp_path / "raw.hdf5", 1)
    assert person.num_given_up == [0, 80]
    assert all(np.array_equal(leaf, demo[path]) for path, leaf in straight.items())


def test_rewound_attempt_is_recorded_like_one_without_rewinds(tmp_path: Path) -> None:
    check_rewinds(make_kinematic_env(1), tmp_path, {80: 30, 31: 80, 120: 0})


@pytest.mark.slow
def test_rewound_attempt_on_mujoco_is_recorded_like_one_without_rewinds(tmp_path: Path) -> None:
    requires.module("mujoco.batch", "mujoco")
    env = make_env(load_task("desktop_organizer"), "mujoco", {}, 1)
    # Also while the bottle is held, where the solver's warm start matters, and at the end of the attempt.
    check_rewinds(env, tmp_path, {60: 20, 130: 95, 96: 130, 150: 149})

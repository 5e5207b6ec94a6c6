"""Only the pictures that a policy needs are drawn, by a fake renderer."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import torch

from isaaclab_mimic_ext.config.cameras import CamerasCfg
from isaaclab_mimic_ext.envs import camera_observations
from isaaclab_mimic_ext.envs.camera_observations import add_cameras, observe, without_cameras
from isaaclab_mimic_ext.envs.factory import make_env
from isaaclab_mimic_ext.envs.posed_scene import PosedScene
from isaaclab_mimic_ext.errors import ConfigError
from isaaclab_mimic_ext.rng import Domain, Draws
from isaaclab_mimic_ext.task.definition import load_task
from tests import requires

requires.module("mujoco", "mujoco")
NUM_ENVS = 3


class CountingRenderer:
    """Fake `Renderer`. All pixels of a picture are the number of pictures drawn so far."""

    name = "count"

    def __init__(self, task: Any, width: int, height: int, **options: Any):
        self.shape, self.model = (height, width, 3), PosedScene(task, options["cameras"]).model
        self.num_drawn, self.looks = 0, []

    def set_look(self, numbers: np.ndarray | None) -> None:
        self.looks.append(None if numbers is None else tuple(numbers[:3]))

    def pictures(self, state: dict[str, Any], cameras: Iterable[str], modalities: Iterable[str]) -> dict[str, np.ndarray]:
        self.num_drawn += 1
        return {name: np.full(self.shape, self.num_drawn, np.uint8) for name in cameras}

    def close(self) -> None:
        pass


@pytest.fixture
def make_seeing_env(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(camera_observations, "Renderer", CountingRenderer)

    def make(**options: Any) -> Any:
        task = load_task("desktop_organizer")
        env = make_env(task, "kinematic", num_envs=NUM_ENVS)
        return add_cameras(env, task, CamerasCfg(["agentview"], [4, 6], "policy", **options))

    return make


def drawn(env: Any, due: torch.Tensor | None) -> list[int]:
    return observe(env, due)["agentview"][:, 0, 0, 0].tolist()


def test_envs_that_are_not_due_keep_their_pictures(make_seeing_env: Any) -> None:
    env = make_seeing_env()
    assert drawn(env, None) == [1, 2, 3]
    assert drawn(env, torch.tensor([False, True, False])) == [1, 4, 3]
    assert drawn(env, torch.zeros(NUM_ENVS, dtype=torch.bool)) == [1, 4, 3]
    assert "agentview" not in without_cameras(env).observations()


def test_look_of_an_episode_depends_on_its_number_and_not_on_its_env(make_seeing_env: Any) -> None:
    looks = []
    for numbers in ([5, 6, 7], [7, 5, 6]):
        env, env_ids = make_seeing_env(appearance=["light"]), torch.arange(NUM_ENVS)
        env.reset(env_ids, Draws(1, torch.tensor(numbers), Domain.EVALUATION))
        observe(env, None)
        looks.append(dict(zip(numbers, env.pictures._renderer.looks, strict=True)))
    assert looks[0] == looks[1]
    assert len(set(looks[0].values())) == NUM_ENVS


def test_unknown_kind_of_look_is_refused(make_seeing_env: Any) -> None:
    with pytest.raises(ConfigError, match=r"cameras\.appearance: 'lights' is not a kind of appearance"):
        make_seeing_env(appearance=["lights"])

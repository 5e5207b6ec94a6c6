"""Policies that see: pictures in memory, what is drawn for a policy, and the algorithm."""

# N envs, T steps, H x W pixels

import re
import tracemalloc
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from isaaclab_mimic_ext.config.cameras import CamerasCfg
from isaaclab_mimic_ext.datasets.split import split_dataset
from isaaclab_mimic_ext.envs.cameras import calibration, merged_cameras
from isaaclab_mimic_ext.envs.mujoco_model import build_model
from isaaclab_mimic_ext.errors import ConfigError, SourceDataError
from isaaclab_mimic_ext.learn import data
from isaaclab_mimic_ext.learn.agents import (
    default_image_agent,
    linear_schedules_to_end,
    low_dim_keys,
    override_settings,
    picture_keys,
)
from isaaclab_mimic_ext.learn.picture_rows import check_has_pictures
from isaaclab_mimic_ext.learn.policy_cameras import PolicyCameras, _moved, _placed, common_cameras, policy_cameras
from isaaclab_mimic_ext.task.cameras import CameraCfg
from isaaclab_mimic_ext.task.definition import load_task
from tests import requires
from tests.builders import ENV_ARGS, make_source_file

SIDE = 24
TASK = load_task("desktop_organizer")


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A split dataset whose pictures have the number of their step in all pixels."""
    path = make_source_file(tmp_path / "demo.hdf5", num_demos=12)
    with h5py.File(path, "r+") as file:
        for demo in file["data"].values():
            steps = np.arange(len(demo["actions"]), dtype=np.uint8)
            demo["obs/agentview"] = np.broadcast_to(steps[:, None, None, None], (len(steps), SIDE, SIDE, 3))
    split_dataset(path, 0.5, seed=1)
    return path


def test_default_agent_sees_pictures_and_its_gripper_but_no_object() -> None:
    shapes = {"eef_pos": (3,), "joint_vel": (9,), "gripper_pos": (2,), "ketchup_pos": (3,), "agentview": (84, 84, 3)}
    agent = default_image_agent(shapes, ENV_ARGS)
    assert low_dim_keys(agent, "bc_image") == ["gripper_pos"]
    assert picture_keys(agent) == ["agentview"]
    assert agent["observation"]["encoder"]["rgb"]["obs_randomizer_kwargs"] == {"crop_height": 80, "crop_width": 80}


def test_pictures_take_one_byte_per_value_in_memory(dataset: Path) -> None:
    with h5py.File(dataset, "r+") as file:
        for demo in file["data"].values():
            demo["obs/wide"] = np.zeros((len(demo["actions"]), 96, 96, 3), np.uint8)
    names = [f"demo_{index}" for index in range(12)]
    tracemalloc.start()
    demos = data.read_demos(dataset, names, ["eef_pos"], pictures=["wide"])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    pictures = demos.obs["wide"]
    assert pictures.dtype == torch.uint8
    assert peak < 1.2 * pictures.numel()


def test_copies_of_a_demo_are_in_the_mask_of_their_demo(dataset: Path) -> None:
    with h5py.File(dataset, "r+") as file:
        for index in range(6, 12):
            file[f"data/demo_{index}"].attrs["copy_of"] = f"demo_{index - 6}"
    for seed in range(4):
        split = split_dataset(dataset, 0.5, seed)
        assert all((f"demo_{index}" in split.train) == (f"demo_{index + 6}" in split.train) for index in range(6))
        assert len(split.train) == len(split.valid) == 6


def test_batches_have_the_newest_picture_and_the_history_of_vectors(dataset: Path) -> None:
    demos = data.read_demos(dataset, ["demo_0"], ["eef_pos"], pictures=["agentview"])
    batch = next(data.Batches(demos, 8, seq_length=5, frame_stack=3, observes_chunk=False).draw(1, seed=0))
    assert batch["obs"]["agentview"].shape == (8, 1, SIDE, SIDE, 3)
    assert batch["obs"]["eef_pos"].shape == (8, 3, 3)
    assert batch["actions"].shape == (8, 7, 7)
    steps = batch["obs"]["agentview"][:, 0, 0, 0, 0].long()
    assert torch.equal(batch["obs"]["eef_pos"][:, -1], demos.obs["eef_pos"][steps])
    assert len(steps.unique()) > 4


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            np.zeros((60, 8, 8, 3), np.float32),
            r"must have shape \(T, H, W, 3\) and type uint8 \(got \(T, 8, 8, 3\) float32\)",
        ),
        (np.zeros((60, 8, 8, 3), np.uint8), r"must have shape \(24, 24, 3\) as in other demos \(got \(8, 8, 3\)\)"),
    ],
)
def test_demos_with_other_pictures_are_left_out(dataset: Path, values: np.ndarray, words: str, caplog) -> None:
    with h5py.File(dataset, "r+") as file:
        del file["data/demo_1/obs/agentview"]
        file["data/demo_1/obs/agentview"] = np.resize(values, (len(file["data/demo_1/actions"]), *values.shape[1:]))
    demos = data.read_demos(dataset, ["demo_0", "demo_1"], ["eef_pos"], pictures=["agentview"])
    assert len(demos) == len(demos.obs["agentview"]) == demos.last[0] + 1
    assert any(re.search(words, record.getMessage()) for record in caplog.records)


def test_dataset_without_pictures_names_the_command_that_draws_them(tmp_path: Path) -> None:
    path = make_source_file(tmp_path / "demo.hdf5")
    split_dataset(path, 0.5, seed=1)
    facts = data.read_facts(path)
    agent = default_image_agent(facts.obs_shapes, facts.env_args)
    with pytest.raises(
        ConfigError, match=r"pictures \(T, H, W, 3\) not found in .*; draw them with `.*mimic render input_file="
    ):
        check_has_pictures(facts, agent, picture_keys(agent))


def test_cameras_of_a_policy_are_those_of_its_training_data() -> None:
    recorded = {"cameras": {"rendering_mode": "film", "calibration": {"agentview": {"K": []}, "wrist": {"K": []}}}}
    found = policy_cameras({"agentview": (60, 80, 3), "eef_pos": (3,)}, recorded, "here")
    assert found is not None
    assert (found.cfg.names, found.cfg.size, found.cfg.rendering_mode) == (["agentview"], [60, 80], "film")
    assert [*found.calibration] == ["agentview"]
    assert policy_cameras({"eef_pos": (3,)}, recorded, "here") is None
    with pytest.raises(SourceDataError, match=r"here: pictures must have one size \(got a 4x6, b 6x4\)"):
        policy_cameras({"a": (4, 6, 3), "b": (6, 4, 3)}, recorded, "here")


class DescribedEnv:
    """Env whose agentview has a calibration."""

    def __init__(self, cameras: dict[str, CameraCfg]):
        self.calibration = calibration(build_model(TASK, merged_cameras(TASK, cameras)), TASK, "agentview", 60, 80)

    def env_args(self) -> dict[str, Any]:
        return {"cameras": {"calibration": {"agentview": self.calibration}}}


def test_camera_that_was_elsewhere_in_the_training_data_is_moved_there() -> None:
    requires.module("mujoco", "mujoco")
    moved = CameraCfg(frame="ketchup", pos=[1.0, 0.2, 0.5], target=[0.4, 0.1, 0.0], up=[0.1, 0.0, 1.0], fovy=33.0)
    trained, default = DescribedEnv({"agentview": moved}), DescribedEnv({})
    cameras = policy_cameras({"agentview": (60, 80, 3)}, trained.env_args(), "here")
    assert isinstance(cameras, PolicyCameras)
    assert _moved(trained, cameras) == {}
    found = _moved(default, cameras)
    again = DescribedEnv(found)
    for key in ("K", "T_frame_camera"):
        assert np.allclose(again.calibration[key], trained.calibration[key], atol=1e-9)
    assert found == {"agentview": _placed(trained.calibration)}


def test_policies_with_different_cameras_are_not_evaluated_in_one_env() -> None:
    requires.module("mujoco", "mujoco")
    near, default = DescribedEnv({"agentview": CameraCfg(fovy=20.0)}), DescribedEnv({})
    one, again, other = (
        policy_cameras({"agentview": (60, 80, 3)}, env.env_args(), f"checkpoint: {name}.pth")
        for env, name in ((default, "a"), (default, "b"), (near, "c"))
    )
    assert common_cameras([None, one, again]) is one and common_cameras([None]) is None
    with pytest.raises(ConfigError, match=r"checkpoint: c\.pth: was trained with other cameras than a\.pth"):
        common_cameras([one, None, other])


def test_camera_that_the_scene_does_not_have_is_left_to_the_check_of_the_task() -> None:
    cameras = PolicyCameras(CamerasCfg(["wrist"]), {"wrist": {"frame": "franka"}})
    assert _moved(DescribedEnv({}), cameras) == {}


@pytest.mark.train
class TestAlgorithm:
    @pytest.fixture(autouse=True)
    def _robomimic(self) -> None:
        requires.module("robomimic", "train")

    def learner(self, num_executed: int = 2) -> Any:
        from isaaclab_mimic_ext.learn.robomimic import Learner, build_config

        shapes = {"eef_pos": (3,), "agentview": (SIDE, SIDE, 3)}
        agent = default_image_agent(shapes, ENV_ARGS)
        agent["observation"]["modalities"]["obs"]["low_dim"] = ["eef_pos"]
        chunk = {"train": {"seq_length": 4}, "algo": {"chunk": {"num_executed": num_executed}, "actor_layer_dims": [32]}}
        config = build_config({**agent, **chunk})
        config = build_config(override_settings({**agent, **chunk}, linear_schedules_to_end(config)))
        torch.manual_seed(0)
        return Learner(config, shapes, 1, torch.device("cpu"), num_epochs=100)

    def batch(self, size: int, seed: int) -> dict[str, Any]:
        """Pictures with a bright column, whose place is the action; the vector has no information."""
        columns = torch.randint(6, SIDE - 6, (size,), generator=torch.Generator().manual_seed(seed))
        pictures = torch.zeros(size, 1, SIDE, SIDE, 3, dtype=torch.uint8)
        pictures[torch.arange(size), 0, :, columns] = 255
        actions = (2.0 * columns / SIDE - 1.0)[:, None, None].expand(-1, 4, 1)
        return {"obs": {"agentview": pictures, "eef_pos": torch.zeros(size, 1, 3)}, "actions": actions}

    def test_learns_actions_that_only_pictures_show(self) -> None:
        learner = self.learner()
        before = learner.validate(self.batch(128, 1000), 1)["Loss"]
        for step in range(200):
            learner.train(self.batch(64, step), 1)
        assert learner.validate(self.batch(128, 1000), 1)["Loss"] < 0.3 * before

    def test_random_crops_are_taken_in_training_only(self) -> None:
        learner, batch = self.learner(), self.batch(16, 0)
        assert learner.validate(batch, 1)["Loss"] == learner.validate(batch, 1)["Loss"]
        learner.algo.set_train()
        inputs = learner.algo.postprocess_batch_for_training(learner.algo.process_batch_for_training(batch), None)
        assert inputs["obs"]["agentview"].shape == (16, 3, SIDE, SIDE)
        first, second = (learner.algo.predict(inputs["obs"]) for _ in range(2))
        assert not torch.equal(first, second)

    def test_acts_on_bytes_as_it_is_trained(self) -> None:
        learner, batch = self.learner(num_executed=1), self.batch(3, 0)
        learner.begin_acting()
        inputs = learner.algo.postprocess_batch_for_training(learner.algo.process_batch_for_training(batch), None)
        with torch.no_grad():
            expected = learner.algo.predict(inputs["obs"])[:, 0]
            assert torch.equal(learner.act({key: values[:, -1] for key, values in batch["obs"].items()}), expected)

    def test_observations_are_needed_when_a_chunk_is_used_up(self) -> None:
        learner, obs = self.learner(num_executed=2), {"agentview": torch.zeros(3, SIDE, SIDE, 3, dtype=torch.uint8)}
        obs["eef_pos"] = torch.zeros(3, 3)
        learner.begin_acting()
        assert learner.due_envs() is None
        learner.act(obs)
        assert learner.due_envs().tolist() == [False] * 3
        learner.begin_episodes(torch.tensor([1]))
        assert learner.due_envs().tolist() == [False, True, False]

"""Datasets of this package read by Isaac Lab's file handler, and datasets of Isaac Lab read by this package.

`ISAACLAB_CONTRACT_PATH` is a folder created by `pip install --no-deps --target <folder> -r isaaclab_packages.txt`. No
simulator is required.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.config import EventCfg, RecorderCfg, SimCfg
from isaaclab_mimic_ext.demos.source import load_source_demos
from isaaclab_mimic_ext.envs.factory import make_env
from isaaclab_mimic_ext.files.dataset_file import DatasetFile
from isaaclab_mimic_ext.math import matrix_from_quat_xyzw
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.run.episodes import Output, TrialOutcomes
from isaaclab_mimic_ext.run.recorder import EpisodeRecorder, episode_format
from isaaclab_mimic_ext.run.result import RunResult
from isaaclab_mimic_ext.run.writer import EpisodeWriter
from isaaclab_mimic_ext.task.definition import load_task
from isaaclab_mimic_ext.task.reasons import SUCCEEDED
from tests import requires
from tests.builders import ACTION_DIM, ENV_ARGS, OBJECT_NAMES, SIGNAL_NAMES, make_demo

pytestmark = pytest.mark.isaaclab

HALF = np.sqrt(0.5)
QUARTER_TURN_XYZW = (0.0, 0.0, HALF, HALF)


@dataclass(frozen=True)
class IsaacLab:
    """Modules and classes of Isaac Lab that the tests use."""

    file_handler: Any
    episode_data: Any
    math: Any

    def read(self, path: Path) -> dict[str, Any]:
        """Read a file with Isaac Lab's handler: the name of its env, the number of episodes, and episodes by name."""
        handler = self.file_handler()
        handler.open(str(path))
        names = list(handler.get_episode_names())
        content = {
            "env_name": handler.get_env_name(),
            "num_episodes": handler.get_num_episodes(),
            "episodes": {name: handler.load_episode(name, "cpu") for name in names},
        }
        handler.close()
        return content


@pytest.fixture(scope="module")
def isaaclab() -> Iterator[IsaacLab]:
    folder = requires.contract_site()
    source = folder / "isaaclab" / "source" / "isaaclab"
    before = list(sys.path)
    # At the end, so that installed packages have priority; `source` precedes the outer package `isaaclab` of the wheel.
    sys.path += [str(source), str(folder)]
    try:
        try:
            datasets, math = import_module("isaaclab.utils.datasets"), import_module("isaaclab.utils.math")
        except ModuleNotFoundError as error:
            requires.missing("contract", f"{folder} lacks {error.name}")
        yield IsaacLab(datasets.HDF5DatasetFileHandler, datasets.EpisodeData, math)
    finally:
        sys.path[:] = before
        for name in [name for name in sys.modules if name.partition(".")[0] == "isaaclab"]:
            del sys.modules[name]


def as_recorded(leaf: np.ndarray) -> np.ndarray:
    return leaf if leaf.dtype == bool else leaf.astype(np.float32)


def write_with_package(path: Path, format_version: int = 1) -> list[dict[str, np.ndarray]]:
    file = DatasetFile(path, ENV_ARGS, {"note": "ours"}, format_version=format_version)
    demos = []
    for index, num_steps in enumerate((60, 73, 61)):
        leaves = {
            key: as_recorded(leaf) for key, leaf in trees.flatten(make_demo(np.random.default_rng(index), num_steps)).items()
        }
        file.add_demo(leaves, {"success": index != 1, "seed": 40 + index, "trial": index})
        demos.append(leaves)
    file.finish({"complete": True})
    file.publish()
    return demos


def test_isaac_lab_reads_all_values_and_attributes_of_a_dataset(isaaclab, tmp_path):
    demos = write_with_package(tmp_path / "ours.hdf5")
    content = isaaclab.read(tmp_path / "ours.hdf5")
    assert content["env_name"] == "desktop_organizer"
    assert content["num_episodes"] == 3
    assert sorted(content["episodes"]) == ["demo_0", "demo_1", "demo_2"]
    for index, expected in enumerate(demos):
        episode = content["episodes"][f"demo_{index}"]
        assert episode.success == (index != 1)
        assert episode.seed == 40 + index
        assert episode.env_id == "desktop_organizer"
        read = trees.flatten(episode.data)
        assert read.keys() == expected.keys()
        for key, leaf in expected.items():
            assert read[key].dtype == torch.from_numpy(leaf).dtype, key
            np.testing.assert_array_equal(read[key].numpy(), leaf, err_msg=key)


def test_attributes_equal_those_that_isaac_lab_writes(isaaclab, tmp_path):
    demos = write_with_package(tmp_path / "ours.hdf5")
    write_with_isaaclab(isaaclab, tmp_path / "theirs.hdf5", demos)
    with h5py.File(tmp_path / "ours.hdf5") as ours, h5py.File(tmp_path / "theirs.hdf5") as theirs:
        assert ours["data"].attrs["total"] == theirs["data"].attrs["total"]
        assert json.loads(ours["data"].attrs["env_args"])["type"] == json.loads(theirs["data"].attrs["env_args"])["type"]
        for name in theirs["data"]:
            for attribute, value in theirs["data"][name].attrs.items():
                assert ours["data"][name].attrs[attribute] == value, attribute


def test_isaac_lab_reads_the_recorded_values_of_trials(isaaclab, tmp_path):
    path = tmp_path / "recorded.hdf5"
    expected = record_two_trials(path)
    content = isaaclab.read(path)
    assert content["num_episodes"] == 2
    for trial in range(2):
        episode = content["episodes"][f"demo_{trial}"]
        assert episode.success
        assert episode.seed == 7
        read = trees.flatten(episode.data)
        for key, leaf in expected[trial].items():
            np.testing.assert_array_equal(read[key].numpy(), leaf, err_msg=key)
        assert read["dones"].tolist() == [False, False, False, True]
        assert {len(leaf) for key, leaf in read.items() if not key.startswith("initial_state/")} == {4}
        assert {len(leaf) for key, leaf in read.items() if key.startswith("initial_state/")} == {1}


def test_isaac_lab_reads_all_recorded_quaternions_of_format_version_0_as_the_same_rotations(isaaclab, tmp_path):
    """The bottle is rotated by 90 degrees from its default, so that a wrong order of quaternions is detected."""
    quarter_turn = (np.pi / 2, np.pi / 2)
    expected = record_two_trials(tmp_path / "new.hdf5", quarter_turn)[0]
    record_two_trials(tmp_path / "old.hdf5", quarter_turn, RecorderCfg(format_version=0))
    read = trees.flatten(isaaclab.read(tmp_path / "old.hdf5")["episodes"]["demo_0"].data)
    quaternions = [key for key in expected if key.endswith(("root_pose", "robot/eef_pose", "_quat"))]
    assert len([key for key in quaternions if key.startswith("obs/")]) >= 5
    assert len([key for key in quaternions if key.startswith(("states/", "initial_state/"))]) == 12
    for key, leaf in expected.items():
        if key not in quaternions:
            np.testing.assert_array_equal(read[key].numpy(), leaf, err_msg=key)
            continue
        np.testing.assert_array_equal(read[key][:, :-4].numpy(), leaf[:, :-4], err_msg=key)
        rot, ours = isaaclab.math.matrix_from_quat(read[key][:, -4:]), matrix_from_quat_xyzw(torch.from_numpy(leaf[:, -4:]))
        torch.testing.assert_close(rot, ours, msg=key)
    rot = isaaclab.math.matrix_from_quat(read["states/rigid_object/ketchup/root_pose"][:, 3:])
    turned = rot @ torch.tensor([1.0, 0.0, 0.0])
    torch.testing.assert_close(turned, torch.tensor([[0.0, 1.0, 0.0]]).expand(4, 3), atol=1e-6, rtol=0.0)


def record_two_trials(
    path: Path, yaw: tuple[float, float] = (-3.0, 3.0), recorder_cfg: RecorderCfg | None = None
) -> list[dict[str, np.ndarray]]:
    """Record four steps of two trials; return the leaves that each demo must have."""
    task, env_ids = load_task("desktop_organizer"), torch.arange(2)
    events = {"randomize_ketchup": EventCfg(asset="ketchup", pose_range={"x": [-0.05, 0.05], "yaw": list(yaw)})}
    env = make_env(task, SimCfg(engine="kinematic"), events, 2, torch.device("cpu"))
    env.reset(env_ids, Draws(7, env_ids))
    output = Output(path, attributes={"source_file": "none"}, **asdict(recorder_cfg or RecorderCfg()))
    writer = EpisodeWriter(output, episode_format(env))
    recorder = EpisodeRecorder(env, 6, writer)
    recorder.begin(env_ids)
    initial = trees.flatten({"initial_state": env.get_state()})
    expected = [{key: leaf[trial : trial + 1].numpy().copy() for key, leaf in initial.items()} for trial in range(2)]
    steps: list[list[dict[str, np.ndarray]]] = [[], []]
    for step in range(4):
        seen = trees.flatten({"obs": env.observations()})
        seen = {key: leaf.clone() for key, leaf in seen.items()}
        at = torch.full((2,), step)
        recorder.before_step(at)
        actions = torch.sin(torch.arange(14).reshape(2, 7) + step) * 0.5
        env.step(actions)
        recorder.after_step(at, actions, torch.ones(2, dtype=torch.bool))
        row = seen | {"actions": actions} | trees.flatten({"states": env.get_state()})
        for trial in range(2):
            steps[trial].append({key: leaf[trial].numpy().copy() for key, leaf in row.items()})
    attributes = {"seed": np.full(2, 7)}
    ended = TrialOutcomes(np.arange(2), np.full(2, SUCCEEDED), np.full(2, 4), attributes)
    recorder.put(recorder.take(env_ids, ended.lengths), ended, committed=2)
    writer.close(RunResult(path, 2, 2, "target reached", target_reached=True, target=2))
    for trial in range(2):
        expected[trial] |= {key: np.stack([row[key] for row in steps[trial]]) for key in steps[trial][0]}
    return expected


def write_with_isaaclab(isaaclab: IsaacLab, path: Path, demos: list[dict[str, np.ndarray]]) -> None:
    handler = isaaclab.file_handler()
    handler.create(str(path), env_name="desktop_organizer")
    for index, leaves in enumerate(demos):
        episode = isaaclab.episode_data()
        episode.seed, episode.success = 40 + index, index != 1
        for key, leaf in leaves.items():
            for row in leaf:
                episode.add(key, torch.as_tensor(row))
        # Isaac Lab 2.3 records lists and converts them to tensors here.
        episode.pre_export()
        handler.write_episode(episode)
    handler.flush()
    handler.close()


def test_source_reader_reads_equal_values_from_a_dataset_of_isaac_lab(isaaclab, tmp_path):
    demos = write_with_package(tmp_path / "ours.hdf5")
    write_with_isaaclab(isaaclab, tmp_path / "theirs.hdf5", demos)
    names = (["franka"], OBJECT_NAMES, SIGNAL_NAMES, ACTION_DIM, ENV_ARGS["action"])
    sources = load_source_demos(tmp_path / "theirs.hdf5", *names)
    assert [demo.name for demo in sources] == ["demo_0", "demo_1", "demo_2"]
    for source, leaves in zip(sources, demos, strict=True):
        info = "obs/datagen_info"
        np.testing.assert_array_equal(source.actions, leaves["actions"])
        np.testing.assert_array_equal(source.eef_pose["franka"], leaves[f"{info}/eef_pose/franka"])
        np.testing.assert_array_equal(source.target_eef_pose["franka"], leaves[f"{info}/target_eef_pose/franka"])
        for name in OBJECT_NAMES:
            np.testing.assert_array_equal(source.object_pose[name], leaves[f"{info}/object_pose/{name}"])
        for name in SIGNAL_NAMES:
            signal = source.subtask_term_signals[name]
            np.testing.assert_array_equal(signal, leaves[f"{info}/subtask_term_signals/{name}"])


@pytest.mark.parametrize("key", ["states/rigid_object/ketchup/root_pose", "obs/ketchup_quat"])
def test_isaac_lab_reads_a_rotation_of_90_degrees_in_format_version_0(isaaclab, tmp_path, key):
    path = tmp_path / "old.hdf5"
    quat = np.tile(np.float32(QUARTER_TURN_XYZW), (5, 1))
    pos = np.tile(np.float32([0.1, 0.2, 0.3]), (5, 1))
    leaf = quat if key.endswith("_quat") else np.concatenate((pos, quat), 1)
    file = DatasetFile(path, ENV_ARGS, format_version=0)
    file.add_demo({"actions": np.zeros((5, ACTION_DIM), np.float32), key: leaf}, {"success": True})
    file.finish({})
    file.publish()
    read = trees.flatten(isaaclab.read(path)["episodes"]["demo_0"].data)[key]
    rot = isaaclab.math.matrix_from_quat(read[:, -4:])
    torch.testing.assert_close(rot, matrix_from_quat_xyzw(torch.from_numpy(quat)))
    turned = (rot @ torch.tensor([1.0, 0.0, 0.0]))[0]
    torch.testing.assert_close(turned, torch.tensor([0.0, 1.0, 0.0]), atol=1e-6, rtol=0.0)
    if key.endswith("root_pose"):
        np.testing.assert_array_equal(read[:, :3].numpy(), pos)
    with h5py.File(path) as written:
        assert "format_version" not in written.attrs

"""LeRobot export, read by `LeRobotDataset`. `make lerobot-test` installs the requirements of these tests."""

# T steps of one demo, F frames of a dataset

import errno
import json
import os
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import pytest

from isaaclab_mimic_ext.datasets.convert.lerobot import export_lerobot
from isaaclab_mimic_ext.datasets.convert.lerobot_features import ENVIRONMENT, STATE, LeRobotOptions
from isaaclab_mimic_ext.datasets.convert.lerobot_writer import LeRobotWriter
from isaaclab_mimic_ext.errors import ConfigError, OutputError, SourceDataError
from isaaclab_mimic_ext.files.subtasks import read_subtasks
from isaaclab_mimic_ext.run.generate import generate_run
from tests import requires
from tests.interchange_files import CAMERAS, make_image_dataset
from tests.kinematic_sources import generate_cfg

pytestmark = pytest.mark.lerobot
requires.module("lerobot", "lerobot")

NUM_GENERATED = 3
EPISODES = (0, 2, 1)
"""Demos of `dataset` in the order of the episodes: those of mask/train are the first."""
VIDEO_TOLERANCE = 12.0
"""Largest mean difference of pixel values (0 to 255) of random pictures after lossy encoding."""
SCENE_TOLERANCE = 4.0
"""The same for pictures of a scene, which differ slightly from frame to frame."""


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return make_image_dataset(tmp_path / "demo.hdf5", size=(64, 64))


def load(folder: Path, repo_id: str):
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    return LeRobotDataset(repo_id, root=folder, video_backend="pyav")


def provenance(folder: Path) -> list[dict]:
    """Facts about each episode, in their order."""
    return [json.loads(line) for line in (folder / "meta" / "provenance.jsonl").read_text().splitlines()]


def concatenated(path: Path, key: str, order: Sequence[int] = EPISODES) -> np.ndarray:
    """A dataset of demos, concatenated in the order of the episodes, shape (F, ...)."""
    with h5py.File(path) as file:
        return np.concatenate([file[f"data/demo_{index}/{key}"][()] for index in order])


def column(loaded, name: str) -> np.ndarray:
    return np.array(loaded.hf_dataset.with_format(None)[name], dtype=np.float32)


def test_low_dimensional_values_are_equal_to_those_of_the_file(dataset, tmp_path):
    options = LeRobotOptions(state_keys=("eef_pos", "actions"), instruction="put the ketchup away", videos=False)
    done = export_lerobot(dataset, tmp_path / "out", options)
    loaded = load(tmp_path / "out", done.repo_id)
    state = np.concatenate((concatenated(dataset, "obs/eef_pos"), concatenated(dataset, "obs/actions")), axis=1)
    actions = concatenated(dataset, "actions")
    assert (loaded.num_episodes, len(loaded), loaded.fps) == (3, len(actions), 20)
    assert np.array_equal(column(loaded, "observation.state"), state)
    assert np.array_equal(column(loaded, "action"), actions)
    assert loaded.features["observation.state"]["names"][:4] == ["eef_pos.x", "eef_pos.y", "eef_pos.z", "actions.0"]
    frame = loaded[70]
    assert frame["task"] == "put the ketchup away"
    assert np.array_equal(frame["observation.state"].numpy(), state[70])


def test_png_images_are_equal_to_those_of_the_file(dataset, tmp_path):
    done = export_lerobot(dataset, tmp_path / "out", LeRobotOptions(videos=False))
    loaded = load(tmp_path / "out", done.repo_id)
    for camera in CAMERAS:
        images = concatenated(dataset, f"obs/{camera}")
        for index in (0, 61, len(loaded) - 1):
            frame = loaded[index][f"observation.images.{camera}"].numpy()
            assert np.array_equal(np.round(frame.transpose(1, 2, 0) * 255).astype(np.uint8), images[index])


def test_video_frames_are_close_to_images_of_the_file(dataset, tmp_path):
    done = export_lerobot(dataset, tmp_path / "out", LeRobotOptions())
    loaded = load(tmp_path / "out", done.repo_id)
    assert list((tmp_path / "out").rglob("*.mp4"))
    images = concatenated(dataset, f"obs/{CAMERAS[0]}").astype(np.float64)
    for index in (0, 61, len(loaded) - 1):
        frame = loaded[index][f"observation.images.{CAMERAS[0]}"].numpy().transpose(1, 2, 0) * 255
        assert np.abs(frame - images[index]).mean() < VIDEO_TOLERANCE


@pytest.fixture(scope="module")
def generated(kinematic_source, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("generated") / "run"
    generate_run(
        generate_cfg(kinematic_source, folder, f"datagen_config.generation_num_trials={NUM_GENERATED}", "num_envs=4")
    )
    return folder / "demo.hdf5"


def test_generated_dataset_keeps_its_rewards_and_dones(generated, tmp_path):
    done = export_lerobot(generated, tmp_path / "out", LeRobotOptions())
    loaded = load(tmp_path / "out", done.repo_id)
    order = range(NUM_GENERATED)
    assert done.num_frames == len(loaded) == len(concatenated(generated, "actions", order))
    assert np.array_equal(column(loaded, "next.reward"), concatenated(generated, "rewards", order))
    assert np.array_equal(column(loaded, "next.done"), concatenated(generated, "dones", order))
    ends = np.flatnonzero(column(loaded, "next.success"))
    assert np.array_equal(ends, np.flatnonzero(column(loaded, "next.done")))


def test_objects_are_in_the_environment_state_and_the_robot_is_in_the_state(generated, tmp_path):
    done = export_lerobot(generated, tmp_path / "out", LeRobotOptions())
    loaded = load(tmp_path / "out", done.repo_id)
    terms = {
        name: sorted({entry.rpartition(".")[0] for entry in loaded.features[name]["names"]}) for name in (STATE, ENVIRONMENT)
    }
    assert terms[STATE] == ["eef_pos", "eef_quat", "gripper_pos", "joint_pos", "joint_vel"]
    assert len(terms[ENVIRONMENT]) == 10 and {"ketchup_pos", "basket_quat", "ketchup_from_eef"} < {*terms[ENVIRONMENT]}
    assert np.array_equal(
        column(loaded, ENVIRONMENT)[:, -7:-4], concatenated(generated, "obs/orange_juice_pos", range(NUM_GENERATED))
    )
    assert loaded.features["action"]["names"] == ["x", "y", "z", "rx", "ry", "rz", "gripper"]
    assert np.array_equal(column(loaded, "action"), concatenated(generated, "actions_clean", range(NUM_GENERATED)))
    assert done.left_out == ("actions", "initial_state", "obs/actions", "states")


def test_each_frame_has_its_subtask(generated, tmp_path):
    done = export_lerobot(generated, tmp_path / "out", LeRobotOptions())
    loaded = load(tmp_path / "out", done.repo_id)
    found = [read_subtasks(generated, f"demo_{index}") for index in range(NUM_GENERATED)]
    assert np.array_equal(column(loaded, "subtask_index")[:, None], np.concatenate([each.index for each in found]))
    assert np.array_equal(column(loaded, "subtask_progress")[:, None], np.concatenate([each.progress for each in found]))
    labels = [label for each in found for label in each.labels()]
    for step in (0, 40, len(loaded) - 1):
        assert subtask_of(loaded[step]) == labels[step], step


def subtask_of(frame: dict) -> str:
    """Name of the subtask of a frame: an entry of lerobot 0.4, a language column of lerobot 0.6."""
    if "subtask" in frame:
        return frame["subtask"]
    from lerobot.datasets.language_render import active_at

    rows, now = frame["language_persistent"], float(frame["timestamp"])
    return active_at(now, persistent=rows, style="subtask")["content"]


def test_several_instructions_are_in_the_language_columns_of_lerobot_06(generated, tmp_path):
    sentences = ("put the ketchup away", "tidy up")
    done = export_lerobot(generated, tmp_path / "out", LeRobotOptions(instructions=sentences))
    frame = load(tmp_path / "out", done.repo_id)[0]
    assert frame["task"] in sentences
    if "subtask" not in frame:
        rows = frame["language_persistent"]
        assert [each["content"] for each in rows if each["style"] == "task_aug"] == [*sentences]


def test_masks_become_splits_and_episodes_name_their_demo(dataset, tmp_path):
    with h5py.File(dataset, "r+") as file:
        file["mask/valid"] = np.array(["demo_1"], dtype="S")
    sentences = ("put the ketchup away", "tidy up")
    done = export_lerobot(dataset, tmp_path / "out", LeRobotOptions(videos=False, camera_keys=(), instructions=sentences))
    assert done.splits == {"train": "0:2", "valid": "2:3"}
    assert json.loads((tmp_path / "out" / "meta" / "info.json").read_text())["splits"] == done.splits
    facts = provenance(tmp_path / "out")
    assert [(each["episode_index"], each["demo"], each["success"]) for each in facts] == [
        (0, "demo_0", True),
        (1, "demo_2", False),
        (2, "demo_1", True),
    ]
    loaded = load(tmp_path / "out", done.repo_id)
    starts = [int(each) for each in loaded.meta.episodes["dataset_from_index"]]
    assert [loaded[start]["task"] for start in starts] == [each["instruction"] for each in facts]
    assert {each["instruction"] for each in facts} <= {*sentences}


def test_videos_contain_every_frame_of_a_scene(dataset, tmp_path):
    """A queue of the encoder that is shorter than an episode would drop frames."""
    with h5py.File(dataset, "r+") as file:
        for demo in file["data"].values():
            demo[f"obs/{CAMERAS[0]}"][...] = scene_pictures(len(demo["actions"]), 64)
    done = export_lerobot(dataset, tmp_path / "out", LeRobotOptions(camera_keys=CAMERAS[:1]))
    loaded = load(tmp_path / "out", done.repo_id)
    pictures = concatenated(dataset, f"obs/{CAMERAS[0]}").astype(np.float64)
    assert done.num_frames == len(loaded) == len(pictures)
    for index in range(0, len(loaded), 13):
        frame = loaded[index][f"observation.images.{CAMERAS[0]}"].numpy().transpose(1, 2, 0) * 255
        assert np.abs(frame - pictures[index]).mean() < SCENE_TOLERANCE, index


def scene_pictures(num_steps: int, side: int) -> np.ndarray:
    """A bright square that moves over a shaded table, (T, side, side, 3) uint8."""
    table = np.linspace(60, 160, side * side).reshape(side, side, 1) * (1.0, 0.8, 0.6)
    pictures = np.tile(table, (num_steps, 1, 1, 1))
    for step, place in enumerate(np.linspace(0, side - 12, num_steps).astype(int)):
        pictures[step, place : place + 12, 20:32] = (220, 40, 30)
    return pictures.astype(np.uint8)


def test_sizes_that_a_codec_cannot_encode_are_refused(tmp_path):
    path = make_image_dataset(tmp_path / "odd.hdf5", num_demos=1, size=(21, 25))
    message = r"video_codec: 'h264' cannot encode pictures of 21x25 .*render pictures of 64x64, or use .* videos=false"
    with pytest.raises(ConfigError, match=message):
        export_lerobot(path, tmp_path / "out", LeRobotOptions(video_codec="h264"))
    assert {each.name for each in tmp_path.iterdir()} == {"odd.hdf5"}


def test_lost_frames_are_reported_and_no_folder_is_left(dataset, tmp_path, monkeypatch):
    add = LeRobotWriter.add_episode

    def add_one_too_many(self, rows, instruction, provenance):
        add(self, rows, instruction, provenance)
        self.num_frames += 1

    monkeypatch.setattr(LeRobotWriter, "add_episode", add_one_too_many)
    message = r"agentview_image: the videos contain (\d+) of \d+ frames; export again, or use videos=false"
    with pytest.raises(OutputError, match=message):
        export_lerobot(dataset, tmp_path / "out", LeRobotOptions(camera_keys=CAMERAS[:1]))
    assert {each.name for each in tmp_path.iterdir()} == {"demo.hdf5"}


def test_full_disk_is_one_error_and_no_folder_is_left(dataset, tmp_path, monkeypatch):
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    def full(self, *args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(LeRobotDataset, "save_episode", full)
    with pytest.raises(OutputError, match=r"output_dir: .*out cannot be written: No space left on device; free some space"):
        export_lerobot(dataset, tmp_path / "out", LeRobotOptions(videos=False, camera_keys=()))
    assert {each.name for each in tmp_path.iterdir()} == {"demo.hdf5"}


def test_invalid_options_and_files_are_refused_and_no_folder_is_left(dataset, tmp_path):
    output = tmp_path / "out"
    for options, message in (
        (LeRobotOptions(state_keys=("eef_pose",)), r"'eef_pose' is not a low-dimensional observation.*'eef_pos'"),
        (LeRobotOptions(state_keys=()), "requires at least one observation"),
        (LeRobotOptions(fps=0), r"fps: must be >= 1 Hz \(got 0\)"),
    ):
        with pytest.raises(ConfigError, match=message):
            export_lerobot(dataset, output, options)
    with h5py.File(dataset, "r+") as file:
        file["data/demo_1/obs/eef_pos"][3] = np.nan
    with pytest.raises(SourceDataError, match="demo_1: obs/eef_pos: must be finite"):
        export_lerobot(dataset, output, LeRobotOptions(videos=False), demos=["demo_1"])
    assert {path.name for path in tmp_path.iterdir()} == {"demo.hdf5"}


def test_demo_with_other_datasets_is_left_out_with_a_warning(dataset, tmp_path, caplog):
    with h5py.File(dataset, "r+") as file:
        del file["data/demo_1/obs/eef_pos"]
    assert export_lerobot(dataset, tmp_path / "out", LeRobotOptions(videos=False)).num_episodes == 2
    assert "demo_1 is left out: obs/eef_pos: not found, but demo_0 has this dataset" in caplog.text


def test_overwrite_replaces_only_lerobot_datasets(dataset, tmp_path):
    output, options = tmp_path / "out", LeRobotOptions(state_keys=("eef_pos",), videos=False)
    output.mkdir()
    (output / "thesis.txt").write_text("precious")
    with pytest.raises(OutputError, match="is not a LeRobot dataset"):
        export_lerobot(dataset, output, options, overwrite=True)
    assert (output / "thesis.txt").exists()
    other = tmp_path / "other"
    export_lerobot(dataset, other, options)
    with pytest.raises(OutputError, match="overwrite=true"):
        export_lerobot(dataset, other, options)
    assert export_lerobot(dataset, other, options, overwrite=True).num_episodes == 3

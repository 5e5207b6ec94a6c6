"""LeRobot export, read by `LeRobotDataset`. `make test-lerobot` installs the requirements of these tests."""

# T steps of one demo, F frames of a dataset

from pathlib import Path

import h5py
import numpy as np
import pytest

from isaaclab_mimic_ext.datasets.convert.lerobot import LeRobotOptions, export_lerobot
from isaaclab_mimic_ext.errors import ConfigError, OutputError, SourceDataError
from tests import requires
from tests.interchange_files import CAMERAS, make_image_dataset
from tests.kinematic_sources import generate_cfg

pytestmark = pytest.mark.lerobot
requires.module("lerobot", "lerobot")

VIDEO_TOLERANCE = 12.0
"""Largest mean difference of pixel values (0 to 255) after lossy encoding."""


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return make_image_dataset(tmp_path / "demo.hdf5", size=(64, 64))


def load(folder: Path, repo_id: str):
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    return LeRobotDataset(repo_id, root=folder, video_backend="pyav")


def concatenated(path: Path, key: str) -> np.ndarray:
    """A dataset of all demos, concatenated, shape (F, ...)."""
    with h5py.File(path) as file:
        return np.concatenate([file[f"data/demo_{index}/{key}"][()] for index in range(len(file["data"]))])


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


def test_generated_dataset_keeps_its_rewards_and_dones(kinematic_source, tmp_path):
    from isaaclab_mimic_ext.run.generate import generate_run

    generate_run(generate_cfg(kinematic_source, tmp_path / "run", "datagen_config.generation_num_trials=4", "num_envs=4"))
    generated = tmp_path / "run" / "demo.hdf5"
    done = export_lerobot(generated, tmp_path / "out", LeRobotOptions())
    loaded = load(tmp_path / "out", done.repo_id)
    assert done.num_frames == len(loaded) == len(concatenated(generated, "actions"))
    assert np.array_equal(column(loaded, "next.reward"), concatenated(generated, "rewards"))
    assert np.array_equal(column(loaded, "next.done"), concatenated(generated, "dones"))


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

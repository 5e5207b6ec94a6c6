"""robomimic's own programs, unmodified, on datasets of this package."""

import json
import subprocess
from pathlib import Path

import h5py
import imageio.v3 as imageio
import numpy as np
import pytest
import torch

from isaaclab_mimic_ext.datasets.convert.robomimic import export_robomimic
from isaaclab_mimic_ext.errors import DependencyMissing
from isaaclab_mimic_ext.learn.robomimic import require_robomimic
from tests import requires
from tests.forked_scripts import MIMIC, ROOT, message_of, run_script
from tests.interchange_files import make_image_dataset
from tests.train_files import make_train_file

pytestmark = [pytest.mark.train, pytest.mark.slow]

with requires.available("train", DependencyMissing):
    require_robomimic()

SOURCE = ROOT / "tasks/desktop_organizer/data/source_demos.hdf5"
LOW_DIM = ["eef_pos", "eef_quat", "gripper_pos", "ketchup_from_eef", "basket_from_ketchup"]


def program(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return run_script(MIMIC, "robomimic", *words, cwd=cwd, needs_robomimic=True)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source demos of the desktop organizer, ten demos on MuJoCo, in robomimic's layout."""
    path = tmp_path_factory.mktemp("robomimic") / "demo.hdf5"
    export_robomimic(SOURCE, path)
    return path


def test_ten_demos_are_played_by_their_actions_to_the_recorded_states(exported: Path) -> None:
    done = program("playback_dataset", "--dataset", exported.name, "--use-actions", "--n", "10", cwd=exported.parent)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Playing back episode") == 10
    assert "diverged" not in done.stdout


def test_video_of_states_shows_the_scene(exported: Path) -> None:
    words = ("--n", "1", "--video_path", "states.mp4", "--render_image_names", "front", "--video_skip", "100")
    done = program("playback_dataset", "--dataset", exported.name, *words, cwd=exported.parent)
    assert done.returncode == 0, done.stderr
    frames = imageio.imread(exported.parent / "states.mp4")
    assert frames.shape[1:] == (512, 512, 3)
    assert np.abs(np.diff(frames.astype(int), axis=0)).max() > 50  # The hand moves.


def test_ten_demos_are_played_by_their_observations(tmp_path: Path) -> None:
    export_robomimic(make_image_dataset(tmp_path / "images.hdf5", 10, (32, 32)), tmp_path / "demo.hdf5")
    words = (
        "--use-obs",
        "--n",
        "10",
        "--video_path",
        "images.mp4",
        "--render_image_names",
        "agentview_image",
        "--video_skip",
        "20",
    )
    done = program("playback_dataset", "--dataset", "demo.hdf5", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Playing back episode") == 10
    assert (tmp_path / "images.mp4").stat().st_size > 0


def train_config(dataset: Path, folder: Path) -> Path:
    """Write a configuration of two epochs with rollouts."""
    rollout = {"enabled": True, "n": 1, "horizon": 5, "rate": 1}
    experiment = {"name": "try", "epoch_every_n_steps": 2, "render_video": False, "rollout": rollout}
    training = {"data": str(dataset), "output_dir": str(folder), "num_epochs": 2, "num_data_workers": 0, "cuda": False}
    config = {
        "algo_name": "bc",
        "experiment": experiment | {"validate": False, "save": {"enabled": True, "every_n_epochs": 1}},
        "train": training | {"dataset_keys": ["actions"], "hdf5_load_next_obs": False, "batch_size": 4},
        "algo": {"actor_layer_dims": [16]},
        "observation": {"modalities": {"obs": {"low_dim": LOW_DIM}}},
    }
    path = folder / "config.json"
    path.write_text(json.dumps(config))
    return path


@pytest.mark.parametrize("layout", ["exported", "as generated"])
def test_training_of_two_epochs_has_rollouts_in_the_task(layout: str, exported: Path, tmp_path: Path) -> None:
    dataset = exported if layout == "exported" else SOURCE
    done = program("train", "--config", str(train_config(dataset, tmp_path)), cwd=tmp_path)
    assert "finished run successfully" in done.stdout, done.stdout[-3000:]
    assert done.stdout.count('"Success_Rate"') == 2
    checkpoint = next((tmp_path / "try").glob("*/models/model_epoch_2.pth"))
    metadata = torch.load(checkpoint, weights_only=True)["env_metadata"]
    assert metadata["env_name"] == "desktop_organizer"
    agent = program("run_trained_agent", "--agent", str(checkpoint), "--n_rollouts", "1", "--horizon", "3", cwd=tmp_path)
    assert agent.returncode == 0, agent.stderr
    assert '"Num_Success": 0' in agent.stdout


def test_observations_of_recorded_states_equal_the_recorded_observations(exported: Path) -> None:
    words = ("--output_name", "observed.hdf5", "--done_mode", "2", "--n", "1")
    done = program("dataset_states_to_obs", "--dataset", exported.name, *words, cwd=exported.parent)
    assert done.returncode == 0, done.stderr
    with h5py.File(exported) as recorded, h5py.File(exported.parent / "observed.hdf5") as observed:
        for name in LOW_DIM:
            found, expected = (file[f"data/demo_0/obs/{name}"][()] for file in (observed, recorded))
            np.testing.assert_allclose(found, expected, atol=1e-5, err_msg=name)


@pytest.mark.parametrize(
    ("cameras", "size", "message"),
    [
        (("front",), "128", "camera_names: must be front wrist (got front)"),
        (("front", "wrist"), "84", "camera_height, camera_width: must be 128 and 128 (got 84 and 84)"),
    ],
)
def test_pictures_that_the_task_does_not_have_are_refused(
    cameras: tuple[str, ...], size: str, message: str, exported: Path
) -> None:
    words = ("--output_name", "x.hdf5", "--camera_height", size, "--camera_width", size, "--camera_names", *cameras)
    done = program("dataset_states_to_obs", "--dataset", exported.name, *words, cwd=exported.parent)
    assert done.returncode == 2
    assert message in done.stderr


@pytest.mark.parametrize("words", [("--dataset", str(SOURCE)), (f"--dataset={SOURCE}",)])
def test_states_of_isaac_labs_layout_are_refused_with_the_command_that_converts_them(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    done = program("playback_dataset", *words, "--use-actions", cwd=tmp_path)
    assert done.returncode == 2
    assert "format=robomimic" in message_of(done)


def test_policy_of_this_package_is_refused_with_the_command_that_evaluates_it(tmp_path: Path) -> None:
    dataset = make_train_file(tmp_path / "demo.hdf5")
    words = (f"input_file={dataset}", "output_dir=run", "epochs=1", "agent.experiment.epoch_every_n_steps=1")
    done = run_script("train", *words, cwd=tmp_path, needs_robomimic=True)
    assert done.returncode == 0, done.stderr
    agent = program("run_trained_agent", "--agent", "run/models/last.pth", cwd=tmp_path)
    assert agent.returncode == 2
    assert " evaluate checkpoint=run/models/last.pth`" in message_of(agent)


@pytest.mark.parametrize(("words", "exit_code"), [((), 2), (("--help",), 0)])
def test_programs_are_listed(words: tuple[str, ...], exit_code: int, tmp_path: Path) -> None:
    done = program(*words, cwd=tmp_path)
    assert (done.returncode, "  playback_dataset\n" in done.stdout) == (exit_code, True)


def test_help_of_a_program_is_that_of_robomimic(tmp_path: Path) -> None:
    done = program("playback_dataset", "--help", cwd=tmp_path)
    assert done.returncode == 0 and "--use-actions" in done.stdout


def test_unknown_program_is_refused_with_the_similar_one(tmp_path: Path) -> None:
    done = program("playback", cwd=tmp_path)
    assert done.returncode == 2
    assert "did you mean 'playback_dataset'?" in message_of(done)

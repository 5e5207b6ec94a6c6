"""Commands with Isaac Lab, each in its own process, started as users start them."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from isaaclab_mimic_ext.datasets.validate import validate_dataset
from isaaclab_mimic_ext.files.stream import read_facts
from tests.forked_scripts import ROOT, run_mimic
from tests.isaaclab.conftest import Run

ORGANIZER = "task=desktop_organizer"
SOURCES = f"input_file={ROOT / 'tasks/desktop_organizer/data/source_demos.hdf5'}"
CAMERA_TASK = "tests.isaaclab.camera_task:Test-Desktop-Organizer-Camera-Mimic-v0"
RECORDER_TASK = "tests.isaaclab.recorder_task:Test-Desktop-Organizer-Recorder-Mimic-v0"
QUIET = ("--headless", "video=false", "progress=false")


@pytest.fixture(scope="module")
def annotated(launcher: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two demos of the organizer, recorded and annotated on OvPhysX."""
    folder = tmp_path_factory.mktemp("recorded")
    recorded = launcher("record_demos", ORGANIZER, "num_demos=2", "output_file=raw.hdf5", "--headless", cwd=folder)
    assert "Running on Isaac Lab (started by `" in recorded.stderr
    assert "isaaclab -p`), physics ovphysx, device " in recorded.stderr
    launcher("annotate_demos", "input_file=raw.hdf5", "output_file=annotated.hdf5", "--headless", cwd=folder)
    return folder / "annotated.hdf5"


def test_keys_mark_signals_in_the_terminal_of_the_launcher(launcher: Run, annotated: Path) -> None:
    """One key per step: the first demo is marked, the second is left out."""
    with h5py.File(annotated) as file:
        num_steps = len(file["data/demo_0/actions"])
    keys = "n" + "".join("s" if step in (30, 60, 90) else "." for step in range(1, num_steps))
    words = ("input_file=raw.hdf5", "output_file=keys.hdf5", "auto=false", "--headless")
    launcher("annotate_demos", *words, cwd=annotated.parent, typed=keys + "q")
    with h5py.File(annotated.parent / "keys.hdf5") as file:
        signals = file["data/demo_0/obs/datagen_info/subtask_term_signals"]
        assert {name: int(values[:].argmax()) for name, values in signals.items()} == {"reach": 30, "grasp": 60, "lift": 90}
        assert len(file["data"]) == 1


@pytest.fixture(scope="module")
def generated(launcher: Run, annotated: Path) -> Path:
    """Four demos generated from the recorded ones by the command in the README."""
    words = (ORGANIZER, "num_envs=4", "num_trials=4", f"input_file={annotated}", "output_dir=run", *QUIET)
    done = launcher("generate", *words, cwd=annotated.parent)
    assert "Generated 4 successful demos" in done.stderr
    return annotated.parent / "run" / "demo.hdf5"


def demos_of(path: Path) -> list[set[str]]:
    """Names of the observations of each demo in a file."""
    with h5py.File(path) as file:
        return [set(demo["obs"]) for demo in file["data"].values()]


def test_recorded_demos_are_annotated(annotated: Path) -> None:
    assert ["datagen_info" in names for names in demos_of(annotated)] == [True, True]


def test_generated_demos_are_valid_and_name_their_engine(generated: Path) -> None:
    assert validate_dataset(generated).is_valid(strict=True)
    assert read_facts(generated).env_args["engine"] == "isaaclab"


def test_generated_demos_succeed_when_replayed(generated: Path) -> None:
    done = run_mimic("replay", f"input_file={generated}", cwd=generated.parent)
    assert done.returncode == 0, done.stderr
    assert "replayed on isaaclab: 4 of 4 demos succeed" in done.stdout


def test_regenerated_demos_have_the_same_digests(launcher: Run, generated: Path) -> None:
    """In a separate process with the same number of envs; PhysX promises this, and no more."""
    done = launcher("regenerate", str(generated), "output_dir=again", "--headless", cwd=generated.parent.parent)
    assert "run/demo.hdf5 in again/demo.hdf5: 4 demos, all with the same digests" in done.stdout


def test_each_job_of_a_sweep_runs_isaaclab_in_a_separate_process(tmp_path: Path) -> None:
    words = ("-m", ORGANIZER, "sim=isaaclab", "seed=1,2", "num_envs=2", "num_trials=1", *QUIET)
    done = run_mimic("generate", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    files = sorted(tmp_path.rglob("demo.hdf5"))
    assert [len(demos_of(file)) for file in files] == [1, 1]


def test_organizer_succeeds_on_newton(tmp_path: Path) -> None:
    words = (ORGANIZER, "sim=isaaclab", "physics=newton_mjwarp", "num_envs=2", "num_trials=2", "output_dir=run", *QUIET)
    done = run_mimic("generate", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "physics newton, device " in done.stderr
    assert "Generated 2 successful demos out of 2 trials" in done.stderr


def test_cameras_of_a_users_task_are_recorded_with_newtons_renderer(tmp_path: Path) -> None:
    words = ("--task", CAMERA_TASK, SOURCES, "num_envs=1", "num_trials=1", "--enable_cameras", *QUIET)
    done = run_mimic("generate", *words, "output_dir=run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "physics ovphysx, device " in done.stderr
    with h5py.File(tmp_path / "run" / "demo.hdf5") as file:
        images = file["data/demo_0/obs/front"]
        assert images.shape[1:] == (48, 64, 3)
        first, second, last = (images[index].astype(int) for index in (0, 1, -1))
    below_the_hand = slice(30, None)
    assert share_changed(first[below_the_hand], second[below_the_hand]) == 0, "the first picture shows objects of this trial"
    assert 0.01 < share_changed(first, last) < 0.5, "the bottle and the arm move, the background does not"


def share_changed(before: np.ndarray, after: np.ndarray) -> float:
    """Share of the pixels that differ."""
    return float((np.abs(after - before).max(axis=-1) > 20).mean())


def test_recorder_terms_of_a_task_become_datasets(tmp_path: Path) -> None:
    words = ("--task", RECORDER_TASK, SOURCES, "num_envs=2", "num_trials=2", *QUIET, "output_dir=run")
    done = run_mimic("generate", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "mimic_recorder_config: values named actions are not written; give them other names" in done.stderr
    assert "mimic_recorder_config.actions_again: values that it records before a reset are not written" in done.stderr
    with h5py.File(tmp_path / "run" / "demo.hdf5") as file:
        for demo in file["data"].values():
            actions, joint_pos = demo["actions"][:], demo["obs/joint_pos"][:]
            np.testing.assert_array_equal(demo["commands/hand"], actions[:, :3])
            np.testing.assert_array_equal(demo["commands/opens"], actions[:, 6] > 0)
            np.testing.assert_array_equal(demo["obs/joint_pos_twice"][:-1], 2 * joint_pos[1:])
            fingers = demo["finger_pos"][:]
            assert fingers.shape == (len(actions), 3, 2), "one value per physics step"
            # Isaac Lab calls the terms before it updates the scene: the first value of a step is the state before the step.
            np.testing.assert_array_equal(fingers[1:, 0], demo["states/articulation/robot/joint_position"][:-1, -2:])
            ketchup = demo["initial_state/rigid_object/ketchup/root_pose"][:, :3]
            np.testing.assert_allclose(demo["initial_state/ketchup_at_start"], ketchup, atol=1e-6)
    assert validate_dataset(tmp_path / "run" / "demo.hdf5").is_valid(strict=True)

"""Complete runs on the kinematic engine: the dataset depends only on the trials, is consistent, and is never incomplete."""

# T steps of a demo, K trials that count

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.envs.panda.kinematics import HOME
from isaaclab_mimic_ext.errors import BudgetExhausted, ConfigError, Interrupted, OutputError
from isaaclab_mimic_ext.files.digest import dataset_digest
from isaaclab_mimic_ext.files.subtasks import read_subtasks
from isaaclab_mimic_ext.files.writing import part_path
from isaaclab_mimic_ext.run.generator import Generator
from isaaclab_mimic_ext.run.result import RunResult
from isaaclab_mimic_ext.run.session import RunFolder
from tests import requires
from tests.jobs import command, run_generation
from tests.kinematic_sources import generate_cfg, make_kinematic_env, read_tree
from tests.processes import HANG_S

NUM_SUCCESSES = 10
SHAKY = "subtask_configs.franka.1.action_noise=0.45"
"""Enough for a part of the grasps to fail."""
HOPELESS = "datagen_config.num_success_steps=1000"
"""Longer than any trial."""
QUICK = ("num_envs=5", "datagen_config.generation_num_trials=3")


def run(source: Path, folder: RunFolder, *overrides: str) -> RunResult:
    return run_generation(generate_cfg(source, folder.path, *overrides))


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "run")


def demos_of(path: Path) -> list[tuple[str, dict[str, Any], dict[str, np.ndarray]]]:
    """(name, attributes, datasets) of every demo, in the order of their numbers."""
    with h5py.File(path) as file:
        names = sorted(file["data"], key=lambda name: int(name.removeprefix("demo_")))
        return [(name, dict(file["data"][name].attrs), read_tree(file["data"][name])) for name in names]


def attributes_of(path: Path) -> dict[str, Any]:
    with h5py.File(path) as file:
        return dict(file["data"].attrs)


@pytest.fixture(scope="module")
def datasets(kinematic_source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, RunFolder]:
    """The same run with 1, 7 and 64 envs, failed trials kept."""
    parent = tmp_path_factory.mktemp("generated")
    folders = {num_envs: RunFolder(parent / str(num_envs)) for num_envs in (1, 7, 64)}
    for num_envs, folder in folders.items():
        targets = (f"num_envs={num_envs}", f"datagen_config.generation_num_trials={NUM_SUCCESSES}")
        run(kinematic_source, folder, *targets, SHAKY, "datagen_config.generation_keep_failed=true")
    return folders


@pytest.fixture(scope="module")
def dataset(datasets: dict[int, RunFolder]) -> Path:
    return datasets[7].demos


@pytest.fixture(scope="module")
def failed_dataset(datasets: dict[int, RunFolder]) -> Path:
    return datasets[7].failed_demos


def test_dataset_does_not_depend_on_the_number_of_envs(datasets: dict[int, RunFolder]) -> None:
    assert len({dataset_digest(run.demos) for run in datasets.values()}) == 1
    assert len({dataset_digest(run.failed_demos) for run in datasets.values()}) == 1


def test_different_seed_gives_a_different_dataset(kinematic_source: Path, folder: RunFolder, dataset: Path) -> None:
    targets = ("num_envs=64", f"datagen_config.generation_num_trials={NUM_SUCCESSES}", SHAKY)
    run(kinematic_source, folder, *targets, "datagen_config.seed=2")
    actions = [[leaves["actions"] for _, _, leaves in demos_of(path)] for path in (dataset, folder.demos)]
    for first in actions[0]:
        assert not any(np.array_equal(first, second) for second in actions[1])


def test_demos_are_numbered_in_the_order_of_their_trials(dataset: Path, failed_dataset: Path) -> None:
    for path in (dataset, failed_dataset):
        demos = demos_of(path)
        assert [name for name, _, _ in demos] == [f"demo_{index}" for index in range(len(demos))]
        trials = [int(attributes["trial"]) for _, attributes, _ in demos]
        assert trials == sorted(set(trials))


def test_both_files_together_contain_every_trial_once(dataset: Path, failed_dataset: Path) -> None:
    succeeded, failed = demos_of(dataset), demos_of(failed_dataset)
    assert len(succeeded) == NUM_SUCCESSES
    assert failed, "the test needs failures; shake more"
    trials = [int(attributes["trial"]) for _, attributes, _ in succeeded + failed]
    assert sorted(trials) == list(range(len(trials)))
    assert all(attributes["success"] for _, attributes, _ in succeeded)
    assert not any(attributes["success"] for _, attributes, _ in failed)
    # K is least: the last trial of all is the success that made the target.
    assert max(trials) == int(succeeded[-1][1]["trial"])
    file = attributes_of(dataset)
    assert (int(file["num_attempts"]), int(file["num_successes"])) == (len(trials), NUM_SUCCESSES)
    assert bool(file["complete"])


def test_counts_lengths_rewards_and_dones_agree(dataset: Path, failed_dataset: Path) -> None:
    for path in (dataset, failed_dataset):
        demos = demos_of(path)
        assert int(attributes_of(path)["total"]) == sum(len(leaves["actions"]) for _, _, leaves in demos)
        for name, attributes, leaves in demos:
            num_steps = int(attributes["num_samples"])
            for key, values in leaves.items():
                assert len(values) == (1 if key.startswith("initial_state/") else num_steps), (name, key)
                assert np.isfinite(values).all(), (name, key)
            assert leaves["dones"].tolist() == [False] * (num_steps - 1) + [True]
            assert set(leaves["rewards"].tolist()) <= {0.0, 1.0}
            assert bool(attributes["success"]) == bool((leaves["rewards"][-5:] == 1.0).all()), name


def test_observation_shows_the_state_after_the_previous_step(dataset: Path) -> None:
    for name, _, leaves in demos_of(dataset):
        for obj in ("ketchup", "basket", "orange_juice", "cream_cheese"):
            pose = leaves[f"states/rigid_object/{obj}/root_pose"]
            assert np.array_equal(leaves[f"obs/{obj}_pos"][1:], pose[:-1, :3]), (name, obj)
            assert np.array_equal(leaves[f"obs/{obj}_quat"][1:], pose[:-1, 3:]), (name, obj)
        robot = "states/articulation/robot"
        eef_pose, eef_quat = leaves[f"{robot}/eef_pose"][:-1], leaves["obs/eef_quat"][1:]
        assert np.array_equal(leaves["obs/eef_pos"][1:], eef_pose[:, :3]), name
        # A quaternion and its negative are one orientation; a policy is shown one of them, a state has either.
        sign = np.sign((eef_quat * eef_pose[:, 3:]).sum(-1, keepdims=True))
        assert np.array_equal(eef_quat, sign * eef_pose[:, 3:]), name
        home = np.array(HOME, dtype=np.float32)
        assert np.array_equal(leaves["obs/joint_pos"][1:], leaves[f"{robot}/joint_position"][:-1] - home), name
        assert np.array_equal(leaves["obs/joint_vel"][1:], leaves[f"{robot}/joint_velocity"][:-1]), name
        assert np.array_equal(leaves["obs/actions"][1:], leaves["actions"][:-1]), name
        assert not leaves["obs/actions"][0].any(), name


def test_first_observation_shows_the_initial_state(dataset: Path) -> None:
    for name, _, leaves in demos_of(dataset):
        for obj in ("ketchup", "basket", "orange_juice", "cream_cheese"):
            pose = leaves[f"initial_state/rigid_object/{obj}/root_pose"][0]
            assert np.array_equal(leaves[f"obs/{obj}_pos"][0], pose[:3]), (name, obj)
            assert np.array_equal(leaves[f"obs/{obj}_quat"][0], pose[3:]), (name, obj)
        eef = leaves["initial_state/articulation/robot/eef_pose"][0]
        assert np.array_equal(leaves["obs/eef_pos"][0], eef[:3]), name


def test_actions_are_within_the_action_space(dataset: Path) -> None:
    for name, _, leaves in demos_of(dataset):
        assert np.abs(leaves["actions"][:, :6]).max() <= 1.0, name
        assert set(np.unique(leaves["actions"][:, 6]).tolist()) <= {-1.0, 1.0}, name


@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_clean_actions_are_the_executed_ones_without_noise(kinematic_source: Path, folder: RunFolder, noise: float) -> None:
    run(kinematic_source, folder, *QUICK, *(f"subtask_configs.franka.{index}.action_noise={noise}" for index in range(4)))
    differences = [leaves["actions"] - leaves["actions_clean"] for _, _, leaves in demos_of(folder.demos)]
    difference = np.concatenate(differences)
    assert not difference[:, 6:].any(), "grippers have no noise"
    is_noisy = difference[:, :6] != 0
    assert is_noisy.any() == (noise > 0)
    if noise > 0:
        assert difference[:, :6][is_noisy].std() == pytest.approx(noise, rel=0.1)


def test_replaying_actions_from_the_initial_state_gives_the_recorded_states(dataset: Path, failed_dataset: Path) -> None:
    for name, _, leaves in demos_of(dataset)[:3] + demos_of(failed_dataset)[:1]:
        env = make_kinematic_env(1)
        initial_state = trees.map(torch.from_numpy, trees.unflatten(leaves)["initial_state"])
        env.reset_to(initial_state, torch.tensor([0]))
        for step, action in enumerate(leaves["actions"]):
            env.step(torch.from_numpy(action)[None])
            state = env.get_state()
            for obj, found in state["rigid_object"].items():
                expected = leaves[f"states/rigid_object/{obj}/root_pose"][step]
                assert np.abs(found["root_pose"][0].numpy() - expected).max() < 1e-4, (name, step, obj)
            robot = leaves["states/articulation/robot/joint_position"][step]
            assert np.abs(state["articulation"]["robot"]["joint_position"][0].numpy() - robot).max() < 1e-4, (name, step)


def test_failed_trials_are_not_kept_by_default(kinematic_source: Path, folder: RunFolder) -> None:
    report = run(kinematic_source, folder, *QUICK)
    assert report.num_demos == 3
    assert [path.name for path in folder.path.glob("*.hdf5*")] == ["demo.hdf5"]


@pytest.mark.parametrize("limit", ["max_num_failures=4", "max_total_failures=4"])
def test_exhausted_budget_leaves_a_valid_dataset(kinematic_source: Path, folder: RunFolder, limit: str) -> None:
    overrides = (*QUICK, HOPELESS, "datagen_config.generation_keep_failed=true", f"datagen_config.{limit}")
    with pytest.raises(BudgetExhausted, match=limit.split("=")[0]) as raised:
        run(kinematic_source, folder, *overrides)
    assert raised.value.exit_code == 3
    assert demos_of(folder.demos) == []
    assert [int(attributes["trial"]) for _, attributes, _ in demos_of(folder.failed_demos)] == [0, 1, 2, 3]
    attributes = attributes_of(folder.demos)
    assert (int(attributes["num_attempts"]), bool(attributes["complete"])) == (4, False)
    assert not list(folder.path.glob("*.part"))


def test_without_guarantee_a_run_without_success_ends_after_the_target_number_of_trials(
    kinematic_source: Path, folder: RunFolder
) -> None:
    report = run(kinematic_source, folder, *QUICK, HOPELESS, "datagen_config.generation_guarantee=false")
    assert (report.num_attempts, report.num_successes, report.num_demos) == (3, 0, 0)
    assert sum(report.failures.values()) == 3


def test_success_is_counted_by_both_rules(
    kinematic_source: Path, folder: RunFolder, caplog: pytest.LogCaptureFixture
) -> None:
    never_held = (*QUICK, "datagen_config.num_success_steps=1000", "datagen_config.generation_guarantee=false")
    with caplog.at_level("INFO"):
        report = run(kinematic_source, folder, *never_held)
    counts = json.loads(folder.stats.read_text())["successes_by_rule"]
    assert (report.num_successes, counts["held"], counts["any_step"]) == (0, 0, report.num_attempts)
    assert f"0 by success_rule=held, {report.num_attempts} by success_rule=any_step" in caplog.text


def test_signal_keeps_every_finished_demo(
    kinematic_source: Path, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    count = Generator.progress

    def interrupt_after_nine(generator: Generator) -> Any:
        progress = count(generator)
        seen.append(progress.num_successes)
        if progress.num_ended >= 9:
            signal.raise_signal(signal.SIGINT)
        return progress

    monkeypatch.setattr(Generator, "progress", interrupt_after_nine)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted) as raised:
        words = ("num_envs=5", "datagen_config.generation_num_trials=500")
        command("generate", generate_cfg(kinematic_source, folder.path, *words))
    assert raised.value.exit_code == 130
    assert signal.getsignal(signal.SIGINT) is before
    unfinished = part_path(folder.demos)
    demos = demos_of(unfinished)
    assert len(demos) == seen[-1] >= 8
    trials = [int(attributes["trial"]) for _, attributes, _ in demos]
    assert trials == sorted(trials)
    assert not bool(attributes_of(unfinished)["complete"])
    assert not folder.demos.exists()


@pytest.mark.parametrize("name", ["demo.hdf5", "demo_failed.hdf5", "demo.hdf5.part"])
def test_folder_that_contains_a_run_is_refused_and_unchanged(kinematic_source: Path, folder: RunFolder, name: str) -> None:
    """A finished run, or the files of a killed run."""
    folder.path.mkdir()
    (folder.path / name).write_text("precious")
    with pytest.raises(OutputError, match=rf"already contains a run \({name}\); .* overwrite=true"):
        run(kinematic_source, folder, *QUICK)
    assert [path.name for path in folder.path.iterdir()] == [name]
    assert (folder.path / name).read_text() == "precious"


def test_overwriting_replaces_the_whole_run(kinematic_source: Path, folder: RunFolder) -> None:
    folder.path.mkdir()
    for path in (folder.demos, folder.failed_demos, part_path(folder.demos)):
        path.write_text("old")
    (folder.path / "notes.txt").write_text("not ours")
    run(kinematic_source, folder, *QUICK, "overwrite=true")
    assert len(demos_of(folder.demos)) == 3
    assert not folder.failed_demos.exists()
    assert not part_path(folder.demos).exists()
    assert (folder.path / "notes.txt").read_text() == "not ours"


def test_too_many_envs_for_memory_are_refused_before_they_are_created(kinematic_source: Path, folder: RunFolder) -> None:
    with pytest.raises(ConfigError, match=r"num_envs: 100000000 envs need .* use num_envs <= \d"):
        run(kinematic_source, folder, "num_envs=100000000", "datagen_config.generation_num_trials=3")
    assert folder.present() == []


def test_run_that_cannot_start_leaves_no_files(kinematic_source: Path, folder: RunFolder) -> None:
    with pytest.raises(ConfigError, match="pose_range"):
        run(kinematic_source, folder, *QUICK, "events.randomize_ketchup.pose_range.x=[1.0,2.0]")
    assert folder.present() == []


FULL_DISK = """
import resource, sys
from pathlib import Path
from isaaclab_mimic_ext.run.generate import generate_run
from isaaclab_mimic_ext.errors import RecorderError
from tests.kinematic_sources import generate_cfg

if __name__ == "__main__":
    source, output, limit, *overrides = sys.argv[1:]
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
    try:
        generate_run(generate_cfg(Path(source), Path(output), *overrides))
    except RecorderError as error:
        print("RecorderError", error)
        raise SystemExit(error.exit_code) from None
"""


@requires.mark("linux", hasattr(resource, "RLIMIT_FSIZE"), "the system has no limit on file sizes")
@pytest.mark.parametrize(("limit", "num_trials"), [(700_000, 20), (4_000_000, 300), (1_500_000, 20)])
def test_full_disk_of_the_writer_ends_the_run_with_one_message(
    kinematic_source: Path, folder: RunFolder, tmp_path: Path, limit: int, num_trials: int
) -> None:
    """In the first demos, in the middle of a run, and in its last demos."""
    script = tmp_path / "full_disk.py"
    script.write_text(FULL_DISK)
    arguments = [str(kinematic_source), str(folder.path), str(limit), "num_envs=20"]
    ended = subprocess.run(
        [sys.executable, str(script), *arguments, f"datagen_config.generation_num_trials={num_trials}"],
        capture_output=True, text=True, timeout=HANG_S, cwd=Path(__file__).parents[2], env=_with_repository_on_the_path(),
    )  # fmt: skip
    assert ended.returncode == 1, ended.stderr
    assert ended.stdout.startswith(f"RecorderError {folder.demos} cannot be written: "), ended.stdout + ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr, ended.stdout + ended.stderr
    assert not folder.demos.exists()


def _with_repository_on_the_path() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


def test_ketchup_rises_in_the_subtask_that_lifts_it(dataset: Path) -> None:
    for name, _, leaves in demos_of(dataset):
        labels = np.array(read_subtasks(dataset, name).labels())
        height = leaves["obs/ketchup_pos"][:, 2]
        assert len(labels) == len(height)
        rise = {label: float(np.ptp(height[labels == label])) for label in dict.fromkeys(labels)}
        assert list(rise) == [
            "reach for the ketchup",
            "grasp the ketchup",
            "lift the ketchup",
            "place the ketchup in the basket",
        ]
        assert rise["reach for the ketchup"] < 0.01 < 0.05 < rise["lift the ketchup"], name


def test_demos_name_the_source_demo_that_they_were_generated_from(dataset: Path, kinematic_source: Path) -> None:
    with h5py.File(kinematic_source) as file:
        num_sources = len(file["data"])
    for name, attributes, _ in demos_of(dataset):
        chosen = np.asarray(attributes["source_demos"])
        assert chosen.shape == (1, 4), name
        assert ((chosen >= 0) & (chosen < num_sources)).all(), name
    assert attributes_of(dataset)["source_file"] == str(kinematic_source)

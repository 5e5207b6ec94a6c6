"""Runs that are refused, interrupted or ended by a budget, and their result when they are resumed."""

import json
import os
import shutil
import signal
import sqlite3
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from isaaclab_mimic_ext.envs.kinematic import KinematicEnv
from isaaclab_mimic_ext.errors import BudgetExhausted, OutputError, RecorderError
from isaaclab_mimic_ext.files.digest import dataset_digest
from isaaclab_mimic_ext.run import fitting
from isaaclab_mimic_ext.run.episode_files import episodes_folder
from isaaclab_mimic_ext.run.session import RunFolder
from tests import requires
from tests.faults import ForkServer, trials_in_store
from tests.jobs import command
from tests.kinematic_sources import read_tree, write_source_file
from tests.runs import NUM_DEMOS, OVERWRITE, RESUME, assert_same_dataset, begin, contents, replaced, run, run_cfg, under_way

pytestmark = requires.mark("linux", Path("/proc/self/task").is_dir(), "finds the writer's process through /proc")


def test_run_can_be_resumed_with_a_different_number_of_envs_and_threads(
    kinematic_source: Path, folder: RunFolder, undisturbed: RunFolder
) -> None:
    begin(kinematic_source, folder)
    begin_again = ("num_envs=3", "datagen_config.max_trials=15", "sim.num_threads=1", RESUME)
    with pytest.raises(BudgetExhausted, match="max_trials: 15"):
        run(kinematic_source, folder, *begin_again)
    report = run(kinematic_source, folder, "num_envs=11", RESUME)
    assert report is not None and report.num_demos == NUM_DEMOS
    assert_same_dataset(folder, undisturbed)


BUDGETS = ["max_num_failures=2", "max_total_failures=3", "max_trials=7", "max_time=1e-9", "min_success_rate=0.999"]


@pytest.mark.parametrize("budget", BUDGETS)
def test_run_ended_by_a_budget_can_be_resumed_without_the_budget(
    kinematic_source: Path, folder: RunFolder, undisturbed: RunFolder, budget: str
) -> None:
    with pytest.raises(BudgetExhausted, match=budget.partition("=")[0]) as raised:
        command("generate", run_cfg(kinematic_source, folder, f"datagen_config.{budget}"))
    assert raised.value.exit_code == 3
    assert "resume=true" in str(raised.value)
    with h5py.File(folder.demos) as file:
        assert not file["data"].attrs["complete"]
        assert len(file["data"]) < NUM_DEMOS
    run(kinematic_source, folder, RESUME)
    assert_same_dataset(folder, undisturbed)


def test_resuming_with_a_larger_budget_gives_the_dataset_of_one_session(
    kinematic_source: Path, folder: RunFolder, tmp_path: Path
) -> None:
    at_once = RunFolder(tmp_path / "at_once")
    begin(kinematic_source, at_once, num_trials=13)
    begin(kinematic_source, folder, num_trials=6)
    with pytest.raises(BudgetExhausted):
        run(kinematic_source, folder, "datagen_config.max_trials=13", RESUME)
    assert_same_dataset(folder, at_once)


@pytest.mark.parametrize("exists", [False, True])
def test_resume_in_an_empty_folder_starts_a_run(
    kinematic_source: Path, folder: RunFolder, undisturbed: RunFolder, exists: bool
) -> None:
    if exists:
        folder.path.mkdir()
    run(kinematic_source, folder, RESUME)
    assert_same_dataset(folder, undisturbed)


def test_existing_run_is_not_overwritten_by_default(kinematic_source: Path, folder: RunFolder) -> None:
    begin(kinematic_source, folder)
    before = contents(folder)
    with pytest.raises(OutputError, match=r"already contains a run .* continue it with resume=true") as raised:
        run(kinematic_source, folder)
    assert raised.value.exit_code == 2
    assert contents(folder) == before


def test_resuming_with_a_different_configuration_lists_all_differences(
    kinematic_source: Path, folder: RunFolder, undisturbed: RunFolder, tmp_path: Path
) -> None:
    source = write_source_file(tmp_path / "other.hdf5", seed=78)
    begin(kinematic_source, folder)
    differences = (r"content of input_file", r"datagen_config\.seed: 1, now 2", r"franka\.2\.action_noise: 0.03, now 0.02")
    changed = (RESUME, "datagen_config.seed=2", "subtask_configs.franka.2.action_noise=0.02")
    shutil.copytree(undisturbed.path, tmp_path / "finished")
    for path in (folder, RunFolder(tmp_path / "finished")):
        before = dataset_digest(path.demos)
        for difference in differences:
            with pytest.raises(OutputError, match=rf"was started with a different configuration \(.*{difference}"):
                run(source, path, *changed)
        assert dataset_digest(path.demos) == before


def test_run_that_another_process_finished_meanwhile_is_unchanged(
    kinematic_source: Path, folder: RunFolder, digest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other run starts and finishes after this run has checked the folder, while this run creates its envs."""
    start_env = fitting.start_env

    def overtaken(cfg: object) -> object:
        monkeypatch.setattr(fitting, "start_env", start_env)
        run(kinematic_source, folder)
        return start_env(cfg)

    for overrides in ((RESUME,), ()):
        monkeypatch.setattr(fitting, "start_env", overtaken)
        if RESUME in overrides:
            assert run(kinematic_source, folder, *overrides).num_demos == NUM_DEMOS
        else:
            with pytest.raises(OutputError, match="already contains a run"):
                run(kinematic_source, folder)
        assert dataset_digest(folder.demos) == digest
        shutil.rmtree(folder.path)


def test_folder_in_use_is_refused_and_free_after_its_process_is_killed(
    fork_server: ForkServer, arguments: list[str], folder: RunFolder
) -> None:
    endless = replaced(arguments, "datagen_config.generation_num_trials=100000")
    first = under_way(fork_server, folder, *endless)
    for overrides in ((RESUME,), (), (OVERWRITE,)):
        exit_code, message = fork_server.finish(folder, *endless, *overrides)
        assert exit_code == 75
        assert f"is in use by process {first.pid} on" in message
    # The writer outlives its generator for a moment; the next run waits for it.
    assert first.kill(writer=False)
    assert first.wait() == -signal.SIGKILL
    exit_code, message = fork_server.finish(folder, *endless, RESUME, "datagen_config.max_trials=1")
    assert (exit_code, message[:27]) == (3, "BudgetExhausted: max_trials")


def test_a_folder_that_cannot_be_written_is_refused(fork_server: ForkServer, arguments: list[str]) -> None:
    exit_code, message = fork_server.finish(RunFolder(Path("/proc/run")), *arguments, RESUME)
    assert exit_code == 2
    assert message.startswith("OutputError: output_dir: /proc/run cannot be written")


def test_a_folder_with_other_files_is_refused(kinematic_source: Path, folder: RunFolder) -> None:
    folder.path.mkdir()
    (folder.path / "thesis.tex").write_text("precious")
    for overrides in ((), (RESUME,), (OVERWRITE,)):
        with pytest.raises(OutputError, match=r"contains other files \(thesis.tex\)"):
            run(kinematic_source, folder, *overrides)


def _garbage(path: Path) -> None:
    path.write_bytes(b"not a database" * 10000)


def _half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _empty(path: Path) -> None:
    os.truncate(path, 0)


def _wrong_facts(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("UPDATE facts SET value = '{' WHERE name = 'identity'")


def _wrong_trials(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("UPDATE trials SET reason = 'lift' WHERE trial = 3")


def _another_schema(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("ALTER TABLE trials RENAME COLUMN reason TO cause")


@pytest.mark.parametrize("damage", [_garbage, _half, _empty, _wrong_facts, _wrong_trials, _another_schema])
def test_damaged_store_is_refused(kinematic_source: Path, folder: RunFolder, damage: object) -> None:
    begin(kinematic_source, folder)
    before = dataset_digest(folder.demos)
    damage(folder.store)  # type: ignore[operator]
    with pytest.raises(OutputError, match=r"run.sqlite is damaged .* start again with overwrite=true"):
        run(kinematic_source, folder, RESUME)
    assert dataset_digest(folder.demos) == before


def test_trial_with_a_damaged_episode_runs_again(kinematic_source: Path, folder: RunFolder, undisturbed: RunFolder) -> None:
    begin(kinematic_source, folder)
    with sqlite3.connect(folder.store) as database:
        trial, place = database.execute("SELECT trial, rows FROM episodes ORDER BY trial LIMIT 1").fetchone()
    place = json.loads(place)
    with open(episodes_folder(folder.store) / place["file"], "r+b") as file:
        file.seek(place["offset"] + place["num_bytes"] // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))
    with pytest.raises(RecorderError, match=rf"the episode of trial {trial} is damaged .* continue with resume=true"):
        run(kinematic_source, folder, RESUME)
    assert trial not in trials_in_store(folder)
    run(kinematic_source, folder, RESUME)
    assert_same_dataset(folder, undisturbed)


@pytest.mark.parametrize("name", ["eef_pose", "root_velocity"])
def test_values_that_are_not_finite_fail_only_the_trials_of_their_env(
    kinematic_source: Path, folder: RunFolder, undisturbed: RunFolder, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The values are the pose of the arm, which makes the trial fail, and a velocity, which success does not depend on."""
    advance = KinematicEnv._advance
    steps = [0]

    def break_env_3(self: KinematicEnv, *arguments: object) -> None:
        advance(self, *arguments)  # type: ignore[arg-type]
        steps[0] += 1
        if 20 <= steps[0] < 40 and self.num_envs == 8:
            getattr(self.scene, name)[3] = torch.nan

    monkeypatch.setattr(KinematicEnv, "_advance", break_env_3)
    report = run(kinematic_source, folder)
    assert report is not None and report.num_demos == NUM_DEMOS
    expected = demos_by_trial(undisturbed)
    assert 3 in expected, "the test needs a trial 3 that would have succeeded"
    found = demos_by_trial(folder)
    assert 3 not in found
    for trial in found.keys() & expected.keys():
        for key, leaf in found[trial].items():
            assert np.array_equal(leaf, expected[trial][key]), (trial, key)
    assert len(found.keys() & expected.keys()) == NUM_DEMOS - 1


def demos_by_trial(folder: RunFolder) -> dict[int, dict[str, np.ndarray]]:
    with h5py.File(folder.demos) as file:
        return {int(demo.attrs["trial"]): read_tree(demo) for demo in file["data"].values()}

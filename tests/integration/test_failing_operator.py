"""A scripted operator that does not solve its task: reasons, video of an attempt, and no file without demos."""

import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import isaaclab_mimic_ext as mimic
from isaaclab_mimic_ext.config import DataGenConfig
from isaaclab_mimic_ext.errors import SimulatorUnavailable, TaskCodeError
from isaaclab_mimic_ext.files.hdf5 import demo_names, open_hdf5
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.run.attempts import FailedAttempt, draw_attempt
from isaaclab_mimic_ext.run.record import load_operator, record
from tests import requires
from tests.forked_scripts import message_of, run_mimic
from tests.own_task import OPERATOR, write_task

NUM_FRAMES = 12


def stand_still(object_poses: Any, eef_pose: torch.Tensor, draws: Any) -> Any:
    poses = eef_pose[:, None].repeat(1, NUM_FRAMES, 1, 1)
    length = torch.full((len(eef_pose),), NUM_FRAMES)
    return SimpleNamespace(target_eef_pose=poses, gripper_action=torch.ones(len(eef_pose), NUM_FRAMES, 1), length=length)


@pytest.fixture
def env() -> Any:
    return mimic.make_env(mimic.load_task("desktop_organizer"), "kinematic", num_envs=2)


def run(env: Any, path: Path, operator: Callable[..., Any], **arguments: Any) -> Any:
    rules = DataGenConfig(max_num_failures=3)
    return record(env, path, operator, 2, config=rules, **arguments)


def test_operator_that_fails_writes_no_file_and_is_explained_by_the_reasons_of_the_task(env: Any, tmp_path: Path) -> None:
    failed: list[FailedAttempt] = []
    result = run(env, tmp_path / "raw.hdf5", stand_still, on_failure=failed.append)
    assert (result.num_demos, result.num_attempts, result.target_reached) == (0, 3, False)
    (reason,) = result.failures
    assert result.failures == {reason: 3} and reason in {each.name for each in env.failure_reasons}
    assert not list(tmp_path.iterdir())
    assert [(attempt.trial, attempt.reason) for attempt in failed] == [(0, reason)]
    assert failed[0].states["rigid_object"]["ketchup"]["root_pose"].shape == (NUM_FRAMES, 7)


def test_video_shows_the_failed_attempt_with_the_scene_that_it_started_from(env: Any, tmp_path: Path) -> None:
    failed: list[FailedAttempt] = []
    run(env, tmp_path / "raw.hdf5", stand_still, seed=7, on_failure=failed.append)
    env.reset(torch.arange(2), Draws(7, torch.arange(2)))
    started = env.object_pose[0, :, :3, 3].numpy()
    shown = np.stack([pose["root_pose"][0, :3] for pose in failed[0].states["rigid_object"].values()])
    np.testing.assert_allclose(shown, started, atol=1e-6)


def test_recording_creates_the_folder_of_its_file_and_removes_it_if_no_demo_is_recorded(env: Any, tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "raw.hdf5"
    run(env, path, stand_still)
    assert not list(tmp_path.iterdir())
    assert run(env, path, load_operator(env.task, "scripted")).num_demos == 2
    assert list(path.parent.iterdir()) == [path]


def test_failed_recording_with_overwrite_keeps_the_earlier_file(env: Any, tmp_path: Path) -> None:
    path = tmp_path / "raw.hdf5"
    run(env, path, load_operator(env.task, "scripted"))
    content = path.read_bytes()
    run(env, path, stand_still, overwrite=True)
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_demos_that_finished_before_an_error_of_the_operator_are_kept(env: Any, tmp_path: Path) -> None:
    plan_demos, path = load_operator(env.task, "scripted"), tmp_path / "raw.hdf5"

    def plan_once(object_poses: Any, eef_pose: Any, draws: Any) -> Any:
        if int(draws.trials[0]) > 0:
            raise ZeroDivisionError("second batch")
        return plan_demos(object_poses, eef_pose, draws)

    with pytest.raises(TaskCodeError, match="plan_once raises ZeroDivisionError: second batch"):
        record(env, path, plan_once, 4)
    with open_hdf5(path) as file:
        assert demo_names(file) == ["demo_0", "demo_1"]
    with pytest.raises(TaskCodeError):
        record(env, tmp_path / "other.hdf5", lambda poses, eef_pose, draws: poses["none"], 2)
    assert list(tmp_path.iterdir()) == [path]


def test_command_reports_reasons_and_leaves_only_a_video(tmp_path: Path) -> None:
    write_task(tmp_path, {OPERATOR: ("((grasp, hand.close)", "((grasp + 0.1, hand.close)")})
    words = ("--config-dir", "my_tasks", "task=pick_cube", "sim=kinematic", "num_demos=2", "max_num_failures=2")
    done = run_mimic("record", *words, "output_file=out/raw.hdf5", cwd=tmp_path)
    assert done.returncode == 3
    assert message_of(done) == (
        "BudgetExhausted: max_num_failures: 2 trials in a row failed; reasons: 'grasp' was never reached (2); "
        "no demo was recorded, so no file was written"
    )
    if "No video of failed attempt 0" in done.stderr:
        requires.missing("opengl", "no video was drawn")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["raw_failed.mp4"]
    assert "Saved a video of failed attempt 0 ('grasp' was never reached) to out/raw_failed.mp4" in done.stderr


def test_missing_renderer_is_reported_in_place_of_the_video(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    def unavailable(*arguments: Any, **named: Any) -> None:
        raise SimulatorUnavailable("no OpenGL backend works")

    monkeypatch.setattr("isaaclab_mimic_ext.run.attempts.write_states_video", unavailable)
    with caplog.at_level(logging.WARNING):
        draw_attempt(FailedAttempt(4, "dropped", {}), tmp_path / "raw.mp4", mimic.load_task("desktop_organizer"))
    assert caplog.messages == ["No video of failed attempt 4 (dropped): no OpenGL backend works"]

"""Runs: identity, short representations, and the announcement of slow rendering."""

import logging
import os
from pathlib import Path

import h5py
import pytest

from isaaclab_mimic_ext.commands import app
from isaaclab_mimic_ext.config.next_step import evaluate_command
from isaaclab_mimic_ext.files.writing import annotated_path
from isaaclab_mimic_ext.learn.policies import CheckpointPolicy
from isaaclab_mimic_ext.run import generate, stats_and_videos
from isaaclab_mimic_ext.run.result import RunResult
from isaaclab_mimic_ext.run.session import RunFolder, changed_fields
from isaaclab_mimic_ext.task.definition import load_task

AUTO = {"sim.engine": "auto", "sim.physics": "default", "sim.robot_usd": None, "task.name": "stack_cube"}


def test_auto_equals_the_engine_that_it_selects() -> None:
    """Tests are not started by `isaaclab -p`, so `auto` selects MuJoCo on every machine."""
    assert changed_fields(AUTO, AUTO | {"sim.engine": "mujoco"}) == []
    assert changed_fields(AUTO | {"sim.engine": "kinematic"}, AUTO) == ["sim.engine"]


@pytest.mark.parametrize(("robomimic", "verbs"), [(True, []), (False, ["make train-env"])])
def test_finished_run_names_all_commands_to_an_evaluated_policy(
    robomimic: bool, verbs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(generate, "find_spec", lambda name: robomimic or None)
    run = RunResult(tmp_path / "demo.hdf5", 2, 2, "target reached", True, 2, lengths=[9, 9])
    with caplog.at_level(logging.INFO):
        generate.log_next_commands("desktop_organizer", run)
    commands = [message.partition(": ")[2] for message in caplog.messages]
    assert commands == [
        f"mimic report input_dir={tmp_path}",
        f"mimic split input_file={tmp_path}/demo.hdf5",
        *verbs,
        f"mimic train input_file={tmp_path}/demo.hdf5 output_dir={tmp_path}/policy",
        f"mimic evaluate checkpoint={tmp_path}/policy/models/last.pth",
    ]


def test_horizon_of_a_task_without_source_demos_is_computed_from_the_demos(tmp_path: Path) -> None:
    demos = tmp_path / "demo.hdf5"
    assert evaluate_command("pick_cube", tmp_path, demos).endswith(f"models/last.pth input_file={demos}")
    assert evaluate_command("stack_cube", tmp_path, demos).endswith("models/last.pth")


@pytest.mark.parametrize(
    ("recording", "annotated"),
    [("raw.hdf5", "annotated.hdf5"), ("a/tea_raw.hdf5", "a/tea_annotated.hdf5"), ("tea.hdf5", "tea_annotated.hdf5")],
)
def test_annotated_demos_are_named_as_in_the_documentation(recording: str, annotated: str) -> None:
    assert annotated_path(Path(recording)) == Path(annotated)


def test_representations_are_short_and_contain_the_path() -> None:
    run = RunResult(Path("run/demo.hdf5"), 1000, 1000, "target reached", True, 1000, lengths=[123] * 1000)
    assert "run/demo.hdf5" in repr(run) and "123" not in repr(run)
    policy = object.__new__(CheckpointPolicy)
    policy.path, policy.task_name, policy.action_dim = Path("last.pth"), "stack_cube", 7
    assert repr(policy) == "CheckpointPolicy(path='last.pth', task_name='stack_cube', action_dim=7)"


def test_rendering_is_announced_with_its_size_before_it_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = RunFolder(tmp_path)
    with h5py.File(folder.demos, "w") as file:
        for name in ("demo_0", "demo_1"):
            file.create_group(f"data/{name}")
    for name in ("playback.write_video", "scene_picture.write_scene_picture"):
        monkeypatch.setattr(f"isaaclab_mimic_ext.envs.{name}", lambda *_, **__: logging.warning("drawing"))
    with caplog.at_level(logging.INFO):
        stats_and_videos.draw_run(folder, load_task("stack_cube"), 6)
    announced = "Rendering playback.mp4 (2 demos); video=false skips this"
    assert caplog.messages[-3:] == [announced, "drawing", f"Saved {folder.video}"]


def test_text_that_is_left_when_its_reader_ends_is_not_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stdout:
        stdout.write("the end of a help")
        monkeypatch.setattr("sys.stdout", stdout)
        app._flush_stdout()
        stdout.flush()

"""Reading of task files for Isaac Lab's configurations, without Isaac Lab."""

import pytest

import isaaclab_mimic_ext.tasks as tasks
from isaaclab_mimic_ext.envs.isaaclab.make import task_yaml, trial_events
from isaaclab_mimic_ext.task.definition import load_task


@pytest.mark.parametrize("name", ["desktop_organizer", "stack_cube"])
def test_assets_of_the_randomization_are_in_the_task(name):
    task = load_task(name)
    assets = {event.asset for event in trial_events(name).values()}
    assert assets <= {*task.object_names, *(arm.name for arm in task.arms)} and assets


def test_subtasks_end_with_the_signals_of_the_task():
    (subtasks,) = task_yaml("desktop_organizer")["subtask_configs"].values()
    assert tuple(subtask["subtask_term_signal"] for subtask in subtasks) == load_task("desktop_organizer").signal_names


def test_task_file_in_a_folder_of_the_user_is_found(tmp_path, monkeypatch):
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / "pick_cube.yaml").write_text("events: {shake: {asset: cube, pose_range: {x: [-0.1, 0.1]}}}")
    monkeypatch.setattr(tasks, "__path__", [*tasks.__path__, str(tmp_path)])
    assert trial_events("pick_cube")["shake"].pose_range == {"x": [-0.1, 0.1]}

"""The task of a replay: from the file, or from the command line; and the demos that are selected."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import isaaclab_mimic_ext as mimic
from isaaclab_mimic_ext.commands.overrides import translate
from isaaclab_mimic_ext.config import SCRIPT_SCHEMAS, SimCfg
from isaaclab_mimic_ext.datasets import replay
from isaaclab_mimic_ext.datasets.replay_dataset import replay_dataset
from isaaclab_mimic_ext.envs.isaaclab import compat
from isaaclab_mimic_ext.errors import ConfigError
from tests.kinematic_sources import make_kinematic_env

GYM_ID = "My-Task-Mimic-v0"


def test_demos_of_a_task_of_a_module_are_replayed_with_its_module(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def make_registered(task_id: str, *_: Any) -> Any:
        made.append(task_id)
        return SimpleNamespace(env_args=dict)

    monkeypatch.setattr(replay, "make_registered", make_registered)
    recorded = {"env_name": GYM_ID, "engine": "isaaclab", "task_module": "mine.tasks"}
    replay.make_recorded_env("a.hdf5", recorded, SimCfg(), 1)
    replay.make_recorded_env("a.hdf5", replay.with_task({"env_name": "Other-v0"}, f"mine:{GYM_ID}"), SimCfg(), 1)
    assert made == [f"mine.tasks:{GYM_ID}", f"mine:{GYM_ID}"]


def test_task_of_the_command_line_replaces_that_of_the_file() -> None:
    recorded = {"env_name": "stack_cube", "task": "stack_cube", "engine": "kinematic", "sim_args": {}}
    assert replay.with_task(recorded, None) == recorded
    assert replay.with_task(recorded, "mine") == {"env_name": "mine", "engine": "kinematic", "sim_args": {}}
    assert replay.with_task(recorded, GYM_ID) == {"env_name": GYM_ID, "sim_args": {}}


@pytest.mark.parametrize(
    ("recorded", "engine"),
    [
        ({"engine": "kinematic"}, "kinematic"),
        ({"engine": "mujoco_warp"}, "mujoco"),
        ({"engine": "isaaclab"}, "isaaclab"),
        ({"env_name": GYM_ID}, "isaaclab"),
    ],
)
def test_demos_of_the_gpu_engine_are_replayed_on_mujoco_which_runs_on_each_machine(
    recorded: dict[str, str], engine: str
) -> None:
    assert replay.recorded_engine(recorded, SimCfg()) == engine
    assert replay.recorded_engine(recorded, SimCfg(engine="mujoco_warp")) == "mujoco_warp"


def test_flags_of_isaaclabs_replay_select_the_task_and_the_demos() -> None:
    words = ["--task", GYM_ID, "--select_episodes", "0", "3", "--dataset_file", "a.hdf5"]
    expected = [f"task_name={GYM_ID}", "select_episodes=[0,3]", "input_file=a.hdf5"]
    assert translate(words, SCRIPT_SCHEMAS["replay_demos"]) == expected
    words = ["task=Isaac-Desktop-Organizer-Franka-IK-Rel-v0"]
    assert translate(words, SCRIPT_SCHEMAS["replay_demos"]) == ["task_name=desktop_organizer"]


def test_selected_demos_are_replayed(tmp_path: Path) -> None:
    path = tmp_path / "demos.hdf5"
    mimic.record(make_kinematic_env(3), path, num_demos=3)
    replayed = replay_dataset(path, "kinematic", select_episodes=[2, 0], num_envs=2)
    assert [demo.name for demo in replayed.demos] == ["demo_2", "demo_0"]
    with pytest.raises(ConfigError, match=r"select_episodes: must be from 0 to 2, the demos of .* \(got 3\)"):
        replay_dataset(path, "kinematic", select_episodes=[3])


def test_tasks_of_other_packages_are_imported_and_a_broken_package_is_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    loaded: list[str] = []

    class EntryPoint(SimpleNamespace):
        def load(self) -> None:
            loaded.append(self.name)
            if self.name == "broken":
                raise ImportError("no module named x")

    found = [EntryPoint(name="broken", value="b"), EntryPoint(name="theirs", value="t")]
    monkeypatch.setattr(compat, "entry_points", lambda group: found if group == "isaaclab.tasks" else [])
    compat.import_entry_points()
    assert loaded == ["broken", "theirs"]
    assert "'broken' cannot be imported: no module named x" in caplog.text

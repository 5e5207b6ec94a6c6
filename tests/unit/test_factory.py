"""Engines by name: what is said when there is none."""

import sys
from importlib.util import find_spec

import pytest

from isaaclab_mimic_ext.config import SimCfg
from isaaclab_mimic_ext.envs.factory import make_env
from isaaclab_mimic_ext.errors import ConfigError, SimulatorUnavailable
from isaaclab_mimic_ext.task.definition import load_task
from tests import requires

TASK = load_task("desktop_organizer")


def test_unknown_engine_names_the_choices() -> None:
    with pytest.raises(ConfigError, match=r"sim.engine.*'mojoco'.*mujoco, kinematic.*did you mean 'mujoco'"):
        make_env(TASK, SimCfg(engine="mojoco"), {}, 1)


@requires.mark("no-isaaclab", find_spec("isaaclab") is None, "Isaac Lab is installed")
def test_isaaclab_is_said_to_be_missing() -> None:
    with pytest.raises(SimulatorUnavailable, match=r"Isaac Lab is not installed.*or use sim=mujoco"):
        make_env(TASK, SimCfg(engine="isaaclab"), {}, 1)


def test_a_task_without_a_scene_for_isaaclab_is_said_to_have_none() -> None:
    with pytest.raises(
        SimulatorUnavailable, match=r"'stack_cube' has no scene for Isaac Lab \(tasks/stack_cube/isaaclab/\)"
    ):
        make_env(load_task("stack_cube"), SimCfg(engine="isaaclab"), {}, 1)


def test_missing_mujoco_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mujoco", None)
    with pytest.raises(SimulatorUnavailable, match=r"pip install isaaclab-mimic-ext\[mujoco\]"):
        make_env(TASK, SimCfg(engine="mujoco"), {}, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"task": "stack_cube"}, r"task: must be a Task \(got 'stack_cube'\); use load_task"),
        ({"num_envs": "3"}, r"num_envs: must be an integer >= 1 \(got '3'\)"),
        ({"num_envs": 2.5}, r"num_envs: must be an integer >= 1 \(got 2.5\)"),
        ({"device": "abc"}, r"device: 'abc' is not a valid device; choices: cpu, cuda"),
    ],
)
def test_wrong_argument_of_make_env_is_refused_with_its_name_and_value(arguments: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_env(**{"task": TASK, "engine": "kinematic", **arguments})

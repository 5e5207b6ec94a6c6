"""Mistakes in objects on joints and in their randomization: one message before the run."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import isaaclab_mimic_ext as mimic
import isaaclab_mimic_ext.tasks as tasks
from isaaclab_mimic_ext.config import EventCfg
from isaaclab_mimic_ext.config.rules import validate_task_cfg
from isaaclab_mimic_ext.envs.events import JointSampler
from isaaclab_mimic_ext.errors import ConfigError, TaskCodeError
from isaaclab_mimic_ext.task.contract import check_definition
from isaaclab_mimic_ext.task.definition import Task
from isaaclab_mimic_ext.task.objects import articulations

FOLDER = Path(__file__).resolve().parents[1] / "furniture"
DRAWER = mimic.JointedObject("drawer", base="cabinet", limits=(0.0, 0.15), half_size=(0.1, 0.1, 0.1))


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch) -> Task:
    monkeypatch.setattr(tasks, "__path__", list(tasks.__path__))
    return mimic.load_task("cabinet", FOLDER)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"base": "cupboard"}, "'drawer': base must be an object that precedes it .* .got 'cupboard'."),
        ({"base": "door"}, "base must be an object that precedes it"),
        ({"kind": "screw"}, "kind must be 'slide' or 'hinge' .got 'screw'"),
        ({"axis": (0.0, 0.0, 0.0)}, "axis must be .x, y, z., not zero"),
        ({"limits": (0.15, 0.0)}, "limits must be .* lowest < highest .got .0.15, 0.0."),
        ({"default_joint_pos": 0.2}, "default_joint_pos must be within limits .0.0, 0.15. .got 0.2"),
        ({"half_size": None}, "half_size must be set"),
        ({"damping": -1.0}, "damping must be a number >= 0 .got -1.0"),
        ({"name": "robot"}, "'robot' is the name of an arm"),
    ],
)
def test_wrong_object_on_a_joint_is_refused_with_its_name(
    task: Task, changes: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    task.objects = (*task.objects[:2], replace(DRAWER, **changes), task.objects[4])
    for name in ("object_names", "jointed_names"):
        vars(task).pop(name, None)
    monkeypatch.setattr(type(task), "graspable", lambda task: {})
    with pytest.raises(TaskCodeError, match=message):
        check_definition(task)


def test_grasp_of_a_fixed_object_is_refused(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(task), "graspable", lambda task: {"franka": (mimic.Graspable("cabinet", 0.01),)})
    with pytest.raises(TaskCodeError, match="graspable: object 'cabinet' is fixed"):
        check_definition(task)


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (EventCfg("drawer", pose_range={"x": [0.0, 0.1]}), "'drawer' moves on a joint of 'cabinet'; set pose_range"),
        (
            EventCfg("cube", joint_range=[0.0, 0.1]),
            r"joint_range is for objects on joints .got 'cube'.; choices: drawer, knob, door",
        ),
        (EventCfg("drawer", joint_range=[0.1, 0.0]), "events.e.joint_range: "),
        (EventCfg("drawer", joint_range=[]), "events.e.joint_range: "),
        (EventCfg("drawer", joint_range=[0.0, 0.2]), r"must be within the limits 0.0 to 0.15 .got .0.0, 0.2.."),
    ],
)
def test_wrong_joint_range_is_refused(task: Task, event: EventCfg, message: str) -> None:
    task.config.events = {"e": event}
    with pytest.raises(ConfigError, match=message):
        validate_task_cfg(task.config, task)


def test_second_event_of_an_object_is_refused(task: Task) -> None:
    task.config.events = {"first": EventCfg("cube", {"x": [0.0, 0.1]}), "second": EventCfg("cube", {"y": [0.0, 0.1]})}
    with pytest.raises(
        ConfigError, match=r"events.second.asset: 'cube' is the asset of events.first too; set the ranges of both"
    ):
        validate_task_cfg(task.config, task)


def test_parts_of_parts_belong_to_the_articulation_of_the_root(task: Task) -> None:
    assert articulations(task.objects) == {"cabinet": ("drawer", "knob", "door")}
    assert JointSampler(task, {}).ranges.tolist() == [[0.0, 0.0]] * 3
    shut = replace(DRAWER, limits=(0.02, 0.15))
    assert shut.start_joint_pos == 0.02

"""The subtask of each step of a generated demo, from the numbers of steps in the attributes of the file."""

import json

import h5py
import numpy as np
import pytest

import isaaclab_mimic_ext as mimic
from isaaclab_mimic_ext.config import SubTaskConfig
from isaaclab_mimic_ext.config.task import subtask_names
from isaaclab_mimic_ext.errors import SourceDataError
from isaaclab_mimic_ext.files.subtasks import demo_subtasks

ONE_ARM = {"franka": ("reach", "grasp", "lift")}
TWO_ARMS = {"left": ("reach", "lift"), "right": ("wait",)}


def test_each_step_has_the_index_and_progress_of_its_subtask():
    found = demo_subtasks(ONE_ARM, {"subtask_steps": np.array([[3, 1, 2]])}, 6, "a.hdf5: demo_0")
    assert found.index[:, 0].tolist() == [0, 0, 0, 1, 2, 2]
    assert found.progress[:, 0].tolist() == [0.0, 0.5, 1.0, 0.0, 0.0, 1.0]
    assert found.labels() == ["reach"] * 3 + ["grasp"] + ["lift"] * 2


def test_demo_that_ended_early_has_no_step_in_its_last_subtasks():
    found = demo_subtasks(ONE_ARM, {"subtask_steps": np.array([[2, 1, 0]])}, 3, "a.hdf5: demo_0")
    assert found.labels() == ["reach", "reach", "grasp"]


def test_labels_of_two_arms_name_both_subtasks():
    found = demo_subtasks(TWO_ARMS, {"subtask_steps": np.array([[1, 2], [3, 0]])}, 3, "a.hdf5: demo_0")
    assert found.labels() == ["left: reach; right: wait", *["left: lift; right: wait"] * 2]


@pytest.mark.parametrize("steps", [[[3, 1, 1]], [[3, 1]], [[3, 4, -1]], [[1.5, 2.5, 2.0]]])
def test_steps_that_do_not_match_the_demo_are_refused(steps):
    with pytest.raises(SourceDataError, match=r"a.hdf5: demo_0: attribute 'subtask_steps': must be .* 1 x 3 .* total 6"):
        demo_subtasks(ONE_ARM, {"subtask_steps": np.array(steps)}, 6, "a.hdf5: demo_0")


def test_names_are_descriptions_otherwise_term_signals_otherwise_numbers():
    configs = [
        SubTaskConfig(description="reach for it", subtask_term_signal="near"),
        SubTaskConfig(subtask_term_signal="up"),
    ]
    assert subtask_names([*configs, SubTaskConfig()]) == ["reach for it", "up", "subtask 3"]


def test_file_without_subtasks_is_refused(tmp_path):
    path = tmp_path / "a.hdf5"
    with h5py.File(path, "w") as file:
        file["data/demo_0/actions"] = np.zeros((3, 7), np.float32)
        file["data"].attrs["subtasks"] = json.dumps(ONE_ARM)
    with pytest.raises(SourceDataError, match=r"demo_0: attributes 'subtask_steps' of the demo and .* not found; generate"):
        mimic.read_subtasks(path, "demo_0")
    with h5py.File(path, "r+") as file:
        file["data/demo_0"].attrs["subtask_steps"] = np.array([[1, 1, 1]])
    assert mimic.read_subtasks(path, "demo_0").names == ONE_ARM

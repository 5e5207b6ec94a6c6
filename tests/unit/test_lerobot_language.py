"""Texts of the language columns of a LeRobot dataset, and statistics of constant states."""

# T steps of one demo

import numpy as np

from isaaclab_mimic_ext.datasets.convert.lerobot_language import language_rows, subtask_starts
from isaaclab_mimic_ext.datasets.convert.lerobot_writer import widened


def test_each_subtask_is_a_row_where_it_begins():
    starts = subtask_starts(np.array([[0], [0], [2], [2], [2], [1], [2]]))
    assert starts == [(0, 0), (2, 2), (5, 1), (6, 2)]
    rows = language_rows(starts, ("grasp", "lift", "place"), ("tidy up",), fps=20)
    assert [(each["content"], each["style"]) for each in rows] == [
        ("grasp", "subtask"), ("place", "subtask"), ("lift", "subtask"), ("place", "subtask"),
    ]  # fmt: skip
    assert np.allclose([each["timestamp"] for each in rows], [0.0, 0.1, 0.25, 0.3])


def test_only_several_instructions_are_rows():
    assert language_rows((), (), ("tidy up",), fps=20) == []
    rows = language_rows((), (), ("tidy up", "clear the table"), fps=20)
    assert [(each["role"], each["content"], each["style"]) for each in rows] == [
        ("user", "tidy up", "task_aug"),
        ("user", "clear the table", "task_aug"),
    ]


def test_a_constant_entry_of_a_state_has_a_spread():
    stats = {"mean": [0.5, 2.0], "std": [0.2, 0.0], "min": [0.0, 2.0], "max": [1.0, 2.0], "count": [7]}
    found = widened(stats)
    assert found["std"] == [0.2, 1e-3] and found["count"] == [7]
    assert np.allclose(found["min"], [0.0, 1.999]) and np.allclose(found["max"], [1.0, 2.001])

"""Marks of demos: their order, the demo that they belong to, and demos that they leave out."""

# T = 100 steps

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from isaaclab_mimic_ext.config import SubTaskBoundsCfg
from isaaclab_mimic_ext.datasets.marks import DemoMarks, actions_digest, check_marks, check_owner, read_marks, write_marks
from isaaclab_mimic_ext.errors import SourceDataError
from isaaclab_mimic_ext.files.demo import Demo

NAMES = ("reach", "grasp", "place")
SUBTASKS = {"franka": [SubTaskBoundsCfg(subtask_term_signal=name) for name in NAMES]}
DEMO = Demo("raw.hdf5", "demo_0", {"actions": np.arange(700, dtype=np.float32).reshape(100, 7)}, {})


@pytest.mark.parametrize(
    ("marks", "with_starts", "words"),
    [
        (
            DemoMarks({"reach": 40, "grasp": 40}),
            False,
            "the end of 'grasp' must be at step 41 or later, after the end of 'reach' (got 40); mark a later step, or",
        ),
        (
            DemoMarks({"reach": 0}),
            False,
            "the end of 'reach' must be at step 1 or later, after the start of the demo (got 0); mark a later step",
        ),
        (DemoMarks({"grasp": 99}), False, "'grasp' must be at a step from 1 to 98 (got 99)"),
        (DemoMarks({"reach": -1}), False, "'reach' must be at a step from 1 to 98 (got -1)"),
        (DemoMarks({"place": 50}), False, "the end of 'place' is not marked in this task; choices: reach, grasp"),
        (DemoMarks({}, {"reach": 3}), False, "the start of 'reach' is not marked in this task"),
        (
            DemoMarks({"reach": 30}, {"reach": 31}),
            True,
            "the end of 'reach' must be at step 31 or later, after the start of 'reach'",
        ),
        (
            DemoMarks({"reach": 30}, {"grasp": 30}),
            True,
            "the start of 'grasp' must be at step 31 or later, after the end of 'reach'",
        ),
        (DemoMarks({}, {"place": 100}), True, "'place' must be at a step from 0 to 99 (got 100)"),
    ],
)
def test_marks_out_of_order_are_refused(marks: DemoMarks, with_starts: bool, words: str) -> None:
    with pytest.raises(SourceDataError) as caught:
        check_marks("marks.yaml: demo_0", marks, SUBTASKS, 100, with_starts)
    assert str(caught.value).startswith("marks.yaml: demo_0: ")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("marks", "with_starts"),
    [
        (DemoMarks(), False),
        (DemoMarks({"reach": 1, "grasp": 98}), False),
        (DemoMarks({"grasp": 40}), False),
        (DemoMarks({"reach": 30, "grasp": 31}, {"reach": 0, "grasp": 31, "place": 99}), True),
    ],
)
def test_marks_in_order_are_accepted(marks: DemoMarks, with_starts: bool) -> None:
    check_marks("marks.yaml: demo_0", marks, SUBTASKS, 100, with_starts)


def test_written_marks_are_read_again(tmp_path: Path) -> None:
    marks = {
        "demo_0": DemoMarks({"reach": 30}, {"grasp": 40}, actions=actions_digest(DEMO)),
        "demo_1": DemoMarks(leave_out=True),
        "demo_2": DemoMarks(),
    }
    write_marks(tmp_path / "marks.yaml", marks)
    assert read_marks(tmp_path / "marks.yaml", marks, NAMES) == marks


@pytest.mark.parametrize("text", ["demo_0: {leave_out: 1}", "demo_0: {actions: 12}", "demo_0: {leave_out: 'no'}"])
def test_wrong_values_in_a_marks_file_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "marks.yaml").write_text(text)
    with pytest.raises(SourceDataError, match=r"marks\.yaml: demo_0: (leave_out|actions): must be .*; remove it"):
        read_marks(tmp_path / "marks.yaml", ["demo_0"], NAMES)


def test_marks_of_a_different_demo_are_refused() -> None:
    check_owner("marks.yaml: demo_0", DemoMarks(), DEMO)
    check_owner("marks.yaml: demo_0", DemoMarks(actions=actions_digest(DEMO)), DEMO)
    other = replace(DEMO, leaves={"actions": DEMO.leaves["actions"] + 1.0})
    with pytest.raises(SourceDataError, match=r"marks\.yaml: demo_0: belongs to a different demo of this name .*; use the"):
        check_owner("marks.yaml: demo_0", DemoMarks(actions=actions_digest(other)), DEMO)

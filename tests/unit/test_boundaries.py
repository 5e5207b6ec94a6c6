"""Ends of subtasks from term signals, and ranges of offsets that are refused."""

import numpy as np
import pytest

from isaaclab_mimic_ext.config import SubTaskConfig
from isaaclab_mimic_ext.demos.boundaries import check_offsets, subtask_ends
from isaaclab_mimic_ext.demos.source import SourceDemo
from isaaclab_mimic_ext.errors import SourceDataError, TaskSpecError


def demo_with(**signals: str) -> SourceDemo:
    """A demo whose signals are given as strings: `.` false, `#` true."""
    values = {name: np.array([char == "#" for char in text]) for name, text in signals.items()}
    num_steps = len(next(iter(signals.values())))
    return SourceDemo("demo_3", np.zeros((num_steps, 7), np.float32), {}, {}, {}, values)


def configs(*offsets: tuple[int, int], start: tuple[int, int] = (0, 0)) -> list[SubTaskConfig]:
    subtasks = [
        SubTaskConfig(subtask_term_signal="abc"[index], subtask_term_offset_range=offset)
        for index, offset in enumerate(offsets)
    ]
    subtasks[0].first_subtask_start_offset_range = start
    return subtasks


def test_subtask_ends_one_step_after_its_signal_rises():
    assert subtask_ends(demo_with(a="..####", b="......"), ["a", None]) == [3, 6]


def test_last_subtask_ends_with_the_demo_and_its_signal_is_ignored():
    assert subtask_ends(demo_with(a="..####", b="#.#..."), ["a", "b"]) == [3, 6]


def test_single_subtask_is_the_whole_demo():
    assert subtask_ends(demo_with(a="######"), ["a"]) == [6]


def test_rise_before_the_previous_end_does_not_count():
    assert subtask_ends(demo_with(a="....##....", b=".##...##.."), ["a", "b", None]) == [5, 7, 10]


def test_rise_at_the_previous_end_counts():
    assert subtask_ends(demo_with(a="..########", b="...#######"), ["a", "b", None]) == [3, 4, 10]


def test_fall_does_not_end_a_subtask():
    with pytest.raises(SourceDataError, match="'b' never rises at or after step 4"):
        subtask_ends(demo_with(a="...#######", b=".###......"), ["a", "b", None])


def test_one_signal_may_end_two_subtasks_by_rising_twice():
    assert subtask_ends(demo_with(a="..##..##.."), ["a", "a", None]) == [3, 7, 10]


def test_signal_that_is_true_at_step_0_is_refused():
    with pytest.raises(SourceDataError, match=r"demo_3.*'a' is already true at step 0"):
        subtask_ends(demo_with(a="##..##"), ["a", None])


def test_signal_that_never_rises_is_refused():
    with pytest.raises(SourceDataError, match=r"demo_3.*'a' never rises \(false in all steps; the demo has 6 steps"):
        subtask_ends(demo_with(a="......"), ["a", None])


def test_signals_that_rise_in_the_same_step_are_refused():
    with pytest.raises(SourceDataError, match=r"'b' never rises at or after step 4.*rises at step 3"):
        subtask_ends(demo_with(a="...###", b="...###"), ["a", "b", None])


def test_rise_at_the_last_step_is_refused():
    with pytest.raises(SourceDataError, match="rises only at step 5, the last step of the demo"):
        subtask_ends(demo_with(a=".....#"), ["a", None])


def test_subtask_without_signal_is_refused():
    with pytest.raises(TaskSpecError, match="subtask 1: must have a subtask_term_signal"):
        subtask_ends(demo_with(a="..####"), [None, "a"])


def test_empty_list_of_subtasks_is_refused():
    with pytest.raises(TaskSpecError, match="at least one"):
        subtask_ends(demo_with(a="..####"), [])
    with pytest.raises(TaskSpecError, match="at least one"):
        check_offsets("franka", [], {})


def test_offsets_that_fit_are_accepted():
    check_offsets("franka", configs((3, 8), (3, 8), (0, 0), start=(0, 12)), {"demo_0": [10, 16, 25]})


def test_offsets_that_can_make_a_segment_empty_are_refused_with_the_numbers():
    with pytest.raises(TaskSpecError) as caught:
        check_offsets("franka", configs((3, 8), (3, 8), (0, 0)), {"demo_0": [10, 16, 25], "demo_4": [10, 15, 25]})
    message = str(caught.value)
    assert message.startswith("demo_4, franka: subtask 'b' may begin at step 10 + 8 = 18 and end at step 15 + 3 = 18")
    assert "subtask_term_offset_range of subtask 'a' or 'b'" in message


def test_end_that_can_exceed_the_demo_is_refused():
    with pytest.raises(TaskSpecError, match=r"subtask 'b' may begin at step 10 \+ 8 = 18 and end at step 18 \+ 0 = 18"):
        check_offsets("franka", configs((3, 8), (0, 0)), {"demo_0": [10, 18]})


def test_start_that_can_exceed_the_first_end_is_refused():
    with pytest.raises(TaskSpecError, match="narrow first_subtask_start_offset_range"):
        check_offsets("franka", configs((-2, 2), (0, 0), start=(0, 8)), {"demo_0": [10, 18]})


def test_start_before_the_demo_is_refused():
    with pytest.raises(TaskSpecError, match="must be >= 0, the first step of the demo"):
        check_offsets("franka", configs((0, 0), start=(-1, 0)), {"demo_0": [10]})


def test_offset_of_the_last_subtask_is_refused():
    with pytest.raises(
        TaskSpecError, match=r"subtask_configs.franka.1.subtask_term_offset_range: must be .* \(got \(-1, 0\)\)"
    ):
        check_offsets("franka", configs((0, 0), (-1, 0)), {"demo_0": [10, 18]})


@pytest.mark.parametrize("offsets", [(8, 3), (3,), (1, 2, 3), (0.5, 1.5)])
def test_range_that_is_not_a_pair_of_ascending_integers_is_refused(offsets):
    with pytest.raises(TaskSpecError, match="must be two integers, the lower first"):
        check_offsets("franka", configs(offsets, (0, 0)), {"demo_0": [10, 18]})


def test_wrong_number_of_ends_is_refused():
    with pytest.raises(TaskSpecError, match=r"demo_0: .* \(got 3 ends for 2 subtasks\)"):
        check_offsets("franka", configs((0, 0), (0, 0)), {"demo_0": [3, 5, 9]})

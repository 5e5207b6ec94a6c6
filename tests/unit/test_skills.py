"""Starts and ends of skills (SkillGen), errors for wrong marks and offsets, and skills in the source pool."""

import re
from itertools import pairwise, product
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from isaaclab_mimic_ext.config import SubTaskConfig
from isaaclab_mimic_ext.demos.pool import SourcePool, build_pool
from isaaclab_mimic_ext.demos.skills import check_skill_offsets, skill_spans
from isaaclab_mimic_ext.demos.source import SourceDemo, load_source_demos
from isaaclab_mimic_ext.errors import SourceDataError, TaskSpecError
from tests.builders import ACTION_DIM, EEF_NAME, OBJECT_NAMES, make_source_file

STARTS = "obs/datagen_info/subtask_start_signals"


def demo_with(starts: dict[str, str], terms: dict[str, str]) -> SourceDemo:
    """A demo whose signals are given as strings: `.` false, `#` true."""

    def parsed(signals: dict[str, str]) -> dict[str, np.ndarray]:
        return {name: np.array([char == "#" for char in text]) for name, text in signals.items()}

    num_steps = len(next(iter(starts.values())))
    return SourceDemo("demo_3", np.zeros((num_steps, 7), np.float32), {}, {}, {}, parsed(terms), "", parsed(starts))


def configs(starts: list[tuple[int, int]], ends: list[tuple[int, int]]) -> list[SubTaskConfig]:
    return [
        SubTaskConfig(subtask_term_signal="abcd"[i], subtask_start_offset_range=start, subtask_term_offset_range=end)
        for i, (start, end) in enumerate(zip(starts, ends, strict=True))
    ]


def test_skill_lasts_from_the_rise_of_its_start_signal_to_the_rise_of_its_term_signal():
    demo = demo_with({"a": ".########.", "b": "......####"}, {"a": "...#######"})
    assert skill_spans(demo, ["a", "b"]) == [(1, 4), (6, 10)]


def test_first_skill_may_start_with_the_demo():
    assert skill_spans(demo_with({"a": "######"}, {}), ["a"]) == [(0, 6)]


def test_skill_may_start_at_the_end_of_the_previous_one():
    demo = demo_with({"a": "#.........", "b": "....######"}, {"a": "...#######"})
    assert skill_spans(demo, ["a", "b"]) == [(0, 4), (4, 10)]


def test_rise_of_a_start_signal_before_the_previous_end_does_not_count():
    demo = demo_with({"a": "#.........", "b": ".##...####"}, {"a": "...#######"})
    assert skill_spans(demo, ["a", "b"]) == [(0, 4), (6, 10)]


def test_rise_of_a_term_signal_before_its_own_start_does_not_count():
    demo = demo_with(
        {"a": "#...........", "b": ".....#######", "c": "..........##"}, {"a": ".#..........", "b": "...#...#...."}
    )
    assert skill_spans(demo, ["a", "b", "c"]) == [(0, 2), (5, 8), (10, 12)]


@pytest.mark.parametrize(
    ("starts", "words"),
    [
        ({"a": "......", "b": "....##"}, "start signal 'a' never rises (false in all steps; the demo has 6 steps)"),
        ({"a": "#.....", "b": "######"}, "start signal 'b' is already true at step 0"),
        (
            {"a": "#.....", "b": ".##..."},
            "'b' never rises at or after step 3, where the previous subtask ends (rises at step 1",
        ),
    ],
)
def test_missing_mark_of_a_start_is_refused_with_demo_and_signal(starts, words):
    with pytest.raises(SourceDataError) as caught:
        skill_spans(demo_with(starts, {"a": "..####"}), ["a", "b"])
    assert words in str(caught.value)
    assert "demo_3: " in str(caught.value)


def test_skill_without_a_signal_is_refused_even_if_it_is_the_last():
    with pytest.raises(TaskSpecError, match=r"subtask 2: must have a subtask_term_signal under SkillGen.*choices: a, b"):
        skill_spans(demo_with({"a": "#.....", "b": "....##"}, {"a": "..####"}), ["a", None])


def test_offsets_that_fit_are_accepted_up_to_the_last_step():
    check_skill_offsets("franka", configs([(-2, 1), (-1, 3)], [(-2, 2), (0, 0)]), {"demo_0": [(2, 6), (9, 13)]})


@pytest.mark.parametrize(
    ("starts", "ends", "words"),
    [
        ([(-3, 0), (0, 0)], [(0, 0), (0, 0)], "subtask 'a' may start at step 2 + -3 = -1, before step 0"),
        (
            [(0, 2), (0, 0)],
            [(-2, 0), (0, 0)],
            "may start at step 2 + 2 = 4 and end at step 6 + -2 = 4, and would then have no steps",
        ),
        (
            [(0, 0), (-2, 0)],
            [(0, 2), (0, 0)],
            "'b' may start at step 9 + -2 = 7, before the latest end of subtask 'a', step 6 + 2 = 8",
        ),
        ([(0, 0), (0, 4)], [(0, 0), (0, 0)], "may start at step 9 + 4 = 13 and end at step 13 + 0 = 13"),
        (
            [(0, 0), (0, 0)],
            [(0, 0), (-1, 0)],
            "for the last subtask, which ends with the demo (got (-1, 0)); set it to (0, 0)",
        ),
        ([(3, 1), (0, 0)], [(0, 0), (0, 0)], "franka.0.subtask_start_offset_range: must be two integers"),
    ],
)
def test_offsets_that_can_make_a_skill_invalid_are_refused_with_the_numbers(starts, ends, words):
    with pytest.raises(TaskSpecError) as caught:
        check_skill_offsets("franka", configs(starts, ends), {"demo_4": [(2, 6), (9, 13)]})
    assert words in str(caught.value)


def test_first_subtask_start_offset_is_refused_under_skillgen():
    subtasks = configs([(0, 0)], [(0, 0)])
    subtasks[0].first_subtask_start_offset_range = (0, 2)
    with pytest.raises(TaskSpecError, match="use subtask_start_offset_range"):
        check_skill_offsets("franka", subtasks, {"demo_0": [(2, 6)]})


ranges = st.tuples(st.integers(-2, 2), st.integers(0, 2)).map(lambda pair: (pair[0], pair[0] + pair[1]))
steps = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4)), min_size=1, max_size=3)


@given(st.data(), steps)
def test_offsets_are_refused_exactly_if_a_draw_can_make_a_skill_invalid(data, gaps):
    bounds = np.cumsum(np.array(gaps).ravel()).tolist()
    spans = list(zip(bounds[::2], bounds[1::2], strict=True))
    starts = [data.draw(ranges) for _ in spans]
    ends = [*(data.draw(ranges) for _ in spans[:-1]), (0, 0)]
    drawn = product(*(range(low, high + 1) for pair in zip(starts, ends, strict=True) for low, high in pair))
    expected = any(is_invalid([b + o for b, o in zip(bounds, offsets, strict=True)]) for offsets in drawn)
    try:
        check_skill_offsets("franka", configs(starts, ends), {"demo_0": spans})
        refused = False
    except TaskSpecError:
        refused = True
    assert refused == expected


def is_invalid(bounds: list[int]) -> bool:
    ordered = all(before <= after for before, after in pairwise([0, *bounds]))
    return not ordered or any(start == end for start, end in zip(bounds[::2], bounds[1::2], strict=True))


@pytest.fixture
def source_file(tmp_path: Path) -> Path:
    """Reach and place, whose skills start 5 steps after the demo and 9 steps after the reach."""
    path = make_source_file(tmp_path / "source.hdf5")
    with h5py.File(path, "r+") as file:
        for demo in file["data"].values():
            reach = demo["obs/datagen_info/subtask_term_signals/reach"][()]
            demo[f"{STARTS}/reach"] = np.arange(len(reach)) >= 5
            demo[f"{STARTS}/place"] = np.arange(len(reach)) >= reach.argmax() + 9
    return path


def load(path: Path, starts: tuple[str, ...] = ("reach", "place")) -> list[SourceDemo]:
    return load_source_demos(path, [EEF_NAME], OBJECT_NAMES, ["reach"], ACTION_DIM, start_signal_names_needed=starts)


def pool_of(demos: list[SourceDemo], use_skillgen: bool) -> SourcePool:
    subtasks = [SubTaskConfig("ketchup", "reach"), SubTaskConfig("basket", "place")]
    return build_pool(
        demos,
        {EEF_NAME: subtasks},
        OBJECT_NAMES,
        lambda actions: actions[:, None, -1:],
        torch.device("cpu"),
        use_skillgen,
    )


def test_pool_contains_starts_and_ends_of_skills(source_file):
    demos = load(source_file)
    pool = pool_of(demos, use_skillgen=True)
    rises = torch.tensor([int(demo.subtask_term_signals["reach"].argmax()) for demo in demos])
    assert pool.subtask_starts is not None
    assert torch.equal(pool.subtask_starts[0], torch.stack((torch.full_like(rises, 5), rises + 9), dim=-1))
    assert torch.equal(pool.subtask_ends[0], torch.stack((rises + 1, pool.lengths), dim=-1))


def test_pool_without_skillgen_has_no_starts(source_file):
    with_starts, without = load(source_file), load(source_file, starts=())
    pool = pool_of(with_starts, use_skillgen=False)
    assert pool.subtask_starts is None
    assert torch.equal(pool.subtask_ends, pool_of(without, use_skillgen=False).subtask_ends)
    assert without[0].subtask_start_signals == {}


def test_file_without_start_signals_is_refused_with_the_remedy(tmp_path):
    path = make_source_file(tmp_path / "plain.hdf5")
    with pytest.raises(SourceDataError) as caught:
        load(path)
    message = str(caught.value)
    for words in (
        str(path),
        "demo_0",
        "start signal 'reach' not found",
        "has no start signals",
        "annotate_subtask_start_signals=true",
    ):
        assert words in message


def test_demo_without_a_start_signal_is_left_out_and_its_start_signals_are_listed(source_file, caplog):
    with h5py.File(source_file, "r+") as file:
        del file[f"data/demo_1/{STARTS}/place"]
    assert "demo_1" not in [demo.name for demo in load(source_file)]
    assert re.search(r"demo_1 is left out.*start signal 'place' not found.*choices: reach", caplog.text)

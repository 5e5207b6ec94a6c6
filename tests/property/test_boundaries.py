"""Subtask boundaries and offsets, compared with exhaustive definitions."""

from itertools import pairwise, product

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from isaaclab_mimic_ext.config import SubTaskConfig
from isaaclab_mimic_ext.demos.boundaries import check_offsets, subtask_ends
from isaaclab_mimic_ext.demos.source import SourceDemo
from isaaclab_mimic_ext.errors import SourceDataError, TaskSpecError

ranges = st.tuples(st.integers(-2, 3), st.integers(0, 2)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@st.composite
def offset_cases(draw) -> tuple[list[int], list[tuple[int, int]], tuple[int, int]]:
    steps = draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    offsets = [draw(ranges) for _ in steps[:-1]] + [draw(st.sampled_from([(0, 0), (0, 0), (0, 0), (-1, 0)]))]
    return list(np.cumsum(steps)), offsets, draw(st.one_of(st.just((0, 0)), ranges))


def some_draw_breaks(ends: list[int], offsets: list[tuple[int, int]], start: tuple[int, int]) -> bool:
    for draw in product(*(range(low, high + 1) for low, high in [start, *offsets])):
        bounds = [nominal + offset for nominal, offset in zip([0, *ends], draw, strict=True)]
        ordered = all(before < after for before, after in pairwise(bounds))
        if not ordered or bounds[0] < 0 or bounds[-1] > ends[-1]:
            return True
    return False


@given(offset_cases())
def test_offsets_are_refused_exactly_if_a_draw_can_make_a_segment_invalid(case):
    ends, offsets, start = case
    subtasks = [SubTaskConfig(subtask_term_offset_range=offset) for offset in offsets]
    subtasks[0].first_subtask_start_offset_range = start
    # The last subtask ends with the demo: a shifted end is refused even where it would leave steps.
    expected = offsets[-1] != (0, 0) or some_draw_breaks(ends, offsets, start)
    try:
        check_offsets("franka", subtasks, {"demo_0": ends})
        refused = False
    except TaskSpecError:
        refused = True
    assert refused == expected


def slow_ends(signals: list[list[bool]], num_steps: int) -> list[int] | None:
    """Ends by their definition, step by step; None if the demo must be refused."""
    ends: list[int] = []
    for values in signals:
        if values[0]:
            return None
        step = max(1, ends[-1] if ends else 0)
        while step < num_steps and not (values[step] and not values[step - 1]):
            step += 1
        if step + 1 >= num_steps:
            return None
        ends.append(step + 1)
    return [*ends, num_steps]


@given(
    st.integers(1, 12).flatmap(
        lambda t: st.lists(st.lists(st.booleans(), min_size=t, max_size=t), max_size=3).map(lambda s: (t, s))
    )
)
def test_ends_follow_the_definition(case):
    num_steps, signals = case
    names = [f"signal_{index}" for index in range(len(signals))]
    values = {name: np.array(signal) for name, signal in zip(names, signals, strict=True)}
    demo = SourceDemo("demo_0", np.zeros((num_steps, 7), np.float32), {}, {}, {}, values)
    try:
        ends = subtask_ends(demo, [*names, None])
    except SourceDataError:
        ends = None
    assert ends == slow_ends(signals, num_steps)
    if ends is not None:
        assert all(before < after for before, after in pairwise([0, *ends]))

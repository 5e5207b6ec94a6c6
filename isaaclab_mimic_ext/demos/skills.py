"""Starts and ends of the skills of a demo (SkillGen), and a check of the ranges of random offsets.

Skills are replayed; the motion between them is planned. A skill starts at the step at which its start signal rises. It ends
as in `demos/boundaries.py`, at the first rise of its term signal at or after its own start. Start and term signal of a
subtask have the same name, so the last subtask needs a name too. Source: SkillGen (arXiv 2410.18907); Isaac Lab Mimic's
`subtask_start_signals`.
"""

# S subtasks of one end effector, T time steps of a demo

from collections.abc import Mapping, Sequence

from isaaclab_mimic_ext.config import SubTaskBoundsCfg
from isaaclab_mimic_ext.demos.boundaries import end_after, first_rise, offset_range, subtask_label
from isaaclab_mimic_ext.demos.source import SourceDemo
from isaaclab_mimic_ext.errors import TaskSpecError

Span = tuple[int, int]
"""First and exclusive last step of a subtask."""


def skill_spans(demo: SourceDemo, signals: Sequence[str | None]) -> list[Span]:
    """Span of each subtask [steps]; in order, not empty, and the last one ends with the demo.

    Args:
        demo: a demo with the start signal of every subtask, and the term signal of every subtask except the last.
        signals: name of the start and term signal of each subtask, in order.

    Raises:
        SourceDataError: a signal does not mark the start or end of its subtask.
        TaskSpecError: a subtask has no signal.
    """
    spans: list[Span] = []
    for index, signal in enumerate(signals):
        if signal is None:
            reason = "must have a subtask_term_signal under SkillGen, even the last, because it also names the start signal"
            raise TaskSpecError(f"subtask {index + 1}: {reason}; choices: {', '.join(demo.subtask_start_signals) or 'none'}")
        start = _start_after(demo, signal, index, spans[-1][1] if spans else 0)
        is_last = index == len(signals) - 1
        spans.append((start, demo.num_steps if is_last else end_after(demo, signal, start)))
    return spans


def _start_after(demo: SourceDemo, signal: str, subtask: int, previous_end: int) -> int:
    """Step of the first rise of a start signal at or after `previous_end`; the first subtask may start at step 0."""
    values = demo.subtask_start_signals[signal]
    if values[0] and subtask == 0:
        return 0
    place = f"{demo.place}: start signal '{signal}'"
    return first_rise(place, values, previous_end, "where the previous subtask ends")


def check_skill_offsets(eef_name: str, subtasks: Sequence[SubTaskBoundsCfg], spans: Mapping[str, Sequence[Span]]) -> None:
    """Refuse offset ranges if any draw can make a skill empty, bring skills out of order, or leave the demo.

    Let s_i and e_i be the drawn start and end of subtask i. The condition is 0 <= s_0 and s_i < e_i <= s_(i+1) for all
    draws. The draws are independent, so it is sufficient to compare the latest value of each boundary with the earliest
    value of the next.

    Args:
        eef_name: end effector of the subtasks.
        subtasks: the S subtasks, whose `subtask_start_offset_range` and `subtask_term_offset_range` are checked [steps].
        spans: place of a demo -> nominal spans of its S subtasks, from `skill_spans`.

    Raises:
        TaskSpecError: with the demo, the subtask, the numbers and a remedy.
    """
    field = f"subtask_configs.{eef_name}"
    first = tuple(subtasks[0].first_subtask_start_offset_range)
    if any(first):
        reason = f"must be (0, 0) under SkillGen, where the start signal marks the first start (got {first})"
        raise TaskSpecError(f"{field}.0.first_subtask_start_offset_range: {reason}; use subtask_start_offset_range")
    starts = [
        _range(eef_name, i, "subtask_start_offset_range", s.subtask_start_offset_range) for i, s in enumerate(subtasks)
    ]
    ends = [_range(eef_name, i, "subtask_term_offset_range", s.subtask_term_offset_range) for i, s in enumerate(subtasks)]
    if ends[-1] != (0, 0):
        name = f"{field}.{len(subtasks) - 1}.subtask_term_offset_range"
        reason = f"must be (0, 0) for the last subtask, which ends with the demo (got {ends[-1]})"
        raise TaskSpecError(f"{name}: {reason}; set it to (0, 0)")
    labels = [subtask_label(index, config) for index, config in enumerate(subtasks)]
    for place, demo_spans in spans.items():
        _check_demo(f"{place}, {eef_name}", demo_spans, starts, ends, labels)


def _range(eef_name: str, index: int, name: str, offsets: Sequence[int]) -> tuple[int, int]:
    return offset_range(f"{eef_name}.{index}.{name}", offsets)


def _check_demo(
    place: str,
    spans: Sequence[Span],
    start_offsets: Sequence[tuple[int, int]],
    end_offsets: Sequence[tuple[int, int]],
    labels: Sequence[str],
) -> None:
    """Compare the earliest draw of each start with the latest previous end, and the latest with the earliest own end."""
    latest_end = "step 0, the beginning of the demo", 0
    for index, ((start, end), label) in enumerate(zip(spans, labels, strict=True)):
        (low, high), (early, late) = start_offsets[index], end_offsets[index]
        if start + low < latest_end[1]:
            reason = f"subtask {label} may start at step {start} + {low} = {start + low}, before {latest_end[0]}"
            names = f"subtask_start_offset_range of subtask {label}"
            names += f" or subtask_term_offset_range of {labels[index - 1]}" if index else ""
            raise TaskSpecError(f"{place}: {reason}; narrow {names}, or leave out the demo")
        if start + high >= end + early:
            begin = f"may start at step {start} + {high} = {start + high}"
            reason = f"subtask {label} {begin} and end at step {end} + {early} = {end + early}, and would then have no steps"
            names = f"subtask_start_offset_range or subtask_term_offset_range of subtask {label}"
            raise TaskSpecError(f"{place}: {reason}; narrow {names}, or leave out the demo")
        latest_end = f"the latest end of subtask {label}, step {end} + {late} = {end + late}", end + late

"""Check of the subtask boundaries of a demo: its signals, and the ranges of random offsets."""

# T steps of the demo

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from isaaclab_mimic_ext.checks.findings import DemoFindings
from isaaclab_mimic_ext.config import SubTaskBoundsCfg
from isaaclab_mimic_ext.datasets.findings import ERROR, WARNING
from isaaclab_mimic_ext.demos.boundaries import check_offsets, rising_steps, subtask_ends, subtask_label
from isaaclab_mimic_ext.demos.skills import Span, check_skill_offsets, skill_spans
from isaaclab_mimic_ext.demos.source import SourceDemo
from isaaclab_mimic_ext.errors import SourceDataError, TaskSpecError
from isaaclab_mimic_ext.texts import counted

MIN_SEGMENT = 5
"""Smallest number of steps of a segment (0.25 s at 20 Hz). A shorter one has fewer steps than its interpolation, which has 5
waypoints by default. The shortest segment of the included demos has 23 steps, and 18 with the worst offsets."""

MAX_MARK_DISTANCE = 10
"""Largest distance of the end of a subtask from a rise of the task's own signal [steps]; 0 in the included demos."""

_ANNOTATE_AGAIN = "annotate the demo again, or leave out the demo"


def find_spans(
    findings: DemoFindings, demo: SourceDemo, eef_name: str, subtasks: Sequence[SubTaskBoundsCfg], use_skillgen: bool
) -> list[Span] | None:
    """Span of each subtask of an end effector [steps]; None if the signals are wrong, which adds findings."""
    signals = [config.subtask_term_signal for config in subtasks]
    if use_skillgen:
        return _find_skills(findings, demo, eef_name, subtasks)
    try:
        ends = subtask_ends(demo, signals)
    except SourceDataError as error:
        known = len(findings.items)
        _explain(findings, demo, eef_name, [name for name in signals[:-1] if name is not None])
        assert len(findings.items) > known, f"refused, but not explained: {error}"
        return None
    _check_offsets(findings, demo, eef_name, subtasks, ends)
    _check_lengths(findings, eef_name, subtasks, ends)
    return list(pairwise([0, *ends]))


def check_marks(
    findings: DemoFindings,
    eef_name: str,
    subtasks: Sequence[SubTaskBoundsCfg],
    spans: Sequence[Span] | None,
    own: Mapping[str, NDArray[np.bool_]],
) -> None:
    """Add a finding for each subtask that does not end where the task's own signal rises, as far as that rises.

    Args:
        spans: span of each subtask [steps]; None: not checked.
        own: term signals of the task at the recorded states, name -> (T,).
    """
    for config, (_, end) in zip(subtasks[:-1], spans or (), strict=False):
        signal = config.subtask_term_signal or ""
        rises = rising_steps(own[signal]) if signal in own else np.empty(0, np.int64)
        if not len(rises):
            continue
        rise = int(rises[np.abs(rises - (end - 1)).argmin()])
        if abs(rise - (end - 1)) > MAX_MARK_DISTANCE:
            found = f"subtask '{signal}' ends at step {end - 1}, but its signal rises at step {rise}"
            expected = f"at most {MAX_MARK_DISTANCE} steps between them"
            remedy = "mark it where the signal rises, or leave it if it is meant"
            findings.add(WARNING, "mark", found, expected, remedy, eef=eef_name, frame=end - 1)


def _find_skills(
    findings: DemoFindings, demo: SourceDemo, eef_name: str, subtasks: Sequence[SubTaskBoundsCfg]
) -> list[Span] | None:
    try:
        spans = skill_spans(demo, [config.subtask_term_signal for config in subtasks])
    except SourceDataError as error:
        found = str(error).removeprefix(f"{demo.place}: ")
        findings.add(
            ERROR, "skill marks", found, "a start and an end of every skill, in order", _ANNOTATE_AGAIN, eef=eef_name
        )
        return None
    try:
        check_skill_offsets(eef_name, subtasks, {demo.place: spans})
    except TaskSpecError as error:
        found = str(error).removeprefix(f"{demo.place}, {eef_name}: ")
        remedy = "narrow the ranges, or leave out the demo"
        findings.add(ERROR, "offsets", found, "skills that do not overlap for any draw", remedy, eef=eef_name)
    return spans


def _explain(findings: DemoFindings, demo: SourceDemo, eef_name: str, signals: Sequence[str]) -> None:
    """Add a finding for every wrong signal; `subtask_ends` reports only the first one."""
    previous_end, previous = 0, ""
    for signal in signals:
        values = demo.subtask_term_signals[signal]
        rises = rising_steps(values)
        usable = rises[rises >= previous_end]
        if values[0]:
            remedy = "begin the recording before the subtask, or annotate again"
            found = f"'{signal}' is true from the first step"
            findings.add(ERROR, "cropped start", found, "a rise from false to true", remedy, eef=eef_name, frame=0)
        elif len(rises) == 0:
            remedy = "record until the subtask is complete, mark its end by hand, or leave out the demo"
            findings.add(ERROR, "no mark", f"'{signal}' never rises", "a rise from false to true", remedy, eef=eef_name)
        elif len(usable) == 0:
            _explain_order(findings, eef_name, signal, int(rises[-1]), previous, previous_end)
        elif usable[0] + 1 >= demo.num_steps:
            found = f"'{signal}' rises at the last step, {usable[0]}"
            remedy = "continue the recording after the end of the subtask, or leave out the demo"
            findings.add(
                ERROR, "cropped end", found, "steps of the next subtask after it", remedy, eef=eef_name, frame=usable[0]
            )
        if len(usable) and not values[0]:
            previous_end, previous = int(usable[0]) + 1, signal


def _explain_order(findings: DemoFindings, eef_name: str, signal: str, rise: int, previous: str, previous_end: int) -> None:
    if rise == previous_end - 1:
        found = f"'{signal}' rises at step {rise}, together with '{previous}'"
        remedy = "mark them at least one step apart, change the task's signals, or remove one of the two subtasks"
        findings.add(ERROR, "same frame", found, f"'{signal}' after '{previous}'", remedy, eef=eef_name, frame=rise)
        return
    found = f"'{signal}' rises at step {rise}, before '{previous}' at step {previous_end - 1}"
    remedy = f"order subtask_configs.{eef_name} as in the demos, or {_ANNOTATE_AGAIN}"
    findings.add(
        ERROR, "subtask order", found, f"'{previous}', then '{signal}', as in the task", remedy, eef=eef_name, frame=rise
    )


def _check_offsets(
    findings: DemoFindings, demo: SourceDemo, eef_name: str, subtasks: Sequence[SubTaskBoundsCfg], ends: Sequence[int]
) -> None:
    """Add a finding for each pair of consecutive boundaries that a draw can bring out of order."""
    for index in range(len(subtasks)):
        # Each pair of boundaries is checked separately, so that all collisions are found.
        begin = _range_of_begin(subtasks, index)
        end = subtasks[index].subtask_term_offset_range
        start, stop = (0, *ends)[index : index + 2]
        if start + begin[1] < stop + end[0]:
            continue
        found = f"subtask {_label(subtasks, index)} may begin at {start} + {begin[1]} and end at {stop} + {end[0]}"
        remedy = f"leave out the demo, or {_no_offsets(eef_name, subtasks, index)}"
        findings.add(ERROR, "offsets", found, "at least one step for any draw", remedy, eef=eef_name, frame=stop)
    try:
        check_offsets(eef_name, subtasks, {demo.place: ends})
    except TaskSpecError as error:
        if not any(finding.check == "offsets" for finding in findings.items):
            findings.add(ERROR, "offsets", str(error), "ranges that generation accepts", "correct the field", eef=eef_name)


def _range_of_begin(subtasks: Sequence[SubTaskBoundsCfg], index: int) -> tuple[int, int]:
    if index == 0:
        return subtasks[0].first_subtask_start_offset_range
    return subtasks[index - 1].subtask_term_offset_range


def _check_lengths(findings: DemoFindings, eef_name: str, subtasks: Sequence[SubTaskBoundsCfg], ends: Sequence[int]) -> None:
    for index, length in enumerate(np.diff([0, *ends])):
        earliest = subtasks[index].subtask_term_offset_range[0]
        shortest = int(length) - _range_of_begin(subtasks, index)[1] + earliest
        if 0 < shortest < MIN_SEGMENT:
            found = (
                f"subtask {_label(subtasks, index)} has {counted(int(length), 'step')}; the random offsets of its start and "
            )
            found += f"end can leave {counted(shortest, 'step')}"
            remedy = f"mark a longer subtask, or {_no_offsets(eef_name, subtasks, index)}"
            frame = (0, *ends)[index]
            findings.add(
                WARNING, "short segment", found, f"{MIN_SEGMENT} or more", remedy, eef=eef_name, frame=frame,
                last_frame=ends[index] - 1,
            )  # fmt: skip


def _label(subtasks: Sequence[SubTaskBoundsCfg], index: int) -> str:
    return subtask_label(index, subtasks[index])


def _no_offsets(eef_name: str, subtasks: Sequence[SubTaskBoundsCfg], index: int) -> str:
    """Advice with the settings that keep the start and the end of a subtask where the demo has them."""
    field = f"subtask_configs.{eef_name}"
    begin = f"{index - 1}.subtask_term_offset_range" if index else "0.first_subtask_start_offset_range"
    moved = {begin: _range_of_begin(subtasks, index)[1] > 0}
    moved[f"{index}.subtask_term_offset_range"] = subtasks[index].subtask_term_offset_range[0] < 0
    settings = " ".join(f"{field}.{name}=[0,0]" for name, shortens in moved.items() if shortens)
    return f"add {settings} to the command line of `mimic generate`, so that its start and end are not moved"

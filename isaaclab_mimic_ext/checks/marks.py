"""Whether a demo's marks cut it into the task's subtasks, whatever the offsets draw."""

# T steps of the demo

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from isaaclab_mimic_ext.checks.findings import DemoFindings
from isaaclab_mimic_ext.config import SubTaskBoundsCfg
from isaaclab_mimic_ext.datasets.findings import ERROR, WARNING
from isaaclab_mimic_ext.demos.boundaries import check_offsets, rising_steps, subtask_ends
from isaaclab_mimic_ext.demos.skills import Span, check_skill_offsets, skill_spans
from isaaclab_mimic_ext.demos.source import SourceDemo
from isaaclab_mimic_ext.errors import SourceDataError, TaskSpecError

MIN_SEGMENT = 5
"""A segment of fewer steps (a quarter of a second at 20 Hz) has no motion of its own beside five interpolated waypoints, the
default. The shortest of the shipped demos has 23 before offsets and 18 after the worst."""

_AGAIN = "annotate the demo again, or leave it out"


def find_spans(
    findings: DemoFindings, demo: SourceDemo, eef_name: str, subtasks: Sequence[SubTaskBoundsCfg], use_skillgen: bool
) -> list[Span] | None:
    """[start, end) of the subtasks of an end effector [steps]; None where the marks are wrong, with findings."""
    signals = [config.subtask_term_signal for config in subtasks]
    if use_skillgen:
        return _find_skills(findings, demo, eef_name, subtasks)
    try:
        ends = subtask_ends(demo, signals)
    except SourceDataError as error:
        known = len(findings.kept)
        _explain(findings, demo, eef_name, [name for name in signals[:-1] if name is not None])
        assert len(findings.kept) > known, f"refused, but not explained: {error}"
        return None
    _check_offsets(findings, demo, eef_name, subtasks, ends)
    _check_lengths(findings, eef_name, subtasks, ends)
    return list(pairwise([0, *ends]))


def _find_skills(
    findings: DemoFindings, demo: SourceDemo, eef_name: str, subtasks: Sequence[SubTaskBoundsCfg]
) -> list[Span] | None:
    try:
        spans = skill_spans(demo, [config.subtask_term_signal for config in subtasks])
    except SourceDataError as error:
        found = str(error).removeprefix(f"{demo.place}: ")
        findings.add(ERROR, "skill marks", found, "a start and an end of every skill, in order", _AGAIN, eef=eef_name)
        return None
    try:
        check_skill_offsets(eef_name, subtasks, {demo.place: spans})
    except TaskSpecError as error:
        found = str(error).removeprefix(f"{demo.place}, {eef_name}: ")
        remedy = "narrow the ranges, or leave the demo out"
        findings.add(ERROR, "offsets", found, "skills that stay apart", remedy, eef=eef_name)
    return spans


def _explain(findings: DemoFindings, demo: SourceDemo, eef_name: str, signals: Sequence[str]) -> None:
    """A finding for every mark that is wrong, where `subtask_ends` stops at the first."""
    previous_end, previous = 0, ""
    for signal in signals:
        values = demo.subtask_term_signals[signal]
        rises = rising_steps(values)
        usable = rises[rises >= previous_end]
        if values[0]:
            remedy = "record from before the subtask begins, or annotate again"
            found = f"'{signal}' is true from the first step"
            findings.add(ERROR, "cropped start", found, "a rise from false to true", remedy, eef=eef_name, frame=0)
        elif len(rises) == 0:
            remedy = "record until the subtask is done, mark it by hand, or leave the demo out"
            findings.add(ERROR, "no mark", f"'{signal}' never rises", "a rise from false to true", remedy, eef=eef_name)
        elif len(usable) == 0:
            _explain_order(findings, eef_name, signal, int(rises[-1]), previous, previous_end)
        elif usable[0] + 1 >= demo.num_steps:
            found = f"'{signal}' rises at the last step, {usable[0]}"
            remedy = "record on after the subtask's end, or leave the demo out"
            findings.add(
                ERROR, "cropped end", found, "steps of the next subtask after it", remedy, eef=eef_name, frame=usable[0]
            )
        if len(usable) and not values[0]:
            previous_end, previous = int(usable[0]) + 1, signal


def _explain_order(findings: DemoFindings, eef_name: str, signal: str, rise: int, previous: str, previous_end: int) -> None:
    if rise == previous_end - 1:
        found = f"'{signal}' rises at step {rise}, together with '{previous}'"
        remedy = "mark them a step or more apart, make the task's signals so, or drop one of the two subtasks"
        findings.add(ERROR, "same frame", found, f"'{signal}' after '{previous}'", remedy, eef=eef_name, frame=rise)
        return
    found = f"'{signal}' rises at step {rise}, before '{previous}' at step {previous_end - 1}"
    remedy = f"order subtask_configs.{eef_name} as the demos go, or {_AGAIN}"
    findings.add(
        ERROR, "subtask order", found, f"'{previous}', then '{signal}', as in the task", remedy, eef=eef_name, frame=rise
    )


def _check_offsets(
    findings: DemoFindings, demo: SourceDemo, eef_name: str, subtasks: Sequence[SubTaskBoundsCfg], ends: Sequence[int]
) -> None:
    """Every pair of neighbouring boundaries that some draw brings out of order."""
    for index in range(len(subtasks)):
        # Two boundaries at a time, so that one that collides does not hide the next.
        begin = _range_of_begin(subtasks, index)
        end = subtasks[index].subtask_term_offset_range
        start, stop = (0, *ends)[index : index + 2]
        if start + begin[1] < stop + end[0]:
            continue
        found = f"subtask {index} may begin at {start} + {begin[1]} and end at {stop} + {end[0]}"
        field = "first_subtask_start_offset_range" if index == 0 else "subtask_term_offset_range"
        remedy = f"narrow {field} of subtask {max(index - 1, 0)} or {index} of {eef_name}, or leave the demo out"
        findings.add(ERROR, "offsets", found, "a step or more between them", remedy, eef=eef_name, frame=stop)
    try:
        check_offsets(eef_name, subtasks, {demo.place: ends})
    except TaskSpecError as error:
        if not any(finding.check == "offsets" for finding in findings.kept):
            findings.add(ERROR, "offsets", str(error), "ranges that generation takes", "correct the field", eef=eef_name)


def _range_of_begin(subtasks: Sequence[SubTaskBoundsCfg], index: int) -> tuple[int, int]:
    if index == 0:
        return subtasks[0].first_subtask_start_offset_range
    return subtasks[index - 1].subtask_term_offset_range


def _check_lengths(findings: DemoFindings, eef_name: str, subtasks: Sequence[SubTaskBoundsCfg], ends: Sequence[int]) -> None:
    for index, length in enumerate(np.diff([0, *ends])):
        earliest = subtasks[index].subtask_term_offset_range[0]
        shortest = int(length) - _range_of_begin(subtasks, index)[1] + earliest
        if 0 < shortest < MIN_SEGMENT:
            found = f"subtask {index} may have only {shortest} of its {length} steps"
            remedy = "narrow the offset ranges, or join the subtask with a neighbour"
            frame = (0, *ends)[index]
            findings.add(
                WARNING, "short segment", found, f"{MIN_SEGMENT} or more", remedy, eef=eef_name, frame=frame,
                last_frame=ends[index] - 1,
            )  # fmt: skip

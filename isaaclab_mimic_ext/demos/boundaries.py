"""Subtask boundaries of a demo from its term signals, and a check of the ranges of random offsets.

Source: MimicGen (arXiv 2310.17596), `DataGenInfoPool` of Isaac Lab Mimic. Here a subtask ends at the first *rise* of its
signal at or after the previous end; Isaac Lab uses the first change, which can be a fall. Start signals: `demos/skills.py`.
"""

# D demos, S subtasks of one end effector, T time steps of a demo

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from isaaclab_mimic_ext.config import SubTaskBoundsCfg
from isaaclab_mimic_ext.demos.source import SourceDemo
from isaaclab_mimic_ext.errors import SourceDataError, TaskSpecError
from isaaclab_mimic_ext.texts import counted

_REMEDY = "annotate the demo again, or leave out the demo"


def subtask_ends(demo: SourceDemo, signals: Sequence[str | None]) -> list[int]:
    """Exclusive end of each of the S subtasks [steps], strictly increasing; the last one is T.

    Args:
        demo: a demo that contains all of these signals.
        signals: term signal of each subtask, in order; that of the last subtask is ignored.

    Raises:
        SourceDataError: a signal is true at step 0, or does not rise within its subtask.
        TaskSpecError: a subtask other than the last has no signal, or the list is empty.
    """
    if not signals:
        raise TaskSpecError("subtask_configs: must have at least one subtask for each end effector; add one")
    ends: list[int] = []
    for index, signal in enumerate(signals[:-1]):
        if signal is None:
            reason = "must have a subtask_term_signal, like every subtask except the last"
            raise TaskSpecError(f"subtask {index + 1}: {reason}; choices: {', '.join(demo.subtask_term_signals) or 'none'}")
        ends.append(end_after(demo, signal, ends[-1] if ends else 0))
    return [*ends, demo.num_steps]


def end_after(demo: SourceDemo, signal: str, begin: int) -> int:
    """Exclusive end of a subtask [steps]: one step after the first rise of its term signal at or after step `begin`.

    Raises:
        SourceDataError: the signal does not rise at or after `begin`, or only at the last step of the demo.
    """
    place = f"{demo.place}: signal '{signal}'"
    rise = first_rise(place, demo.subtask_term_signals[signal], begin, "where the subtask begins")
    if rise + 1 >= demo.num_steps:
        reason = f"rises only at step {rise}, the last step of the demo, so that the next subtask has no steps"
        raise SourceDataError(f"{place} {reason}; {_REMEDY}")
    return rise + 1


def first_rise(place: str, signal: NDArray[np.bool_], begin: int, begins_at: str) -> int:
    """First step at or after step `begin` at which a signal (T,) rises from false to true.

    Args:
        place: demo, subtask and signal, for errors.
        begins_at: description of `begin`, for errors.

    Raises:
        SourceDataError: the signal is true at step 0, or does not rise at or after `begin`.
    """
    if signal[0]:
        raise SourceDataError(f"{place} is already true at step 0, but must rise from false to true; {_REMEDY}")
    rises = rising_steps(signal)
    usable = rises[rises >= begin]
    if len(usable) == 0:
        found = f"rises at step {', '.join(map(str, rises[:5]))}" if len(rises) else "false in all steps"
        where = f" at or after step {begin}, {begins_at}" if begin else ""
        length = counted(len(signal), "step")
        raise SourceDataError(f"{place} never rises{where} ({found}; the demo has {length}); {_REMEDY}")
    return int(usable[0])


def rising_steps(signal: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Steps at which a signal (T,) is true and was false in the step before, ascending."""
    return np.flatnonzero(signal[1:] & ~signal[:-1]) + 1


def check_offsets(eef_name: str, subtasks: Sequence[SubTaskBoundsCfg], ends: Mapping[str, Sequence[int]]) -> None:
    """Refuse offset ranges if any draw can make a segment empty, bring segments out of order, or leave the demo.

    Let b_0 be the drawn start of the first subtask, and b_i the drawn end of subtask i - 1. The condition is
    0 <= b_0 < b_1 < ... < b_S = T for all draws. The draws are independent, so it is sufficient to compare the latest value
    of each boundary with the earliest value of the next.

    Args:
        eef_name: end effector of the subtasks.
        subtasks: the S subtasks. Their `subtask_term_offset_range`, and the `first_subtask_start_offset_range` of the first,
            are checked; both bounds are included [steps].
        ends: place of a demo -> nominal exclusive ends of its S subtasks [steps], from `subtask_ends`.

    Raises:
        TaskSpecError: with the demo, the subtask, the numbers and a remedy.
    """
    if not subtasks:
        raise TaskSpecError(f"subtask_configs.{eef_name}: must have at least one subtask (got none); add one")
    ranges = [offset_range(f"{eef_name}.0.first_subtask_start_offset_range", subtasks[0].first_subtask_start_offset_range)]
    for index, config in enumerate(subtasks):
        ranges.append(offset_range(f"{eef_name}.{index}.subtask_term_offset_range", config.subtask_term_offset_range))
    if ranges[-1] != (0, 0):
        field = f"subtask_configs.{eef_name}.{len(subtasks) - 1}.subtask_term_offset_range"
        reason = f"must be (0, 0) for the last subtask, which ends with the demo (got {ranges[-1]})"
        raise TaskSpecError(f"{field}: {reason}; set it to (0, 0)")
    if ranges[0][0] < 0:
        field = f"subtask_configs.{eef_name}.0.first_subtask_start_offset_range"
        raise TaskSpecError(f"{field}: must be >= 0, the first step of the demo (got {ranges[0]}); use a lower bound >= 0")
    labels = [subtask_label(index, config) for index, config in enumerate(subtasks)]
    for place, demo_ends in ends.items():
        if len(demo_ends) != len(subtasks):
            found = counted(len(demo_ends), "end")
            reason = f"must have one end per subtask of {eef_name} (got {found} for {counted(len(subtasks), 'subtask')})"
            raise TaskSpecError(f"{place}: {reason}; pass the result of subtask_ends")
        _check_demo(f"{place}, {eef_name}", [0, *map(int, demo_ends)], ranges, labels)


def _check_demo(place: str, nominal: Sequence[int], ranges: Sequence[tuple[int, int]], labels: Sequence[str]) -> None:
    """Compare the latest draw of each of the S + 1 boundaries with the earliest of the next."""
    for index, label in enumerate(labels):
        (_, late), (early, _) = ranges[index], ranges[index + 1]
        if nominal[index] + late < nominal[index + 1] + early:
            continue
        begin = f"may begin at step {nominal[index]} + {late} = {nominal[index] + late}"
        end = f"end at step {nominal[index + 1]} + {early} = {nominal[index + 1] + early}"
        if index == 0:
            field = "first_subtask_start_offset_range"
        else:
            field = f"subtask_term_offset_range of subtask {labels[index - 1]} or {label}"
        reason = f"subtask {label} {begin} and {end}, and would then have no steps"
        raise TaskSpecError(f"{place}: {reason}; narrow {field}, or leave out the demo")


def offset_range(field: str, offsets: Sequence[int]) -> tuple[int, int]:
    """Lower and upper bound of an offset range, both included [steps].

    Raises:
        TaskSpecError: the value is not a pair of ascending integers.
    """
    is_pair = len(offsets) == 2 and all(isinstance(bound, int) for bound in offsets)
    if not is_pair or offsets[0] > offsets[1]:
        reason = f"must be two integers, the lower first (got {tuple(offsets)}); use a range such as (3, 8)"
        raise TaskSpecError(f"subtask_configs.{field}: {reason}")
    return offsets[0], offsets[1]


def subtask_label(index: int, config: SubTaskBoundsCfg) -> str:
    """Term signal of a subtask, for messages: `'grasp'`; without one, its number, counted from 1."""
    return f"'{config.subtask_term_signal}'" if config.subtask_term_signal else str(index + 1)

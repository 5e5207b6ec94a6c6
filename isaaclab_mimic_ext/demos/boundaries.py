"""Where the subtasks of a demo end, and whether random offsets can bring their ends out of order.

Source: MimicGen (arXiv 2310.17596), `DataGenInfoPool` of Isaac Lab Mimic; here the first *rise* at or after the previous
end counts, where Isaac Lab takes the first change, a fall included. Skills with starts of their own: `demos/skills.py`.
"""

# D demos, S subtasks of one end effector, T time steps of a demo

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from isaaclab_mimic_ext.config import SubTaskBoundsCfg
from isaaclab_mimic_ext.demos.source import SourceDemo
from isaaclab_mimic_ext.errors import SourceDataError, TaskSpecError

_REMEDY = "annotate the demo again, or leave it out"


def subtask_ends(demo: SourceDemo, signals: Sequence[str | None]) -> list[int]:
    """Exclusive end of each subtask [steps], S of them, strictly increasing; the last is T.

    Args:
        demo: the demo, which has every signal named.
        signals: each subtask's termination signal, in order; that of the last is ignored.

    Raises:
        SourceDataError: a signal is true from the start, or does not rise where it must.
        TaskSpecError: a subtask other than the last has no signal, or there are no subtasks.
    """
    if not signals:
        raise TaskSpecError("subtask_configs: an end effector without subtasks; give it at least one")
    ends: list[int] = []
    for index, signal in enumerate(signals[:-1]):
        if signal is None:
            reason = "has no subtask_term_signal, which every subtask but the last needs"
            raise TaskSpecError(f"subtask {index}: {reason}; choices: {', '.join(demo.subtask_term_signals) or 'none'}")
        ends.append(end_after(demo, signal, index, ends[-1] if ends else 0))
    return [*ends, demo.num_steps]


def end_after(demo: SourceDemo, signal: str, subtask: int, begin: int) -> int:
    """One step after the first rise of `signal` at or after `begin`.

    Raises:
        SourceDataError: there is none, or nothing of the demo is left after it.
    """
    place = f"{demo.place}: subtask {subtask}: signal '{signal}'"
    rise = first_rise(place, demo.subtask_term_signals[signal], begin, "where the subtask begins")
    if rise + 1 >= demo.num_steps:
        raise SourceDataError(f"{place} rises only at step {rise}, the demo's last: nothing is left; {_REMEDY}")
    return rise + 1


def first_rise(place: str, signal: NDArray[np.bool_], begin: int, begins_at: str) -> int:
    """The first step at or after `begin` at which a signal (T,) rises.

    Args:
        place: beginning of an error: demo, subtask and signal.
        begins_at: what `begin` is, for the error.

    Raises:
        SourceDataError: the signal is true from the start, or does not rise at or after `begin`.
    """
    if signal[0]:
        raise SourceDataError(f"{place} is already true at step 0, expected a rise from false to true; {_REMEDY}")
    rises = rising_steps(signal)
    usable = rises[rises >= begin]
    if len(usable) == 0:
        found = f"it rises at {', '.join(map(str, rises[:5]))}" if len(rises) else "it is false throughout"
        where = f" at or after step {begin}, {begins_at}" if begin else ""
        raise SourceDataError(f"{place} never rises{where} ({found}, {len(signal)} steps in all); {_REMEDY}")
    return int(usable[0])


def rising_steps(signal: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The steps k at which a signal (T,) is true and was false at k - 1."""
    return np.flatnonzero(signal[1:] & ~signal[:-1]) + 1


def check_offsets(eef_name: str, subtasks: Sequence[SubTaskBoundsCfg], ends: Mapping[str, Sequence[int]]) -> None:
    """Refuse offset ranges under which some draw would leave a segment empty, out of order, or outside of its demo.

    With b_0 the drawn start and b_i the drawn end of subtask i - 1, it must be 0 <= b_0 < b_1 < ... < b_S = T for every
    draw. The draws are independent, so neighbours at their worst are all that there is to check.

    Args:
        eef_name: whose subtasks these are.
        subtasks: S of them; `subtask_term_offset_range` of each and `first_subtask_start_offset_range` of the first count,
            both bounds included [steps].
        ends: place of a demo -> nominal exclusive ends of its S subtasks [steps], as `subtask_ends` gives them.

    Raises:
        TaskSpecError: it names the demo, the subtask, the numbers and what can be done.
    """
    if not subtasks:
        raise TaskSpecError(f"subtask_configs.{eef_name}: no subtasks; give it at least one")
    ranges = [offset_range(f"{eef_name}.0.first_subtask_start_offset_range", subtasks[0].first_subtask_start_offset_range)]
    for index, config in enumerate(subtasks):
        ranges.append(offset_range(f"{eef_name}.{index}.subtask_term_offset_range", config.subtask_term_offset_range))
    if ranges[-1] != (0, 0):
        field = f"subtask_configs.{eef_name}.{len(subtasks) - 1}.subtask_term_offset_range"
        raise TaskSpecError(f"{field}: {ranges[-1]}, but the last subtask ends with the demo; set it to (0, 0)")
    if ranges[0][0] < 0:
        field = f"subtask_configs.{eef_name}.0.first_subtask_start_offset_range"
        raise TaskSpecError(f"{field}: {ranges[0]} begins before the demo's first step; its least value is 0")
    labels = [subtask_label(index, config) for index, config in enumerate(subtasks)]
    for place, demo_ends in ends.items():
        if len(demo_ends) != len(subtasks):
            reason = f"{len(demo_ends)} subtask ends for {len(subtasks)} subtasks of {eef_name}"
            raise TaskSpecError(f"{place}: {reason}; give one each")
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
        reason = f"subtask {label} {begin} and {end}, which leaves it no step"
        raise TaskSpecError(f"{place}: {reason}; narrow {field}, or leave the demo out")


def offset_range(field: str, offsets: Sequence[int]) -> tuple[int, int]:
    """The bounds of an offset range, both included.

    Raises:
        TaskSpecError: it is none.
    """
    is_pair = len(offsets) == 2 and all(isinstance(bound, int) for bound in offsets)
    if not is_pair or offsets[0] > offsets[1]:
        found = f"{tuple(offsets)}, expected two integers, the lower first, such as (3, 8)"
        raise TaskSpecError(f"subtask_configs.{field}: {found}")
    return offsets[0], offsets[1]


def subtask_label(index: int, config: SubTaskBoundsCfg) -> str:
    """What a message calls a subtask."""
    return f"{index} '{config.subtask_term_signal}'" if config.subtask_term_signal else str(index)

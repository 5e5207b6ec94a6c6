"""Where the skills of a demo start and end: SkillGen's segments, between which the motion is planned instead of replayed.

Source: SkillGen (arXiv 2410.18907); Isaac Lab Mimic's `subtask_start_signals`, named as the term signals. The last subtask
needs a name too, for its start. A start is the step at which its signal rises; ends are those of `demos/boundaries.py`,
looked for from the subtask's own start on.
"""

# S subtasks of one end effector, T time steps of a demo

from collections.abc import Mapping, Sequence

from isaaclab_mimic_ext.config import SubTaskBoundsCfg
from isaaclab_mimic_ext.demos.boundaries import end_after, first_rise, offset_range, subtask_label
from isaaclab_mimic_ext.demos.source import SourceDemo
from isaaclab_mimic_ext.errors import TaskSpecError

Span = tuple[int, int]
"""[start, end) [steps]."""


def skill_spans(demo: SourceDemo, signals: Sequence[str | None]) -> list[Span]:
    """[start, end) of each subtask [steps]; ordered, none empty, the last ends with the demo.

    Args:
        demo: the demo, which has the start signal of every subtask and the term signal of all but the last.
        signals: each subtask's termination signal, in order, which names its start signal too.

    Raises:
        SourceDataError: a start or an end is not marked where it must be.
        TaskSpecError: a subtask has no signal.
    """
    spans: list[Span] = []
    for index, signal in enumerate(signals):
        if signal is None:
            reason = "has no subtask_term_signal; under SkillGen each needs one, the last too: it names the start signal"
            raise TaskSpecError(f"subtask {index}: {reason}; choices: {', '.join(demo.subtask_start_signals) or 'none'}")
        start = _start_after(demo, signal, index, spans[-1][1] if spans else 0)
        is_last = index == len(signals) - 1
        spans.append((start, demo.num_steps if is_last else end_after(demo, signal, index, start)))
    return spans


def _start_after(demo: SourceDemo, signal: str, subtask: int, previous_end: int) -> int:
    """The first rise of a start signal at or after the previous end; the first subtask's may be true from step 0 on."""
    values = demo.subtask_start_signals[signal]
    if values[0] and subtask == 0:
        return 0
    place = f"{demo.place}: subtask {subtask}: start signal '{signal}'"
    return first_rise(place, values, previous_end, "where the subtask before ends")


def check_skill_offsets(eef_name: str, subtasks: Sequence[SubTaskBoundsCfg], spans: Mapping[str, Sequence[Span]]) -> None:
    """Refuse offset ranges under which some draw would leave a skill empty, out of order, or outside of its demo.

    With s_i and e_i the drawn start and end of subtask i it must be 0 <= s_0 and s_i < e_i <= s_(i+1) for every draw. The
    draws are independent, so neighbours at their worst are all that there is to check.

    Args:
        eef_name: whose subtasks these are.
        subtasks: S of them; `subtask_start_offset_range` and `subtask_term_offset_range` of each count [steps].
        spans: place of a demo -> nominal spans of its S subtasks, as `skill_spans` gives them.

    Raises:
        TaskSpecError: it names the demo, the subtask, the numbers and what can be done.
    """
    field = f"subtask_configs.{eef_name}"
    first = tuple(subtasks[0].first_subtask_start_offset_range)
    if any(first):
        reason = "SkillGen's first skill starts where its start signal says"
        raise TaskSpecError(f"{field}.0.first_subtask_start_offset_range: {first}: {reason}; use subtask_start_offset_range")
    starts = [
        _range(eef_name, i, "subtask_start_offset_range", s.subtask_start_offset_range) for i, s in enumerate(subtasks)
    ]
    ends = [_range(eef_name, i, "subtask_term_offset_range", s.subtask_term_offset_range) for i, s in enumerate(subtasks)]
    if ends[-1] != (0, 0):
        name = f"{field}.{len(subtasks) - 1}.subtask_term_offset_range"
        raise TaskSpecError(f"{name}: {ends[-1]}, but the last subtask ends with the demo; set it to (0, 0)")
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
    latest_end = "step 0, where the demo begins", 0
    for index, ((start, end), label) in enumerate(zip(spans, labels, strict=True)):
        (low, high), (early, late) = start_offsets[index], end_offsets[index]
        if start + low < latest_end[1]:
            reason = f"subtask {label} may start at step {start} + {low} = {start + low}, before {latest_end[0]}"
            names = f"subtask_start_offset_range of subtask {label}"
            names += f" or subtask_term_offset_range of {labels[index - 1]}" if index else ""
            raise TaskSpecError(f"{place}: {reason}; narrow {names}, or leave the demo out")
        if start + high >= end + early:
            begin = f"may start at step {start} + {high} = {start + high}"
            reason = f"subtask {label} {begin} and end at step {end} + {early} = {end + early}, which leaves it no step"
            names = f"subtask_start_offset_range or subtask_term_offset_range of subtask {label}"
            raise TaskSpecError(f"{place}: {reason}; narrow {names}, or leave the demo out")
        latest_end = f"subtask {label} may end, step {end} + {late} = {end + late}", end + late

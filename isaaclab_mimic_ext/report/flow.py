"""How far trials come: a flow from subtask to subtask, out of which those that fail run off."""

# K trials, S subtasks

from dataclasses import dataclass

import numpy as np

from isaaclab_mimic_ext.report.records import RunRecords
from isaaclab_mimic_ext.report.summary import count_reasons
from isaaclab_mimic_ext.report.svg import BAD, GOOD, INK, MUTED, cut, element, picture, rect, ribbon, text

_WIDTH, _TOP, _FULL, _NODE = 1000.0, 46.0, 130.0, 10.0
_LEFT, _RIGHT = 16.0, 100.0
_LOSS_TOP = _TOP + _FULL + 26.0
_LINE = 15.0
_MOST_REASONS = 4
_LETTER = 5.8
"""Width of a letter in the lists of reasons."""


@dataclass(frozen=True)
class Stage:
    """One place on the way: so many trials got there, and those that did not get to the next one failed for `lost`."""

    title: str
    count: int
    lost: dict[str, int]


def stages_of(records: RunRecords, eef: int) -> list[Stage]:
    """All trials, those that attained each subtask of an end effector, and those that succeeded."""
    subtasks = records.subtasks[eef]
    masks = [np.ones(len(records), dtype=bool), *(records.attained(subtask) for subtask in subtasks)]
    masks.append(records.success)
    titles = ["trials", *(subtask.title for subtask in subtasks), "success"]
    # A trial may succeed without a subtask's signal; it is not lost there.
    reached = [mask | records.success for mask in masks]
    following = [*reached[1:], reached[-1]]
    pairs = zip(titles, reached, following, strict=True)
    return [Stage(title, int(mask.sum()), count_reasons(records.only(mask & ~after))) for title, mask, after in pairs]


def draw_flow(stages: list[Stage], colors: dict[str, str], label: str) -> str:
    """The flow as SVG; the height of a band is its number of trials."""
    total = max(stages[0].count, 1)
    step = (_WIDTH - _LEFT - _RIGHT - _NODE) / (len(stages) - 1)
    parts: list[str] = []
    for index, stage in enumerate(stages):
        x, height = _LEFT + index * step, _FULL * stage.count / total
        if index + 1 < len(stages):
            following = next((other for other in range(index + 1, len(stages)) if stages[other].lost), len(stages))
            room = step * (following - index) - _NODE
            parts += _to_next(stage, stages[index + 1].count, x + _NODE, (step - _NODE, room), _FULL / total, colors)
        is_last = index + 1 == len(stages)
        parts.append(rect(x, _TOP, _NODE, max(height, 1.0), GOOD if is_last else INK, f"{stage.title}: {stage.count}"))
        parts.append(text(x, _TOP - 24, stage.title, size=13, font_weight=600))
        parts.append(text(x, _TOP - 8, f"{stage.count}  ({stage.count / total:.0%})", size=12, fill=MUTED))
    most = max((min(len(stage.lost), _MOST_REASONS + 1) for stage in stages), default=0)
    return picture(_WIDTH, _LOSS_TOP + 8 + _LINE * most + 10 if most else _TOP + _FULL + 10, parts, label)


def _to_next(
    stage: Stage, num_after: int, x: float, widths: tuple[float, float], unit: float, colors: dict[str, str]
) -> list[str]:
    """The bands from a stage to the next one, and to what is lost on the way.

    Args:
        widths: of the bands, and of the list below them.
    """
    width, room = widths
    parts = [ribbon(x, _TOP, x + width, _TOP, unit * num_after, GOOD, f"{num_after} go on")]
    top, bottom = _TOP + unit * num_after, _LOSS_TOP
    end = x + 0.55 * width
    for name, count in stage.lost.items():
        height = max(unit * count, 1.0)
        parts.append(_fall(x, top, end, bottom, height, colors.get(name, BAD), f"{count}: {name}"))
        top, end = top + unit * count, end - height - 2
    shown = list(stage.lost.items())[:_MOST_REASONS]
    for row, (name, count) in enumerate(shown):
        y = bottom + 18 + row * _LINE
        parts.append(rect(x, y - 8, 8, 8, colors.get(name, BAD)))
        shown_name = cut(f"{count} {name}", int((room - 14) / _LETTER))
        parts.append(text(x + 12, y, shown_name, size=11))
    if len(stage.lost) > len(shown):
        rest = sum(stage.lost.values()) - sum(count for _, count in shown)
        parts.append(text(x + 12, bottom + 18 + len(shown) * _LINE, f"{rest} others", size=11, fill=MUTED))
    return parts


def _fall(x: float, top: float, end: float, bottom: float, height: float, fill: str, title: str) -> str:
    """A band that leaves to the right and bends down until `bottom`; it is `height` wide there, ending at x = `end`."""
    inner, radius = end - height, 14.0
    inner = max(inner, x + 2)
    outer = inner + height
    path = (
        f"M{x:.1f},{top:.1f} H{max(inner, x):.1f} Q{outer:.1f},{top:.1f} {outer:.1f},{top + max(height, radius):.1f} "
        f"V{bottom:.1f} H{inner:.1f} V{top + max(height, radius):.1f} Q{inner:.1f},{top + height:.1f} "
        f"{max(inner - radius, x):.1f},{top + height:.1f} H{x:.1f} Z"
    )
    return element("path", element("title", title), d=path, fill=fill, fill_opacity=0.75)

"""The picture of an examination: each demo a bar over its steps, cut into subtasks, with marks where findings are."""

# T steps of a demo

from collections.abc import Iterator, Sequence

import numpy as np

from isaaclab_mimic_ext.datasets.findings import ERROR, WARNING
from isaaclab_mimic_ext.demos.boundaries import rising_steps
from isaaclab_mimic_ext.doctor.drawing import FONT_SIZE, Shape, rectangle, text_width
from isaaclab_mimic_ext.doctor.examine import Examination
from isaaclab_mimic_ext.doctor.findings import LEVELS, NOTE, DemoFinding
from isaaclab_mimic_ext.doctor.view import DemoView, EefView

_WIDTH, _LEFT, _RIGHT, _TOP = 1500, 110, 330, 96
"""Of the whole, of the columns beside the bars, and of the head [px]."""
_BAR, _STRIP, _MARK, _GAP = 24, 5, 9, 12
"""Heights of a bar, of the strip below that shows the gripper, of a mark, and between demos [px]."""
_STACK = 3
"""Marks at one place stand on each other, so many at most."""
_INK, _FAINT, _LINE = "#212529", "#6c757d", "#dee2e6"
_CLOSED, _OPEN, _SPEED, _UNKNOWN = "#343a40", "#e9ecef", "#1b4965", "#ced4da"
_SUBTASKS = ("#a8d5e5", "#f6d6a8", "#b9e0b4", "#d9c7ec", "#f3c2c2", "#d8d8a6", "#bcd0f0", "#e6c9b3")
_LEVEL_COLORS = {ERROR: "#c1121f", WARNING: "#e08e0b", NOTE: "#6c757d"}


def draw_timeline(examination: Examination) -> tuple[list[Shape], tuple[int, int]]:
    """The shapes of the picture, and its width and height [px]."""
    report, views = examination.report, {view.name: view for view in examination.views}
    num_eefs = max((len(view.eefs) for view in views.values()), default=1)
    row = num_eefs * (_STACK * _MARK + _BAR + _STRIP) + _GAP
    longest = max(report.demos.values(), default=0) or 1
    # Of most demos, so that a jump in one of them does not flatten the others.
    fastest = np.median([eef.speed.max(initial=0.0) for view in views.values() for eef in view.eefs.values()] or [0.0])
    scale = _Scale((_WIDTH - _LEFT - _RIGHT) / longest, max(1.2 * float(fastest), 1e-6))
    shapes = list(_head(examination, longest, scale, _TOP + row * len(report.demos)))
    for index, name in enumerate(report.demos):
        found = [finding for finding in report.findings if finding.demo == name]
        shapes += _demo(name, views.get(name), found, _TOP + index * row, scale)
        shares = [taken.get(name, 0.0) for subtasks in report.selected.values() for taken in subtasks]
        if shares:
            place = (_LEFT - 12, _TOP + index * row + _STACK * _MARK + _BAR + 4)
            shapes.append(Shape((place,), _FAINT, text=f"taken {np.mean(shares):.0%}", anchor="end", size=10))
    return shapes, (_WIDTH, _TOP + row * len(report.demos) + 28)


class _Scale:
    """Pixels of steps, and of speeds [m/s]."""

    def __init__(self, per_step: float, fastest: float):
        self.per_step, self.fastest = per_step, fastest

    def x(self, step: float) -> float:
        return _LEFT + step * self.per_step


def _head(examination: Examination, longest: int, scale: _Scale, bottom: float) -> Iterator[Shape]:
    report = examination.report
    yield rectangle(0, 0, _WIDTH, bottom + 28, "#ffffff")
    verdict = _LEVEL_COLORS[ERROR] if not report.is_healthy else "#2d6a4f"
    yield Shape(((16, 22),), _INK, text=report.path[-120:], size=16)
    yield Shape(((16, 46),), verdict, text=report.summary(), size=15)
    yield from _legend(examination)
    tick = next(size for size in (10, 20, 50, 100, 200, 500, 1000, 5000, 10**9) if longest / size <= 12)
    for step in range(0, longest + 1, tick):
        yield Shape(((scale.x(step), _TOP - 4), (scale.x(step), bottom)), _LINE, width=1)
        yield Shape(((scale.x(step), bottom + 12),), _FAINT, text=str(step), anchor="middle", size=11)
    yield Shape(((scale.x(longest) + 24, bottom + 12),), _FAINT, text="step", size=11)
    for index, finding in enumerate([finding for finding in report.findings if finding.demo is None][:4]):
        place = (_WIDTH - 16, 22 + 18 * index)
        yield Shape(
            (place,), _LEVEL_COLORS[finding.level], text=finding.found[:90], anchor="end", size=12, hint=_hint(finding)
        )


def _legend(examination: Examination) -> Iterator[Shape]:
    x, y = 16.0, 72.0
    entries = [("error", _LEVEL_COLORS[ERROR]), ("warning", _LEVEL_COLORS[WARNING]), ("note", _LEVEL_COLORS[NOTE])]
    for name, color in entries:
        yield _mark(x + 5, y + 4, color)
        yield Shape(((x + 16, y),), _INK, text=name)
        x += 34 + text_width(name)
    entries = [("gripper closed", _CLOSED)]
    eefs = list(examination.views[0].eefs.values()) if examination.views else []
    if len(eefs) == 1:
        entries += [(_label(eefs[0], index), _color(index)) for index in range(len(eefs[0].subtasks))]
    for name, color in entries:
        yield rectangle(x, y - 5, 14, 10, color)
        yield Shape(((x + 20, y),), _INK, text=name)
        x += 40 + text_width(name)
    yield Shape(((x, y + 4), (x + 7, y - 4), (x + 14, y + 2)), _SPEED, width=1.2)
    yield Shape(((x + 20, y),), _INK, text="speed of the hand")


def _demo(name: str, view: DemoView | None, found: Sequence[DemoFinding], top: float, scale: _Scale) -> Iterator[Shape]:
    first_bar = top + _STACK * _MARK
    yield Shape(((_LEFT - 12, first_bar + _BAR / 2),), _INK, text=name, anchor="end")
    if view is None:
        yield rectangle(_LEFT, first_bar, _WIDTH - _LEFT - _RIGHT, _BAR, _UNKNOWN)
        yield Shape(((_LEFT + 10, first_bar + _BAR / 2),), _INK, text="cannot be read")
    eefs = list(view.eefs.values()) if view is not None else []
    for index, eef in enumerate(eefs):
        bar = first_bar + index * (_STACK * _MARK + _BAR + _STRIP)
        yield from _bar(eef, bar, scale)
        if len(eefs) > 1:
            yield Shape(((scale.x(eef.num_steps) + 8, bar + _BAR / 2),), _FAINT, text=eef.name, size=11)
        if view is not None and eef.spans is None:
            yield from _rises(view, eef, bar, scale)
    lanes = [eef.name for eef in eefs]
    for finding in found:
        lane = lanes.index(finding.eef) if finding.eef in lanes else 0
        bar = first_bar + lane * (_STACK * _MARK + _BAR + _STRIP)
        if finding.last_frame is not None and finding.frame is not None:
            color, ends = _LEVEL_COLORS[finding.level], (scale.x(finding.frame), scale.x(finding.last_frame + 1))
            yield Shape(((ends[0], bar - 1), (ends[1], bar - 1)), color, width=3, hint=_hint(finding))
    yield from _marks(found, lanes, first_bar, scale)
    yield from _told(found, first_bar + _BAR / 2)


def _bar(eef: EefView, top: float, scale: _Scale) -> Iterator[Shape]:
    spans = eef.spans if eef.spans is not None else []
    yield rectangle(_LEFT, top, eef.num_steps * scale.per_step, _BAR, _UNKNOWN)
    for index, (start, end) in enumerate(spans):
        label, width = _label(eef, index), (end - start) * scale.per_step
        hint = f"{label}: steps {start} to {end - 1}"
        yield rectangle(scale.x(start), top, width, _BAR, _color(index), hint)
        if text_width(label, 11) < width - 6:
            yield Shape(((scale.x(start) + 5, top + 8),), _FAINT, text=label, size=11, hint=hint)
    steps = np.arange(len(eef.speed))
    heights = top + _BAR - (_BAR - 2) * np.minimum(eef.speed / scale.fastest, 1.0)
    if len(steps) > 1:
        yield Shape(tuple((scale.x(x), y) for x, y in zip(steps.tolist(), heights.tolist(), strict=True)), _SPEED, width=1.2)
    yield rectangle(_LEFT, top + _BAR, eef.num_steps * scale.per_step, _STRIP, _OPEN)
    changes = [0, *eef.gripper_transitions, eef.num_steps]
    for first, end in zip(changes[1::2], changes[2::2], strict=False):
        hint = f"gripper closed: steps {first} to {end - 1}"
        yield rectangle(scale.x(first), top + _BAR, (end - first) * scale.per_step, _STRIP, _CLOSED, hint)


def _rises(view: DemoView, eef: EefView, top: float, scale: _Scale) -> Iterator[Shape]:
    """Where the signals rise of which the marks make no sense."""
    for index, config in enumerate(eef.subtasks[:-1]):
        values = view.demo.subtask_term_signals.get(config.subtask_term_signal or "")
        if values is None:
            continue
        for step in rising_steps(values)[:5].tolist():
            x, y = scale.x(step), top + 5 + 7 * (index % 3)
            yield Shape(((x, top), (x, top + _BAR)), _INK, width=1.5)
            yield Shape(((x + 4, y),), _INK, text=str(config.subtask_term_signal), size=10)


def _marks(found: Sequence[DemoFinding], lanes: Sequence[str], first_bar: float, scale: _Scale) -> Iterator[Shape]:
    """A triangle over the step of each finding; worse ones lower, so that they are seen where there is no room for all."""
    taken: list[tuple[int, float]] = []
    for finding in sorted(found, key=lambda finding: LEVELS.index(finding.level)):
        if finding.frame is None:
            continue
        lane = lanes.index(finding.eef) if finding.eef in lanes else 0
        x = scale.x(finding.frame + 0.5)
        below = sum(other == lane and abs(place - x) < _MARK for other, place in taken)
        taken.append((lane, x))
        if below < _STACK:
            y = first_bar + lane * (_STACK * _MARK + _BAR + _STRIP) - 2 - below * _MARK
            yield _mark(x, y, _LEVEL_COLORS[finding.level], _hint(finding))


def _mark(x: float, y: float, color: str, hint: str = "") -> Shape:
    return Shape(((x - 5, y - _MARK + 1), (x + 5, y - _MARK + 1), (x, y)), color, hint=hint)


def _told(found: Sequence[DemoFinding], y: float) -> Iterator[Shape]:
    """The names of the checks that found something, beside the bars."""
    x = _WIDTH - _RIGHT + 14.0
    names: dict[tuple[str, str], list[DemoFinding]] = {}
    for finding in sorted(found, key=lambda finding: LEVELS.index(finding.level)):
        names.setdefault((finding.level, finding.check), []).append(finding)
    for index, ((level, check), same) in enumerate(names.items()):
        told = check if len(same) == 1 else f"{check} ({len(same)})"
        if x + text_width(told) > _WIDTH - 40 and index < len(names):
            yield Shape(((x, y),), _FAINT, text=f"+{len(names) - index}")
            return
        yield Shape(((x, y),), _LEVEL_COLORS[level], text=told, hint="\n".join(map(_hint, same)))
        x += text_width(told) + FONT_SIZE


def _hint(finding: DemoFinding) -> str:
    step = "" if finding.frame is None else f" at step {finding.frame}"
    return f"{finding.level}: {finding.check}{step}: {finding.found}; expected {finding.expected}. {finding.remedy}"


def _label(eef: EefView, index: int) -> str:
    config = eef.subtasks[index]
    return config.subtask_term_signal or config.description or f"subtask {index}"


def _color(index: int) -> str:
    return _SUBTASKS[index % len(_SUBTASKS)]

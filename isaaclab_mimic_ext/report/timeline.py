"""Timeline of source demos: one bar per demo, divided into subtasks, with marks for the findings of `mimic check`."""

# Horizontal coordinates are steps, vertical coordinates CSS pixels, y down.

from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from isaaclab_mimic_ext.checks.examine import Examination
from isaaclab_mimic_ext.checks.findings import LEVELS, NOTE, DemoFinding
from isaaclab_mimic_ext.checks.motion import DemoView, EefView
from isaaclab_mimic_ext.datasets.findings import ERROR, WARNING
from isaaclab_mimic_ext.demos.boundaries import rising_steps
from isaaclab_mimic_ext.errors import OutputError
from isaaclab_mimic_ext.files.writing import check_output, created_folder, write_text
from isaaclab_mimic_ext.report.charts import (
    CELL_INK,
    ERROR_INK,
    GOOD_INK,
    GRID,
    INK,
    MUTED,
    SMALL,
    SUBTASK_COLORS,
    WARNING_INK,
    Canvas,
    add_legend,
    canvas,
    printable,
    shorten,
)
from isaaclab_mimic_ext.report.pages import render

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH, _LEFT, _RIGHT, _TOP, _FOOT = 1150.0, 150.0, 210.0, 100.0, 42.0
"""Total width, widths of the columns left and right of the bars, heights of the head and of the axis of steps [px]."""
_BAR, _STRIP, _MARK, _GAP = 32.0, 5.0, 9.0, 12.0
"""Heights of a bar, of the strip of the gripper below it, of a mark, and of the gap between demos [px]."""
_MAX_STACKED = 3
"""Marks at the same step are stacked, at most this many."""
_EEF_HEIGHT = _MAX_STACKED * _MARK + _BAR + _STRIP
"""Height of the marks, bar and strip of one end effector [px]."""
_LETTER = 7.0
"""Approximate width of a letter at the normal font size [px]."""
_CLOSED, _SPEED, _UNKNOWN = "#4a5560", "#1b4965", "#ced4da"
_LEVEL_COLORS = {ERROR: "#d03a3a", WARNING: "#d9870b", NOTE: "#7a8794"}
_LEVEL_INKS = {ERROR: ERROR_INK, WARNING: WARNING_INK, NOTE: MUTED}
"""Colors of the marks of findings, and of their texts."""
_MAX_LINES, _LINE_LENGTH, _LINE = 4, 160, 17.0
"""Largest number of lines of findings in the head, of letters in each, and the height of a line [px]."""


def write_timeline(examination: Examination, path: Path, overwrite: bool = False) -> None:
    """Write the timeline as a PNG file or, if the path ends in `.html`, as a page with details as tooltips.

    Raises:
        OutputError: the file exists, or cannot be written.
    """
    check_output(path, overwrite)
    with created_folder(path.parent, "output_file", kind=OutputError):
        if path.suffix == ".html":
            page = render("timeline.html", title=f"check_demos: {examination.report.path}", chart=_draw(examination, None))
            write_text(path, page, "output_file", kind=OutputError)
        else:
            _draw(examination, path)


def _draw(examination: Examination, path: Path | None) -> str:
    """Draw the timeline into a PNG file, or return the SVG element if `path` is None."""
    report, views = examination.report, {view.name: view for view in examination.views}
    row = max((len(view.eefs) for view in views.values()), default=1) * _EEF_HEIGHT + _GAP
    longest = max(report.demos.values(), default=0) or 1
    height = row * len(report.demos)
    lines = [
        (line, each) for each in report.findings if each.demo is None for line in _wrapped(f"{each.check}: {each.found}")
    ][:_MAX_LINES]
    top = _TOP + _LINE * len(lines)
    with canvas(_WIDTH, top + height + _FOOT) as board:
        axes = board.axes(_LEFT, top, _WIDTH - _LEFT - _RIGHT, max(height, 1.0))
        axes.set(xlim=(0, longest), ylim=(max(height, 1.0), 0), yticks=[], xlabel="step")
        axes.spines[:].set_visible(False)
        axes.tick_params(axis="x", length=0)
        axes.grid(axis="x")
        _head(board, examination, lines)
        rows = _Rows(board, axes, _speed_scale(examination))
        for index, name in enumerate(report.demos):
            found = [finding for finding in report.findings if finding.demo == name]
            shares = [selected.get(name, 0.0) for subtasks in report.selected.values() for selected in subtasks]
            rows.draw(name, views.get(name), found, index * row, shares)
        if path is None:
            return board.svg("timeline of the source demos")
        board.write_png(path)
        return ""


def _speed_scale(examination: Examination) -> float:
    """Speed at the upper edge of a bar [m/s].

    It is derived from the median of the largest speeds, so that a jump in one demo does not flatten all curves.
    """
    speeds = [eef.speed.max(initial=0.0) for view in examination.views for eef in view.eefs.values()]
    return max(1.2 * float(np.median(speeds or [0.0])), 1e-6)


def _head(board: Canvas, examination: Examination, lines: Sequence[tuple[str, DemoFinding]]) -> None:
    """Draw the file name, the verdict, the legend, and the lines of findings about the whole file."""
    report, sheet = examination.report, board.sheet()
    sheet.text(16, 22, shorten(report.path[-80:], 80), size=12, va="center_baseline")
    verdict = GOOD_INK if report.is_healthy else ERROR_INK
    sheet.text(16, 47, report.summary(), size=11, weight="bold", color=verdict, va="center_baseline")
    for index, (line, finding) in enumerate(lines):
        text = sheet.text(16, 100 + _LINE * index, line, color=_LEVEL_INKS[finding.level], va="center_baseline")
        board.add_tooltip(text, _details(finding))
    _legend(sheet, examination)


def _wrapped(text: str) -> list[str]:
    """Lines of a finding in the head. Its end must be readable: it contains the figures."""
    return wrap(printable(text), _LINE_LENGTH, max_lines=_MAX_LINES, placeholder="…")


def _legend(sheet: "Axes", examination: Examination) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    entries: list[tuple[Any, str]] = [
        (Line2D([], [], color=_LEVEL_COLORS[level], marker="v", linestyle="none", markersize=7), level) for level in LEVELS
    ]
    entries.append((Patch(color=_CLOSED), "gripper closed"))
    eefs = list(examination.views[0].eefs.values()) if examination.views else []
    if len(eefs) == 1:
        entries += [(Patch(color=_color(index)), _label(eefs[0], index)) for index in range(len(eefs[0].subtasks))]
    entries.append((Line2D([], [], color=_SPEED, linewidth=1.2), "speed of the end effector"))
    room = (_WIDTH - 40) / _LETTER - 5.5 * len(entries)
    names = [shorten(name, 26) for _, name in entries]
    if sum(map(len, names)) > room:
        names = [shorten(name, max(int(room / len(names)), 6)) for name in names]
    add_legend(
        sheet, [handle for handle, _ in entries], names, ncols=len(entries),
        loc="center left", bbox_to_anchor=(10 / _WIDTH, 1 - 76 / sheet.get_ylim()[0]), borderpad=0, handlelength=1.2,
        columnspacing=1.6, handletextpad=0.5,
    )  # fmt: skip


class _Rows:
    """Rows of the timeline, one per demo.

    Args:
        max_speed: speed at the upper edge of a bar [m/s].
    """

    def __init__(self, board: Canvas, axes: "Axes", max_speed: float):
        self._board, self._axes, self._max_speed = board, axes, max_speed
        self._px_per_step = (_WIDTH - _LEFT - _RIGHT) / axes.get_xlim()[1]
        self._margin = axes.get_yaxis_transform()
        """Transform with horizontal coordinates 0 at the left end of the axes and 1 at the right end."""

    def draw(
        self, name: str, view: DemoView | None, found: Sequence[DemoFinding], top: float, shares: Sequence[float]
    ) -> None:
        """Draw a demo.

        Args:
            view: None if the demo cannot be read.
            top: upper edge of the row [px].
            shares: fraction of the simulated trials that selected this demo, per subtask.
        """
        middle = top + _MAX_STACKED * _MARK + _BAR / 2
        self._text(-12, middle, shorten(name, 14), transform=self._margin, ha="right")
        if shares:
            used = f"used in {100 * np.mean(shares):.0f} % of trials"
            self._text(-12, middle + 17, used, transform=self._margin, ha="right", color=MUTED, size=SMALL)
        if view is None:
            self._rectangle(0, self._axes.get_xlim()[1], middle - _BAR / 2, _BAR, _UNKNOWN)
            self._text(10, middle, "cannot be read", transform=self._margin, color=CELL_INK)
        eefs = list(view.eefs.values()) if view is not None else []
        for index, eef in enumerate(eefs):
            bar = middle - _BAR / 2 + index * _EEF_HEIGHT
            self._bar(eef, bar)
            if len(eefs) > 1:
                self._text(8, bar + _BAR / 2, shorten(eef.name, 16), x=eef.num_steps, color=MUTED, size=SMALL)
            if view is not None and eef.spans is None:
                self._rises(view, eef, bar)
        self._findings(found, [eef.name for eef in eefs], middle - _BAR / 2)
        self._check_names(found, middle)

    def _bar(self, eef: EefView, top: float) -> None:
        self._rectangle(0, eef.num_steps, top, _BAR, _UNKNOWN)
        for index, (start, end) in enumerate(eef.spans or []):
            label = _label(eef, index)
            self._rectangle(start, end, top, _BAR, _color(index), f"{label}: steps {start} to {end - 1}")
            if len(label) * _LETTER < (end - start) * self._px_per_step - 8:
                ground = {"facecolor": _color(index), "linewidth": 0, "pad": 1.5}
                self._text(5, top + 9, printable(label), x=start, color=CELL_INK, bbox=ground)
        heights = top + _BAR - (_BAR - 2) * np.minimum(eef.speed / self._max_speed, 1.0)
        self._axes.plot(np.arange(len(heights)), heights, color=_SPEED, linewidth=1.1, solid_joinstyle="round")
        self._rectangle(0, eef.num_steps, top + _BAR, _STRIP, GRID)
        changes = [0, *eef.gripper_transitions, eef.num_steps]
        for first, end in zip(changes[1::2], changes[2::2], strict=False):
            self._rectangle(first, end, top + _BAR, _STRIP, _CLOSED, f"gripper closed: steps {first} to {end - 1}")

    def _rises(self, view: DemoView, eef: EefView, top: float) -> None:
        """Draw the steps in which term signals rise, for demos whose subtask boundaries could not be determined."""
        for index, config in enumerate(eef.subtasks[:-1]):
            values = view.demo.subtask_term_signals.get(config.subtask_term_signal or "")
            for step in [] if values is None else rising_steps(values)[:5].tolist():
                self._axes.plot([step, step], [top, top + _BAR], color=CELL_INK, linewidth=1.3)
                signal, ground = printable(config.subtask_term_signal), {"facecolor": _UNKNOWN, "linewidth": 0, "pad": 0.5}
                self._text(4, top + 5 + 7 * (index % 3), signal, x=step, size=SMALL, color=CELL_INK, bbox=ground)

    def _findings(self, found: Sequence[DemoFinding], eef_names: Sequence[str], first_bar: float) -> None:
        """Draw a triangle above the step of each finding. Of more than three at a step, only the worst are shown."""
        drawn: list[tuple[int, float]] = []
        for finding in _worst_first(found):
            if finding.frame is None:
                continue
            eef = eef_names.index(finding.eef) if finding.eef in eef_names else 0
            bar, color = first_bar + eef * _EEF_HEIGHT, _LEVEL_COLORS[finding.level]
            if finding.last_frame is not None:
                self._rectangle(finding.frame, finding.last_frame + 1, bar - 3, 3, color, _details(finding))
            x = finding.frame + 0.5
            below = sum(other == eef and abs(place - x) * self._px_per_step < _MARK for other, place in drawn)
            drawn.append((eef, x))
            if below < _MAX_STACKED:
                y = bar - _MARK * (below + 0.5) - 1
                mark = self._axes.scatter([x], [y], marker="v", s=38, color=color, linewidths=0, zorder=4, clip_on=False)
                self._board.add_tooltip(mark, _details(finding))

    def _check_names(self, found: Sequence[DemoFinding], y: float) -> None:
        """Draw the names of the checks with findings to the right of the bars."""
        x, room = 14.0, _RIGHT - 40
        names: dict[tuple[str, str], list[DemoFinding]] = {}
        for finding in _worst_first(found):
            names.setdefault((finding.level, finding.check), []).append(finding)
        for index, ((level, check), same) in enumerate(names.items()):
            label = check if len(same) == 1 else f"{check} ({len(same)})"
            if x + _LETTER * len(label) > room and index > 0:
                self._text(x, y, f"+{len(names) - index}", x=1, transform=self._margin, color=MUTED)
                return
            text = self._text(x, y, label, x=1, transform=self._margin, color=_LEVEL_INKS[level])
            self._board.add_tooltip(text, "\n".join(map(_details, same)))
            x += _LETTER * len(label) + 12

    def _text(self, right: float, y: float, text: str, x: float = 0.0, transform: Any = None, **options: Any) -> Any:
        """Draw text that begins `right` pixels to the right of `x`."""
        options = {"ha": "left", "color": INK, **options}
        return self._axes.annotate(
            text, (x, y), (0.75 * right, 0), xycoords=transform or "data", textcoords="offset points",
            va="center_baseline", annotation_clip=False, zorder=5, **options,
        )  # fmt: skip

    def _rectangle(self, start: float, end: float, top: float, height: float, color: str, hint: str = "") -> None:
        from matplotlib.patches import Rectangle

        shape = Rectangle((start, top), end - start, height, facecolor=color, linewidth=0)
        if hint:
            self._board.add_tooltip(shape, hint)
        self._axes.add_patch(shape)


def _worst_first(found: Sequence[DemoFinding]) -> list[DemoFinding]:
    return sorted(found, key=lambda finding: LEVELS.index(finding.level))


def _details(finding: DemoFinding) -> str:
    step = "" if finding.frame is None else f" at step {finding.frame}"
    return f"{finding.level}: {finding.check}{step}: {finding.found}; expected {finding.expected}. {finding.remedy}"


def _label(eef: EefView, index: int) -> str:
    config = eef.subtasks[index]
    unnamed = "last subtask" if index == len(eef.subtasks) - 1 else f"subtask {index + 1}"
    return config.subtask_term_signal or config.description or unnamed


def _color(index: int) -> str:
    return SUBTASK_COLORS[index % len(SUBTASK_COLORS)]

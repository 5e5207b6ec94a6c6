"""Charts of the trials of a run: progress by subtask, success by initial placement, tracking error, episode lengths."""

# Sizes are in CSS pixels, y down.

from collections.abc import Mapping
from math import ceil
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from isaaclab_mimic_ext.report.charts import (
    BAD,
    EMPTY,
    GOOD,
    GRID,
    INK,
    MUTED,
    NARROW,
    SMALL,
    WIDTH,
    Canvas,
    add_legend,
    canvas,
    printable,
    rate_color,
    shorten,
    text_color,
)
from isaaclab_mimic_ext.run.summary import Bins, Stage, place_bins, yaw_bins
from isaaclab_mimic_ext.run.trial_records import RunRecords, Subtask
from isaaclab_mimic_ext.texts import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.path import Path as Outline

_FLOW_TOP, _FLOW_HEIGHT, _NODE = 44.0, 130.0, 10.0
_LOSS_TOP = _FLOW_TOP + _FLOW_HEIGHT + 26.0
_LOSS_ROW, _MAX_REASONS, _MAX_LINES = 16.0, 4, 3
_LETTER = 6.2
"""Width of a letter in the lists of reasons [px]."""
_MAX_DOTS = 400
_NUM_LENGTH_BINS = 24


def progress(stages: list[Stage], colors: Mapping[str, str], label: str, width: float = WIDTH) -> str:
    """Draw the flow of trials from stage to stage and return the SVG element.

    The height of the flow is the number of trials. Failed trials leave it as bands that bend down, one per reason. A narrow
    chart has a bar per stage, with the failed trials that it lost below.

    Args:
        colors: failure reason -> color.
        label: description for screen readers.
        width: `WIDTH` or `NARROW` [px].
    """
    if width <= NARROW:
        return _stage_bars(stages, colors, label)
    total, left, right = max(stages[0].count, 1), 4.0, 100.0
    step = (WIDTH - left - right - _NODE) / (len(stages) - 1)
    lists = []
    for index, stage in enumerate(stages):
        following = next((other for other in range(index + 1, len(stages)) if stages[other].lost), len(stages))
        lists.append(_loss_lines(stage.lost, step * (following - index) - _NODE, colors))
    most = max(map(len, lists))
    height = _LOSS_TOP + 16 + _LOSS_ROW * most if most else _FLOW_TOP + _FLOW_HEIGHT + 10
    with canvas(WIDTH, height) as board:
        sheet = board.sheet()
        for index, stage in enumerate(stages):
            x, tall = left + index * step, max(_FLOW_HEIGHT * stage.count / total, 1.0)
            if index + 1 < len(stages):
                _transition(board, sheet, stage, stages[index + 1].count, x + _NODE, step - _NODE, total, colors)
            for row, (text, color) in enumerate(lists[index]):
                y = _LOSS_TOP + 16 + row * _LOSS_ROW
                sheet.text(x + _NODE + 14, y, text, size=SMALL, va="center_baseline")
                _rectangle(sheet, x + _NODE, y - 5, 9, 9, color or "none")
            is_last = index + 1 == len(stages)
            board.add_tooltip(
                _rectangle(sheet, x, _FLOW_TOP, _NODE, tall, GOOD if is_last else INK), f"{stage.title}: {stage.count}"
            )
            sheet.text(x, _FLOW_TOP - 26, shorten(stage.title, int(step / 8)), weight="bold", size=10)
            sheet.text(x, _FLOW_TOP - 9, f"{stage.count}  ({stage.count / total:.0%})", color=MUTED)
        return board.svg(label)


def _stage_bars(stages: list[Stage], colors: Mapping[str, str], label: str) -> str:
    total, row = max(stages[0].count, 1), 42.0
    lists = [_loss_lines(stage.lost, NARROW - 14, colors) for stage in stages]
    with canvas(NARROW, row * len(stages) + _LOSS_ROW * sum(map(len, lists))) as board:
        sheet, top = board.sheet(), 0.0
        for stage, lines in zip(stages, lists, strict=True):
            sheet.text(0, top + 12, shorten(stage.title, 24), weight="bold", size=10, va="center_baseline")
            figures = f"{stage.count}  ({stage.count / total:.0%})"
            sheet.text(NARROW - 2, top + 12, figures, color=MUTED, ha="right", va="center_baseline")
            length = max((NARROW - 2) * stage.count / total, 1.0)
            bar = _rectangle(sheet, 0, top + 22, length, 12, GOOD if stage is stages[-1] else INK)
            board.add_tooltip(bar, f"{stage.title}: {stage.count}")
            for index, (text, color) in enumerate(lines):
                y = top + row + _LOSS_ROW * (index + 0.2)
                sheet.text(14, y, text, size=SMALL, va="center_baseline")
                _rectangle(sheet, 0, y - 5, 9, 9, color or "none")
            top += row + _LOSS_ROW * len(lines)
        return board.svg(label)


def _transition(
    board: Canvas, sheet: "Axes", stage: Stage, num_after: int, x: float, width: float, total: int, colors: Mapping[str, str]
) -> None:
    """Draw the band from a stage to the next one, and one band per failure reason that bends down from it."""
    from matplotlib.patches import PathPatch

    unit = _FLOW_HEIGHT / total
    band = _rectangle(sheet, x, _FLOW_TOP, width, max(unit * num_after, 1.0), GOOD, alpha=0.55)
    board.add_tooltip(band, f"{num_after} continue")
    top, end = _FLOW_TOP + unit * num_after, x + 0.55 * width
    for name, count in stage.lost.items():
        height = max(unit * count, 1.0)
        fall = PathPatch(_fall(x, top, end, height), facecolor=colors.get(name, BAD), alpha=0.75, linewidth=0)
        board.add_tooltip(sheet.add_patch(fall), f"{count}: {name}")
        top, end = top + unit * count, end - height - 2


def _fall(x: float, top: float, end: float, height: float) -> "Outline":
    """Outline of a band that begins at (x, top), runs to the right and bends down.

    The band has the width `height` before and after the bend. `end` is its right edge.
    """
    from matplotlib.path import Path as Outline

    inner, radius = max(end - height, x + 2), 14.0
    outer, bend = inner + height, top + max(height, radius)
    move, line, curve = Outline.MOVETO, Outline.LINETO, Outline.CURVE3
    points = [
        (move, x, top), (line, inner, top), (curve, outer, top), (curve, outer, bend), (line, outer, _LOSS_TOP),
        (line, inner, _LOSS_TOP), (line, inner, bend), (curve, inner, top + height),
        (curve, max(inner - radius, x), top + height), (line, x, top + height),
    ]  # fmt: skip
    return Outline([(right, down) for _, right, down in points], [code for code, *_ in points])


def _loss_lines(lost: Mapping[str, int], room: float, colors: Mapping[str, str]) -> list[tuple[str, str]]:
    """Lines (text, color) of the list of reasons below the bands. An empty color continues the previous line.

    Args:
        room: width of the list [px].
    """
    lines, width = [], max(int((room - 14) / _LETTER), 8)
    for name, count in list(lost.items())[:_MAX_REASONS]:
        first, *more = wrap(printable(f"{count} {name}"), width, max_lines=_MAX_LINES, placeholder="…")
        lines += [(first, colors.get(name, BAD)), *((line, "") for line in more)]
    num_others = sum(list(lost.values())[_MAX_REASONS:])
    return [*lines, (f"{num_others} others", "")] if num_others else lines


def _rectangle(axes: "Axes", x: float, y: float, width: float, height: float, color: str, **options: Any) -> Any:
    from matplotlib.patches import Rectangle

    return axes.add_patch(Rectangle((x, y), width, height, facecolor=color, **{"linewidth": 0, **options}))


def placement(records: RunRecords, object_id: int, colors: Mapping[str, str], width: float = WIDTH) -> str:
    """Draw success over the initial position and yaw of an object and return the SVG element.

    It is empty if position and yaw are the same in all trials. The map is seen from above with the robot at the bottom:
    x points up, y to the left. Each dot is a failed trial. In a narrow chart, the ring of the yaw is below the map.

    Args:
        colors: failure reason -> color.
        width: width of the window's charts, `WIDTH` or `NARROW` [px].
    """
    places, yaws = place_bins(records, object_id), yaw_bins(records, object_id)
    if places is None and yaws is None:
        return ""
    name, side, tall = records.objects[object_id], 270.0, 170.0
    if places is not None:
        extent_x, extent_y = (np.ptp(edges) for edges in places.edges)
        tall = max(side * min(extent_x / extent_y, 1.0), tall)
    is_narrow, foot = width <= NARROW, tall + 56 if places is not None else 0.0
    size = (NARROW, foot + (140 if yaws is not None else 0)) if is_narrow else (484.0, tall + 56)
    ring = (58 + (side - 94) / 2, foot + 18) if is_narrow else (362.0, 36.0)
    with canvas(*size) as board:
        if places is not None:
            _place_map(board, board.axes(58, 8, side, tall), places)
            _failure_dots(board, records, object_id, colors)
        if yaws is not None:
            _yaw_ring(board, board.axes(*ring, 94, 94, projection="polar"), yaws)
        return board.svg(f"success by the initial placement of {name}")


def _place_map(board: Canvas, axes: "Axes", bins: Bins) -> None:
    x_edges, y_edges = (edges.tolist() for edges in bins.edges)
    for i, j in np.ndindex(bins.trials.shape):
        successes, trials = int(bins.successes[i, j]), int(bins.trials[i, j])
        rate = successes / max(trials, 1)
        color = rate_color(rate, trials) if trials else EMPTY
        size = (y_edges[j + 1] - y_edges[j], x_edges[i + 1] - x_edges[i])
        cell = _rectangle(axes, y_edges[j], x_edges[i], *size, color, edgecolor="white", linewidth=0.8)
        board.add_tooltip(cell, f"{successes} of {trials} succeeded ({rate:.0%})" if trials else "no trial")
        if trials:
            # Text in the upper left corner, above the dots, on the color of the cell.
            corner = (y_edges[j + 1], x_edges[i + 1])
            ground = {"facecolor": color, "alpha": 0.85, "linewidth": 0, "pad": 1.2}
            axes.annotate(
                f"{100 * rate:.0f}", corner, (3, -3), textcoords="offset points", va="top", color=text_color(rate, trials),
                size=SMALL, weight="bold", bbox=ground, zorder=4,
            )  # fmt: skip
    axes.set(xlim=(y_edges[-1], y_edges[0]), ylim=(x_edges[0], x_edges[-1]), aspect="equal", anchor="NW")
    axes.locator_params(nbins=3)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.spines[["top", "right"]].set_visible(True)
    axes.set_xlabel("← y [m]")
    axes.set_ylabel("x [m] →")


def _failure_dots(board: Canvas, records: RunRecords, object_id: int, colors: Mapping[str, str]) -> None:
    failed = np.flatnonzero(~records.success)[:_MAX_DOTS]
    if not len(failed):
        return
    x, y = records.scene[failed, object_id, 0], records.scene[failed, object_id, 1]
    faces = [colors.get(str(reason), BAD) for reason in records.reason[failed]]
    dots = board.figure.axes[0].scatter(y, x, s=17, c=faces, edgecolors="white", linewidths=0.7, zorder=3, clip_on=False)
    board.add_tooltip(dots, *(f"trial {records.trials[row]}: {records.reason[row]}" for row in failed))


def _yaw_ring(board: Canvas, axes: Any, bins: Bins) -> None:
    """Draw success over yaw as a ring. Yaw 0 points up (x, away from the robot), 90 degrees to the left (y)."""
    edges = bins.edges[0]
    for start, end, successes, trials in zip(edges, edges[1:], bins.successes, bins.trials, strict=False):
        color = rate_color(successes / trials, int(trials)) if trials else EMPTY
        wedge = axes.bar(start, 0.55, end - start, 0.45, align="edge", color=color, edgecolor="white", linewidth=1.2)[0]
        board.add_tooltip(wedge, f"{successes} of {trials} succeeded" if trials else "no trial")
    axes.set_theta_zero_location("N")
    axes.set(ylim=(0, 1), yticks=[], xticks=np.arange(4) * np.pi / 2)
    axes.set_xticklabels(["0°", "90°", "180°", "-90°"], size=SMALL)
    axes.tick_params(axis="x", pad=0)
    axes.grid(False)
    axes.spines["polar"].set_visible(False)
    axes.text(0, 0, "yaw", ha="center", va="center", color=MUTED)


def tracking_errors(records: RunRecords, width: float = WIDTH) -> str:
    """Draw the tracking error of each subtask, in successful and in failed trials, and return the SVG element.

    Bars show the mean error; lines extend to the 95th percentile of the largest errors of the trials. In a narrow chart, the
    angles are below the distances.

    Args:
        width: `WIDTH` or `NARROW` [px].
    """
    subtasks = [subtask for row in records.subtasks for subtask in row]
    names = [f"{each.eef_name}: {each.title}" if len(records.subtasks) > 1 else each.title for each in subtasks]
    is_narrow, row = width <= NARROW, 42.0
    left, extent, gap = (88.0, 150.0, 0.0) if is_narrow else (170.0, 300.0, 118.0)
    tall = row * len(subtasks)
    below = tall + 52 if is_narrow else 0.0
    panels = (("distance to the target [mm]", 0, 1000.0), ("angle to the target [°]", 2, 180 / np.pi))
    with canvas(width, 74 + tall + below) as board:
        for panel, (title, column, factor) in enumerate(panels):
            x = left if is_narrow else left + panel * (extent + gap)
            axes = board.axes(x, 40 + panel * below, extent, tall)
            axes.set(ylim=(len(subtasks) - 0.5, -0.5), yticks=range(len(subtasks)))
            labels = [shorten(name, 12 if is_narrow else 24) for name in names]
            axes.set_yticklabels(labels if panel == 0 or is_narrow else [], color=INK)
            axes.tick_params(axis="y", length=0, pad=8)
            axes.set_title(title, color=INK, size=9.5, pad=8)
            axes.xaxis.tick_top()
            axes.locator_params(axis="x", nbins=4 if is_narrow else 8)
            axes.tick_params(axis="x", length=0)
            axes.spines[["left", "bottom"]].set_visible(False)
            axes.grid(axis="x")
            for index, subtask in enumerate(subtasks):
                for offset, errors, color in zip((-0.17, 0.17), _errors(records, subtask, column), (GOOD, BAD), strict=True):
                    _error_bar(board, axes, index + offset, factor * errors, color)
            axes.set_xlim(left=0)
        _outcome_legend(board, left, 60 + tall + below)
        return board.svg("tracking error by subtask")


def _errors(records: RunRecords, subtask: Subtask, column: int) -> list[np.ndarray]:
    """Mean of mean errors and 95th percentile of largest errors, shape (2,), of successful and of failed trials.

    They are NaN if there are no such trials.
    """
    values = records.tracking[:, subtask.eef, subtask.index, column : column + 2]
    known = np.isfinite(values).all(-1)
    groups = [values[known & records.success], values[known & ~records.success]]
    missing = np.full(2, np.nan)
    return [np.array([group[:, 0].mean(), np.percentile(group[:, 1], 95)]) if len(group) else missing for group in groups]


def _error_bar(board: Canvas, axes: "Axes", y: float, errors: np.ndarray, color: str) -> None:
    mean, largest = errors
    if not np.isfinite(mean):
        return
    axes.plot([mean, largest], [y, y], color=color, linewidth=1.4, solid_capstyle="butt")
    bar = axes.barh(y, mean, height=0.27, color=color)[0]
    board.add_tooltip(bar, f"mean {mean:.1f}, 95 % of the trials stay below {largest:.1f}")
    place = (max(largest, mean), y)
    axes.annotate(
        f"{mean:.1f} … {largest:.1f}", place, (4, 0), textcoords="offset points", va="center", size=7.5, color=MUTED
    )


def _outcome_legend(board: Canvas, x: float, y: float) -> None:
    sheet = board.sheet()
    for index, (name, color) in enumerate((("succeeded", GOOD), ("failed", BAD))):
        _rectangle(sheet, x + 100 * index, y - 5, 11, 11, color)
        sheet.text(x + 100 * index + 17, y, name, va="center_baseline", size=SMALL)


def episode_lengths(records: RunRecords, step_dt: float, width: float = WIDTH) -> str:
    """Draw a histogram of episode lengths, failed trials above successful ones, and return the SVG element.

    Args:
        step_dt: duration of a step [s].
        width: `WIDTH` or `NARROW` [px].
    """
    low, high = int(records.length.min()), int(records.length.max()) + 1
    is_narrow = width <= NARROW
    span = max(ceil((high - low) / _NUM_LENGTH_BINS), 1)
    edges = np.arange(low, high + span, span)
    counts = [np.histogram(records.length[mask], edges)[0] for mask in (records.success, ~records.success)]
    with canvas(width, 240) as board:
        axes = board.axes(54, 30, width - 62, 164) if is_narrow else board.axes(56, 10, width - 240, 184)
        bases = (np.zeros_like(counts[0]), counts[0])
        for name, color, count, base in zip(("succeeded", "failed"), (GOOD, BAD), counts, bases, strict=True):
            bars = axes.bar(edges[:-1], count, 0.94 * span, base, align="edge", color=color, label=name)
            for bar, number, start in zip(bars, count, edges, strict=False):
                board.add_tooltip(bar, f"{number} {name}, {start} to {counted(int(start + span) - 1, 'step')}")
        axes.locator_params(axis="both", integer=True, nbins=5 if is_narrow else 9)
        axes.set(xlabel=f"steps of {step_dt:g} s", ylabel="trials")
        axes.grid(axis="y")
        axes.spines["left"].set_color(GRID)
        corner: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0)}
        above: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0.0, 0.98), "ncols": 2}
        add_legend(axes, axes.containers, ["succeeded", "failed"], **(above if is_narrow else corner))
        return board.svg("episode lengths")

"""Bars: why trials fail, how well targets were tracked, how long episodes are."""

# K trials, E end effectors, S subtasks

from collections.abc import Callable
from math import ceil

import numpy as np

from isaaclab_mimic_ext.report.records import RunRecords, Subtask
from isaaclab_mimic_ext.report.svg import BAD, GOOD, INK, MUTED, cut, line, picture, rect, text, ticks

_ROW = 26.0
_NUM_BINS = 24


def draw_reasons(reasons: dict[str, int], num_trials: int, colors: dict[str, str]) -> str:
    """A bar a reason, with how many of all trials failed for it."""
    left, width = 250.0, 640.0
    most = max(reasons.values())
    parts = []
    for row, (name, count) in enumerate(reasons.items()):
        y = 6 + row * _ROW
        parts.append(text(left - 10, y + 14, cut(name, 38), "end", 13))
        parts.append(rect(left, y + 2, width * count / most, _ROW - 9, colors[name], f"{name}: {count}", rx=2))
        share = f"{count}  ({count / max(num_trials, 1):.1%} of the trials)"
        parts.append(text(left + width * count / most + 8, y + 14, share, size=12, fill=MUTED))
    return picture(left + width + 200, 12 + _ROW * len(reasons), parts, "how many trials failed for which reason")


def draw_lengths(records: RunRecords, step_dt: float) -> str:
    """How many episodes have which length, failed ones above."""
    left, top, width, height = 44.0, 10.0, 560.0, 170.0
    edges = _length_edges(records.length)
    good, _ = np.histogram(records.length[records.success], edges)
    bad, _ = np.histogram(records.length[~records.success], edges)
    most = max(int((good + bad).max()), 1)
    parts = []
    for count in ticks(0, most, 4):
        y = top + height * (1 - count / most)
        parts += [line(left, y, left + width, y), text(left - 6, y + 4, f"{count:g}", "end", 10, MUTED)]
    scale = width / (edges[-1] - edges[0])
    for index in range(len(good)):
        x, bar = left + scale * (edges[index] - edges[0]), scale * (edges[index + 1] - edges[index]) - 1
        base = top + height
        for count, color, what in ((good[index], GOOD, "succeeded"), (bad[index], BAD, "failed")):
            tall = height * count / most
            base -= tall
            span = f"{edges[index]:.0f} to {edges[index + 1] - 1:.0f} steps"
            parts.append(rect(x, base, bar, tall, color, f"{count} {what}, {span}"))
    for length in ticks(edges[0], edges[-1], 8):
        x = left + scale * (length - edges[0])
        parts.append(text(x, top + height + 15, f"{length:g}", "middle", 10, MUTED))
    label = f"steps of {step_dt:g} s"
    parts.append(text(left + width / 2, top + height + 32, label, "middle", 11, MUTED))
    parts += _legend(left + width + 20, top + 12, (("succeeded", GOOD), ("failed", BAD)))
    return picture(left + width + 130, top + height + 40, parts, "lengths of episodes")


def draw_tracking(records: RunRecords) -> str:
    """Mean error of each subtask in trials that succeeded and in failed ones; a line to the maxima's 95th percentile."""
    subtasks = [subtask for row in records.subtasks for subtask in row]
    left, gap, width, top = 150.0, 110.0, 290.0, 34.0
    parts: list[str] = []
    panels: tuple[tuple[str, int, float, Callable[[float], str]], ...] = (
        ("distance to the target [mm]", 0, 1000.0, "{:.1f}".format),
        ("angle to the target [°]", 2, 180 / np.pi, "{:.1f}".format),
    )
    for panel, (title, column, factor, shown) in enumerate(panels):
        x = left + panel * (width + gap)
        values = [_errors(records, subtask, column, factor) for subtask in subtasks]
        most = max([largest for row in values for _, largest in row if np.isfinite(largest)], default=1.0) or 1.0
        for tick in ticks(0, most, 4):
            at = x + width * tick / most
            parts += [line(at, top, at, top + 40 * len(subtasks)), text(at, top - 6, f"{tick:g}", "middle", 10, MUTED)]
        parts.append(text(x + width / 2, 11, title, "middle", 12, INK))
        for row, subtask in enumerate(subtasks):
            y = top + 6 + 40 * row
            if panel == 0:
                name = f"{subtask.eef_name}: {subtask.title}" if len(records.subtasks) > 1 else subtask.title
                parts.append(text(left - 12, y + 18, cut(name, 26), "end", 13))
            for bar, ((mean, largest), color) in enumerate(zip(values[row], (GOOD, BAD), strict=True)):
                parts += _error_bar(x, y + 15 * bar, width / most, mean, largest, color, shown)
    height = top + 40 * len(subtasks) + 26
    parts += _legend(left, height - 12, (("succeeded", GOOD), ("failed", BAD)), sideways=True)
    return picture(left + 2 * width + gap + 70, height, parts, "tracking error by subtask")


def _errors(records: RunRecords, subtask: Subtask, column: int, factor: float) -> list[tuple[float, float]]:
    """Mean of means, 95th percentile of maxima, of the trials that succeeded and of those that failed; NaN without any."""
    values = factor * records.tracking[:, subtask.eef, subtask.index, column : column + 2]
    known = np.isfinite(values).all(-1)
    found = []
    for rows in (known & records.success, known & ~records.success):
        if rows.any():
            found.append((float(values[rows, 0].mean()), float(np.percentile(values[rows, 1], 95))))
        else:
            found.append((np.nan, np.nan))
    return found


def _error_bar(
    x: float, y: float, scale: float, mean: float, largest: float, color: str, shown: Callable[[float], str]
) -> list[str]:
    if not np.isfinite(mean):
        return []
    tip = f"mean {shown(mean)}, 95 % of the trials stay below {shown(largest)}"
    return [
        line(x, y + 5.5, x + scale * largest, y + 5.5, color, stroke_width=1.5),
        rect(x, y, max(scale * mean, 1.0), 11, color, tip, rx=1.5),
        text(x + scale * largest + 6, y + 9.5, f"{shown(mean)} … {shown(largest)}", size=10, fill=MUTED),
    ]


def _legend(x: float, y: float, entries: tuple[tuple[str, str], ...], sideways: bool = False) -> list[str]:
    parts = []
    for index, (name, color) in enumerate(entries):
        left, base = (x + 100 * index, y) if sideways else (x, y + 18 * index)
        parts += [rect(left, base - 9, 11, 11, color, rx=2), text(left + 16, base, name, size=11, fill=INK)]
    return parts


def _length_edges(length: np.ndarray) -> np.ndarray:
    low, high = int(length.min()), int(length.max()) + 1
    width = max(ceil((high - low) / _NUM_BINS), 1)
    return np.arange(low, high + width, width).astype(float)

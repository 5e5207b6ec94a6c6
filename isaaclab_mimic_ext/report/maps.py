"""Where trials fail: success over the places and directions in which an object began."""

# K trials, X and Y bins

from math import cos, pi, sin

import numpy as np

from isaaclab_mimic_ext.report.records import RunRecords
from isaaclab_mimic_ext.report.summary import place_bins, yaw_bins
from isaaclab_mimic_ext.report.svg import BAD, GRID, MUTED, element, ink_on, line, picture, rate_color, rect, text, ticks

_SIDE = 270.0
_LEFT, _TOP, _RIGHT, _BOTTOM = 52.0, 12.0, 14.0, 40.0
_MOST_DOTS = 400
_RING = 74.0


def draw_places(records: RunRecords, object_id: int, colors: dict[str, str]) -> str | None:
    """Success over where an object began, seen from above with the robot below; a dot for each failed trial.

    None where the object was always in one place.
    """
    bins = place_bins(records, object_id)
    if bins is None:
        return None
    (x_edges, y_edges), name = (edges.tolist() for edges in bins.edges), records.objects[object_id]
    scale = _SIDE / max(x_edges[-1] - x_edges[0], y_edges[-1] - y_edges[0])
    width, height = scale * (y_edges[-1] - y_edges[0]), scale * (x_edges[-1] - x_edges[0])

    def across(y: float) -> float:
        return _LEFT + scale * (y_edges[-1] - y)

    def down(x: float) -> float:
        return _TOP + scale * (x_edges[-1] - x)

    parts = []
    for i, j in np.ndindex(bins.trials.shape):
        left, right, upper, lower = across(y_edges[j + 1]), across(y_edges[j]), down(x_edges[i + 1]), down(x_edges[i])
        parts += _cell(left, upper, right - left, lower - upper, int(bins.successes[i, j]), int(bins.trials[i, j]))
    parts += [rect(_LEFT, _TOP, width, height, "none", stroke=MUTED)]
    failed = np.flatnonzero(~records.success)[:_MOST_DOTS]
    for index in failed:
        x, y = map(float, records.scene[index, object_id, :2])
        tip = element("title", f"trial {records.trials[index]}: {records.reason[index]}")
        fill = colors.get(str(records.reason[index]), BAD)
        parts.append(element("circle", tip, cx=across(y), cy=down(x), r=2.6, fill=fill, stroke="white", stroke_width=0.8))
    parts += _axes(x_edges, y_edges, across, down, width, height)
    return picture(_LEFT + width + _RIGHT, _TOP + height + _BOTTOM, parts, f"success by where the {name} began")


def draw_yaws(records: RunRecords, object_id: int) -> str | None:
    """Success over the direction in which an object's x axis pointed, a ring seen from above; None if it never changed."""
    bins = yaw_bins(records, object_id)
    if bins is None:
        return None
    size = 2 * _RING + 44
    middle = size / 2
    edges = bins.edges[0]
    parts = [
        _wedge(middle, edges[index], edges[index + 1], int(bins.successes[index]), int(count))
        for index, count in enumerate(bins.trials)
    ]
    for angle, name in ((0.0, "0°"), (pi / 2, "90°"), (pi, "180°"), (-pi / 2, "-90°")):
        x, y = _on_circle(middle, angle, _RING + 12)
        parts.append(text(x, y + 4, name, "middle", 10, MUTED))
    parts.append(text(middle, middle + 4, "yaw", "middle", 12, MUTED))
    return picture(size, size, parts, f"success by the yaw of the {records.objects[object_id]}")


def _cell(left: float, top: float, width: float, height: float, successes: int, trials: int) -> list[str]:
    if not trials:
        return [rect(left, top, width, height, "#f7f8f9", "no trial", stroke="white")]
    rate = successes / trials
    tip = f"{successes} of {trials} succeeded ({rate:.0%})"
    cell = rect(left, top, width, height, rate_color(rate, trials), tip, stroke="white")
    if width < 34 or height < 18:
        return [cell]
    middle = (left + width / 2, top + height / 2 + 4)
    return [cell, text(*middle, f"{100 * rate:.0f}", "middle", 11, ink_on(rate, trials), fill_opacity=0.75)]


def _axes(x_edges, y_edges, across, down, width: float, height: float) -> list[str]:  # type: ignore[no-untyped-def]
    parts = []
    for y in ticks(y_edges[0], y_edges[-1], 4):
        parts.append(line(across(y), _TOP + height, across(y), _TOP + height + 4, MUTED))
        parts.append(text(across(y), _TOP + height + 16, f"{y:g}", "middle", 10, MUTED))
    for x in ticks(x_edges[0], x_edges[-1], 4):
        parts.append(line(_LEFT - 4, down(x), _LEFT, down(x), MUTED))
        parts.append(text(_LEFT - 7, down(x) + 3, f"{x:g}", "end", 10, MUTED))
    parts.append(text(_LEFT + width / 2, _TOP + height + 32, "← y [m]", "middle", 11, MUTED))
    middle = _TOP + height / 2
    parts.append(text(14, middle, "x [m] →", "middle", 11, MUTED, transform=f"rotate(-90 14 {middle:.1f})"))
    return parts


def _wedge(middle: float, start: float, end: float, successes: int, trials: int) -> str:
    """Yaw 0 points up (x, away from the robot), 90 degrees to the left (y)."""
    inner = 0.45 * _RING
    corners = [
        _on_circle(middle, angle, radius) for angle, radius in ((start, inner), (start, _RING), (end, _RING), (end, inner))
    ]
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = corners
    path = f"M{ax:.1f},{ay:.1f} L{bx:.1f},{by:.1f} A{_RING},{_RING} 0 0 0 {cx:.1f},{cy:.1f} "
    path += f"L{dx:.1f},{dy:.1f} A{inner},{inner} 0 0 1 {ax:.1f},{ay:.1f} Z"
    tip = f"{successes} of {trials} succeeded" if trials else "no trial"
    fill = rate_color(successes / trials, trials) if trials else GRID
    return element("path", element("title", tip), d=path, fill=fill, stroke="white", stroke_width=1.5)


def _on_circle(middle: float, angle: float, radius: float) -> tuple[float, float]:
    return middle - radius * sin(angle), middle - radius * cos(angle)

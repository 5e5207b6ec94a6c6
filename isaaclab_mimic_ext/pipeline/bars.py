"""Bars of success rates and of failures, drawn as SVG."""

from collections.abc import Mapping, Sequence

from isaaclab_mimic_ext.report.svg import BAD, GOOD, GRID, INK, MUTED, cut, line, picture, rect, text

_WIDTH, _ROW, _BAR = 900.0, 30.0, 16.0
_LEFT, _RIGHT, _AXIS = 260.0, 190.0, 26.0
_LONGEST = 36
"""Characters of a name that fit beside the bars."""

Rate = tuple[str, float, float, float]
"""A name, its rate, and the ends of its interval, 0 to 1."""


def draw_rates(rates: Sequence[Rate]) -> str:
    """A bar for each rate, its interval as a line across the end; nothing where there are none."""
    if not rates:
        return ""
    bottom = _ROW * len(rates)
    parts: list[str] = []
    for percent in range(0, 101, 20):
        parts.append(line(_x(percent / 100), 0, _x(percent / 100), bottom))
        parts.append(text(_x(percent / 100), bottom + 18, f"{percent} %", "middle", 11, MUTED))
    for index, (name, rate, low, high) in enumerate(rates):
        top, middle = _ROW * index + (_ROW - _BAR) / 2, _ROW * (index + 0.5)
        parts.append(text(_LEFT - 12, middle + 4, cut(name, _LONGEST), "end"))
        parts.append(rect(_LEFT, top, _x(rate) - _LEFT, _BAR, GOOD, f"{name}: {100 * rate:.1f} %", rx=3))
        parts.append(line(_x(low), middle, _x(high), middle, INK, stroke_width=1.6))
        parts += [line(_x(end), middle - 5, _x(end), middle + 5, INK, stroke_width=1.6) for end in (low, high)]
        figures = f"{100 * rate:.1f} % ({100 * low:.1f} to {100 * high:.1f})"
        parts.append(text(_WIDTH - _RIGHT + 22, middle + 4, figures))
    return picture(_WIDTH, bottom + _AXIS, parts, "Success rates with their intervals")


def draw_counts(counts: Mapping[str, int]) -> str:
    """A bar for each count, the largest as long as the picture is wide; nothing where there are none."""
    if not counts:
        return ""
    most = max(counts.values())
    parts: list[str] = []
    for index, (name, count) in enumerate(counts.items()):
        top, middle = _ROW * index + (_ROW - _BAR) / 2, _ROW * (index + 0.5)
        end = _x(count / most)
        parts.append(text(_LEFT - 12, middle + 4, cut(name, _LONGEST), "end"))
        parts.append(rect(_LEFT, top, end - _LEFT, _BAR, BAD, f"{name}: {count}", rx=3))
        parts.append(text(end + 8, middle + 4, count))
    parts.append(line(_LEFT, 0, _LEFT, _ROW * len(counts), GRID))
    return picture(_WIDTH, _ROW * len(counts), parts, "Why episodes failed")


def _x(share: float) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * share

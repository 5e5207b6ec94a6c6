"""Maps of the table, seen from above: x up, y to the left, robots at the bottom."""

# K places or points

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isaaclab_mimic_ext.envs.drawing import Color, Frame, fitted, font

_SMOOTH = 3
"""Maps are drawn at this multiple of their size, and reduced."""
_MARGINS = (40, 8, 10, 36)
"""Left, top, right and bottom of the map [pixels]."""
_LEGEND = 20
"""Height of a row of the legend [pixels]."""
_GROUND, _INK, _GRID = (247, 249, 250), (80, 90, 100), (226, 231, 236)
_BASE = 0.07
"""Room below the base of a robot [m]."""
_MANY = 200
"""Number of places from which dots are small."""


@dataclass(frozen=True)
class Dots:
    """Places (K, 2) [m] with one color and one name."""

    name: str
    places: NDArray[np.float64]
    color: Color


@dataclass(frozen=True)
class Lines:
    """Paths (K, 2) [m] with one color and one name."""

    name: str
    paths: list[NDArray[np.float64]]
    color: Color


def table_map(
    marks: Sequence[Dots | Lines],
    bounds: tuple[tuple[float, float], tuple[float, float]],
    bases: Sequence[tuple[float, float]],
    size: tuple[int, int],
) -> Frame:
    """Draw dots or lines on a map with a legend, (H, W, 3).

    Args:
        bounds: range of x and of y that objects may be placed in [m].
        bases: x and y of the robots' bases [m].
        size: width and height of the picture [pixels].
    """
    from PIL import Image

    rows = (len(marks) + 1) // 2
    chart = _Map(_extent(marks, bounds, bases), size, rows)
    chart.draw_grid()
    dots = [(mark.color, place) for mark in marks if isinstance(mark, Dots) for place in mark.places]
    # In random order, so that no object covers all others.
    for index in np.random.default_rng(0).permutation(len(dots)):
        chart.draw_dot(dots[index][1], dots[index][0], 2.4 if len(dots) > _MANY else 4.0)
    for mark in marks:
        for path in mark.paths if isinstance(mark, Lines) else []:
            chart.draw_line(path, mark.color)
    for base in bases:
        chart.draw_base(base)
    picture = chart.picture.resize(size, Image.Resampling.LANCZOS)
    _draw_legend(picture, marks, chart.bottom + _MARGINS[3])
    return np.asarray(picture)


def _extent(marks: Sequence[Any], bounds: Any, bases: Sequence[tuple[float, float]]) -> NDArray[np.float64]:
    """Smallest and largest x and y, (2, 2) [m]."""
    feet = np.array(bases, dtype=float).reshape(-1, 2)
    # Room for the squares and their text.
    parts = [np.array(bounds, dtype=float).T, feet, feet - (_BASE, 0)]
    for mark in marks:
        parts += [mark.places] if isinstance(mark, Dots) else mark.paths
    points = np.concatenate(parts)
    points = points[np.isfinite(points).all(-1)]
    return np.stack((points.min(0) - 0.03, points.max(0) + 0.03))


class _Map:
    """Map in a picture of `_SMOOTH` times the size."""

    def __init__(self, extent: NDArray[np.float64], size: tuple[int, int], num_legend_rows: int):
        from PIL import Image, ImageDraw

        self.picture = Image.new("RGB", (size[0] * _SMOOTH, size[1] * _SMOOTH), _GROUND)
        self._draw = ImageDraw.Draw(self.picture)
        self._low, self._high = extent
        left, top, right, bottom = _MARGINS
        room = np.array([size[1] - top - bottom - num_legend_rows * _LEGEND, size[0] - left - right])
        self._scale = float(max((room / (self._high - self._low)).min(), 1.0))
        tall, wide = self._scale * (self._high - self._low)
        left += max((room[1] - wide) / 2, 0)
        self._frame = (left, top, left + wide, top + tall)

    @property
    def bottom(self) -> float:
        """Lower edge of the map in the final size [pixels]."""
        return self._frame[3]

    def _pixel(self, x: float, y: float) -> tuple[float, float]:
        """Pixel of a place [m]."""
        left, top, _, _ = self._frame
        return _SMOOTH * (left + (self._high[1] - y) * self._scale), _SMOOTH * (top + (self._high[0] - x) * self._scale)

    def draw_grid(self) -> None:
        left, top, right, bottom = (_SMOOTH * edge for edge in self._frame)
        self._draw.rectangle((left, top, right, bottom), fill=(255, 255, 255), outline=(150, 160, 170), width=_SMOOTH)
        letters = font(11 * _SMOOTH)
        for value in _ticks(self._low[1], self._high[1]):
            x, _ = self._pixel(0, value)
            self._draw.line((x, top, x, bottom), fill=_GRID, width=_SMOOTH)
            self._draw.text((x, bottom + 4 * _SMOOTH), f"{value:g}", _INK, letters, anchor="ma")
        for value in _ticks(self._low[0], self._high[0]):
            _, y = self._pixel(value, 0)
            self._draw.line((left, y, right, y), fill=_GRID, width=_SMOOTH)
            self._draw.text((left - 5 * _SMOOTH, y), f"{value:g}", _INK, letters, anchor="rm")
        self._draw.text(((left + right) / 2, bottom + 18 * _SMOOTH), "y [m], to the left", _INK, letters, anchor="ma")
        self._draw.text((left + 5 * _SMOOTH, top + 3 * _SMOOTH), "x [m], up", _INK, letters, anchor="la")

    def draw_dot(self, place: NDArray[np.float64], color: Color, radius: float) -> None:
        if np.isfinite(place).all():
            self._circle(place, color, radius)

    def draw_line(self, path: NDArray[np.float64], color: Color) -> None:
        points = [self._pixel(*place) for place in path[np.isfinite(path).all(-1)]]
        if len(points) > 1:
            self._draw.line(points, fill=color, width=_SMOOTH, joint="curve")

    def draw_base(self, place: tuple[float, float]) -> None:
        x, y = self._pixel(*place)
        half = 6 * _SMOOTH
        self._draw.rectangle((x - half, y - half, x + half, y + half), fill=_INK)
        self._draw.text((x, y + half + _SMOOTH), "robot", _INK, font(11 * _SMOOTH), anchor="ma")

    def _circle(self, place: NDArray[np.float64], color: Color, radius: float) -> None:
        (x, y), radius = self._pixel(*place), _SMOOTH * radius
        self._draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=color, outline=(255, 255, 255), width=1)


def _ticks(low: float, high: float) -> list[float]:
    step = 0.2 if high - low <= 2.0 else 0.5
    return [round(step * index, 3) for index in range(int(np.ceil(low / step)), int(np.floor(high / step)) + 1)]


def _draw_legend(picture: Any, marks: Sequence[Dots | Lines], top: float) -> None:
    from PIL import ImageDraw

    draw, letters, column = ImageDraw.Draw(picture), font(12), (picture.width - 40) / 2
    for index, mark in enumerate(marks):
        x, y = 40 + column * (index % 2), top + _LEGEND * (index // 2) + 6
        draw.ellipse((x - 5, y - 5, x + 5, y + 5), fill=mark.color)
        draw.text((x + 11, y), fitted(mark.name, column - 20, 12), (40, 50, 60), letters, anchor="lm")

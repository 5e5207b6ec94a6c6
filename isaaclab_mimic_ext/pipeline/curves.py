"""Curves of trainings, drawn as SVG."""

from collections.abc import Mapping, Sequence
from math import ceil, floor, log10

from isaaclab_mimic_ext.report.svg import GRID, MUTED, colors_of, element, line, picture, text

_WIDTH, _HEIGHT = 900.0, 320.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 60.0, 130.0, 12.0, 34.0
_STYLES = {"train_loss": "none", "valid_loss": "7 5"}

Rows = Sequence[Mapping[str, str]]


def draw_curves(runs: Mapping[str, Rows]) -> str:
    """Losses over epochs of each run, on a logarithmic axis; nothing where there are none."""
    values = [float(row[name]) for rows in runs.values() for row in rows for name in _STYLES]
    values = [value for value in values if 0 < value < float("inf")]
    if not values:
        return ""
    most = max(int(rows[-1]["epoch"]) for rows in runs.values() if rows)
    frame = _Frame(most, round_values(min(values), max(values)))
    parts = frame.axes()
    for index, (name, color) in enumerate(colors_of(list(runs)).items()):
        parts += [frame.curve(runs[name], column, color, dash) for column, dash in _STYLES.items()]
        parts.append(text(_WIDTH - _RIGHT + 14, _TOP + 14 + 18 * index, name, fill=color))
    return picture(_WIDTH, _HEIGHT, parts, "Losses over epochs")


def round_values(low: float, high: float) -> list[float]:
    """1, 2, 5, 10, ... as far as they enclose the values, at least two of them."""
    powers = range(floor(log10(low)) - 1, ceil(log10(high)) + 2)
    values = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
    first = max(index for index, value in enumerate(values) if value <= low)
    last = min(index for index, value in enumerate(values) if value >= high)
    return values[first : max(last, first + 1) + 1]


class _Frame:
    """Where epochs and losses lie in the picture."""

    def __init__(self, num_epochs: int, losses: Sequence[float]):
        self._num_epochs, self._losses = num_epochs, losses
        self._low, self._high = log10(losses[0]), log10(losses[-1])

    def x(self, epoch: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * epoch / self._num_epochs

    def y(self, value: float) -> float:
        share = (log10(max(value, 10**self._low)) - self._low) / (self._high - self._low)
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * share

    def axes(self) -> list[str]:
        parts = []
        for value in self._losses:
            parts.append(line(_LEFT, self.y(value), _WIDTH - _RIGHT, self.y(value), GRID))
            parts.append(text(_LEFT - 8, self.y(value) + 4, f"{value:.2g}", "end", 11, MUTED))
        for fifth in range(6):
            epoch = round(self._num_epochs * fifth / 5)
            parts.append(text(self.x(epoch), _HEIGHT - _BOTTOM + 18, epoch, "middle", 11, MUTED))
        parts.append(text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 2, "epoch", "middle", 11, MUTED))
        return parts

    def curve(self, rows: Rows, column: str, color: str, dash: str) -> str:
        points = " ".join(f"{self.x(int(row['epoch'])):.1f},{self.y(float(row[column])):.1f}" for row in rows)
        return element("polyline", points=points, fill="none", stroke=color, stroke_width=1.8, stroke_dasharray=dash)

"""Curves: losses and success over the epochs of training, success over the parameters of a sweep."""

from collections.abc import Mapping, Sequence
from math import ceil, floor, isfinite, log10
from pathlib import Path
from typing import Any

from isaaclab_mimic_ext.learn.results import CheckpointResult, Rate
from isaaclab_mimic_ext.learn.sweep import Outcome, Parameter
from isaaclab_mimic_ext.report.charts import (
    GOOD,
    INK,
    PALETTE,
    SMALL,
    WIDTH,
    add_legend,
    canvas,
    colors_of,
    error_bar_lengths,
    shorten,
)

SERIES = (GOOD, *PALETTE)
_MARKERS = "osD^vPX*"
_FILE_WIDTH, _FILE_HEIGHT = 760.0, 460.0


def loss_curves(runs: Mapping[str, Sequence[Mapping[str, str]]]) -> str:
    """Draw training loss (full lines) and validation loss (dashed) over epochs and return the SVG element.

    The axis of the loss is logarithmic. Losses that are not positive or not finite leave gaps; empty without losses.
    """
    styles = {"train_loss": "-", "valid_loss": "--"}
    values = [float(row[name]) for rows in runs.values() for row in rows for name in styles]
    values = [value for value in values if value > 0 and isfinite(value)]
    if not values:
        return ""
    with canvas(WIDTH, 330) as board:
        axes = board.axes(72, 10, WIDTH - 228, 276)
        for color, rows in zip(colors_of([*runs], SERIES).values(), runs.values(), strict=True):
            for index, (column, style) in enumerate(styles.items()):
                losses = [float(row[column]) for row in rows]
                # A single epoch is a point, not a curve.
                marker = _MARKERS[index] if len(rows) == 1 else ""
                axes.plot([int(row["epoch"]) for row in rows], losses, style, color=color, marker=marker)
        ticks = round_values(min(values), max(values))
        axes.set(yscale="log", ylim=(ticks[0], ticks[-1]), xlim=(0, None), xlabel="epoch", ylabel="loss (logarithmic axis)")
        decades = [tick for tick in ticks if log10(tick) == round(log10(tick))]
        axes.set_yticks(ticks if len(ticks) <= 10 else decades)
        axes.set_yticks([], minor=True)
        axes.yaxis.set_major_formatter("{x:.2g}")
        axes.locator_params(axis="x", integer=True)
        axes.grid(axis="y")
        add_legend(axes, axes.lines[::2], [shorten(name, 20) for name in runs], loc="upper left", bbox_to_anchor=(1.01, 1.0))
        return board.svg("Losses over epochs")


def round_values(low: float, high: float) -> list[float]:
    """Values of the series 1, 2, 5, 10, 20, ... that enclose `low` and `high` (both > 0); at least two."""
    powers = range(floor(log10(low)) - 1, ceil(log10(high)) + 2)
    values = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
    first = max(index for index, value in enumerate(values) if value <= low)
    last = min(index for index, value in enumerate(values) if value >= high)
    return values[first : max(last, first + 1) + 1]


def plot_success(results: Sequence[CheckpointResult], path: Path, title: str) -> None:
    """Draw success with its interval over epochs as a PNG file, one line per training run.

    If the epoch of a checkpoint is unknown, checkpoints are shown side by side with their names.

    Raises:
        OutputError: the file cannot be written.
    """
    runs: dict[str, list[CheckpointResult]] = {}
    for result in results:
        runs.setdefault(result.checkpoint.run, []).append(result)
    has_epochs = all(result.checkpoint.epoch is not None for result in results)
    lines = {}
    for run, of_run in runs.items():
        places = [result.checkpoint.epoch if has_epochs else shorten(result.checkpoint.name, 30) for result in of_run]
        lines[run] = [(place, result.success) for place, result in zip(places, of_run, strict=True)]
    _plot_rates(lines, path, title, "epoch" if has_epochs else "checkpoint", has_epochs)


def plot_sweep(outcomes: Sequence[Outcome], parameters: Sequence[Parameter], path: Path, title: str) -> None:
    """Draw success of generation (dashed) and of the policy over the first parameter as a PNG file.

    Each combination of the values of the other parameters has a separate pair of lines.

    Raises:
        OutputError: the file cannot be written.
    """
    parameter = parameters[0].name
    values = [outcome.values[parameter] for outcome in outcomes]
    is_numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    lines: dict[str, list[tuple[Any, Rate]]] = {}
    for outcome in outcomes:
        others = ", ".join(f"{name} {value}" for name, value in outcome.values.items() if name != parameter)
        for kind in ("generation", "policy"):
            if (rate := getattr(outcome, kind)) is not None:
                value = outcome.values[parameter]
                place = value if is_numeric else shorten(value, 30)
                lines.setdefault(", ".join(filter(None, (kind, others))), []).append((place, rate))
    if is_numeric:
        lines = {name: sorted(points, key=lambda point: point[0]) for name, points in lines.items()}
    _plot_rates(lines, path, title, parameter, is_numeric and all(isinstance(value, int) for value in values))


def _plot_rates(
    lines: Mapping[str, Sequence[tuple[Any, Rate]]], path: Path, title: str, x_label: str, is_integer: bool
) -> None:
    """Draw lines through (x, rate) with different colors and markers.

    Args:
        lines: name of a line -> its points; x is a number or a name.
        is_integer: show only integers on the x axis.
    """
    with canvas(_FILE_WIDTH, _FILE_HEIGHT, layout="constrained") as board:
        axes = board.figure.add_subplot()
        handles = []
        for index, (name, points) in enumerate(lines.items()):
            rates = [(rate.rate, rate.low, rate.high) for _, rate in points]
            drawn = axes.errorbar(
                [place for place, _ in points], [100 * rate for rate, *_ in rates], yerr=error_bar_lengths(rates),
                marker=_MARKERS[index % len(_MARKERS)], markersize=5, capsize=3, elinewidth=1.0,
                color=SERIES[index % len(SERIES)], linestyle="--" if name.startswith("generation") else "-",
            )  # fmt: skip
            handles.append(drawn)
        if is_integer:
            axes.locator_params(axis="x", integer=True)
        elif handles and any(isinstance(place, str) for points in lines.values() for place, _ in points):
            axes.tick_params(axis="x", labelrotation=20)
            for label in axes.get_xticklabels():
                label.set(horizontalalignment="right", rotation_mode="anchor")
        axes.set(xlabel=shorten(x_label, 80), ylabel="success [%], 95 % interval", ylim=(-3, 103))
        axes.set_title(shorten(title, 90), loc="left", color=INK)
        axes.grid(axis="y")
        if len(lines) > 1:
            add_legend(axes, handles, [shorten(name, 60) for name in lines], loc="best", fontsize=SMALL)
        board.write_png(path)

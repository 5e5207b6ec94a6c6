"""A sweep as a table and a picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from isaaclab_mimic_ext.evaluate.plot import new_figure, save_figure
from isaaclab_mimic_ext.evaluate.results import Rate
from isaaclab_mimic_ext.evaluate.sweep import Outcome, Parameter

_LABELS = {"generation": "generation", "policy": "policy"}


def sweep_table(outcomes: Sequence[Outcome], parameters: Sequence[Parameter], title: str) -> Table:
    """A row a combination of values."""
    table = Table(title=title, title_justify="left")
    for parameter in parameters:
        table.add_column(parameter.name, overflow="fold")
    table.add_column("jobs", justify="right")
    table.add_column("generation (95 %)", no_wrap=True)
    table.add_column("policy (95 %)", no_wrap=True)
    table.add_column("the policy fails for" if any(o.policy for o in outcomes) else "trials fail for", overflow="fold")
    for outcome in outcomes:
        values = [str(outcome.values[parameter.name]) for parameter in parameters]
        rates = ["-" if rate is None else str(rate) for rate in (outcome.generation, outcome.policy)]
        table.add_row(*values, str(len(outcome.jobs)), *rates, _reasons(outcome))
    return table


def _reasons(outcome: Outcome) -> str:
    reasons = outcome.reasons.get("policy", outcome.reasons.get("generation", {}))
    return ", ".join(f"{count} {reason}" for reason, count in list(reasons.items())[:2])


def plot_sweep(outcomes: Sequence[Outcome], parameters: Sequence[Parameter], path: Path, title: str) -> None:
    """Draw both rates over the first parameter, a pair of lines for each combination of the others.

    Raises:
        DependencyMissing: matplotlib is not installed.
        OutputError: the picture cannot be written.
    """
    figure = new_figure()
    axes = figure.add_subplot()
    across = parameters[0].name
    values = [outcome.values[across] for outcome in outcomes]
    is_numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    colour = 0
    for label, group in _series(outcomes, across).items():
        for kind, style in (("generation", "--"), ("policy", "-")):
            points = [(outcome.values[across], getattr(outcome, kind)) for outcome in group if getattr(outcome, kind)]
            if points:
                name = f"{_LABELS[kind]}, {label}" if label else _LABELS[kind]
                _draw(axes, points, is_numeric, style, f"C{colour}", name)
                colour += 1
    axes.set_xlabel(across)
    axes.set_ylabel("success [%], 95 % interval")
    axes.set_ylim(-3, 103)
    axes.set_title(title)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    save_figure(figure, path)


def _draw(axes: Any, points: list[tuple[Any, Rate]], is_numeric: bool, style: str, colour: str, label: str) -> None:
    if is_numeric:
        points = sorted(points, key=lambda point: point[0])
    places = [value if is_numeric else str(value) for value, _ in points]
    rates = [rate for _, rate in points]
    # A rate lies within its own interval; rounding must not make an error bar negative.
    below = [max(100 * (rate.rate - rate.low), 0.0) for rate in rates]
    above = [max(100 * (rate.high - rate.rate), 0.0) for rate in rates]
    axes.errorbar(
        places, [100 * rate.rate for rate in rates], yerr=(below, above), marker="o", capsize=3, color=colour,
        linestyle=style, label=label,
    )  # fmt: skip


def _series(outcomes: Sequence[Outcome], across: str) -> dict[str, list[Outcome]]:
    """The outcomes by the values of all parameters but one."""
    series: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        others = ", ".join(f"{name} {value}" for name, value in outcome.values.items() if name != across)
        series.setdefault(others, []).append(outcome)
    return series

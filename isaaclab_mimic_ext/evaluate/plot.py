"""Success over the epochs of training, as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from isaaclab_mimic_ext.errors import DependencyMissing, OutputError
from isaaclab_mimic_ext.evaluate.results import CheckpointResult


def plot_success(results: Sequence[CheckpointResult], path: Path, title: str) -> None:
    """Draw success with its interval over epochs, a line a run; without epochs, over the checkpoints' names.

    Raises:
        DependencyMissing: matplotlib is not installed.
        OutputError: the picture cannot be written.
    """
    figure = new_figure()
    axes = figure.add_subplot()
    has_epochs = all(result.checkpoint.epoch is not None for result in results)
    for run, of_run in _by_run(results).items():
        places = [result.checkpoint.epoch if has_epochs else result.checkpoint.name for result in of_run]
        _draw_line(axes, places, of_run, run)
    if has_epochs:
        axes.locator_params(axis="x", integer=True)
    axes.set_xlabel("epochs" if has_epochs else "checkpoint")
    axes.set_ylabel("success [%], 95 % interval")
    axes.set_ylim(-3, 103)
    axes.set_title(title)
    axes.grid(alpha=0.3)
    if len(_by_run(results)) > 1:
        axes.legend(title="run", fontsize="small")
    save_figure(figure, path)


def new_figure() -> Any:
    """A figure that needs no display.

    Raises:
        DependencyMissing: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise DependencyMissing(f"no plot without matplotlib ({error}); pip install matplotlib") from error
    return Figure(figsize=(7.0, 4.5), layout="constrained")


def save_figure(figure: Any, path: Path) -> None:
    """Write a figure as PNG.

    Raises:
        OutputError: it cannot be written.
    """
    part = path.with_name(f"{path.stem}.part{path.suffix}")
    try:
        figure.savefig(part, dpi=150)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OutputError(f"{path}: cannot be written ({error.strerror}); free some space and run again") from error


def _draw_line(axes: Any, places: Sequence[Any], results: Sequence[CheckpointResult], label: str) -> None:
    rates = [result.success for result in results]
    middle = [100 * rate.rate for rate in rates]
    # A rate lies within its own interval; rounding must not make an error bar negative.
    below = [max(100 * (rate.rate - rate.low), 0.0) for rate in rates]
    above = [max(100 * (rate.high - rate.rate), 0.0) for rate in rates]
    axes.errorbar(places, middle, yerr=(below, above), marker="o", capsize=3, label=label or None)


def _by_run(results: Sequence[CheckpointResult]) -> Mapping[str, list[CheckpointResult]]:
    runs: dict[str, list[CheckpointResult]] = {}
    for result in results:
        runs.setdefault(result.checkpoint.run, []).append(result)
    return runs

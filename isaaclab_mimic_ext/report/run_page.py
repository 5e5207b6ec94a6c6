"""Report of a run: one HTML page about its trials and the reasons of failures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from isaaclab_mimic_ext.learn.results import wilson_interval
from isaaclab_mimic_ext.report.charts import FEW_TRIALS, colors_of, count_bars, for_each_window, rate_color
from isaaclab_mimic_ext.report.pages import render
from isaaclab_mimic_ext.report.pictures import Pictures
from isaaclab_mimic_ext.report.run_charts import episode_lengths, placement, progress, tracking_errors
from isaaclab_mimic_ext.run.summary import MeshCount, count_reasons, demo_counts, mesh_counts, stages_of
from isaaclab_mimic_ext.run.trial_records import RunRecords, Subtask

_MAX_DEMOS = 40
_MAX_NUMBERS = 12
_MAX_ROWS = 200
"""Largest number of rows of the list of demos."""


@dataclass(frozen=True)
class Heading:
    """Heading of the page.

    Attributes:
        title: name of the task.
        state: "finished", "in progress", or the reason why the run ended.
        settings: name -> value, shown below the title.
    """

    title: str
    state: str
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RunFiles:
    """Content of files of the run.

    Attributes:
        media: the scene picture and the videos, see `pages.media`.
        config: text of `config.yaml`; empty if it does not exist.
    """

    media: Sequence[Mapping[str, Any]] = ()
    config: str = ""


def render_run_page(
    heading: Heading,
    records: RunRecords,
    pictures: Mapping[int, Pictures] | None = None,
    no_pictures: str = "",
    files: RunFiles = RunFiles(),
) -> str:
    """Render the page.

    Args:
        pictures: pictures of failed trials, by trial number.
        no_pictures: reason why drawing failed; empty if it did not.
        files: files of the run that the page contains.
    """
    context: dict[str, Any] = {
        "heading": heading,
        "figures": _figures(records),
        "few_trials": FEW_TRIALS,
        "num_trials": len(records),
        "files": files,
    }
    if len(records):
        reasons = count_reasons(records)
        colors = colors_of(list(reasons))
        context |= {
            "demos": _demos(records),
            "demo_titles": _demo_titles(records),
            "num_more_demos": max(int(records.success.sum()) - _MAX_ROWS, 0),
            "meshes": {name: _mesh_rows(counts) for name, counts in mesh_counts(records).items()},
            "arms": [_arm(records, eef, colors) for eef in range(len(records.subtasks))],
            "reasons_chart": for_each_window(
                lambda width: count_bars(reasons, colors, "failed trials by reason", len(records), width)
            ),
            "colors": colors,
            "no_pictures": no_pictures,
            "failures": _failures(records, reasons, colors, pictures or {}),
            "placements": _placements(records, colors),
            "scale": ", ".join(rate_color(step / 20) for step in range(21)),
            "tracking_chart": for_each_window(lambda width: tracking_errors(records, width)),
            "lengths_chart": for_each_window(
                lambda width: episode_lengths(records, float(records.facts["trials"]["step_dt"]), width)
            ),
        }
    return render("run.html", **context)


def _demo_titles(records: RunRecords) -> tuple[str, ...]:
    arms = [subtasks[0].eef_name for subtasks in records.subtasks]
    sources = [f"source demos: {arm}" for arm in arms] if len(arms) > 1 else ["source demos by subtask"]
    return ("demo", "trial", "steps", *sources)


def _demos(records: RunRecords) -> list[tuple[Any, ...]]:
    """Rows of the list of demos: the successful trials, in the order of their numbers."""
    rows = np.flatnonzero(records.success)[:_MAX_ROWS].tolist()
    return [
        (f"demo_{index}", int(records.trials[row]), int(records.length[row]), *_chosen(records, row))
        for index, row in enumerate(rows)
    ]


def _figures(records: RunRecords) -> list[tuple[str, str, str]]:
    """Figures at the top of the page: (value, name, note)."""
    total, good = len(records), int(records.success.sum())
    low, high = wilson_interval(good, total)
    figures = [(f"{total:,}", "trials", ""), (f"{good:,}", "succeeded", ""), (f"{total - good:,}", "failed", "")]
    if total:
        figures.insert(1, (f"{good / total:.1%}", "success rate", f"95 % interval {low:.1%} to {high:.1%}"))
        figures.append(
            (f"{records.length.mean():.0f}", "steps per trial", f"{records.length.min()} to {records.length.max()}")
        )
    if records.stopped.any():
        figures.append((f"{int(records.stopped.sum()):,}", "stopped early", "hopeless trials"))
    return figures


def _mesh_rows(counts: Sequence[MeshCount]) -> list[tuple[str, str, str]]:
    """Rows of the table of the meshes of an object: file, success, and reasons of failures."""
    names = [Path(each.file).name for each in counts]
    return [
        (
            name if names.count(name) == 1 else each.file,
            f"{each.successes} of {each.trials} ({each.successes / max(each.trials, 1):.0%})",
            ", ".join(f"{count} {reason}" for reason, count in each.reasons.items()),
        )
        for name, each in zip(names, counts, strict=True)
    ]


def _placements(records: RunRecords, colors: Mapping[str, str]) -> list[tuple[str, str]]:
    """Name and chart of each object whose placement varies."""
    charts = [
        (name, for_each_window(lambda width, index=index: placement(records, index, colors, width)))  # type: ignore[misc]
        for index, name in enumerate(records.objects)
    ]
    return [(name, chart) for name, chart in charts if chart]


def _arm(records: RunRecords, eef: int, colors: Mapping[str, str]) -> dict[str, Any]:
    """Progress chart and table of source demos of one end effector; its name is empty if it is the only one."""
    subtasks = records.subtasks[eef]
    name = subtasks[0].eef_name
    stages, label = stages_of(records, eef), f"progress of {name} by subtask"
    return {
        "name": name if len(records.subtasks) > 1 else "",
        "progress": for_each_window(lambda width: progress(stages, colors, label, width)),
        "sources": _sources(records, subtasks),
    }


def _sources(records: RunRecords, subtasks: Sequence[Subtask]) -> dict[str, Any]:
    """Table with one row per source demo, the least successful first: (name, (successes, trials) of each subtask)."""
    counts = [demo_counts(records, subtask) for subtask in subtasks]
    uses = np.array([trials for trials, _ in counts])
    wins = np.array([successes for _, successes in counts])
    rates = wins.sum(0) / np.maximum(uses.sum(0), 1)
    order = [int(index) for index in np.argsort(rates, kind="stable") if uses[:, index].sum()]
    return {
        "titles": [subtask.title for subtask in subtasks],
        "rows": [
            (records.source_names[index], list(zip(wins[:, index].tolist(), uses[:, index].tolist(), strict=True)))
            for index in order[:_MAX_DEMOS]
        ],
        "unused": [name for index, name in enumerate(records.source_names) if not uses[:, index].sum()],
        "num_more": max(len(order) - _MAX_DEMOS, 0),
    }


def _failures(
    records: RunRecords, reasons: Mapping[str, int], colors: Mapping[str, str], pictures: Mapping[int, Pictures]
) -> list[dict[str, Any]]:
    """One block per failure reason with pictures."""
    blocks = []
    for reason, count in reasons.items():
        rows = np.flatnonzero(records.reason == reason).tolist()
        shown = [row for row in rows if int(records.trials[row]) in pictures]
        if shown:
            numbers = ", ".join(map(str, records.trials[rows[:_MAX_NUMBERS]]))
            block = {"reason": reason, "color": colors[reason], "count": count}
            block["numbers"] = numbers + (", ..." if count > _MAX_NUMBERS else "")
            block["cards"] = [_card(records, row, pictures[int(records.trials[row])]) for row in shown]
            blocks.append(block)
    return blocks


def _card(records: RunRecords, row: int, pictures: Pictures) -> dict[str, Any]:
    length, step = int(records.length[row]), int(records.step[row])
    return {
        "trial": int(records.trials[row]),
        "when": f"at step {step}" if step < length - 1 else "to the end",
        "length": length,
        "stopped": bool(records.stopped[row]),
        "details": _details(records, row),
        "pictures": pictures,
    }


def _details(records: RunRecords, row: int) -> str:
    """Text with the steps in which term signals were reached, and the selected source demos."""
    reached = [
        f"{name} {int(step)}" if step >= 0 else f"{name} never"
        for name, step in zip(records.signals, records.reached[row], strict=True)
    ]
    return f"signals: {', '.join(reached)} · sources: {' | '.join(_chosen(records, row))}"


def _chosen(records: RunRecords, row: int) -> list[str]:
    """Names of the selected source demos of a trial, one text per end effector."""
    chosen = []
    for subtasks in records.subtasks:
        demos = [int(records.source_demos[row, subtask.eef, subtask.index]) for subtask in subtasks]
        chosen.append(", ".join("none" if demo < 0 else records.source_names[demo] for demo in demos))
    return chosen

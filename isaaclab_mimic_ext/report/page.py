"""A run's report: one HTML page that needs nothing but itself."""

# K trials, E end effectors, S subtasks, O objects, D source demos

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

import numpy as np

from isaaclab_mimic_ext.evaluate.intervals import wilson_interval
from isaaclab_mimic_ext.report.charts import draw_lengths, draw_reasons, draw_tracking
from isaaclab_mimic_ext.report.failures import failure_sections
from isaaclab_mimic_ext.report.flow import draw_flow, stages_of
from isaaclab_mimic_ext.report.maps import draw_places, draw_yaws
from isaaclab_mimic_ext.report.pictures import Pictures
from isaaclab_mimic_ext.report.records import RunRecords, Subtask
from isaaclab_mimic_ext.report.style import STYLE
from isaaclab_mimic_ext.report.summary import count_reasons, demo_counts
from isaaclab_mimic_ext.report.svg import FEW, MUTED, colors_of, ink_on, picture, rate_color, rect, text

_MOST_DEMOS = 40
FLOWS = "Trials by the term signals that they reached, in the order of the subtasks; below, why the others were lost."
REASONS = (
    "The first reason, in the task's order, that holds for a trial. Strips: a trial's start, before and after the event, "
    "its end; where something never happened, steps spread evenly."
)
PLACES = (
    "Success rate [%] over the place and the yaw in which each object began, seen from above with the robot below. Pale: "
    f"fewer than {FEW} trials. Dots: failed trials, in the colours of their reasons."
)
SOURCES = (
    "Success rate of the trials in which each source demonstration was chosen for each subtask, and their number; the worst "
    f"first. Pale: fewer than {FEW} trials."
)
TRACKING = (
    "How far end effectors were from their targets after each step: bars are means, lines reach the value below which the "
    "largest error stays in 95 % of the trials."
)
LENGTHS = "Steps of each trial, those at the last waypoint included."


@dataclass(frozen=True)
class Heading:
    """What the page says of the run itself.

    Attributes:
        state: "finished", "in progress", or why the run ended.
        settings: name -> value, shown below the figures.
    """

    title: str
    state: str
    settings: Mapping[str, str] = field(default_factory=dict)


def render_page(
    heading: Heading, records: RunRecords, pictures: Mapping[int, Pictures] | None = None, no_pictures: str = ""
) -> str:
    """The page.

    Args:
        pictures: of failed trials, by number.
        no_pictures: why there are none.
    """
    reasons = count_reasons(records)
    colors = colors_of(list(reasons))
    sections = [_heading(heading, records)]
    if len(records):
        sections.append(_flows(records, colors))
        sections.append(_reasons(records, reasons, colors, pictures or {}, no_pictures))
        sections += [_places(records, colors), _sources(records), _tracking(records), _lengths(records)]
    body = "\n".join(section for section in sections if section)
    meta = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    head = f"<head>{meta}<title>{escape(heading.title)}</title><style>{STYLE}</style></head>"
    return f'<!doctype html>\n<html lang="en">{head}\n<body><main>\n{body}\n</main></body></html>\n'


def _section(title: str, explanation: str, content: str) -> str:
    return f"<section><h2>{escape(title)}</h2><p class=explanation>{escape(explanation)}</p>{content}</section>"


def _heading(heading: Heading, records: RunRecords) -> str:
    total, good = len(records), int(records.success.sum())
    low, high = wilson_interval(good, total)
    figures = [("trials", f"{total:,}", ""), ("succeeded", f"{good:,}", ""), ("failed", f"{total - good:,}", "")]
    if total:
        figures.insert(1, ("success rate", f"{good / total:.1%}", f"95 % interval {low:.1%} to {high:.1%}"))
        figures.append(
            ("steps of a trial", f"{records.length.mean():.0f}", f"{records.length.min()} to {records.length.max()}")
        )
    if records.stopped.any():
        figures.append(("stopped early", f"{int(records.stopped.sum()):,}", "hopeless trials"))
    tiles = "".join(
        f"<div class=figure><b>{escape(value)}</b><span>{escape(name)}</span><small>{escape(note)}</small></div>"
        for name, value, note in figures
    )
    settings = "".join(f"<span><i>{escape(name)}</i> {escape(value)}</span>" for name, value in heading.settings.items())
    title = f"<h1>{escape(heading.title)} <em>{escape(heading.state)}</em></h1>"
    return f"<header>{title}<div class=settings>{settings}</div><div class=figures>{tiles}</div></header>"


def _flows(records: RunRecords, colors: Mapping[str, str]) -> str:
    drawings = []
    for eef, subtasks in enumerate(records.subtasks):
        name = subtasks[0].eef_name
        title = f"<h3>{escape(name)}</h3>" if len(records.subtasks) > 1 else ""
        drawings.append(title + draw_flow(stages_of(records, eef), dict(colors), f"how far the trials of {name} come"))
    return _section("How far trials come", FLOWS, "".join(drawings))


def _reasons(
    records: RunRecords,
    reasons: Mapping[str, int],
    colors: Mapping[str, str],
    pictures: Mapping[int, Pictures],
    no_pictures: str,
) -> str:
    if not reasons:
        return _section("Why trials fail", "No trial has failed.", "")
    chart = draw_reasons(dict(reasons), len(records), dict(colors))
    note = f"<p class=note>No pictures: {escape(no_pictures)}</p>" if no_pictures else ""
    return _section("Why trials fail", REASONS, chart + note + failure_sections(records, reasons, colors, pictures))


def _places(records: RunRecords, colors: Mapping[str, str]) -> str:
    cards = []
    for index, name in enumerate(records.objects):
        drawings = [draw_places(records, index, dict(colors)), draw_yaws(records, index)]
        drawn = "".join(drawing for drawing in drawings if drawing)
        if drawn:
            cards.append(f"<figure><figcaption>{escape(name)}</figcaption><div class=pair>{drawn}</div></figure>")
    if not cards:
        return ""
    legend = _scale() + "".join(
        f'<span class=key><i style="background:{color}"></i>{escape(name)}</span>' for name, color in colors.items()
    )
    content = f"<div class=keys>{legend}</div><div class=cards>{''.join(cards)}</div>"
    return _section("Where trials fail", PLACES, content)


def _scale() -> str:
    steps = [rect(36 + 3 * index, 4, 3, 12, rate_color(index / 39)) for index in range(40)]
    ends = [text(30, 14, "0 %", "end", 11, MUTED), text(162, 14, "100 %", size=11, fill=MUTED)]
    return picture(210, 20, [*steps, *ends], "the scale of success rates")


def _sources(records: RunRecords) -> str:
    tables = []
    for row in records.subtasks:
        title = f"<h3>{escape(row[0].eef_name)}</h3>" if len(records.subtasks) > 1 else ""
        tables.append(title + _demo_table(records, row))
    return _section("By source demonstration", SOURCES, "".join(tables))


def _demo_table(records: RunRecords, subtasks: Sequence[Subtask]) -> str:
    counts = [demo_counts(records, subtask) for subtask in subtasks]
    uses = np.array([trials for trials, _ in counts])
    wins = np.array([successes for _, successes in counts])
    rates = wins.sum(0) / np.maximum(uses.sum(0), 1)
    order = [index for index in np.argsort(rates, kind="stable") if uses[:, index].sum()][:_MOST_DEMOS]
    unused = [name for index, name in enumerate(records.source_names) if not uses[:, index].sum()]
    head = "".join(f"<th>{escape(subtask.title)}</th>" for subtask in subtasks)
    rows = "".join(
        f"<tr><th>{escape(records.source_names[index])}</th>"
        + "".join(_rate_cell(int(wins[column, index]), int(uses[column, index])) for column in range(len(subtasks)))
        + "</tr>"
        for index in order
    )
    left_out = len(records.source_names) - len(unused) - len(order)
    notes = [f"Never chosen: {', '.join(unused)}."] if unused else []
    notes += [f"{left_out} more with higher success rates."] if left_out > 0 else []
    note = f"<p class=note>{escape(' '.join(notes))}</p>" if notes else ""
    return f"<div class=wide><table class=demos><tr><th></th>{head}</tr>{rows}</table></div>{note}"


def _rate_cell(successes: int, trials: int) -> str:
    if not trials:
        return "<td class=none>·</td>"
    rate = successes / trials
    style = f"background:{rate_color(rate, trials)};color:{ink_on(rate, trials)}"
    return f'<td style="{style}"><b>{rate:.0%}</b> <small>{trials}</small></td>'


def _tracking(records: RunRecords) -> str:
    return _section("Tracking error", TRACKING, draw_tracking(records))


def _lengths(records: RunRecords) -> str:
    chart = draw_lengths(records, float(records.facts["trials"]["step_dt"]))
    return _section("Episode lengths", LENGTHS, chart)

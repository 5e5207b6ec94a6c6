"""Failed trials by reason, with pictures and with what their records say."""

# S subtasks, O objects

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from isaaclab_mimic_ext.report.pictures import Pictures
from isaaclab_mimic_ext.report.records import RunRecords

_MOST_REASONS = 12


def choose_failures(records: RunRecords, reasons: Sequence[str], most: int) -> list[int]:
    """The rows of the failed trials to be shown: of each reason the first ones."""
    rows: list[int] = []
    for reason in list(reasons)[:_MOST_REASONS]:
        rows += np.flatnonzero(~records.success & (records.reason == reason))[:most].tolist()
    return rows


def failure_sections(
    records: RunRecords, reasons: Mapping[str, int], colors: Mapping[str, str], pictures: Mapping[int, Pictures]
) -> str:
    """A block a reason that there are pictures of."""
    blocks = []
    for reason, count in reasons.items():
        rows = [row for row in np.flatnonzero(records.reason == reason).tolist() if int(records.trials[row]) in pictures]
        if not rows:
            continue
        cards = "".join(_card(records, row, pictures[int(records.trials[row])]) for row in rows)
        numbers = records.trials[records.reason == reason][:12].tolist()
        listed = ", ".join(map(str, numbers)) + (", ..." if count > len(numbers) else "")
        title = f'<h3><i class=dot style="background:{colors[reason]}"></i>{escape(reason)}</h3>'
        blocks.append(f"<div class=reason>{title}<p class=note>{count} trials: {listed}</p>{cards}</div>")
    return "".join(blocks)


def _card(records: RunRecords, row: int, pictures: Pictures) -> str:
    trial, length, step = int(records.trials[row]), int(records.length[row]), int(records.step[row])
    when = f"at step {step}" if step < length - 1 else "to the end"
    stopped = ", stopped early" if records.stopped[row] else ""
    caption = f"<b>trial {trial}</b> {when} of {length}{stopped} <small>{escape(_details(records, row))}</small>"
    label = f"trial {trial} at steps {', '.join(map(str, pictures.steps))}"
    steps = "".join(f"<span>step {shown}</span>" for shown in pictures.steps)
    strip = f'<img alt="{label}" src="data:image/jpeg;base64,{pictures.strip}"><div class=steps>{steps}</div>'
    clip = ""
    if pictures.clip:
        source = f"data:video/mp4;base64,{pictures.clip}"
        clip = f'<video muted loop controls preload=metadata src="{source}"></video>'
    return f"<div class=trial><p>{caption}</p><div class=film><div class=strip>{strip}</div>{clip}</div></div>"


def _details(records: RunRecords, row: int) -> str:
    """Which signals were reached when, and which source demos were chosen."""
    reached = [
        f"{name} {int(step)}" if step >= 0 else f"{name} never"
        for name, step in zip(records.signals, records.reached[row], strict=True)
    ]
    chosen = [
        ", ".join(_source(records, int(records.source_demos[row, subtask.eef, subtask.index])) for subtask in subtasks)
        for subtasks in records.subtasks
    ]
    return f"signals: {', '.join(reached)} · sources: {' | '.join(chosen)}"


def _source(records: RunRecords, index: int) -> str:
    return "none" if index < 0 else records.source_names[index]

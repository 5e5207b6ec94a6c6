"""Results of the steps, from the output of their commands: last lines, the verdict of a check, files that a run draws."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from isaaclab_mimic_ext.errors import MimicError
from isaaclab_mimic_ext.run.session import WATCH_HINT, RunFolder, opened_store, stored_result
from isaaclab_mimic_ext.texts import counted

_REPORT_LINES = 200
"""Largest number of lines of the result of a check that the page shows."""
_LOG_LINE = re.compile(r"\[\d\d:\d\d:\d\d\] ")
_COLUMN = re.compile(r"(?<=\S) {3,}")
SUMMARY = re.compile(
    r"(?P<counts>(?P<errors>\d+) errors?, (?P<warnings>\d+) warnings?, (?P<notes>\d+) notes?)"
    r"(?:: not ready to \w+, errors (?P<place>.*))?"
)
NOT_READY = "Not ready to generate"
_RENDERING = re.compile(r"[Rr]endering (?P<name>\S+\.\w+)(?:: (?P<done>\d+)/(?P<total>\d+) frames)?")
_STEPS = re.compile(r"^(?P<level>\s*(?:error|warning|note)\s+)(?P<steps>step (?P<step>\d+)(?:-\d+)?)\b")
_PROGRESS = re.compile(
    r"(?:\[[\d:]+\] )?(?P<title>[a-z ]+): (?P<done>\d+)/(?P<total>\d+) (?P<unit>\w+)(?:, (?P<percent>\d+)%)?"
    r"(?:.*, (?P<left>[^,]+) remaining)?"
)
_NUM_LINES = 12
"""Number of lines of the output of a command that the page shows."""


def last_lines(path: Path) -> tuple[str, ...]:
    """Last lines of the output of a command, without the command that opens the tab Watch on a page of its own."""
    lines = [line for line in text_of(path).splitlines() if WATCH_HINT not in line]
    return tuple(lines[-_NUM_LINES:])


def progress_of(lines: Sequence[str]) -> tuple[str, str, float | None]:
    """Progress in the last line of an output: its text, a short text, and the completed part; empty and None without it."""
    found = _PROGRESS.match(lines[-1]) if lines else None
    if found is None or not int(found["total"]):
        return "", "", None
    count = f"{found['done']} of {found['total']} {found['unit']}"
    left = f", {found['left']} left" if found["left"] else ""
    share = int(found["percent"]) / 100 if found["percent"] else int(found["done"]) / int(found["total"])
    return f"{found['title']}, {count}{left}", count, min(1.0, share)


def result_of(output: str, path: Path, step_dt: float | None = None) -> tuple[str, ...]:
    """Result in the output of a check of a file, without lines of the log, columns, and the folder of the file.

    Args:
        step_dt: duration of a step [s], to add the time of each finding; None: only its steps.
    """
    for shown in (path.absolute(), path):
        output = output.replace(str(shown), path.name)
    lines = [line for line in output.splitlines() if not _LOG_LINE.match(line)]
    lines = [_COLUMN.sub("  ", line) for line in lines[-_REPORT_LINES:]]
    return tuple(lines if step_dt is None else (_with_time(line, step_dt) for line in lines))


def _with_time(line: str, step_dt: float) -> str:
    """A line of a finding with the time at which it begins, as on the tabs of the page."""
    return _STEPS.sub(lambda found: f"{found['level']}{int(found['step']) * step_dt:.1f} s ({found['steps']})", line)


def short_verdict(summary: re.Match[str]) -> str:
    """Result of a check in one or two words."""
    errors, warnings = int(summary["errors"]), int(summary["warnings"])
    return counted(errors, "error") if errors else counted(warnings, "warning") if warnings else "ready"


def verdict_of(summary: re.Match[str]) -> str:
    """Result of a check in plain words, from the last line of its report."""
    if int(summary["errors"]):
        place = summary["place"] or "in the file"
        return (
            f"{NOT_READY}: there are errors {place}, which make generation fail. Mark these demos again, or record others; "
            "the remedies are at the end of the findings."
        )
    if number := int(summary["warnings"]):
        found = counted(number, "warning shows", "warnings show")
        return f"Ready to generate. {found} what may make fewer trials succeed; the remedies are at the end of the findings."
    return "Ready to generate. Nothing was found that makes generation fail."


def drawing_of(run: RunFolder) -> tuple[str, str, float | None]:
    """What a run whose dataset is complete writes now, from its log, a short text, and the completed part of it."""
    files = [run.picture.name, run.video.name, *([run.failed_video.name] if run.failed_demos.is_file() else [])]
    found = [*_RENDERING.finditer(text_of(run.log))]
    if not found or found[-1]["name"] not in files:
        return "statistics follow", "statistics", None
    last = found[-1]
    share = None if last["done"] is None else int(last["done"]) / int(last["total"])
    number = f"{files.index(last['name']) + 1} of {len(files)}"
    return f"drawing {last['name']}, {number}", f"drawing {number}", share


def num_demos_of(run: RunFolder, progress: Mapping[str, Any]) -> int:
    """Number of demos of a run, as the tab Watch counts them: in its store, until its result is known.

    Args:
        progress: content of `progress.json`, which is up to 10 s old; its number is returned if there is no store.
    """
    written = int(progress.get("successes") or 0)
    if not run.store.is_file():
        return written
    try:
        with opened_store(run.store, read_only=True) as store:
            result = stored_result(store.facts())
            return store.num_successes() if result is None or result.is_interrupted else result.num_successes
    except MimicError:  # The run creates its store.
        return written


def text_of(path: Path) -> str:
    """Text of a file; empty if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""

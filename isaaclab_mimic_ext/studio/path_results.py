"""Results of the steps, from the output of their commands: last lines, the verdict of a check, files that a run draws."""

import re
from pathlib import Path

from isaaclab_mimic_ext.run.session import RunFolder
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
_NUM_LINES = 12
"""Number of lines of the output of a command that the page shows."""


def last_lines(path: Path) -> tuple[str, ...]:
    """Last lines of the output of a command."""
    return tuple(text_of(path).splitlines()[-_NUM_LINES:])


def result_of(output: str, path: Path) -> tuple[str, ...]:
    """Result in the output of a check of a file, without lines of the log, columns, and the folder of the file."""
    for shown in (path.absolute(), path):
        output = output.replace(str(shown), path.name)
    lines = [line for line in output.splitlines() if not _LOG_LINE.match(line)]
    return tuple(_COLUMN.sub("  ", line) for line in lines[-_REPORT_LINES:])


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


def drawing_of(run: RunFolder) -> tuple[str, float | None]:
    """What a run whose dataset is complete writes now, from its log, and the completed part of it."""
    files = [run.picture.name, run.video.name, *([run.failed_video.name] if run.failed_demos.is_file() else [])]
    found = [*_RENDERING.finditer(text_of(run.log))]
    if not found or found[-1]["name"] not in files:
        return "statistics follow", None
    last = found[-1]
    share = None if last["done"] is None else int(last["done"]) / int(last["total"])
    return f"drawing {last['name']}, {files.index(last['name']) + 1} of {len(files)}", share


def text_of(path: Path) -> str:
    """Text of a file; empty if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""

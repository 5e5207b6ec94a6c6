"""Findings of dataset checks, and the validation report as text and JSON."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from isaaclab_mimic_ext.texts import counted

ERROR, WARNING = "error", "warning"


@dataclass(frozen=True)
class Finding:
    """One fault of a dataset.

    Attributes:
        level: `error` or `warning`.
        check: name of the check, one to three words.
        place: demo and dataset, or part of the file.
        found, expected: content of the file, and valid content.
        remedy: action for the user.
    """

    level: str
    check: str
    place: str
    found: str
    expected: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.level}: {self.place}: {self.check}: {self.found}, expected {self.expected}; {self.remedy}"


_OF_UNUSABLE_DATA = ("actions", "shape", "finite")
"""Checks whose errors mean that the data of a demo cannot be used."""


@dataclass
class Findings:
    """The first findings of each check, and the number of all: memory does not grow with the size of the file.

    Attributes:
        kept: the first `limit` findings of each check.
        counts: (level, check) -> number of findings.
        unusable: names of the demos whose data cannot be used.
    """

    kept: list[Finding] = field(default_factory=list)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    limit: int = 5
    unusable: set[str] = field(default_factory=set)

    def add(self, level: str, check: str, place: str, found: str, expected: str, remedy: str) -> None:
        self.counts[level, check] += 1
        if level == ERROR and check in _OF_UNUSABLE_DATA:
            self.unusable.add(place.partition("/")[0])
        if self.counts[level, check] <= self.limit:
            self.kept.append(Finding(level, check, place, found, expected, remedy))

    def error(self, check: str, place: str, found: str, expected: str, remedy: str) -> None:
        self.add(ERROR, check, place, found, expected, remedy)

    def warning(self, check: str, place: str, found: str, expected: str, remedy: str) -> None:
        self.add(WARNING, check, place, found, expected, remedy)

    def number(self, level: str, check: str | None = None) -> int:
        """Number of findings of a level, or of one check of this level."""
        return sum(count for (found, name), count in self.counts.items() if found == level and check in (None, name))


@dataclass(frozen=True)
class ValidationReport:
    """Result of `validate_dataset`.

    Attributes:
        num_errors, num_warnings: number of all findings of each level.
        counts: `level: check` -> number of findings.
        findings: the first five of each check.
        replays: `datasets.replay.summary` of the replayed demos; None if no demo was replayed.
        replay_note: reason why no demo was replayed; None if demos were replayed, or no replay was requested.
        renewed: names of the demos whose digests were renewed.
    """

    path: str
    num_demos: int
    num_steps: int
    num_errors: int
    num_warnings: int
    counts: dict[str, int]
    findings: tuple[Finding, ...]
    replays: dict[str, Any] | None = None
    replay_note: str | None = None
    renewed: tuple[str, ...] = ()

    def is_valid(self, strict: bool = False) -> bool:
        """Return whether the dataset has no errors and, if `strict`, no warnings."""
        return not (self.num_errors or (strict and self.num_warnings))

    def as_json(self) -> str:
        """Report as a JSON object with `valid` and the attributes as keys."""
        return json.dumps({"valid": self.is_valid(), **asdict(self)}, indent=2)

    def as_text(self) -> str:
        """Report as text, one line per finding."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        verdict = "valid" if self.is_valid() else "not valid"
        faults = f"{counted(self.num_errors, 'error')}, {counted(self.num_warnings, 'warning')}"
        yield f"{self.path}: {verdict}: {counted(self.num_demos, 'demo')}, {counted(self.num_steps, 'step')}, {faults}"
        if self.renewed:
            yield f"  renewed the digest of {counted(len(self.renewed), 'changed demo')}: {', '.join(self.renewed[:5])}" + (
                " ..." if len(self.renewed) > 5 else ""
            )
        num_shown: Counter[str] = Counter()
        for finding in self.findings:
            yield f"  {finding}"
            num_shown[f"{finding.level}: {finding.check}"] += 1
        for check, count in self.counts.items():
            if count > num_shown[check]:
                yield f"  {check}: {count - num_shown[check]} more"
        if self.replays is not None:
            yield (
                f"  replayed {counted(self.replays['num_demos'], 'demo')}: {self.replays['success_rate']:.0%} successful"
                + _error_text(self.replays["largest_object_error"])
            )
        if self.replay_note is not None:
            yield f"  no demo was replayed: {self.replay_note}"


def _error_text(largest: float | None) -> str:
    return "" if largest is None else f"; largest distance of an object from its recorded position: {largest:.2g} m"

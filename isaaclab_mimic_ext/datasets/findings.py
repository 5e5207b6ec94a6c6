"""What is found wrong with a dataset, and how it is told."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

ERROR, WARNING = "error", "warning"


@dataclass(frozen=True)
class Finding:
    """One fault.

    Attributes:
        level: `error` or `warning`.
        check: which check it is of, one word or two.
        place: demo and dataset, or the part of the file.
        found, expected: what is there, and what should be.
        remedy: what can be done.
    """

    level: str
    check: str
    place: str
    found: str
    expected: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.level}: {self.place}: {self.check}: {self.found}, expected {self.expected}; {self.remedy}"


@dataclass
class Findings:
    """The first few findings of each check, and how many more there are: its size does not grow with the file."""

    kept: list[Finding] = field(default_factory=list)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(level, check) -> number of findings."""
    limit: int = 5

    def add(self, level: str, check: str, place: str, found: str, expected: str, remedy: str) -> None:
        self.counts[level, check] += 1
        if self.counts[level, check] <= self.limit:
            self.kept.append(Finding(level, check, place, found, expected, remedy))

    def error(self, check: str, place: str, found: str, expected: str, remedy: str) -> None:
        self.add(ERROR, check, place, found, expected, remedy)

    def warning(self, check: str, place: str, found: str, expected: str, remedy: str) -> None:
        self.add(WARNING, check, place, found, expected, remedy)

    def number(self, level: str) -> int:
        return sum(count for (found_level, _), count in self.counts.items() if found_level == level)


@dataclass(frozen=True)
class ValidationReport:
    """What `validate_dataset` found.

    Attributes:
        findings: the first few of each check.
        num_errors, num_warnings: of all findings.
        counts: `level: check` -> number of findings.
        replays: `datasets.replay.summary` of the replayed demos, None where none were.
        replay_note: why none were, although asked for.
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

    def is_valid(self, strict: bool = False) -> bool:
        """Whether there are no errors, and if `strict` no warnings either."""
        return not (self.num_errors or (strict and self.num_warnings))

    def as_json(self) -> str:
        """The report as a JSON object; its keys are the attributes, and `valid`."""
        return json.dumps({"valid": self.is_valid(), **asdict(self)}, indent=2)

    def as_text(self) -> str:
        """The report for people, a line a finding."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        verdict = "valid" if self.is_valid() else "not valid"
        faults = f"{self.num_errors} errors, {self.num_warnings} warnings"
        yield f"{self.path}: {verdict}: {self.num_demos} demos, {self.num_steps} steps, {faults}"
        told: Counter[str] = Counter()
        for finding in self.findings:
            yield f"  {finding}"
            told[f"{finding.level}: {finding.check}"] += 1
        for check, count in self.counts.items():
            if count > told[check]:
                yield f"  {check}: {count - told[check]} more"
        if self.replays is not None:
            yield (
                f"  replayed {self.replays['num_demos']} demos: {self.replays['success_rate']:.0%} successful"
                + _error_text(self.replays["largest_object_error"])
            )
        if self.replay_note is not None:
            yield f"  nothing replayed: {self.replay_note}"


def _error_text(largest: float | None) -> str:
    return "" if largest is None else f", objects off their recorded places by at most {largest:.2g} m"

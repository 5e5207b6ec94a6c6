"""Findings of the check of source demos, and the report as text and JSON."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby

from isaaclab_mimic_ext.datasets.findings import ERROR, WARNING
from isaaclab_mimic_ext.texts import counted

NOTE = "note"
RECORDED = "recorded"
"""Check that notes demos that are not annotated."""
LEVELS = (ERROR, WARNING, NOTE)
"""Error: generation fails or refuses the file. Warning: generation becomes worse. Note: information."""


@dataclass(frozen=True)
class DemoFinding:
    """One fault.

    Attributes:
        level: one of `LEVELS`.
        check: name of the check, one or two words.
        demo: demo with the fault; None: the file or the task.
        eef: end effector with the fault, or None.
        frame: step of the demo at which the fault is, or begins; None: the whole demo.
        last_frame: last step of a fault that lasts for several steps, or None.
        found, expected: actual and expected value or state.
        remedy: action that removes the fault.
    """

    level: str
    check: str
    demo: str | None
    eef: str | None
    frame: int | None
    last_frame: int | None
    found: str
    expected: str
    remedy: str


@dataclass
class DemoFindings:
    """Collects the findings of one demo, or of the file (`demo` is None)."""

    demo: str | None = None
    items: list[DemoFinding] = field(default_factory=list)

    def add(
        self,
        level: str,
        check: str,
        found: str,
        expected: str,
        remedy: str,
        *,
        eef: str | None = None,
        frame: int | None = None,
        last_frame: int | None = None,
    ) -> None:
        step, last = (None if number is None else int(number) for number in (frame, last_frame))
        self.items.append(DemoFinding(level, check, self.demo, eef, step, last, found, expected, remedy))


@dataclass(frozen=True)
class CheckReport:
    """Result of the check of a file of source demos.

    Attributes:
        path: path of the file.
        demos: name -> number of steps, in the order of the file; 0 if a demo cannot be read.
        findings: sorted by demo, then by step; findings of the whole file are last.
        selected: end effector -> for each of its subtasks, demo -> fraction of the simulated trials that select it; empty
            if no trial could be simulated.
        num_draws: number of simulated trials.
    """

    path: str
    demos: dict[str, int]
    findings: tuple[DemoFinding, ...]
    selected: dict[str, list[dict[str, float]]]
    num_draws: int

    def count(self, level: str) -> int:
        """Number of findings of a level."""
        return sum(finding.level == level for finding in self.findings)

    @property
    def is_healthy(self) -> bool:
        """Return whether no finding is an error."""
        return self.count(ERROR) == 0

    def as_json(self) -> str:
        """Report as a JSON object: the attributes, `healthy`, and the number of findings of each level."""
        counts = {f"num_{level}s": self.count(level) for level in LEVELS}
        return json.dumps({"healthy": self.is_healthy, **counts, **asdict(self)}, indent=2)

    def as_text(self) -> str:
        """Report as text: one line per finding, then the remedies, then the summary.

        Consecutive demos with the same findings share their lines.
        """
        return "\n".join(self._lines())

    def summary(self) -> str:
        """Summary in one line: number of findings of each level, and whether the file is ready for generation."""
        counts = ", ".join(counted(self.count(level), level) for level in LEVELS)
        faulty = {finding.demo for finding in self.findings if finding.level == ERROR and finding.demo is not None}
        purpose = "annotate" if any(finding.check == RECORDED for finding in self.findings) else "generate"
        if self.is_healthy:
            return f"{counts}: ready to {purpose}"
        where = f"in {len(faulty)} of {counted(len(self.demos), 'demo')}" if faulty else "in the file as a whole"
        return f"{counts}: not ready to {purpose}, errors {where}"

    def _lines(self) -> Iterator[str]:
        num_unreadable = sum(num_steps == 0 for num_steps in self.demos.values())
        unreadable = f" ({num_unreadable} unreadable)" if num_unreadable else ""
        yield f"{self.path}: {counted(len(self.demos), 'demo')}{unreadable}, {counted(sum(self.demos.values()), 'step')}"
        width = max((len(finding.check) for finding in self.findings), default=0)
        for found, demos in groupby(self.demos, self._findings_of):
            yield from _block(_demos_text([*demos]), found, width)
        yield from _block("all demos", self._findings_of(None), width)
        yield from self._remedies()
        yield self.summary()

    def _findings_of(self, demo: str | None) -> list[DemoFinding]:
        """Findings of a demo or, if None, of the file; without the name of the demo, to compare demos."""
        return [replace(finding, demo=None) for finding in self.findings if finding.demo == demo]

    def _remedies(self) -> Iterator[str]:
        remedies = Counter((finding.check, finding.remedy) for finding in self.findings)
        if remedies:
            yield "remedies"
        for (check, remedy), count in remedies.items():
            yield f"  {check}{f' ({count} times)' if count > 1 else ''}: {remedy}"


def _block(heading: str, found: list[DemoFinding], width: int) -> Iterator[str]:
    if found:
        yield heading
    for finding in found:
        yield f"  {finding.level:7}  {_frames(finding):13}  {finding.check:{width}}  {_sentence(finding)}"


def _demos_text(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} to {names[-1]} ({counted(len(names), 'demo')})"


def _sentence(finding: DemoFinding) -> str:
    subject = f"{finding.eef}: " if finding.eef is not None else ""
    return f"{subject}{finding.found}; expected {finding.expected}"


def _frames(finding: DemoFinding) -> str:
    if finding.frame is None:
        return ""
    return f"step {finding.frame}" + ("" if finding.last_frame is None else f"-{finding.last_frame}")

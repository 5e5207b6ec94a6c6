"""What the doctor finds, and how it is told."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

from isaaclab_mimic_ext.datasets.findings import ERROR, WARNING

NOTE = "note"
LEVELS = (ERROR, WARNING, NOTE)
"""Generation fails or is refused; it suffers; it is good to know."""


@dataclass(frozen=True)
class DemoFinding:
    """One fault.

    Attributes:
        level: of `LEVELS`.
        check: which check it is of, one word or two.
        demo: that has it, or None where it is of the file or the task.
        eef: the end effector that it is about, or None.
        frame: the demo's step that it is about, or None.
        last_frame: where it is a stretch, the last step of it.
        found, expected: what is there, and what should be.
        remedy: what can be done.
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
    """Collects the findings about one demo, or about the file."""

    demo: str | None = None
    kept: list[DemoFinding] = field(default_factory=list)

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
        self.kept.append(DemoFinding(level, check, self.demo, eef, step, last, found, expected, remedy))


@dataclass(frozen=True)
class DoctorReport:
    """What `examine` found.

    Attributes:
        demos: name -> number of steps, in the file's order; 0 where it cannot be read.
        findings: ordered by demo, then by step; those of the whole file at the end.
        selected: end effector -> for each of its subtasks demo -> part of the simulated trials that take it; empty where
            nothing could be simulated.
    """

    path: str
    demos: dict[str, int]
    findings: tuple[DemoFinding, ...]
    selected: dict[str, list[dict[str, float]]]
    num_draws: int

    def number(self, level: str) -> int:
        return sum(finding.level == level for finding in self.findings)

    @property
    def is_healthy(self) -> bool:
        """Whether there are no errors."""
        return self.number(ERROR) == 0

    def as_json(self) -> str:
        """The report as a JSON object; its keys are the attributes, `healthy` and a count of each level."""
        counts = {f"num_{level}s": self.number(level) for level in LEVELS}
        return json.dumps({"healthy": self.is_healthy, **counts, **asdict(self)}, indent=2)

    def as_text(self) -> str:
        """The report for people: a line a finding, then what can be done, then the verdict."""
        return "\n".join(self._lines())

    def summary(self) -> str:
        """The verdict in one line."""
        counts = ", ".join(_count(self.number(level), level) for level in LEVELS)
        ill = len({finding.demo for finding in self.findings if finding.level == ERROR and finding.demo is not None})
        if self.is_healthy:
            return f"{counts}: ready to generate"
        where = f"in {ill} of {len(self.demos)} demos" if ill else "in the file as a whole"
        return f"{counts}: not ready to generate, errors {where}"

    def _lines(self) -> Iterator[str]:
        yield f"{self.path}: {_count(len(self.demos), 'demo')}, {sum(self.demos.values())} steps"
        width = max((len(finding.check) for finding in self.findings), default=0)
        for demo in (*self.demos, None):
            found = [finding for finding in self.findings if finding.demo == demo]
            if found:
                yield demo or "all demos"
            for finding in found:
                yield f"  {finding.level:7}  {_frames(finding):13}  {finding.check:{width}}  {_told(finding)}"
        yield from self._remedies()
        yield self.summary()

    def _remedies(self) -> Iterator[str]:
        remedies = Counter((finding.check, finding.remedy) for finding in self.findings)
        if remedies:
            yield "what can be done"
        for (check, remedy), count in remedies.items():
            yield f"  {check}{f' ({count} times)' if count > 1 else ''}: {remedy}"


def _told(finding: DemoFinding) -> str:
    subject = f"{finding.eef}: " if finding.eef is not None else ""
    return f"{subject}{finding.found}; expected {finding.expected}"


def _frames(finding: DemoFinding) -> str:
    if finding.frame is None:
        return ""
    return f"step {finding.frame}" + ("" if finding.last_frame is None else f"-{finding.last_frame}")


def _count(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"

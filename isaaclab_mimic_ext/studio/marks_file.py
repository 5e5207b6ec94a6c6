"""The marks file of the page: each change is written at once, and files of others are never overwritten."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from isaaclab_mimic_ext.config import SubTaskBoundsCfg
from isaaclab_mimic_ext.datasets.marks import DemoMarks, check_marks, marks_text, read_marks
from isaaclab_mimic_ext.errors import OutputError, SourceDataError
from isaaclab_mimic_ext.files.writing import create_folder, sync, write_errors, write_text
from isaaclab_mimic_ext.studio.recorded_demos import RecordedDemo

_REMEDY = "move the file away, then read the marks again"


@dataclass(frozen=True)
class MarkRules:
    """Signals that may be marked.

    Attributes:
        subtasks: subtasks of each end effector.
        signal_names: names of all signals of the task.
        with_starts: whether start signals are marked, too (SkillGen).
    """

    subtasks: Mapping[str, Sequence[SubTaskBoundsCfg]]
    signal_names: tuple[str, ...]
    with_starts: bool


class MarksFile:
    """Marks of the demos of a recording, in memory and in their file.

    Attributes:
        marks: marks by demo.
        revision: number of changes, so that a page cannot replace marks that it has not seen.
        fault: reason why the file cannot be changed, if it is not a marks file of these demos, or if another program has
            changed it; else empty.
    """

    def __init__(self, path: Path, rules: MarkRules):
        self.path, self._rules = path, rules
        self.marks: dict[str, DemoMarks] = {}
        self.revision = 0
        self.fault = ""
        self._content: bytes | None = None

    def read(self, demos: Mapping[str, RecordedDemo]) -> None:
        """Read the marks from the file. If they are not those of the demos, they are not used, and `fault` is set."""
        self.revision += 1
        self.marks, self.fault, self._content = {}, "", None
        if not self.path.exists():
            return
        try:
            content = self._bytes()  # First: a change after this is found by `_write`.
            marks = read_marks(self.path, demos, self._rules.signal_names)
            for name, of_demo in marks.items():
                self._check_owner(demos[name], of_demo)
            self.marks, self._content = marks, content
        except (SourceDataError, OSError) as error:
            self.fault = f"{error}; {_REMEDY}"

    def _check_owner(self, demo: RecordedDemo, marks: DemoMarks) -> None:
        if marks.actions and marks.actions != demo.actions:
            reason = f"belongs to a different demo of this name (actions {marks.actions}, not {demo.actions})"
            raise SourceDataError(f"{self.path}: {demo.name}: {reason}")

    def set(self, demo: RecordedDemo, marks: DemoMarks) -> None:
        """Replace the marks of a demo, and write the file. If anything is wrong, neither changes.

        Raises:
            SourceDataError: the marks are not valid.
            OutputError: the file is not that of these demos, or another program has changed it.
            RecorderError: the file cannot be written.
        """
        if self.fault:
            raise OutputError(self.fault)
        rules = self._rules
        check_marks(demo.name, marks, rules.subtasks, demo.num_steps, rules.with_starts)
        changed = {**self.marks, demo.name: replace(marks, actions=demo.actions)}
        if marks == DemoMarks():
            del changed[demo.name]
        self._write({name: changed[name] for name in sorted(changed, key=_number)})

    def _write(self, marks: dict[str, DemoMarks]) -> None:
        if self._bytes() != self._content:
            self.fault = f"{self.path}: was changed by another program; read the marks again"
            raise OutputError(self.fault)
        with write_errors(self.path):
            create_folder(self.path.parent)
        text = marks_text(marks)
        write_text(self.path, text)
        sync(self.path.parent)
        self.marks, self._content = marks, text.encode()
        self.revision += 1

    def _bytes(self) -> bytes | None:
        return self.path.read_bytes() if self.path.exists() else None


def _number(name: str) -> tuple[int, str]:
    """Key that sorts names of demos as a file does."""
    digits = name.rpartition("_")[2]
    return (int(digits) if digits.isdigit() else -1), name

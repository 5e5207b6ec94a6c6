"""Marks: the steps at which the signals of demos rise, set by a person and kept in a marks file (YAML), by demo.

demo_0:
  term: {reach: 63, grasp: 88, lift: 116}
  start: {reach: 55, grasp: 84, lift: 106, place: 179}
demo_1:
  leave_out: true

The page of `annotate gui=true` and of the studio adds `actions`, a digest of the actions, so that marks are not used for a
different demo of the same name.
"""

# T steps of one demo

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from isaaclab_mimic_ext.config import SubTaskBoundsCfg
from isaaclab_mimic_ext.errors import SourceDataError, choices
from isaaclab_mimic_ext.files.demo import Demo
from isaaclab_mimic_ext.files.writing import write_text

KINDS = ("term", "start")
_LEAVE_OUT, _ACTIONS = "leave_out", "actions"
_KEYS = (*KINDS, _LEAVE_OUT, _ACTIONS)
_DIGEST_LENGTH = 16


@dataclass(frozen=True)
class DemoMarks:
    """Steps at which the signals of one demo rise, by signal. A signal is true from its step on.

    Attributes:
        term: steps of term signals: the last step of each subtask.
        start: steps of start signals (SkillGen): the first step of each skill.
        leave_out: leave out the demo of the annotated file.
        actions: digest of the actions of the demo that was marked; empty if unknown.
    """

    term: dict[str, int] = field(default_factory=dict)
    start: dict[str, int] = field(default_factory=dict)
    leave_out: bool = False
    actions: str = ""


@dataclass(frozen=True)
class SignalToMark:
    """Signal of a subtask: `kind` is `term` or `start`."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} signal '{self.name}'"

    @property
    def boundary(self) -> str:
        """The boundary of the subtask that the signal marks, for messages: the start or the end."""
        return f"the {'start' if self.kind == 'start' else 'end'} of '{self.name}'"

    def step(self, marks: DemoMarks) -> int | None:
        """Step at which the signal is marked; None if it is not."""
        return (marks.start if self.kind == "start" else marks.term).get(self.name)


def signals_to_mark(subtasks: Sequence[SubTaskBoundsCfg], with_starts: bool) -> tuple[SignalToMark, ...]:
    """Signals of one end effector in the order of their steps: of each subtask its start, if wanted, and its end.

    The last subtask ends with the demo, so only its start is marked.
    """
    signals = []
    for index, subtask in enumerate(subtasks):
        if (name := subtask.subtask_term_signal) is None:
            continue
        signals += [SignalToMark("start", name)] if with_starts else []
        signals += [SignalToMark("term", name)] if index + 1 < len(subtasks) else []
    return tuple(signals)


def read_marks(
    path: str | Path, demo_names: Iterable[str] | None = None, signal_names: Iterable[str] | None = None
) -> dict[str, DemoMarks]:
    """Read a marks file and return its marks by demo.

    Args:
        demo_names: names of all demos of the dataset; None: names are not checked.
        signal_names: names of all signals of the task; start signals have the names of term signals. None: not checked.

    Raises:
        SourceDataError: the file is missing, is not a marks file, or names an unknown demo or signal.
    """
    names = None if demo_names is None else tuple(demo_names)
    signals = None if signal_names is None else tuple(signal_names)
    return {
        demo: _read_demo(f"{path}: {demo}", values, signals)
        for demo, values in _checked_items(str(path), _load(Path(path)), "demo", names)
    }


def write_marks(path: Path, marks: Mapping[str, DemoMarks]) -> None:
    """Write a marks file.

    Raises:
        RecorderError: the file cannot be written.
    """
    write_text(path, marks_text(marks))


def marks_text(marks: Mapping[str, DemoMarks]) -> str:
    """Contents of a marks file."""
    content = {}
    for name, of_demo in marks.items():
        values = {"term": of_demo.term, "start": of_demo.start, _LEAVE_OUT: of_demo.leave_out, _ACTIONS: of_demo.actions}
        content[name] = {key: value for key, value in values.items() if value}
    return OmegaConf.to_yaml(OmegaConf.create(content))


def actions_digest(demo: Demo) -> str:
    """Digest of the actions of a demo, the same before and after its recording has ended."""
    actions = np.ascontiguousarray(demo.leaves["actions"], "<f4")
    return f"sha256:{hashlib.sha256(actions.tobytes()).hexdigest()[:_DIGEST_LENGTH]}"


def check_owner(place: str, marks: DemoMarks, demo: Demo) -> None:
    """Check that marks belong to a demo, if they state to which.

    Args:
        place: the marks, for error messages.

    Raises:
        SourceDataError: they belong to a different demo.
    """
    if marks.actions and marks.actions != (found := actions_digest(demo)):
        reason = f"belongs to a different demo of this name (actions {marks.actions}, those of {demo.file} are {found})"
        raise SourceDataError(f"{place}: {reason}; use the recording that was marked, or another marks_file")


def check_marks(
    place: str,
    marks: DemoMarks,
    subtasks: Mapping[str, Sequence[SubTaskBoundsCfg]],
    num_steps: int,
    with_starts: bool,
) -> None:
    """Check that marks of a demo are within the demo and in the order of the subtasks. Marks may be missing.

    Args:
        place: the marks, for error messages.
        subtasks: subtasks of each end effector.
        num_steps: T.
        with_starts: whether start signals are marked, too (SkillGen).

    Raises:
        SourceDataError: a mark is not valid.
    """
    valid = {eef: signals_to_mark(configs, with_starts) for eef, configs in subtasks.items()}
    every = [signal for signals in valid.values() for signal in signals]
    for kind, steps in (("term", marks.term), ("start", marks.start)):
        names = [signal.name for signal in every if signal.kind == kind]
        for name in steps:
            if name not in names:
                boundary = SignalToMark(kind, name).boundary
                raise SourceDataError(f"{place}: {boundary} is not marked in this task; {choices(name, names)}")
    for signals in valid.values():
        _check_order(place, marks, signals, num_steps)


def _check_order(place: str, marks: DemoMarks, signals: Sequence[SignalToMark], num_steps: int) -> None:
    """Check the marks of one end effector. A skill starts after the previous end, and ends at or after its start."""
    earliest, last = (0 if signals and signals[0].kind == "start" else 1), num_steps - 2
    previous: SignalToMark | None = None
    for signal in signals:
        if (step := signal.step(marks)) is None:
            continue
        latest = last + 1 if signal.kind == "start" else last
        if not 0 <= step <= latest:
            rule = f"must be at a step from {earliest} to {latest} (got {step})"
            raise SourceDataError(f"{place}: {signal.boundary} {rule}; mark one of these steps")
        if step < earliest:
            before = "the start of the demo" if previous is None else previous.boundary
            remedy = "mark a later step" if previous is None else f"mark a later step, or move {before} first"
            rule = f"must be at step {earliest} or later, after {before} (got {step})"
            raise SourceDataError(f"{place}: {signal.boundary} {rule}; {remedy}")
        previous, earliest = signal, step + (signal.kind == "term")


def marked_signal(place: str, signal: str, step: int, num_steps: int, may_be_first: bool) -> np.ndarray:
    """Signal that rises at `step`, shape (T,) bool.

    Args:
        place: demo, for error messages.
        num_steps: T.
        may_be_first: whether step 0 is valid. A term signal cannot rise in step 0.

    Raises:
        SourceDataError: the step is not valid.
    """
    first = 0 if may_be_first else 1
    if not first <= step < num_steps:
        rule = f"the mark of '{signal}' must be at a step from {first} to {num_steps - 1} (got {step})"
        raise SourceDataError(f"{place}: {rule}; correct the marks file")
    return np.arange(num_steps) >= step


def _load(path: Path) -> Any:
    if not path.is_file():
        raise SourceDataError(f"{path}: not found; check marks_file")
    try:
        return OmegaConf.to_container(OmegaConf.load(path))
    except Exception as error:  # YAML's and OmegaConf's errors share no base.
        reason = " ".join(str(error).split())
        raise SourceDataError(
            f"{path}: is not a YAML file ({reason}); write it as 'demo_0: {{term: {{signal: step}}}}'"
        ) from error


def _read_demo(place: str, values: Any, signals: tuple[str, ...] | None) -> DemoMarks:
    items = dict(_checked_items(place, values, "key", _KEYS))
    steps = {kind: dict(_checked_steps(f"{place}: {kind}", items.get(kind, {}), signals)) for kind in KINDS}
    leave_out, actions = items.get(_LEAVE_OUT, False), items.get(_ACTIONS, "")
    if not isinstance(leave_out, bool):
        raise SourceDataError(f"{place}: {_LEAVE_OUT}: must be true or false (got {leave_out!r}); remove it to use the demo")
    if not isinstance(actions, str):
        raise SourceDataError(f"{place}: {_ACTIONS}: must be a digest of the page (got {actions!r}); remove it")
    return DemoMarks(**steps, leave_out=leave_out, actions=actions)


def _checked_items(place: str, mapping: Any, kind: str, valid: tuple[str, ...] | None) -> Iterator[tuple[str, Any]]:
    """Items of a mapping of a marks file whose keys must be in `valid` (None: any); `kind` names the keys in errors."""
    if not isinstance(mapping, Mapping):
        raise SourceDataError(f"{place}: {mapping!r} is not a mapping; write 'demo_0: {{term: {{signal: step}}}}'")
    for name, value in mapping.items():
        if valid is not None and name not in valid:
            raise SourceDataError(f"{place}: {kind} '{name}' not found; {choices(str(name), valid)}")
        yield str(name), value


def _checked_steps(place: str, mapping: Any, signals: tuple[str, ...] | None) -> Iterator[tuple[str, int]]:
    for signal, step in _checked_items(place, mapping, "signal", signals):
        if not isinstance(step, int) or isinstance(step, bool):
            raise SourceDataError(f"{place}.{signal}: must be an integer (got {step!r}); the first step of a demo is 0")
        yield signal, step

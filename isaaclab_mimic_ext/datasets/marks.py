"""Subtask boundaries marked by hand: a YAML file that says of each demo at which step which signal rises.

demo_0:
  term: {reach: 63, grasp: 88, lift: 116}
  start: {reach: 55, grasp: 84, lift: 106, place: 179}
"""

# T steps of one demo

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from isaaclab_mimic_ext.errors import SourceDataError, choices

KINDS = ("term", "start")


@dataclass(frozen=True)
class DemoMarks:
    """The steps at which signals rise, by signal; from then on they are true.

    Attributes:
        term: of termination signals; the step is the subtask's last.
        start: of start signals (SkillGen); the step is the subtask's first.
    """

    term: dict[str, int] = field(default_factory=dict)
    start: dict[str, int] = field(default_factory=dict)


def read_marks(path: str | Path, demo_names: Iterable[str], signal_names: Iterable[str]) -> dict[str, DemoMarks]:
    """The marks of a file, by demo.

    Args:
        demo_names: the demos that there are.
        signal_names: the signals that there are; start signals have the names of term signals.

    Raises:
        SourceDataError: the file is missing or no such file, or names what is not there.
    """
    names, signals = tuple(demo_names), tuple(signal_names)
    marks = {}
    for demo, kinds in _entries(str(path), _load(Path(path)), "demo", names):
        place = f"{path}: {demo}"
        parts = {kind: dict(_steps(f"{place}: {kind}", steps, signals)) for kind, steps in _entries(place, kinds, "", KINDS)}
        marks[demo] = DemoMarks(**parts)
    return marks


def marked_signal(place: str, signal: str, step: int, num_steps: int, may_be_first: bool) -> np.ndarray:
    """A signal (T,) bool that rises at `step`.

    Raises:
        SourceDataError: the step is none of the demo's, or the first, where the signal could not rise.
    """
    first = 0 if may_be_first else 1
    if not first <= step < num_steps:
        reason = f"the mark of '{signal}' is at step {step}, but the demo has steps {first} to {num_steps - 1} to mark"
        raise SourceDataError(f"{place}: {reason}; correct the marks file")
    return np.arange(num_steps) >= step


def _load(path: Path) -> Any:
    if not path.is_file():
        raise SourceDataError(f"{path}: there is no such file; check marks_file")
    try:
        return OmegaConf.to_container(OmegaConf.load(path))
    except Exception as error:  # YAML's and OmegaConf's errors share no base.
        reason = " ".join(str(error).split())
        raise SourceDataError(
            f"{path}: is no YAML file ({reason}); write it as 'demo_0: {{term: {{signal: step}}}}'"
        ) from error


def _entries(place: str, mapping: Any, kind: str, valid: tuple[str, ...]) -> Iterable[tuple[str, Any]]:
    if not isinstance(mapping, Mapping):
        raise SourceDataError(f"{place}: {mapping!r} is no mapping; write 'demo_0: {{term: {{signal: step}}}}'")
    for name, value in mapping.items():
        if name not in valid:
            raise SourceDataError(f"{place}: there is no {kind or 'key'} '{name}'; {choices(str(name), valid)}")
        yield str(name), value


def _steps(place: str, mapping: Any, signals: tuple[str, ...]) -> Iterable[tuple[str, int]]:
    for signal, step in _entries(place, mapping, "signal", signals):
        if not isinstance(step, int) or isinstance(step, bool):
            raise SourceDataError(f"{place}.{signal}: {step!r} is no step; give a whole number, 0 is the demo's first step")
        yield signal, step

"""The errors a user can meet: what is wrong, where, what would be right, and with which exit code a script ends."""

from collections.abc import Iterable
from difflib import get_close_matches


class MimicError(Exception):
    """Base of everything that this package raises on purpose; the run failed."""

    exit_code = 1


class UsageError(MimicError):
    """The user asked for something that cannot be done as asked."""

    exit_code = 2


class ConfigError(UsageError):
    """A configuration field has a wrong name, type or value."""


class TaskSpecError(ConfigError):
    """A subtask, object, signal or constraint of a task definition is wrong."""


class SourceDataError(UsageError):
    """A dataset that was to be read is missing, damaged, or made for something else.

    Args:
        step: of the demo, where the fault is at one.
    """

    def __init__(self, message: str, step: int | None = None):
        super().__init__(message)
        self.step = step


class OutputError(UsageError):
    """An output file cannot be created, or would overwrite something."""


class SimulatorUnavailable(UsageError):
    """The engine asked for is not installed."""


class DependencyMissing(UsageError):
    """A library that only this request needs is not installed."""


class SimulationError(MimicError):
    """The physics engine failed."""


class RecorderError(MimicError):
    """Writing the dataset failed while the run was under way."""


class InvalidDataset(MimicError):
    """A dataset that was checked has faults."""


class BudgetExhausted(MimicError):
    """A failure budget ended the run before its target was reached."""

    exit_code = 3


class Interrupted(MimicError):
    """A signal ended the run; `exit_code` is 128 plus its number."""

    def __init__(self, message: str, signal_number: int):
        super().__init__(message)
        self.exit_code = 128 + signal_number


def choices(value: str, valid: Iterable[str]) -> str:
    """The tail of an error message: the valid names, and the one that was probably meant."""
    names = [str(name) for name in valid]
    close = get_close_matches(str(value), names, n=1)
    hint = f" (did you mean '{close[0]}'?)" if close else ""
    return f"choices: {', '.join(names) or 'none'}{hint}"

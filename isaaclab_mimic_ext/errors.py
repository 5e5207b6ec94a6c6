"""Errors for users: a message states place, rule, value, choices and remedy; a class has an exit code."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class MimicError(Exception):
    """Base class of all errors that this package raises deliberately; the run failed."""

    exit_code = 1


class UsageError(MimicError):
    """A request that cannot be carried out as it was given."""

    exit_code = 2


class ConfigError(UsageError):
    """A configuration field has a wrong name, type or value."""


class TooManyEnvs(ConfigError):
    """The data of the envs do not fit into free memory.

    Args:
        max_envs: largest number of envs whose data fit.
    """

    def __init__(self, message: str, max_envs: int):
        super().__init__(message)
        self.max_envs = max_envs


class TaskSpecError(ConfigError):
    """A subtask, object, signal or constraint of a task definition is wrong."""


class TaskCodeError(TaskSpecError):
    """The Python code of a task raises an error, lacks a function, or returns a wrong value."""


class SourceDataError(UsageError):
    """A dataset to read is missing, damaged, or made for a different task.

    Args:
        step: step of the demo at which the fault is; None if the fault is not at a step.
    """

    def __init__(self, message: str, step: int | None = None):
        super().__init__(message)
        self.step = step


class OutputError(UsageError):
    """An output file cannot be created, or would overwrite something."""


class NotContinuable(OutputError):
    """A recording exists that this request cannot continue: demos would be lost or differ.

    Args:
        place: field and path of the recording.
        reason: why the recording cannot be continued.
        remedy: what to do on a command line.
    """

    def __init__(self, place: str, reason: str, remedy: str):
        super().__init__(f"{place} {reason}, so it cannot be continued; {remedy}")
        self.reason = reason


class FolderInUse(OutputError):
    """Another process works in the output folder or on the output file; the same command succeeds later."""

    exit_code = 75


class SimulatorUnavailable(UsageError):
    """The requested engine is not installed."""


class DependencyMissing(UsageError):
    """An optional library that this request needs is not installed."""


class SimulationError(MimicError):
    """The physics engine failed."""


class RecorderError(MimicError):
    """Writing the dataset failed during the run."""


class InvalidDataset(MimicError):
    """A dataset that was checked has faults."""


class InvalidEngine(MimicError):
    """An engine that was checked does not keep the contract of engines."""


class BudgetExhausted(MimicError):
    """A failure budget ended the run before its target was reached."""

    exit_code = 3


class MoreBlocksNeeded(MimicError):
    """The blocks of a run do not reach its target.

    Args:
        blocks: indices of the blocks to run.
    """

    exit_code = 4

    def __init__(self, message: str, blocks: Sequence[int] = ()):
        super().__init__(message)
        self.blocks = tuple(blocks)


class Interrupted(MimicError):
    """A signal ended the run; `exit_code` is 128 plus its number."""

    def __init__(self, message: str, signal_number: int):
        super().__init__(message)
        self.exit_code = 128 + signal_number

    def __reduce__(self) -> tuple[type["Interrupted"], tuple[str, int]]:
        # Exceptions are pickled with the arguments of their base class.
        return type(self), (str(self), self.exit_code - 128)


def choices(value: str, valid: Iterable[str]) -> str:
    """Return the end of an error message: the valid names, and the name closest to `value`."""
    names = [str(name) for name in valid]
    if not names:
        return "there are none to choose from"
    close = get_close_matches(str(value), names, n=1)
    hint = f" (did you mean '{close[0]}'?)" if close else ""
    return f"choices: {', '.join(names)}{hint}"

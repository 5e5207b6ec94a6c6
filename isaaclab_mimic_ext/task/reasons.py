"""Why a trial fails: what a task may say of it, and what holds for every task."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

SUCCEEDED = -1
"""Code of a trial that did not fail."""
DIVERGED = "the physics diverged"
PLANNER_FAILED = "the planner failed"
NEVER_SOLVED = "success was never reached"
FLICKERED = "success flickered"
TOO_LATE = "success came too late to be held"
NOT_HELD = "success did not hold to the end"
JUDGED = (NEVER_SOLVED, FLICKERED, TOO_LATE, NOT_HELD)
"""The reasons that remain where nothing that a task names has happened; one of them always holds."""


@dataclass(frozen=True)
class FailureReason:
    """A way to fail, told from a condition (`Task.conditions`) that is watched at every step.

    Attributes:
        name: what a user reads, "dropped"; reports count by it.
        condition: the condition's name.
        when: `never`: it was true at no step. `ever`: it was true once (its first step is when the trial failed).
            `lost`: it was true, and is not at the end (the step after its last one is when the trial failed).
        after: the name of another condition; only steps count before which that was true at some time. Where it never
            was, the reason does not hold.
    """

    name: str
    condition: str
    when: Literal["never", "ever", "lost"] = "never"
    after: str | None = None


def never_reached(signals: Iterable[str]) -> tuple[FailureReason, ...]:
    """The reasons where a task names none: the first of its signals, in the order of the subtasks, that was never true."""
    return tuple(FailureReason(f"'{signal}' was never reached", signal) for signal in signals)


def reason_names(reasons: Sequence[FailureReason], planner_messages: Sequence[str] = ()) -> tuple[str, ...]:
    """Every reason for which a trial can fail, in the order in which they are looked for; a reason's code is its place."""
    of_planner = [f"{PLANNER_FAILED}: {message}" for message in planner_messages] or [PLANNER_FAILED]
    return (DIVERGED, *of_planner, *(reason.name for reason in reasons), *JUDGED)

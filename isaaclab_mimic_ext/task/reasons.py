"""Reasons of failure of a trial: those that a task defines, and those of all tasks."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

SUCCEEDED = -1
"""Code of a trial that did not fail."""
DIVERGED = "the physics diverged"
PLANNER_FAILED = "the planner failed"
NEVER_SOLVED = "success was never reached"
FLICKERED = "success was reached more than once, but not held"
TOO_LATE = "success came too late to be held"
NOT_HELD = "success did not hold to the end"
WORKER_DIED = "the worker process died"
"""Reason of a trial that ended the process that ran it, again and again (`num_workers`)."""
JUDGED = (NEVER_SOLVED, FLICKERED, TOO_LATE, NOT_HELD)
"""Reasons that apply if none of the task's own reasons holds; one of them always holds."""


@dataclass(frozen=True)
class FailureReason:
    """Reason of failure, derived from a condition (`Task.conditions`) that is evaluated in each step.

    Attributes:
        name: text in reports, such as "dropped"; reports count trials by it.
        condition: name of the condition.
        when: `never`: the condition was never true. `ever`: it was true in some step; the trial failed in the first of these
            steps. `lost`: it was true, but is not true at the end; the trial failed in the step after the last true one.
        after: name of another condition. Only steps after this condition was first true count. If it was never true, the
            reason does not hold.
    """

    name: str
    condition: str
    when: Literal["never", "ever", "lost"] = "never"
    after: str | None = None


def never_reached(signals: Iterable[str]) -> tuple[FailureReason, ...]:
    """Default reasons of a task: the first of its signals, in the order of the subtasks, that was never true."""
    return tuple(FailureReason(f"'{signal}' was never reached", signal) for signal in signals)


def reason_names(reasons: Sequence[FailureReason], planner_messages: Sequence[str] = ()) -> tuple[str, ...]:
    """All reasons of failure, in the order in which they are checked; the code of a reason is its index."""
    of_planner = [f"{PLANNER_FAILED}: {message}" for message in planner_messages] or [PLANNER_FAILED]
    return (DIVERGED, *of_planner, *(reason.name for reason in reasons), *JUDGED, WORKER_DIED)

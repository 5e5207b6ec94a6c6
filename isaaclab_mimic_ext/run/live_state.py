"""State of a live recording for display, and its display as lines in the log."""

# E end effectors

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

log = logging.getLogger(__name__)

WARNING_STEPS = 300
"""Number of remaining steps of an attempt at which its person is warned."""


@dataclass(frozen=True)
class Attempt:
    """Attempt that begins or has ended.

    Attributes:
        trial: number of the attempt.
        num_demos: number of durable demos.
        num_wanted: number of demos to record.
        step_dt: duration of a step [s].
        max_steps: horizon [steps].
    """

    trial: int
    num_demos: int
    num_wanted: int
    step_dt: float
    max_steps: int


@dataclass(frozen=True)
class LiveState:
    """State after a step of an attempt.

    Attributes:
        step: number of steps of the attempt.
        signals: name -> value of each term signal of the task; empty if the task defines none.
        num_solved_steps: number of latest steps in a row in which the task was solved.
        is_complete: whether the demo ends with this step.
        num_made_steps: number of steps up to which the attempt can go; larger than `step` after steps were taken back.
        grippers: command of each gripper in the last step (1 open, -1 closed).
        is_at_rest: whether nothing moved in the last step; true before the first step.
        target_eef_pose: (E, 4, 4), targets of the hands, env frame [m]; None if unknown.
        is_full: whether the attempt has its largest number of steps.
        num_given_up_steps: number of steps of the attempt that was given up last and can continue; 0 without one.
    """

    step: int
    signals: Mapping[str, bool]
    num_solved_steps: int
    is_complete: bool
    num_made_steps: int = 0
    grippers: tuple[float, ...] = ()
    is_at_rest: bool = False
    target_eef_pose: Tensor | None = None
    is_full: bool = False
    num_given_up_steps: int = 0


class LiveMonitor(Protocol):
    """Display of a live recording."""

    def begin(self, attempt: Attempt) -> None:
        """Show that an attempt begins."""

    def step(self, state: LiveState) -> None:
        """Show the state after a step."""

    def end(self, attempt: Attempt, num_steps: int, failure: str) -> None:
        """Show the outcome of an attempt; `failure` is empty if it became a demo."""


class LiveLog:
    """Reports a live recording in the log: each change, not each step."""

    def __init__(self) -> None:
        self._has_begun = False

    def begin(self, attempt: Attempt) -> None:
        if not self._has_begun:
            log.info("Each demo is saved when it ends. Ctrl-C ends the recording and discards only the running attempt")
        self._has_begun = True
        self._attempt = attempt
        self._reached: set[str] = set()
        self._was_solved = self._was_warned = False
        log.info("Demo %d of %d: solve the task, then hold still", attempt.num_demos + 1, attempt.num_wanted)

    def step(self, state: LiveState) -> None:
        seconds = state.step * self._attempt.step_dt
        for name in (name for name, value in state.signals.items() if value and name not in self._reached):
            self._reached.add(name)
            log.info("  %.1f s: %s is done", seconds, name)
        is_solved = state.num_solved_steps > 0
        if is_solved and not self._was_solved:
            log.info("  %.1f s: solved; hold still until the demo is saved", seconds)
        elif self._was_solved and not is_solved:
            log.info("  %.1f s: no longer solved", seconds)
        self._was_solved = is_solved
        num_left = self._attempt.max_steps - state.step
        if num_left <= WARNING_STEPS and not self._was_warned:
            self._was_warned = True
            left, longest = num_left * self._attempt.step_dt, self._attempt.max_steps
            log.warning("  %.1f s: an attempt has at most %d steps; complete the demo in %.1f s", seconds, longest, left)

    def end(self, attempt: Attempt, num_steps: int, failure: str) -> None:
        if failure:
            log.warning("Attempt not saved: %s (%.1f s); the next scene begins", failure, num_steps * attempt.step_dt)
        else:
            seconds = num_steps * attempt.step_dt
            log.info("Saved demo %d of %d (%d steps, %.1f s)", attempt.num_demos, attempt.num_wanted, num_steps, seconds)

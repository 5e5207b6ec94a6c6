"""Device of a person at the page: commands of the hands, and requests between two steps of an attempt."""

# E end effectors

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np
import torch
from torch import Tensor

from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.run.live import MAX_STEPS, Choice, Request, UnsavedDemo
from isaaclab_mimic_ext.run.live_state import LiveState
from isaaclab_mimic_ext.studio.protocol import Refusal

SPEED, TURN_SPEED = 0.25, 1.0
"""Speed of the target at full command [m/s, rad/s]."""
_RAMP_S = 0.15
"""Time in which a command reaches full speed [s]."""
DEAD_MAN_S = 0.3
"""Time without a message of the page in control after which an attempt is paused [s]."""
_HICCUP_S = 1.0
"""Time without a message after which a key that is still pressed does not continue the attempt [s]. A shorter one is that of
a machine that is busy, for example with drawing the page."""
REWIND_S = 2.0
"""Time that one rewind takes back [s]."""
_WAIT_S = 0.05

INPUT_DEVICES = ("keyboard", "gamepad", "touch", "gizmo", "spacemouse")


class Phase(StrEnum):
    """Phase of a recording, as the page shows it."""

    READY = "ready"
    """The scene is new, and waits for the first command."""
    RECORDING = "recording"
    STILL = "still"
    """Time stands still: nothing is commanded, and nothing moves."""
    PAUSED = "paused"
    REVIEW = "review"
    """The demo is complete; the person decides about it."""
    DONE = "done"
    """The recording has ended, and its file is written."""
    FAILED = "failed"
    """The recording has stopped because of an error."""
    BUSY = "busy"
    """The recording starts, or its file is being written."""


@dataclass(frozen=True)
class Command:
    """Command of the page: the absolute state of its keys, so that lost or repeated messages do no harm.

    Attributes:
        sequence: number of the message.
        hand: index of the hand that moves; E: all hands move alike.
        velocity, turn: translation and rotation about the axes of the env frame, in parts of the largest speed.
        grippers: command of each gripper, 1 open, -1 closed.
        device: one of `INPUT_DEVICES`.
    """

    sequence: int
    hand: int
    velocity: tuple[float, ...]
    turn: tuple[float, ...]
    grippers: tuple[float, ...]
    device: str = "keyboard"

    @property
    def moves(self) -> bool:
        """Return whether a motion is commanded."""
        return any(self.velocity) or any(self.turn)


@dataclass
class _Counts:
    """What is noted of an attempt: numbers of rewinds and pauses, and devices that were used."""

    num_rewinds: int = 0
    num_pauses: int = 0
    used: set[str] = field(default_factory=set)


class BrowserDevice:
    """`SteeringDevice` whose commands and orders come from the network thread.

    Args:
        env: environment whose hands are commanded.
        on_change: called when the phase or its reason changes, with the lock held: it must only publish.
        now: clock [s].
    """

    def __init__(
        self, env: MimicEnv, on_change: Callable[[], None] = lambda: None, now: Callable[[], float] = time.monotonic
    ):
        self._num_hands, self._step_dt, self._now = len(env.eef_names), env.step_dt, now
        self._device, self._on_change = env.device, on_change
        self._changed = threading.Condition(threading.RLock())
        self.phase, self.reason = Phase.BUSY, "the recording starts"
        self.epoch = 0
        """Number of times that the page had to take over the state of the server: new attempts and rewinds."""
        self.rate = 1.0
        """Speed of the simulation, in parts of real time."""
        self.state = LiveState(0, {}, 0, False, grippers=self._open)
        self.on_review: Callable[[Mapping[str, np.ndarray]], None] = lambda demo: None
        self._must_release, self._heard_at = True, now()
        self._end_requested = self._is_moving_in_time = self._paused_by_person = False
        self.unsaved: UnsavedDemo | None = None
        self._given_up = _Counts()
        self._begin()

    @property
    def _open(self) -> tuple[float, ...]:
        return (1.0,) * self._num_hands

    # Network thread

    def set_command(self, command: Command, epoch: int) -> None:
        """Take over a command. It is ignored if the page does not know the state after the last rewind."""
        with self._changed:
            if self._now() - self._heard_at > _HICCUP_S:
                self._release()
            self._heard_at = self._now()
            if epoch != self.epoch:
                return
            if self._must_release and not command.moves:
                self._must_release = False
            self._command = command
            self._changed.notify_all()

    def forget_command(self) -> None:
        """Stop all motion: the page in control has gone."""
        with self._changed:
            self._release()

    def order(self, name: str, step: int | None = None) -> None:
        """Request something between two steps.

        Raises:
            Refusal: the request does not fit the phase.
        """
        with self._changed:
            if fault := self._fault(name):
                raise Refusal(f"{name}: {fault}")
            if name == "end":
                self._end_requested = True
            self._orders.append((name, step))
            self._changed.notify_all()

    def _fault(self, name: str) -> str | None:
        phase = self.phase
        if phase in (Phase.DONE, Phase.FAILED, Phase.BUSY):
            return f"no attempt runs ({self.reason})"
        if name in ("keep", "discard") and phase is not Phase.REVIEW:
            return "the demo is not complete yet; solve the task, then hold still"
        if name in ("pause", "end") and phase is Phase.REVIEW:
            return "decide about the finished demo first: keep, again or discard"
        if name == "resume" and self.state.is_full:
            return "the attempt has reached its largest number of steps; go back, or begin a new scene"
        if name == "rewind" and self.state.step == 0:
            return "the attempt is at its start"
        if name == "forward" and self.state.step == self.state.num_made_steps:
            return "no steps were taken back"
        if name == "undo" and not self.state.num_given_up_steps:
            return "no attempt was given up"
        return None

    # Simulation thread

    def reset(self) -> None:
        with self._changed:
            self._begin()
            self.state = LiveState(0, {}, 0, False, grippers=self._open, is_at_rest=True)
            self._set_phase(Phase.READY, "")

    def _begin(self) -> None:
        self._orders: deque[tuple[str, int | None]] = deque()
        if self.unsaved is None:
            self._counts = _Counts()
        self._velocity: tuple[float, ...] = _REST
        self._step_times: deque[float] = deque(maxlen=20)
        self._take_over(self._open)

    def _take_over(self, grippers: tuple[float, ...]) -> None:
        """Forget the commands of the page until it knows the current state."""
        self.epoch += 1
        self._command = Command(0, 0, (0.0,) * 3, (0.0,) * 3, grippers)
        self._must_release = True
        self._heard_at = self._now()

    def _release(self) -> None:
        self._must_release = True
        command = self._command
        self._command = Command(command.sequence, command.hand, (0.0,) * 3, (0.0,) * 3, command.grippers, command.device)

    def wants_reset(self) -> bool:
        """Return False: requests are read by `next_request`."""
        return False

    def wants_end(self) -> bool:
        """Return whether the person has ended the recording."""
        return self._end_requested

    @property
    def num_hands(self) -> int:
        """Number of end effectors."""
        return self._num_hands

    @property
    def last_hand(self) -> int:
        """Largest `Command.hand`: all hands, if there are several."""
        return self._num_hands if self._num_hands > 1 else 0

    @property
    def sequence(self) -> int:
        """Number of the last command."""
        return self._command.sequence

    def next_request(self, state: LiveState) -> Request:
        with self._changed:
            has_changed = state.num_given_up_steps != self.state.num_given_up_steps
            self.state = state
            if has_changed:
                self._on_change()
            for wait_s in (_WAIT_S, 0.0):
                request = self._ordered() or self._unordered()
                if request.choice is not Choice.WAIT or not wait_s or self._end_requested:
                    return request
                self._changed.wait(wait_s)
            return request

    def _ordered(self) -> Request | None:
        """Carry out the oldest order; None without one."""
        while self._orders:
            name, step = self._orders.popleft()
            if self._fault(name) is not None:
                continue
            match name:
                case "pause":
                    self._pause("paused", by_person=True)
                    self._release()
                case "resume":
                    self._set_phase(Phase.STILL, "")
                case "rewind" | "forward" | "go_to" | "again":
                    return self._go_to(name, step)
                case "undo":
                    self._counts, self._given_up = self._given_up, self._counts
                    self._is_moving_in_time = True
                    self._set_phase(Phase.BUSY, "the steps that were given up are made again")
                    return Request(Choice.UNDO)
                case "keep":
                    self._set_phase(Phase.BUSY, "the demo is being saved")
                    return Request(Choice.KEEP)
                case "discard" | "new":
                    self._note_given_up()
                    self._set_phase(Phase.BUSY, "the next scene is prepared")
                    return Request(Choice.DISCARD)
        return None

    def _go_to(self, name: str, step: int | None) -> Request:
        here, made = self.state.step, self.state.num_made_steps
        leap = round(REWIND_S / self._step_dt)
        wanted = {"rewind": here - leap, "forward": here + leap, "again": 0}.get(name, step or 0)
        wanted = min(max(wanted, 0), made)
        if name == "again":
            self._note_given_up()
            self._counts = _Counts()
        else:
            self._counts.num_rewinds += wanted < here
        self._is_moving_in_time = True
        return Request(Choice.GO_TO, wanted, gives_up=name == "again")

    def _note_given_up(self) -> None:
        if self.state.num_made_steps:
            self._given_up = replace(self._counts, used=set(self._counts.used))

    def moved(self, state: LiveState) -> None:
        """Note the state after steps were taken back or made again: the page takes over its grippers."""
        with self._changed:
            if not self._is_moving_in_time:
                return
            self._is_moving_in_time = False
            self.state = state
            self._velocity = _REST
            self._take_over(state.grippers)
            if state.step:
                self._pause("paused; move on from here, or go further back and forward", counts=False)
            else:
                self._set_phase(Phase.READY, "")
            self._on_change()

    def _unordered(self) -> Request:
        state = self.state
        if state.is_complete:
            self._set_phase(Phase.REVIEW, "")
            return _WAIT
        if state.is_full:
            self._pause(_FULL, counts=False)
            return _WAIT
        command = self._command
        is_commanded = (command.moves and not self._must_release) or command.grippers != state.grippers
        is_silent = self._now() - self._heard_at > DEAD_MAN_S
        if self.phase is Phase.PAUSED:
            if not is_commanded or self._paused_by_person or is_silent:
                return _WAIT
            self._set_phase(Phase.RECORDING, "")
        if not is_commanded and state.is_at_rest and not state.num_solved_steps:
            self._set_phase(Phase.READY if state.step == 0 else Phase.STILL, "")
            self._velocity = _REST
            self._step_times.clear()
            return _WAIT
        if is_silent:
            self._pause("paused: nothing arrived from the page for 0.3 s; release all keys, then continue")
            return _WAIT
        self._set_phase(Phase.RECORDING, "")
        return _STEP

    def _pause(self, reason: str, by_person: bool = False, counts: bool = True) -> None:
        self._counts.num_pauses += counts and self.phase is not Phase.PAUSED
        self._paused_by_person = by_person
        self._step_times.clear()
        self._set_phase(Phase.PAUSED, reason)

    def _set_phase(self, phase: Phase, reason: str) -> None:
        if (phase, reason) != (self.phase, self.reason):
            self.phase, self.reason = phase, reason
            self._on_change()

    def set_phase(self, phase: Phase, reason: str) -> None:
        """Set the phase of a recording without a running attempt."""
        with self._changed:
            self._end_requested = False
            self._set_phase(phase, reason)

    def command(self) -> Tensor:
        """Motion and gripper of each hand in one step, (E, 7)."""
        with self._changed:
            command, now = self._command, self._now()
            if self._step_times:
                elapsed = (now - self._step_times[0]) / len(self._step_times)
                self.rate = min(1.0, self._step_dt / elapsed) if elapsed > 0 else 1.0
            self._step_times.append(now)
            wanted = _REST if self._must_release else _limited((*command.velocity, *command.turn))
            self._velocity = _ramped(self._velocity, wanted, self._step_dt / _RAMP_S)
            if command.moves or command.grippers != self.state.grippers:
                self._counts.used.add(command.device)
            motion = [value * scale * self._step_dt for value, scale in zip(self._velocity, _SCALES, strict=True)]
            all_hands = command.hand == self._num_hands
            moves = [motion if all_hands or hand == command.hand else _REST for hand in range(self._num_hands)]
            rows = [[*move, gripper] for move, gripper in zip(moves, command.grippers, strict=True)]
            return torch.tensor(rows, device=self._device)

    def review(self, demo: Mapping[str, np.ndarray]) -> None:
        self.on_review(demo)

    def attributes(self) -> Mapping[str, int | str]:
        with self._changed:
            counts = self._counts
            devices = ",".join(name for name in INPUT_DEVICES if name in counts.used)
            return {"input_devices": devices, "num_rewinds": counts.num_rewinds, "num_pauses": counts.num_pauses}


_FULL = f"paused: an attempt has at most {MAX_STEPS} steps; go back and take a shorter path, or begin a new scene"
_STEP, _WAIT = Request(Choice.STEP), Request(Choice.WAIT)


_REST = (0.0,) * 6
_SCALES = (SPEED,) * 3 + (TURN_SPEED,) * 3


def _limited(command: Sequence[float], largest: float = 1.0) -> tuple[float, ...]:
    """Command (6,) whose translation and rotation have at most the length `largest` each."""
    parts = command[:3], command[3:]
    scales = [largest / max(math.hypot(*part), largest) for part in parts]
    return tuple(value * scale for part, scale in zip(parts, scales, strict=True) for value in part)


def _ramped(velocity: Sequence[float], wanted: Sequence[float], largest: float) -> tuple[float, ...]:
    """Velocity (6,) on its way to `wanted`, changed by at most `largest`. A hand without a command stops immediately."""
    change = _limited([goal - value for goal, value in zip(wanted, velocity, strict=True)], largest)
    steps = zip(wanted, velocity, change, strict=True)
    return tuple(value + step if goal != 0.0 else 0.0 for goal, value, step in steps)

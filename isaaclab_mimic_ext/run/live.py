"""Record demos of a person: the one loop for all live devices, such as a keyboard or a page in the browser."""

# N = 1 env, E end effectors

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.errors import ConfigError
from isaaclab_mimic_ext.run.lanes import Lanes
from isaaclab_mimic_ext.run.ledger import TrialLedger
from isaaclab_mimic_ext.run.live_attempt import COMMAND_DIM, SOLO, LiveAttempt, MadeStep, rest_command
from isaaclab_mimic_ext.run.live_state import Attempt, LiveMonitor, LiveState
from isaaclab_mimic_ext.run.other_attempts import DISCARDED, OtherAttempts
from isaaclab_mimic_ext.run.recorder import EpisodeRecorder
from isaaclab_mimic_ext.run.teleoperation import EndedAttempts, end_attempts, take_attempts
from isaaclab_mimic_ext.task.reasons import DIVERGED, SUCCEEDED

MAX_STEPS = 3000
"""Horizon of attempts with a live device [steps]."""
TOO_LONG, NOT_FINITE = 1, 2
"""Codes of the reasons of failed attempts of a person, after `DISCARDED`."""
LIVE_REASONS = ("discarded", f"the demo was not complete after {MAX_STEPS} steps", DIVERGED)
"""Names of the reasons of failed attempts of a person, by code."""


@runtime_checkable
class LiveDevice(Protocol):
    """Input device of a person, such as a keyboard."""

    def command(self) -> Tensor:
        """Motion in one step, (7,): translation [m], rotation vector [rad], gripper (1 open, -1 closed).

        The motion moves the target that the hand follows (`LeashedTarget`), about the axes of the env frame. With several
        end effectors, (E, 7) in the order of `MimicEnv.eef_names`; a hand that the person does not command has no motion.
        """

    def wants_reset(self) -> bool:
        """Return whether the person has discarded the attempt since the last call."""

    def reset(self) -> None:
        """Reset the device for a new attempt: no key is pressed, the grippers are open."""


class Choice(Enum):
    """Choice of a person between two steps of an attempt."""

    STEP = auto()
    """Make the next step with `LiveDevice.command`."""
    WAIT = auto()
    """Make no step: time stands still."""
    GO_TO = auto()
    """Take steps back, or make them again."""
    DISCARD = auto()
    """Give up the attempt, and begin the next one. A `SteeringDevice` may take this back until the next demo is kept."""
    UNDO = auto()
    """Continue the attempt that was given up last; only if `LiveState.num_given_up_steps` is not 0."""
    KEEP = auto()
    """End the attempt with a demo; only if the demo is complete."""


@dataclass(frozen=True)
class Request:
    """Request of a person.

    Attributes:
        step: number of steps of the attempt after `GO_TO`.
        gives_up: whether `GO_TO` gives up the steps until now, so that `UNDO` brings them back.
    """

    choice: Choice
    step: int = 0
    gives_up: bool = False


@runtime_checkable
class SteeringDevice(LiveDevice, Protocol):
    """Device that decides between two steps how the attempt continues. `wants_reset` is not called."""

    def next_request(self, state: LiveState) -> Request:
        """Return the request of the person. Without one, wait for a fraction of a second and return `WAIT`.

        Args:
            state: state after the last step. If its demo is complete, `STEP` is not a valid choice. If the attempt is full,
                `STEP` ends the attempt without a demo.
        """

    def review(self, demo: Mapping[str, np.ndarray]) -> None:
        """Receive a complete demo, path -> (T, ...), before `next_request` decides about it."""

    def attributes(self) -> Mapping[str, int | str]:
        """Attributes of the demo of the current attempt."""


@dataclass(frozen=True)
class UnsavedDemo:
    """Complete demo that could not be written: number of its attempt, and its steps."""

    trial: int
    steps: tuple[MadeStep, ...]


@runtime_checkable
class RetryingDevice(SteeringDevice, Protocol):
    """Device that keeps a demo which could not be written, so that the continued recording makes its steps again."""

    unsaved: UnsavedDemo | None


class _StepByStep:
    """Requests of a device that only commands: a step after the other, and a complete demo is kept."""

    def __init__(self, device: LiveDevice):
        self._device = device

    def next_request(self, state: LiveState) -> Request:
        if state.is_complete:
            return Request(Choice.KEEP)
        return Request(Choice.DISCARD if self._device.wants_reset() else Choice.STEP)

    def review(self, demo: Mapping[str, np.ndarray]) -> None:
        pass

    def attributes(self) -> Mapping[str, int | str]:
        return {}


class LiveRecording:
    """Records attempts of a person until the ledger ends the recording.

    An attempt begins with 2 steps in which the hand rests. Its demo is complete when the task is solved and the hands rest
    (`DemoEnd`). The attempt then ends, or a `SteeringDevice` decides. When an attempt has ended, its demo is durable before
    the next attempt begins.

    Args:
        env: environment with one scene (N = 1).
        attributes: attributes of the demos.
        num_success_steps: number of solved steps at the end of a demo that the check of source demos requires.
        monitor: receives the state of each step, for display.
        should_stop: called after every step; returning True ends the recording and discards the running attempt.
        step_hz: largest number of steps per second; None: real time.

    Raises:
        ConfigError: the environment has several scenes, or an end effector cannot be commanded by a live device.
    """

    def __init__(
        self,
        env: MimicEnv,
        device: LiveDevice,
        recorder: EpisodeRecorder,
        ledger: TrialLedger,
        attributes: dict[str, int | str],
        num_success_steps: int,
        monitor: LiveMonitor,
        should_stop: Callable[[], bool] = lambda: False,
        step_hz: float | None = None,
    ):
        if env.num_envs != 1:
            raise ConfigError(f"num_envs: must be 1 for a live device (got {env.num_envs}); use make_env(..., num_envs=1)")
        if any(dim != 1 for dim in env.gripper_dims):
            found = ", ".join(f"{name}: {dim}" for name, dim in zip(env.eef_names, env.gripper_dims, strict=True))
            raise ConfigError(
                f"teleop_device: a live device requires grippers with one action entry (got {found}); use 'scripted'"
            )
        self._env, self._device, self._recorder, self._ledger = env, device, recorder, ledger
        self._attributes, self._monitor, self._should_stop = attributes, monitor, should_stop
        self._steering = device if isinstance(device, SteeringDevice) else _StepByStep(device)
        self._lanes = Lanes(1, env.device)
        self._attempt = LiveAttempt(env, self._lanes, recorder, num_success_steps, MAX_STEPS)
        self._others = OtherAttempts(self._attempt, self._lanes, recorder, ledger)
        self._period = env.step_dt if step_hz is None else 1.0 / step_hz

    def run(self, seed: int) -> None:
        """Record attempts; `seed` is the seed of the scenes."""
        while not self._ledger.is_over:
            self._others.begin_next(seed)
            self._device.reset()
            self._monitor.begin(self._progress())
            reason = self._run_attempt()
            if reason is None:
                self._others.drop()
                return
            if reason == DISCARDED and isinstance(self._device, SteeringDevice) and self._others.give_up():
                self._monitor.end(self._progress(), self._others.num_steps, LIVE_REASONS[DISCARDED])
                continue
            if reason != DISCARDED:
                self._others.drop()
            ended = take_attempts(self._lanes, SOLO, self._recorder)
            if reason == SUCCEEDED and (ended.first_nonfinite_step() >= 0).any():
                reason = NOT_FINITE
            num_steps = self._attempt.num_steps
            attributes = {**self._attributes, **self._steering.attributes()}
            self._save(ended, reason, attributes)
            self._monitor.end(self._progress(), num_steps, LIVE_REASONS[reason] if reason != SUCCEEDED else "")

    def _save(self, ended: EndedAttempts, reason: int, attributes: dict[str, int | str]) -> None:
        """End the attempt, and wait until its outcome is durable. A demo that cannot be written stays with the device."""
        demo = UnsavedDemo(int(self._lanes.trial), self._attempt.made_steps[: self._attempt.num_steps])
        if isinstance(self._device, RetryingDevice):
            self._device.unsaved = demo if reason == SUCCEEDED else None
        end_attempts(self._lanes, ended, np.array([reason]), self._recorder, self._ledger, attributes)
        self._recorder.writer.wait_until_durable()
        if isinstance(self._device, RetryingDevice):
            self._device.unsaved = None

    @property
    def _unsaved(self) -> UnsavedDemo | None:
        return self._device.unsaved if isinstance(self._device, RetryingDevice) else None

    def _make_unsaved(self) -> bool:
        """Make the steps of a demo of this attempt again that could not be written. Return whether there are any."""
        unsaved = self._unsaved
        if unsaved is None or unsaved.trial != self._attempt.trial:
            return False
        self._attempt.make_again(unsaved.steps)
        return True

    def _progress(self) -> Attempt:
        ledger, trial = self._ledger, int(self._lanes.trial)
        num_wanted = ledger.config.generation_num_trials
        return Attempt(trial, ledger.num_successes, num_wanted, self._env.step_dt, MAX_STEPS)

    def _run_attempt(self) -> int | None:
        """Step until the attempt ends, at most at `step_hz`. Return its reason (`SUCCEEDED`: a demo); None if stopped."""
        attempt = self._attempt
        if self._unsaved is not None and attempt.trial < self._unsaved.trial:
            return DISCARDED  # It was given up before the demo that could not be written.
        state = self._shown_state() if self._make_unsaved() else self._state()
        next_step_at = time.monotonic()
        while True:
            request = self._steering.next_request(state)
            if request.choice in _ENDS:
                return _ENDS[request.choice]
            if request.choice is Choice.GO_TO:
                if request.gives_up:
                    self._others.give_up()
                attempt.go_to(request.step)
            elif request.choice is Choice.UNDO:
                self._others.swap()
                self._monitor.begin(self._progress())
            elif request.choice is Choice.STEP and not state.is_complete:
                if state.is_full:
                    return TOO_LONG
                attempt.step(rest_command(self._env) if attempt.must_rest else self._command())
            elif self._should_stop():
                return None
            else:
                continue
            state = self._shown_state()
            if state.is_complete:
                continue
            if self._should_stop():
                return None
            now = time.monotonic()
            next_step_at = max(next_step_at + self._period, now)  # Do not catch up after slow steps.
            time.sleep(next_step_at - now)

    def _shown_state(self) -> LiveState:
        """State after the last step, after the monitor and a reviewing device have received it."""
        state = self._state()
        self._monitor.step(state)
        if state.is_complete:
            self._steering.review(self._recorder.leaves(0, state.step))
        return state

    def _state(self) -> LiveState:
        return replace(self._attempt.state(), num_given_up_steps=self._others.num_steps)

    def _command(self) -> Tensor:
        """Command (1, E, 7) of the person.

        Raises:
            ConfigError: the command does not have the shape that the scene requires, or is not finite.
        """
        command, num_eefs = self._device.command().to(self._env.device, torch.float32), len(self._env.eef_names)
        shapes = [(num_eefs, COMMAND_DIM)] + [(COMMAND_DIM,)] * (num_eefs == 1)
        if tuple(command.shape) not in shapes:
            raise ConfigError(
                f"teleop_device: command() must return {' or '.join(map(str, shapes))}, one row for each of "
                f"{', '.join(self._env.eef_names)} (got {tuple(command.shape)})"
            )
        if not all(map(math.isfinite, command.flatten().tolist())):
            raise ConfigError("teleop_device: command() must return finite values (got NaN or infinity)")
        return command.reshape(1, num_eefs, COMMAND_DIM)


_ENDS = {Choice.KEEP: SUCCEEDED, Choice.DISCARD: DISCARDED}
"""Choices that end an attempt, with the codes of its reason."""

"""Record demos of a person: the one loop for all live devices, such as a keyboard or a page in the browser."""

# N = 1 env, E end effectors

import time
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from isaaclab_mimic_ext.demos.ends import NUM_STEPS_AT_ENDS, DemoEnd
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.errors import ConfigError
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.run.lanes import Lanes
from isaaclab_mimic_ext.run.leash import LeashedTarget
from isaaclab_mimic_ext.run.ledger import TrialLedger
from isaaclab_mimic_ext.run.live_state import Attempt, LiveMonitor, LiveState
from isaaclab_mimic_ext.run.recorder import EpisodeRecorder
from isaaclab_mimic_ext.run.teleoperation import advance_demos, end_attempts, find_nonfinite
from isaaclab_mimic_ext.task.reasons import DIVERGED, SUCCEEDED

MAX_STEPS = 3000
"""Horizon of attempts with a live device [steps]."""
DISCARDED, TOO_LONG, NOT_FINITE = 0, 1, 2
"""Codes of the reasons of failed attempts of a person."""
LIVE_REASONS = ("the person discarded the attempt", f"the demo was not complete after {MAX_STEPS} steps", DIVERGED)
"""Names of the reasons of failed attempts of a person, by code."""
_COMMAND_DIM = 7
_OPEN = 1.0
_SOLO = np.array([0])
"""Index of the only lane."""


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


class LiveRecording:
    """Records attempts of a person until the ledger ends the recording.

    An attempt begins with 2 steps in which the hand rests. It succeeds and ends as soon as its demo is complete (`DemoEnd`).
    When an attempt has ended, its demo is durable before the next attempt begins.

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
        self._attributes, self._num_success_steps = attributes, num_success_steps
        self._monitor, self._should_stop = monitor, should_stop
        self._lanes = Lanes(1, env.device)
        self._period = env.step_dt if step_hz is None else 1.0 / step_hz

    def run(self, seed: int) -> None:
        """Record attempts; `seed` is the seed of the scenes."""
        while not self._ledger.is_over:
            env_ids = self._lanes.begin(self._ledger.start(1))
            self._env.reset(env_ids, Draws(seed, self._lanes.trial))
            self._recorder.begin(env_ids)
            self._device.reset()
            self._monitor.begin(self._attempt())
            reason = self._run_attempt()
            if reason is None:
                return
            if reason == SUCCEEDED and bool((find_nonfinite(self._lanes, env_ids, self._recorder) >= 0).any()):
                reason = NOT_FINITE
            num_steps = int(self._lanes.step)
            end_attempts(self._lanes, _SOLO, np.array([reason]), self._recorder, self._ledger, self._attributes)
            self._recorder.writer.wait_until_durable()
            self._monitor.end(self._attempt(), num_steps, LIVE_REASONS[reason] if reason != SUCCEEDED else "")

    def _attempt(self) -> Attempt:
        ledger = self._ledger
        return Attempt(int(self._lanes.trial), ledger.num_successes, ledger.config.generation_num_trials, self._env.step_dt)

    def _run_attempt(self) -> int | None:
        """Step until the attempt ends, at most at `step_hz`. Return its reason (`SUCCEEDED`: a demo); None if stopped."""
        env = self._env
        target, end = LeashedTarget(env.eef_pose), DemoEnd(env.eef_pose, env.step_dt)
        next_step_at = time.monotonic()
        for step in range(MAX_STEPS):
            # The check of source demos requires that the hand rests in the first steps.
            command = self._rest() if step < NUM_STEPS_AT_ENDS else self._command()
            pose = target.move(command[..., :6], env.eef_pose)
            advance_demos(env, self._lanes, self._recorder, env.target_eef_pose_to_action(pose, command[..., 6:]))
            end.watch(env.eef_pose)
            is_complete = bool(end.is_complete(self._lanes.num_success_steps, self._num_success_steps))  # sync: as all below
            self._monitor.step(self._state(is_complete))
            if is_complete:
                return SUCCEEDED
            if self._should_stop():
                return None
            if self._device.wants_reset():
                return DISCARDED
            now = time.monotonic()
            next_step_at = max(next_step_at + self._period, now)  # Do not catch up after slow steps.
            time.sleep(next_step_at - now)
        return TOO_LONG

    def _state(self, is_complete: bool) -> LiveState:
        signals = {name: bool(value) for name, value in self._env.get_subtask_term_signals().items()}
        return LiveState(int(self._lanes.step), signals, int(self._lanes.num_success_steps), is_complete)

    def _rest(self) -> Tensor:
        """Command (1, E, 7) of a resting hand with an open gripper."""
        command = torch.zeros(1, len(self._env.eef_names), _COMMAND_DIM, device=self._env.device)
        command[..., 6] = _OPEN
        return command

    def _command(self) -> Tensor:
        """Command (1, E, 7) of the person.

        Raises:
            ConfigError: the command does not have the shape that the scene requires, or is not finite.
        """
        command, num_eefs = self._device.command().to(self._env.device, torch.float32), len(self._env.eef_names)
        shapes = [(num_eefs, _COMMAND_DIM)] + [(_COMMAND_DIM,)] * (num_eefs == 1)
        if tuple(command.shape) not in shapes:
            raise ConfigError(
                f"teleop_device: command() must return {' or '.join(map(str, shapes))}, one row for each of "
                f"{', '.join(self._env.eef_names)} (got {tuple(command.shape)})"
            )
        if not bool(torch.isfinite(command).all()):
            raise ConfigError("teleop_device: command() must return finite values (got NaN or infinity)")
        return command.reshape(1, num_eefs, _COMMAND_DIM)

"""Recording the demonstrations of a person who acts while the scene runs, one scene at a time."""

# N = 1 env, G gripper entries

import time
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from isaaclab_mimic_ext.diagnose.reasons import SUCCEEDED
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.errors import ConfigError
from isaaclab_mimic_ext.math import matrix_from_axis_angle
from isaaclab_mimic_ext.record.episodes import TrialOutcomes
from isaaclab_mimic_ext.record.ledger import TrialLedger
from isaaclab_mimic_ext.record.recorder import EpisodeRecorder
from isaaclab_mimic_ext.rng import Draws

MAX_STEPS = 3000
"""After so many an attempt has failed."""


@runtime_checkable
class LiveDevice(Protocol):
    """What a person's hands are on."""

    def command(self) -> Tensor:
        """How the hand moves from where it is, (7,): position [m], rotation vector [rad], gripper (1 open, -1 closed)."""

    def wants_reset(self) -> bool:
        """Whether the person has given this attempt up since it was asked last."""

    def reset(self) -> None:
        """A new attempt begins: nothing is pressed, the gripper is open."""


def record_live_demos(
    env: MimicEnv,
    device: LiveDevice,
    recorder: EpisodeRecorder,
    ledger: TrialLedger,
    seed: int,
    num_success_steps: int,
    should_stop: Callable[[], bool] = lambda: False,
) -> None:
    """Let a person try scene after scene until the ledger ends the recording.

    Args:
        env: of one scene with one end effector.
        num_success_steps: a demo ends when the task has been solved in so many steps in a row.
        should_stop: asked after every step; what is going on then is no demo.

    Raises:
        ConfigError: the scene has several end effectors.
    """
    if len(env.eef_names) != 1:
        raise ConfigError(f"teleop_device: one device cannot move {len(env.eef_names)} arms: {', '.join(env.eef_names)}")
    env_ids = torch.zeros(1, dtype=torch.int64, device=env.device)
    while not ledger.is_over:
        trials = ledger.start(1)
        env.reset(env_ids, Draws(seed, torch.from_numpy(trials).to(env.device)))
        recorder.begin(env_ids)
        device.reset()
        solved, length = _attempt(env, device, recorder, num_success_steps, should_stop)
        if should_stop():
            return
        reason = np.array([SUCCEEDED if solved else 0])
        ledger.end(trials, reason)
        ended = TrialOutcomes(trials, reason, np.array([length]), {"seed": np.array([seed])})
        recorder.end(env_ids, ended, ledger.committed)


def _attempt(
    env: MimicEnv, device: LiveDevice, recorder: EpisodeRecorder, num_success_steps: int, should_stop: Callable[[], bool]
) -> tuple[bool, int]:
    """Whether the person solved the task, and in how many steps; in real time, or as fast as the scene goes."""
    num_solved = 0
    next_step_at = time.monotonic()
    for index in range(MAX_STEPS):
        command = device.command()
        target = _moved(env.eef_pose, command.to(env.device))
        actions = env.target_eef_pose_to_action(target, command[None, None, 6:].to(env.device))
        step = torch.full((1,), index, device=env.device)
        recorder.before_step(step)
        env.step(actions)
        success = env.success()
        recorder.after_step(step, actions, success)
        num_solved = num_solved + 1 if bool(success) else 0  # sync: a person is slower.
        if num_solved == num_success_steps:
            return True, index + 1
        if device.wants_reset() or should_stop():
            return False, index + 1
        now = time.monotonic()
        next_step_at = max(next_step_at + env.step_dt, now)  # Time that the scene has lost is not made up for.
        time.sleep(next_step_at - now)
    return False, MAX_STEPS


def _moved(pose: Tensor, command: Tensor) -> Tensor:
    """The pose (1, 1, 4, 4), moved and turned as Isaac Lab's relative actions do it: about the axes of the env frame."""
    target = pose.clone()
    target[..., :3, 3] += command[:3]
    target[..., :3, :3] = matrix_from_axis_angle(command[3:6]) @ pose[..., :3, :3]
    return target

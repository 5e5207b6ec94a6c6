"""Recording the demonstrations of a person who acts while the scene runs, one scene at a time."""

# N = 1 env, G gripper entries

import time
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np
from torch import Tensor

from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.errors import ConfigError
from isaaclab_mimic_ext.math import matrix_from_axis_angle
from isaaclab_mimic_ext.record.ledger import TrialLedger
from isaaclab_mimic_ext.record.recorder import EpisodeRecorder
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.run.lanes import Lanes
from isaaclab_mimic_ext.teleoperate import advance_demos, end_demos

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
    lanes = Lanes(1, env.device)
    while not ledger.is_over:
        env_ids = lanes.begin(ledger.start(1))
        env.reset(env_ids, Draws(seed, lanes.trial))
        recorder.begin(env_ids)
        device.reset()
        _attempt(env, device, recorder, lanes, num_success_steps, should_stop)
        if should_stop():
            return
        end_demos(lanes, np.array([0]), recorder, ledger, seed, num_success_steps)


def _attempt(
    env: MimicEnv,
    device: LiveDevice,
    recorder: EpisodeRecorder,
    lanes: Lanes,
    num_success_steps: int,
    should_stop: Callable[[], bool],
) -> None:
    """Step until the task is solved, or the person gives up; in real time, or as fast as the scene runs."""
    next_step_at = time.monotonic()
    for _ in range(MAX_STEPS):
        command = device.command().to(env.device)
        target_pose = _moved(env.eef_pose, command)
        advance_demos(env, lanes, recorder, env.target_eef_pose_to_action(target_pose, command[None, None, 6:]))
        is_solved = bool(lanes.has_held(num_success_steps))  # sync: a person is slower.
        if is_solved or device.wants_reset() or should_stop():
            return
        now = time.monotonic()
        next_step_at = max(next_step_at + env.step_dt, now)  # Time that the scene has lost is not made up for.
        time.sleep(next_step_at - now)


def _moved(pose: Tensor, command: Tensor) -> Tensor:
    """The pose (1, 1, 4, 4), moved and turned as Isaac Lab's relative actions do it: about the axes of the env frame."""
    target = pose.clone()
    target[..., :3, 3] += command[:3]
    target[..., :3, :3] = matrix_from_axis_angle(command[3:6]) @ pose[..., :3, :3]
    return target

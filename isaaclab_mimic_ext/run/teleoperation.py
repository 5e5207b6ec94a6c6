"""Recording an operator's demonstrations, many scenes at once."""

# N envs, D of them recorded together, E end effectors, T frames of the longest demo
# N = 1 env, G gripper entries

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from isaaclab_mimic_ext.envs.base import MimicEnv, by_name
from isaaclab_mimic_ext.errors import ConfigError
from isaaclab_mimic_ext.math import matrix_from_axis_angle
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.run.episodes import TrialOutcomes
from isaaclab_mimic_ext.run.lanes import Lanes
from isaaclab_mimic_ext.run.ledger import TrialLedger
from isaaclab_mimic_ext.run.recorder import EpisodeRecorder
from isaaclab_mimic_ext.task.reasons import SUCCEEDED

OPERATOR_REASONS = ("the operator did not solve the task",)

"""Names of the reasons for which a demo fails, by code."""


class OperatorPlan(Protocol):
    """What an operator's hands do in D scenes.

    Attributes:
        target_eef_pose: (D, T, 4, 4), env frame [m]; the last pose is repeated after a demo's end. Where the scene has
            several end effectors, (D, T, E, 4, 4).
        gripper_action: (D, T, G), or (D, T, E, G).
        length: (D,) int64, frames of each demo.
    """

    @property
    def target_eef_pose(self) -> Tensor: ...
    @property
    def gripper_action(self) -> Tensor: ...
    @property
    def length(self) -> Tensor: ...


Operator = Callable[[Mapping[str, Tensor], Tensor, Draws], OperatorPlan]

"""Plans demos from object poses (D, 4, 4) by name and eef poses: `tasks/<task>/operator.py`'s `plan_demos`.

Eef poses are (D, 4, 4), or (D, E, 4, 4) where the scene has several end effectors."""


def record_demos(
    env: MimicEnv,
    operator: Operator,
    recorder: EpisodeRecorder,
    ledger: TrialLedger,
    seed: int,
    num_success_steps: int,
    should_stop: Callable[[], bool] = lambda: False,
) -> None:
    """Let the operator try scene after scene until the ledger ends the recording.

    Args:
        num_success_steps: a demo counts if the task is solved in each of its last so many steps.
        should_stop: asked after every step; what is going on then is no demo.
    """
    lanes = Lanes(env.num_envs, env.device)
    while not ledger.is_over:
        # An operator plans for scenes that begin together: the next ones begin when all of these have ended.
        env_ids = lanes.begin(ledger.start(lanes.num_free))
        draws = Draws(seed, lanes.trial[env_ids])
        env.reset(env_ids, draws)
        recorder.begin(env_ids)
        plan = _plan(env, operator, draws)
        length = torch.zeros_like(lanes.step)
        length[env_ids] = plan.length
        for target_pose, gripper_action in _frames(env, plan):
            advance_demos(env, lanes, recorder, env.target_eef_pose_to_action(target_pose, gripper_action))
            if should_stop():
                return
            end_demos(lanes, lanes.active_among(lanes.step >= length), recorder, ledger, seed, num_success_steps)


def advance_demos(env: MimicEnv, lanes: Lanes, recorder: EpisodeRecorder, actions: Tensor) -> None:
    """One control step of the active lanes with actions (N, A), recorded."""
    recorder.before_step(lanes.step)
    env.step(actions, lanes.env_ids)
    success = env.success()
    recorder.after_step(lanes.step, actions, success)
    lanes.advance(success)


def end_demos(
    lanes: Lanes, places: np.ndarray, recorder: EpisodeRecorder, ledger: TrialLedger, seed: int, num_success_steps: int
) -> None:
    """Judge the demos that end in the lanes with these indices (n,), and hand them over."""
    if not len(places):
        return
    env_ids = lanes.upload(places)
    trials, lengths = lanes.trial[env_ids].cpu().numpy(), lanes.step[env_ids].cpu().numpy()
    reason = np.where(lanes.has_held(num_success_steps)[env_ids].cpu().numpy(), SUCCEEDED, 0)
    ledger.end(trials, reason)
    outcomes = TrialOutcomes(trials, reason, lengths, {"seed": np.full(len(trials), seed)})
    recorder.end(env_ids, outcomes, ledger.committed)
    lanes.end(places)


def _plan(env: MimicEnv, operator: Operator, draws: Draws) -> OperatorPlan:
    num_demos = len(draws.trials)
    eef_pose = env.eef_pose[:num_demos]
    object_poses = by_name(env.object_names, env.object_pose[:num_demos])
    return operator(object_poses, eef_pose[:, 0] if len(env.eef_names) == 1 else eef_pose, draws)


def _frames(env: MimicEnv, plan: OperatorPlan) -> Iterator[tuple[Tensor, Tensor]]:
    """Target poses (N, E, 4, 4) and gripper actions (N, E, G), frame by frame; envs without a demo have constant ones."""
    num_demos, num_eefs = len(plan.length), len(env.eef_names)
    target_pose, gripper_action = plan.target_eef_pose, plan.gripper_action
    if num_eefs == 1:
        target_pose, gripper_action = target_pose[:, :, None], gripper_action[:, :, None]
    target = torch.eye(4, device=env.device).repeat(env.num_envs, num_eefs, 1, 1)
    gripper = torch.zeros(env.num_envs, num_eefs, gripper_action.shape[-1], device=env.device)
    for frame in range(int(plan.length.max())):
        target[:num_demos], gripper[:num_demos] = target_pose[:, frame], gripper_action[:, frame]
        yield target, gripper


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

"""Recording an operator's demonstrations, many scenes at once."""

# N envs, D of them recorded together, E end effectors, T frames of the longest demo

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from isaaclab_mimic_ext.diagnose.reasons import SUCCEEDED
from isaaclab_mimic_ext.envs.base import MimicEnv, by_name
from isaaclab_mimic_ext.record.episodes import TrialOutcomes
from isaaclab_mimic_ext.record.ledger import TrialLedger
from isaaclab_mimic_ext.record.recorder import EpisodeRecorder
from isaaclab_mimic_ext.rng import Draws

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
    while not ledger.is_over:
        trials = ledger.start(env.num_envs)
        env_ids = torch.arange(len(trials), device=env.device)
        draws = Draws(seed, torch.from_numpy(trials).to(env.device))
        env.reset(env_ids, draws)
        recorder.begin(env_ids)
        plan = _plan(env, operator, draws)
        success = _follow(env, recorder, plan, should_stop) >= num_success_steps
        if should_stop():
            return
        reason, lengths = np.where(success.cpu().numpy(), SUCCEEDED, 0), plan.length.cpu().numpy()
        ledger.end(trials, reason)
        ended = TrialOutcomes(trials, reason, lengths, {"seed": np.full(len(trials), seed)})
        recorder.end(env_ids, ended, ledger.committed)


def _plan(env: MimicEnv, operator: Operator, draws: Draws) -> OperatorPlan:
    num_demos = len(draws.trials)
    eef_pose = env.eef_pose[:num_demos]
    object_poses = by_name(env.object_names, env.object_pose[:num_demos])
    return operator(object_poses, eef_pose[:, 0] if len(env.eef_names) == 1 else eef_pose, draws)


def _follow(env: MimicEnv, recorder: EpisodeRecorder, plan: OperatorPlan, should_stop: Callable[[], bool]) -> Tensor:
    """Carry out a plan; for how many steps up to its end each scene was solved, (D,)."""
    num_demos, num_eefs = len(plan.length), len(env.eef_names)
    target_pose, gripper_action = plan.target_eef_pose, plan.gripper_action
    if num_eefs == 1:
        target_pose, gripper_action = target_pose[:, :, None], gripper_action[:, :, None]
    target = torch.eye(4, device=env.device).repeat(env.num_envs, num_eefs, 1, 1)
    gripper = torch.zeros(env.num_envs, num_eefs, gripper_action.shape[-1], device=env.device)
    steps_successful = torch.zeros_like(plan.length)
    for frame in range(target_pose.shape[1]):
        running = frame < plan.length
        target[:num_demos], gripper[:num_demos] = target_pose[:, frame], gripper_action[:, frame]
        actions = env.target_eef_pose_to_action(target, gripper)
        step = torch.full((env.num_envs,), frame, device=env.device)
        recorder.before_step(step)
        env.step(actions, running.nonzero().squeeze(-1))
        success = env.success()
        recorder.after_step(step, actions, success)
        counted = torch.where(success[:num_demos], steps_successful + 1, 0)
        steps_successful = torch.where(running, counted, steps_successful)
        if should_stop():
            break
    return steps_successful

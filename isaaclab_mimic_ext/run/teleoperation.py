"""Record demos of a scripted operator in many scenes at once."""

# N envs, D of them with a demo that began together, E end effectors, G gripper entries, T frames of the longest demo
# A action entries

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from isaaclab_mimic_ext.envs.base import MimicEnv, by_name
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.run.episodes import TrialOutcomes
from isaaclab_mimic_ext.run.lanes import Lanes
from isaaclab_mimic_ext.run.ledger import TrialLedger
from isaaclab_mimic_ext.run.operator_plan import plan_fault
from isaaclab_mimic_ext.run.recorder import EpisodeRecorder
from isaaclab_mimic_ext.task.reasons import SUCCEEDED
from isaaclab_mimic_ext.task.user_code import call_task_code, wrong_result

NOT_SOLVED = 0
"""Code of the reason of a failed attempt of a scripted operator."""
OPERATOR_REASONS = ("the operator did not solve the task",)
"""Names of the reasons of failed attempts of a scripted operator, by code."""


class OperatorPlan(Protocol):
    """Planned motion of all end effectors in D scenes.

    Attributes:
        target_eef_pose: (D, T, 4, 4), env frame [m]; (D, T, E, 4, 4) if the scene has several end effectors. The last
            pose is repeated after the end of a demo.
        gripper_action: (D, T, G); (D, T, E, G) if the scene has several end effectors.
        length: (D,) int64, number of frames of each demo.
    """

    @property
    def target_eef_pose(self) -> Tensor: ...
    @property
    def gripper_action(self) -> Tensor: ...
    @property
    def length(self) -> Tensor: ...


Operator = Callable[[Mapping[str, Tensor], Tensor, Draws], OperatorPlan]
"""Plans demos from object poses (D, 4, 4) by name, eef poses and draws: `plan_demos` in `tasks/<task>/operator.py`.

Eef poses are (D, 4, 4); (D, E, 4, 4) if the scene has several end effectors."""


def record_demos(
    env: MimicEnv,
    operator: Operator,
    recorder: EpisodeRecorder,
    ledger: TrialLedger,
    seed: int,
    num_success_steps: int,
    should_stop: Callable[[], bool] = lambda: False,
) -> None:
    """Run attempts of a scripted operator until the ledger ends the recording.

    Args:
        num_success_steps: an attempt succeeds if the task is solved in each of its last `num_success_steps` steps.
        should_stop: called after every step; returning True ends the recording and discards the running attempts.
    """
    lanes = Lanes(env.num_envs, env.device)
    while not ledger.is_over:
        # The operator plans for scenes that begin together, so the next attempts begin when all current ones have ended.
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
    """Make one control step of the active lanes with actions (N, A), and record it."""
    recorder.before_step(lanes.step)
    env.step(actions, lanes.env_ids)
    success = env.success()
    recorder.after_step(lanes.step, actions, success)
    lanes.advance(success)


def end_demos(
    lanes: Lanes, lane_ids: np.ndarray, recorder: EpisodeRecorder, ledger: TrialLedger, seed: int, num_success_steps: int
) -> None:
    """Judge the attempts that end in the lanes with these indices (n,), and pass their episodes to the recorder."""
    if len(lane_ids):
        has_held = lanes.has_held(num_success_steps)[lanes.upload(lane_ids)].cpu().numpy()
        end_attempts(lanes, lane_ids, np.where(has_held, SUCCEEDED, NOT_SOLVED), recorder, ledger, {"seed": seed})


def end_attempts(
    lanes: Lanes,
    lane_ids: np.ndarray,
    reason: np.ndarray,
    recorder: EpisodeRecorder,
    ledger: TrialLedger,
    attributes: Mapping[str, int | str],
) -> None:
    """Pass the attempts that end in the lanes with these indices (n,) to the ledger and the recorder.

    Args:
        reason: (n,), code of the reason of failure; `SUCCEEDED` if the attempt succeeded.
        attributes: attributes of the demos.
    """
    env_ids = lanes.upload(lane_ids)
    trials, lengths = lanes.trial[env_ids].cpu().numpy(), lanes.step[env_ids].cpu().numpy()
    ledger.end(trials, reason)
    of_demos = {name: np.full(len(trials), value) for name, value in attributes.items()}
    recorder.end(env_ids, TrialOutcomes(trials, reason, lengths, of_demos), ledger.committed)
    lanes.end(lane_ids)


def _plan(env: MimicEnv, operator: Operator, draws: Draws) -> OperatorPlan:
    num_demos = len(draws.trials)
    eef_pose = env.eef_pose[:num_demos]
    object_poses = by_name(env.object_names, env.object_pose[:num_demos])
    plan = call_task_code(operator, object_poses, eef_pose[:, 0] if len(env.eef_names) == 1 else eef_pose, draws)
    if fault := plan_fault(plan, num_demos, env):
        raise wrong_result(operator, fault)
    return plan


def _frames(env: MimicEnv, plan: OperatorPlan) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield target poses (N, E, 4, 4) and gripper actions (N, E, G) per frame; constant values in envs without a demo."""
    num_demos, num_eefs = len(plan.length), len(env.eef_names)
    target_pose, gripper_action = plan.target_eef_pose, plan.gripper_action
    if num_eefs == 1:
        target_pose, gripper_action = target_pose[:, :, None], gripper_action[:, :, None]
    target = torch.eye(4, device=env.device).repeat(env.num_envs, num_eefs, 1, 1)
    gripper = torch.zeros(env.num_envs, num_eefs, gripper_action.shape[-1], device=env.device)
    for frame in range(int(plan.length.max())):
        target[:num_demos], gripper[:num_demos] = target_pose[:, frame], gripper_action[:, frame]
        yield target, gripper

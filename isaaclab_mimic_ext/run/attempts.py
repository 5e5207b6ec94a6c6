"""Attempts of a scripted operator: plans, reasons of failure, and the motion of a failed attempt for a video."""

# N envs, n of them addressed, D attempts that begin together, E end effectors, G gripper entries, T frames of the longest

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.envs.base import MimicEnv, by_name
from isaaclab_mimic_ext.envs.playback import write_states_video
from isaaclab_mimic_ext.errors import MimicError
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.run.failures import FailureObserver
from isaaclab_mimic_ext.run.operator_plan import plan_fault
from isaaclab_mimic_ext.task.definition import Task
from isaaclab_mimic_ext.task.reasons import never_reached
from isaaclab_mimic_ext.task.user_code import call_task_code, wrong_result

log = logging.getLogger(__name__)

NOT_SOLVED = "the operator did not solve the task"
"""Reason of a failed attempt of an earlier session, whose own reason is not known; its code is 0."""


class OperatorPlan(Protocol):
    """Planned motion of all end effectors in D scenes.

    Attributes:
        target_eef_pose: (D, T, 4, 4), env frame [m]; (D, T, E, 4, 4) if the scene has several end effectors. The last
            pose is repeated after the end of a demo.
        gripper_action: (D, T, G); (D, T, E, G) if the scene has several end effectors.
        length: (D,) int64 or int32, number of frames of each demo.
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


def plan_attempts(env: MimicEnv, operator: Operator, draws: Draws) -> OperatorPlan:
    """Plan the motion in the first D envs, which have been reset with `draws`.

    Raises:
        TaskCodeError: the operator raises an error, or returns a wrong plan.
    """
    num_demos = len(draws.trials)
    eef_pose = env.eef_pose[:num_demos]
    object_poses = by_name(env.object_names, env.object_pose[:num_demos])
    plan = call_task_code(operator, object_poses, eef_pose[:, 0] if len(env.eef_names) == 1 else eef_pose, draws)
    if fault := plan_fault(plan, num_demos, env):
        raise wrong_result(operator, fault)
    return plan


def frames_of(env: MimicEnv, plan: OperatorPlan) -> Iterator[tuple[Tensor, Tensor]]:
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


class AttemptWatch:
    """Observes attempts, and finds the reason of each failure by the task's own conditions.

    Args:
        env: environment after its first reset.

    Attributes:
        reasons: names of the reasons, by code; the first is `NOT_SOLVED`.
        failed: code of a reason -> number of the first attempt that failed for this reason in this session.
    """

    def __init__(self, env: MimicEnv):
        conditions = env.failure_conditions()
        reasons = env.failure_reasons or never_reached(conditions)
        self._env = env
        self._failures = FailureObserver(reasons, conditions, env.num_envs, env.device)
        self.reasons = (NOT_SOLVED, *self._failures.names)
        self.failed: dict[int, int] = {}

    def begin(self, env_ids: Tensor) -> None:
        """Begin to observe attempts in `env_ids` (n,)."""
        self._failures.begin(env_ids)

    def after_step(self, step: Tensor, success: Tensor) -> None:
        """Observe one step; `step` (N,) is its index in the attempt of each env, `success` (N,) bool."""
        self._failures.watch(step, self._env.failure_conditions(), success)

    def codes(self, env_ids: Tensor, lengths: Tensor, nonfinite_step: Tensor) -> Tensor:
        """Codes of the reasons of the attempts in `env_ids`, as if all failed, (n,).

        Args:
            lengths: (n,), numbers of steps.
            nonfinite_step: (n,), first step with values that are not finite; -1 if all are finite.
        """
        return self._failures.reasons(env_ids, lengths, nonfinite_step)[0] + 1

    def note_failure(self, code: int, trial: int) -> None:
        """Note a failed attempt."""
        self.failed.setdefault(code, trial)


@dataclass(frozen=True)
class FailedAttempt:
    """Failed attempt of a recording.

    Attributes:
        trial: number of the attempt.
        reason: reason of the failure.
        states: states after each step, leaves (T, ...), in the layout of `get_state`.
    """

    trial: int
    reason: str
    states: dict[str, Any]


def rerun_attempt(env: MimicEnv, operator: Operator, seed: int, trial: int, reason: str) -> FailedAttempt:
    """Run an attempt again in the first env, and record its states."""
    env_ids = torch.zeros(1, dtype=torch.int64, device=env.device)
    draws = Draws(seed, env_ids + trial)
    env.reset(env_ids, draws)
    states = []
    for target_pose, gripper_action in frames_of(env, plan_attempts(env, operator, draws)):
        env.step(env.target_eef_pose_to_action(target_pose, gripper_action), env_ids)
        states.append(trees.map(lambda leaf: leaf[0].clone(), env.get_state()))
    return FailedAttempt(trial, reason, trees.map(lambda leaf: leaf.cpu().numpy(), trees.stack(states)))


def draw_attempt(attempt: FailedAttempt, path: Path, task: Task) -> None:
    """Write a video of a failed attempt, which replaces an earlier one; a failure is logged as a warning."""
    caption = f"attempt {attempt.trial}: {attempt.reason}"
    try:
        write_states_video([attempt.states], path, task, overwrite=True, captions=[caption])
        log.info("Saved a video of failed attempt %d (%s) to %s", attempt.trial, attempt.reason, path)
    except MimicError as error:
        log.warning("No video of failed attempt %d (%s): %s", attempt.trial, attempt.reason, error)

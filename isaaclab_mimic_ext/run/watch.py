"""Observe trials while they run, and judge them when they end."""

# N envs, n of them addressed, E end effectors, S subtasks, O objects, Q term signals of all end effectors

from collections.abc import Mapping, Sequence
from dataclasses import fields

import numpy as np
import torch
from torch import Tensor

from isaaclab_mimic_ext.config import DataGenConfig
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.run.episodes import TrialOutcomes
from isaaclab_mimic_ext.run.failures import FailureObserver, Observed, TrackingError, tracking_summary
from isaaclab_mimic_ext.run.lanes import Lanes
from isaaclab_mimic_ext.task.reasons import SUCCEEDED, never_reached


class TrialWatch:
    """Observes running trials: initial scene, progress, tracking errors, and the conditions that explain a failure.

    Args:
        config: rules for success (`success_rule`, `num_success_steps`) and for ending trials early.
        signals: term signal of every subtask, by end effector; None if a subtask has none.
        planner_messages: see `FailureObserver`.

    Attributes:
        reasons: names of the reasons of failure, by code.
        signals: names of all term signals without duplicates, in the order of the subtasks.
        stopped: (N,) bool, trials that are ended early.
    """

    def __init__(
        self,
        env: MimicEnv,
        config: DataGenConfig,
        signals: Sequence[Sequence[str | None]],
        planner_messages: Sequence[str] = (),
    ):
        self._env, self._config = env, config
        self._signal_at = [(name, eef, index) for eef, row in enumerate(signals) for index, name in enumerate(row) if name]
        self.signals = tuple(dict.fromkeys(name for name, _, _ in self._signal_at))
        self._failures = FailureObserver(
            env.failure_reasons or never_reached(self.signals),
            env.failure_conditions(), env.num_envs, env.device, planner_messages, self.signals,
        )  # fmt: skip
        self.reasons = self._failures.names
        num_eefs, num_subtasks = len(env.eef_names), max(len(row) for row in signals)
        self.stopped = torch.zeros(env.num_envs, dtype=torch.bool, device=env.device)
        self._tracking = TrackingError(env.num_envs, num_eefs, num_subtasks, env.device)
        self._object_pose = torch.zeros(env.num_envs, len(env.object_names), 4, 4, device=env.device)

    def begin(self, env_ids: Tensor, object_pose: Tensor) -> None:
        """Begin to observe trials in `env_ids` (n,); `object_pose` (N, O, 4, 4): poses of all objects after the reset."""
        self._failures.begin(env_ids)
        self.stopped.index_fill_(0, env_ids, False)
        self._tracking.begin(env_ids)
        self._object_pose[env_ids] = object_pose[env_ids]

    def after_step(
        self,
        lanes: Lanes,
        success: Tensor,
        target_pose: Tensor,
        eef_pose: Tensor,
        subtask: Tensor,
        resting: Tensor | None = None,
    ) -> None:
        """Observe one step of all envs; arguments as in `FailureObserver.watch` and `TrackingError.add`."""
        self._failures.watch(lanes.step, self._env.failure_conditions(), success, resting)
        self._tracking.add(target_pose, eef_pose, subtask, resting)

    def stop_early(
        self, ended: Tensor, subtask: Tensor, planner_failure: Tensor | None, resting: Tensor | None = None
    ) -> Tensor:
        """Stop trials whose planner has failed, and hopeless trials; return all stopped trials, (N,) bool.

        Args:
            ended: (N,) bool, trials that end in this step for another reason.
            subtask: (N, E), index of the current subtask.
            planner_failure: (N,) int64, code of the planner's message, 0 without failure; None if the planner cannot fail.
            resting: (N,) bool, envs whose trials are over; None: none.
        """
        if planner_failure is not None:
            self._failures.fail_planner(planner_failure)
            self.stopped |= planner_failure > 0
        hopeless = self._hopeless(subtask) if self._config.stop_hopeless_trials else None
        if hopeless is not None:
            judged = ended | self._failures.ever_successful if self._config.success_rule == "any_step" else ended
            judged = judged if resting is None else judged | resting
            self.stopped |= hopeless & ~judged
        return self.stopped

    def facts(self, env_ids: Tensor, lanes: Lanes, subtask: Tensor) -> dict[str, Tensor]:
        """Copy of all that `judge` needs to judge the trials that end in `env_ids` (n,), name -> (n, ...).

        Args:
            subtask: (N, E), index of the current subtask.
        """
        total, largest = self._tracking.observed(env_ids)
        return {
            **vars(self._failures.observed(env_ids)),
            "num_success_steps": lanes.num_success_steps[env_ids],
            "stopped": self.stopped[env_ids],
            "subtask": subtask[env_ids],
            "tracking_sum": total,
            "tracking_max": largest,
            "object_pose": self._object_pose[env_ids],
        }

    def judge(
        self, facts: Mapping[str, Tensor], trials: np.ndarray, lengths: np.ndarray, nonfinite_step: np.ndarray
    ) -> TrialOutcomes:
        """Judge trials that have ended, on the host.

        The notes of the outcomes are:
        `step` (n,): step of the failure.
        `scene` (n, O, 3): x, y [m] and yaw [rad] of each object after the reset.
        `reached` (n, Q): first step in which each term signal was true; -1 if never.
        `subtask` (n, E): last subtask of each end effector.
        `tracking` (n, E, S, 4): see `TrackingError.summary`.
        `stopped` (n,) bool: trials that were ended early.
        `held`, `any_step` (n,) bool: success by each success rule.

        Args:
            facts: `facts` of these trials, on the host.
            trials, lengths: (n,), numbers of the trials, and their numbers of steps.
            nonfinite_step: (n,), first step with values that are not finite (NaN, infinity); -1 if all are finite.
        """
        observed = Observed(**{field.name: facts[field.name] for field in fields(Observed)})
        stopped, broken = facts["stopped"], torch.from_numpy(nonfinite_step)
        may_succeed = (broken < 0) & ~stopped
        held = (facts["num_success_steps"] >= self._config.num_success_steps) & may_succeed
        any_step = observed.has_succeeded & may_succeed
        codes, steps = self._failures.reasons_of(observed, torch.from_numpy(lengths), broken)
        # `reasons_of` assigns a reason to every trial; the trials that succeeded by the run's rule do not keep it.
        codes = torch.where(held if self._config.success_rule == "held" else any_step, SUCCEEDED, codes)
        notes = {
            "step": steps,
            "reached": self._failures.first_true_of(observed, self.signals),
            "subtask": facts["subtask"],
            "tracking": tracking_summary(facts["tracking_sum"], facts["tracking_max"]).double(),
            "stopped": stopped,
            "held": held,
            "any_step": any_step,
        }
        arrays = {name: values.numpy() for name, values in notes.items()}
        return TrialOutcomes(trials, codes.numpy(), lengths, notes={"scene": _scene(facts["object_pose"]), **arrays})

    def _hopeless(self, subtask: Tensor) -> Tensor | None:
        """Return which trials are hopeless, (N,) bool; None if the task does not define this."""
        over: dict[str, Tensor] = {}
        for name, eef, index in self._signal_at:
            is_over = subtask[:, eef] > index
            over[name] = over[name] & is_over if name in over else is_over
        return self._env.hopeless(over)


def subtask_steps(facts: Mapping[str, Tensor]) -> np.ndarray:
    """Number of steps of each subtask, (n, E, S) int64, from the `facts` of ended trials."""
    return facts["tracking_sum"][..., -1].numpy().astype(np.int64)


def _scene(object_pose: Tensor) -> np.ndarray:
    """Initial places of the objects: x, y [m] and yaw [rad], (n, O, 3), of their poses after the reset, (n, O, 4, 4)."""
    pose = object_pose.numpy().astype(np.float64)
    yaw = np.arctan2(pose[..., 1, 0], pose[..., 0, 0])
    return np.concatenate((pose[..., :2, 3], yaw[..., None]), axis=-1)

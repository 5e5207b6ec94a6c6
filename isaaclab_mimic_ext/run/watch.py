"""Observing trials while they run, and judging them when they end."""

# N envs, n of them addressed, E end effectors, S subtasks, O objects, Q term signals of all end effectors

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from isaaclab_mimic_ext.config import DataGenConfig
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.run.episodes import TrialOutcomes
from isaaclab_mimic_ext.run.failures import FailureObserver, TrackingError
from isaaclab_mimic_ext.run.lanes import Lanes
from isaaclab_mimic_ext.task.reasons import SUCCEEDED, never_reached


class TrialWatch:
    """Observes trials while they run: scene, progress, tracking of targets, and the conditions that explain a failure.

    Args:
        config: rules by which a trial succeeds, or is stopped early.
        signals: the term signal of every subtask, by end effector; None where it has none.
        planner_messages: see `FailureObserver`.

    Attributes:
        reasons: names of the reasons for which a trial can fail, by code.
        signals: every term signal once, in the order of the subtasks.
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
        """Start trials in `env_ids` (n,), with the objects of all envs at (N, O, 4, 4) after their resets."""
        self._failures.begin(env_ids)
        self.stopped[env_ids] = False
        self._tracking.begin(env_ids)
        self._object_pose[env_ids] = object_pose[env_ids]

    def after_step(self, step: Tensor, success: Tensor, target_pose: Tensor, eef_pose: Tensor, subtask: Tensor) -> None:
        """Note a step of all envs: see `FailureObserver.watch` and `TrackingError.add`."""
        self._failures.watch(step, self._env.failure_conditions(), success)
        self._tracking.add(target_pose, eef_pose, subtask)

    def stop_early(self, ended: Tensor, subtask: Tensor, planner_failure: Tensor | None) -> Tensor:
        """Stop trials whose planner has failed, or which their task gives up; those stopped so far, (N,) bool.

        Args:
            ended: (N,) bool, trials that end anyway.
            subtask: (N, E), the one that each end effector is in.
            planner_failure: (N,) int64, code of the planner's message, 0 where it did not fail; None where it cannot.
        """
        if planner_failure is not None:
            self._failures.fail_planner(planner_failure)
            self.stopped |= planner_failure > 0
        hopeless = self._hopeless(subtask) if self._config.stop_hopeless_trials else None
        if hopeless is not None:
            judged = ended | self._failures.ever_successful if self._config.success_rule == "any_step" else ended
            self.stopped |= hopeless & ~judged
        return self.stopped

    def end(self, env_ids: Tensor, lanes: Lanes, broken: Tensor, subtask: Tensor) -> TrialOutcomes:
        """Judge the trials that end in `env_ids` (n,).

        Their notes, name -> (n, ...): `step`, at which the trial failed. `scene` (n, O, 3): x, y [m] and yaw [rad] after the
        reset. `reached` (n, Q): the step in which each term signal was first true, or -1. `subtask` (n, E): the last one of
        the plan. `tracking` (n, E, S, 4): see `TrackingError.summary`. `stopped`: whether the trial was ended early. `held`,
        `any_step`: success by each rule.

        Args:
            broken: (n,), the step from which the physics gave numbers that are not finite, -1 where it did not.
            subtask: (N, E), the one that each end effector is in.
        """
        lengths, stopped = lanes.step[env_ids], self.stopped[env_ids]
        sound = (broken < 0) & ~stopped
        held = lanes.has_held(self._config.num_success_steps)[env_ids] & sound
        any_step = self._failures.ever_successful[env_ids] & sound
        codes, steps = self._failures.reasons(env_ids, lengths, broken)
        # A reason is found for every trial; one that succeeded by the run's rule needs none.
        codes = torch.where(held if self._config.success_rule == "held" else any_step, SUCCEEDED, codes)
        notes = {
            "step": steps,
            "reached": self._failures.first_true(env_ids, self.signals),
            "subtask": subtask[env_ids],
            "tracking": self._tracking.summary(env_ids).double(),
            "stopped": stopped,
            "held": held,
            "any_step": any_step,
        }
        arrays = {name: values.cpu().numpy() for name, values in notes.items()}
        trials, reason, num_steps = (values.cpu().numpy() for values in (lanes.trial[env_ids], codes, lengths))
        return TrialOutcomes(trials, reason, num_steps, notes={"scene": self._scene(env_ids), **arrays})

    def _hopeless(self, subtask: Tensor) -> Tensor | None:
        """Whether trials whose end effectors are in `subtask` (N, E) are sure to fail, (N,) bool; None if never known."""
        over: dict[str, Tensor] = {}
        for name, eef, index in self._signal_at:
            is_over = subtask[:, eef] > index
            over[name] = over[name] & is_over if name in over else is_over
        return self._env.hopeless(over)

    def _scene(self, env_ids: Tensor) -> np.ndarray:
        """Where the objects were after the reset: x, y [m] and yaw [rad], (n, O, 3)."""
        pose = self._object_pose[env_ids].cpu().numpy().astype(np.float64)
        yaw = np.arctan2(pose[..., 1, 0], pose[..., 0, 0])
        return np.concatenate((pose[..., :2, 3], yaw[..., None]), axis=-1)

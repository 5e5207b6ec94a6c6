"""All that is noted of a trial while it goes on, and the record that it leaves."""

# N envs, n of them addressed, E end effectors, S subtasks, O objects, Q term signals of all end effectors

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from isaaclab_mimic_ext.diagnose.observer import FailureObserver
from isaaclab_mimic_ext.diagnose.reasons import never_reached
from isaaclab_mimic_ext.diagnose.tracking import TrackingError
from isaaclab_mimic_ext.envs.base import MimicEnv


class TrialWatch:
    """What a trial's record is made of: its scene, how far it came, how well targets were tracked, why it failed.

    Args:
        signals: the term signal of every subtask, by end effector; None where it has none.
        planner_messages: see `FailureObserver`.
    """

    def __init__(self, env: MimicEnv, signals: Sequence[Sequence[str | None]], planner_messages: Sequence[str] = ()):
        self._env = env
        self._signal_at = [(name, eef, index) for eef, row in enumerate(signals) for index, name in enumerate(row) if name]
        self.signals = tuple(dict.fromkeys(name for name, _, _ in self._signal_at))
        """Every term signal once, in the order of the subtasks."""
        self.failures = FailureObserver(
            env.failure_reasons or never_reached(self.signals),
            env.failure_conditions(), env.num_envs, env.device, planner_messages, self.signals,
        )  # fmt: skip
        num_eefs, num_subtasks = len(env.eef_names), max(len(row) for row in signals)
        self._tracking = TrackingError(env.num_envs, num_eefs, num_subtasks, env.device)
        self._object_pose = torch.zeros(env.num_envs, len(env.object_names), 4, 4, device=env.device)

    def begin(self, env_ids: Tensor, object_pose: Tensor) -> None:
        """Start trials in `env_ids` (n,), with the objects of all envs at (N, O, 4, 4) after their resets."""
        self.failures.begin(env_ids)
        self._tracking.begin(env_ids)
        self._object_pose[env_ids] = object_pose[env_ids]

    def after_step(self, step: Tensor, success: Tensor, target_pose: Tensor, eef_pose: Tensor, subtask: Tensor) -> None:
        """Note a step of all envs: see `FailureObserver.watch` and `TrackingError.add`."""
        self.failures.watch(step, self._env.failure_conditions(), success)
        self._tracking.add(target_pose, eef_pose, subtask)

    def hopeless(self, subtask: Tensor) -> Tensor | None:
        """Whether trials whose eefs are in `subtask` (N, E) are sure to fail, (N,) bool; None if that is never known."""
        over: dict[str, Tensor] = {}
        for name, eef, index in self._signal_at:
            gone_on = subtask[:, eef] > index
            over[name] = over[name] & gone_on if name in over else gone_on
        return self._env.hopeless(over)

    def record(self, env_ids: Tensor, codes: Tensor, steps: Tensor, subtask: Tensor) -> dict[str, np.ndarray]:
        """The records of trials that end in `env_ids` (n,), name -> (n, ...), for reasons (n,) at steps (n,).

        `scene` (n, O, 3): x, y [m] and yaw [rad] after the reset. `reached` (n, Q): the step in which each term signal was
        first true, or -1. `subtask` (n, E): the plan's. `tracking` (n, E, S, 4): see `TrackingError.summary`.
        """
        pose = self._object_pose[env_ids].cpu().numpy().astype(np.float64)
        yaw = np.arctan2(pose[..., 1, 0], pose[..., 0, 0])
        return {
            "reason": np.array(self.failures.names)[codes.cpu().numpy()],
            "step": steps.cpu().numpy(),
            "scene": np.concatenate((pose[..., :2, 3], yaw[..., None]), axis=-1),
            "reached": self.failures.first_true(env_ids, self.signals).cpu().numpy(),
            "subtask": subtask[env_ids].cpu().numpy(),
            "tracking": self._tracking.summary(env_ids).cpu().numpy().astype(np.float64),
        }

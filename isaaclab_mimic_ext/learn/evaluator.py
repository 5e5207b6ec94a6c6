"""The evaluation loop: N envs step as one batch, with one forward pass of the policy per step."""

# N envs, n of them selected, A action entries, O objects

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.camera_observations import observe, without_cameras
from isaaclab_mimic_ext.errors import ConfigError
from isaaclab_mimic_ext.learn.disturbances import ArmPushes, ObjectPushes, ObservationNoise
from isaaclab_mimic_ext.learn.history import History
from isaaclab_mimic_ext.learn.policies import Policy
from isaaclab_mimic_ext.learn.remaining import ExpectedLengths
from isaaclab_mimic_ext.learn.results import Checkpoint, CheckpointResult, Episode
from isaaclab_mimic_ext.learn.stillness import Stillness
from isaaclab_mimic_ext.rng import Domain, Draws
from isaaclab_mimic_ext.run.failures import FailureObserver
from isaaclab_mimic_ext.run.lanes import Lanes
from isaaclab_mimic_ext.run.share import ShareOfSteps, Steps

NON_FINITE_ACTIONS = "the policy returned actions that are not finite"
"""Reason of failure."""


@dataclass(frozen=True)
class Rules:
    """Number and length of episodes, and how they are judged.

    Attributes:
        seed: with the number of an episode, decides its scene, noise and pushes.
        horizon: largest number of steps of an episode.
        num_success_steps: number of last steps in each of which success must be true (held success).
        any_step: success in any step is enough instead.
        stop_at_success: end an episode at held success.
    """

    seed: int
    num_episodes: int
    horizon: int
    num_success_steps: int = 5
    any_step: bool = False
    stop_at_success: bool = True


@dataclass(frozen=True)
class Disturbances:
    """Disturbances during the episodes. A field that is None disables its disturbance."""

    noise: ObservationNoise | None = None
    object_pushes: ObjectPushes | None = None
    arm_pushes: ArmPushes | None = None


@dataclass(frozen=True)
class EvaluationProgress:
    """Progress of the evaluation of a checkpoint.

    Attributes:
        env_steps: control steps of all envs together.
        elapsed: time since the first reset [s].
        share: estimated fraction of the control steps that are finished, 0 to 1.
    """

    num_ended: int
    num_episodes: int
    num_successes: int
    env_steps: int
    elapsed: float
    share: float

    def figures(self) -> str:
        """Format success rate and steps per second."""
        success = f"{self.num_successes / self.num_ended:.0%} success, " if self.num_ended else ""
        return f"{success}{self.env_steps / max(self.elapsed, 1e-9):,.0f} steps/s"


class Evaluator:
    """Runs episodes 0 .. K-1 of a policy, each in the next free env.

    The scene, noise and pushes of an episode are functions of (seed, episode). They depend neither on `num_envs` nor on the
    policy. The forward pass of a policy may round differently in a batch of a different size.

    Args:
        env: environment with the actions and observations of the policy; has been reset once.
        history: records states for videos.
    """

    def __init__(
        self,
        env: MimicEnv,
        policy: Policy,
        rules: Rules,
        disturbances: Disturbances = Disturbances(),
        history: History | None = None,
    ):
        self.env, self.policy, self.rules, self.disturbances, self.history = env, policy, rules, disturbances, history
        self.env_steps = 0
        self._num_started = 0
        self._ended: dict[int, Episode] = {}
        self._scenes: dict[int, dict[str, list[float]]] = {}
        self._lanes = Lanes(env.num_envs, env.device)
        self._lengths = ExpectedLengths(rules.horizon, rules.stop_at_success)
        self._share = ShareOfSteps(self._remaining_steps)
        self._draws = Draws(rules.seed, self._lanes.trial, Domain.EVALUATION)
        self._had_non_finite_action = torch.zeros_like(self._lanes.is_active)
        self._observer = FailureObserver(env.failure_reasons, env.failure_conditions(), env.num_envs, env.device)
        self._stillness = Stillness(env.eef_pose, env.step_dt)
        self._start = time.perf_counter()

    def run(self, should_stop: Callable[[EvaluationProgress], bool] = lambda progress: False) -> None:
        """Run all episodes; stop early if `should_stop`, called after each step, returns True."""
        self._start = time.perf_counter()
        self._begin_episodes()
        while self._lanes.num_active:
            self.step()
            if should_stop(self.progress()):
                return

    @torch.no_grad()
    def step(self) -> None:
        """Run one control step in all envs with an episode; judge episodes that end, and start the next ones."""
        actions = self._next_actions()
        lanes, rules = self._lanes, self.rules
        self.env.step(actions, lanes.env_ids)
        if self.history is not None:
            self.history.after_step(lanes.step)
        success = self.env.success()
        self._observer.watch(lanes.step, self.env.failure_conditions(), success)
        self._stillness.watch(lanes.step, self.env.eef_pose)
        lanes.advance(success)
        self.env_steps += lanes.num_active
        ended = lanes.active_among(
            (lanes.step >= rules.horizon) | (lanes.has_held(rules.num_success_steps) & rules.stop_at_success)
        )
        if len(ended):
            self._end_episodes(ended)
            self._begin_episodes()

    def progress(self) -> EvaluationProgress:
        num_ended, num_episodes = len(self._ended), self.rules.num_episodes
        is_over = num_ended == num_episodes
        return EvaluationProgress(
            num_ended=num_ended,
            num_episodes=num_episodes,
            num_successes=sum(episode.success for episode in self._ended.values()),
            env_steps=self.env_steps,
            elapsed=time.perf_counter() - self._start,
            share=1.0 if is_over else self._share.after(Steps(self.env_steps, self._lanes.num_steps)),
        )

    def _remaining_steps(self) -> Steps:
        """Expected number of control steps of running episodes, and of episodes that have yet to begin."""
        num_waiting = self.rules.num_episodes - self._num_started
        total, longest = self._lengths.remaining(self._lanes.active_steps, num_waiting)
        return Steps(total, max(longest, total / self.env.num_envs))

    def result(self, checkpoint: Checkpoint) -> CheckpointResult:
        """Result of episodes 0 .. K-1, with K the first episode that has not ended.

        Later episodes are left out: after an early stop, mostly short ones of these have ended.
        """
        num_episodes = next((number for number in range(len(self._ended)) if number not in self._ended), len(self._ended))
        episodes = [self._ended[number] for number in range(num_episodes)]
        return CheckpointResult(checkpoint, episodes, self.env_steps, time.perf_counter() - self._start)

    def _begin_episodes(self) -> None:
        """Start the next episodes in free envs."""
        numbers = np.arange(self._num_started, self.rules.num_episodes)[: self._lanes.num_free]
        if not len(numbers):
            return
        self._num_started += len(numbers)
        env_ids = self._lanes.begin(numbers)
        self.env.reset(env_ids, Draws(self.rules.seed, self._lanes.trial[env_ids], Domain.EVALUATION))
        self._had_non_finite_action.index_fill_(0, env_ids, False)
        self._observer.begin(env_ids)
        self._stillness.begin(env_ids, self.env.eef_pose)
        self.policy.reset(env_ids)
        self._scenes.update(zip(numbers.tolist(), self._scene_poses(env_ids), strict=True))

    def _scene_poses(self, env_ids: Tensor) -> list[dict[str, list[float]]]:
        """Object poses in each of `env_ids` (n,), env frame: name -> x, y, z [m], yaw [rad]."""
        poses = self.env.object_pose[env_ids].cpu().double().numpy()
        return [dict(zip(self.env.object_names, map(_x_y_z_yaw, scene), strict=True)) for scene in poses]

    def _next_actions(self) -> Tensor:
        disturbances = self.disturbances
        observations = trees.flatten(observe(self.env, self._due_envs()))
        if disturbances.noise is not None:
            observations = disturbances.noise.apply(observations, self._draws, self._lanes.step)
        actions = self.policy.act(observations)
        self._check_actions(actions)
        is_non_finite = ~actions.isfinite().all(1)
        self._had_non_finite_action |= is_non_finite
        actions = torch.where(is_non_finite[:, None], 0.0, actions)
        if disturbances.object_pushes is not None:
            disturbances.object_pushes.apply(self.env, self._draws, self._lanes.step, self._lanes.is_active)
        if disturbances.arm_pushes is not None:
            actions = disturbances.arm_pushes.apply(self.env, actions, self._draws, self._lanes.step)
        return actions

    def _due_envs(self) -> Tensor | None:
        """Return whether the pictures of each env are needed in this step, (N,) bool; None: all of them."""
        due: Tensor | None = self.policy.due_envs() if hasattr(self.policy, "due_envs") else None
        if due is None or len(due) != self.env.num_envs:  # The policy has not acted in these envs yet.
            return None
        return due.to(self._lanes.is_active.device) & self._lanes.is_active

    def _check_actions(self, actions: Tensor) -> None:
        expected = (self.env.num_envs, self.env.action_dim)
        if tuple(actions.shape) != expected:
            raise ConfigError(
                f"policy: actions must have shape {expected} (num_envs, action entries) (got {tuple(actions.shape)}); use a "
                "policy for this task"
            )

    def _end_episodes(self, ended: np.ndarray) -> None:
        """Judge the episodes in the envs with indices `ended` (n,), and free these envs."""
        self.env.check()
        lanes, observer = self._lanes, self._observer
        env_ids = lanes.upload(ended)
        lengths, is_finite = lanes.step[env_ids], self._is_finite(env_ids)
        codes, steps = observer.reasons(env_ids, lengths, torch.where(is_finite, -1, lengths - 1))
        held = lanes.has_held(self.rules.num_success_steps)[env_ids]
        any_step = observer.ever_successful[env_ids]
        success = (any_step if self.rules.any_step else held) & is_finite
        # If the observations are not finite either, the physics diverged first.
        is_policy_fault = self._had_non_finite_action[env_ids] & is_finite
        still_from = self._stillness.still_from(env_ids, lengths)
        columns = (lanes.trial[env_ids], success, held, any_step, lengths, codes, steps, is_policy_fault, still_from)
        episodes = [self._episode(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]
        self._ended |= {episode.episode: episode for episode in episodes}
        for episode in episodes:
            self._lengths.add(episode.length)
        if self.history is not None:
            self.history.end(env_ids, episodes)
        lanes.end(ended)

    def _episode(
        self,
        number: int,
        success: bool,
        held: bool,
        any_step: bool,
        length: int,
        code: int,
        step: int,
        is_policy_fault: bool,
        still_from: int,
    ) -> Episode:
        return Episode(
            episode=number,
            success=success,
            held=held,
            any_step=any_step,
            length=length,
            reason=None if success else (NON_FINITE_ACTIONS if is_policy_fault else self._observer.names[code]),
            failed_at=None if success else step,
            scene=self._scenes.pop(number),
            still_from=None if still_from < 0 else still_from,
        )

    def _is_finite(self, env_ids: Tensor) -> Tensor:
        """Return whether all observations of `env_ids` (n,) are finite, (n,) bool. A diverged state stays non-finite."""
        values = trees.flatten(without_cameras(self.env).observations()).values()
        checks = [value[env_ids].flatten(1).isfinite().all(1) for value in values if value.dtype.is_floating_point]
        return torch.stack(checks, dim=1).all(1)


def _x_y_z_yaw(pose: np.ndarray) -> list[float]:
    """Position [m] and yaw [rad] of a pose (4, 4). Computed per pose, so that rounding does not depend on the batch."""
    return [round(float(value), 6) for value in (*pose[:3, 3], math.atan2(pose[1, 0], pose[0, 0]))]

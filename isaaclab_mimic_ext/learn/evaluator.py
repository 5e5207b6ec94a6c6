"""The evaluation loop: N environments wide, one forward pass of the policy a step."""

# N envs, n of them addressed, A action entries

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.errors import ConfigError
from isaaclab_mimic_ext.learn.disturbances import ArmPushes, ObjectPushes, ObservationNoise
from isaaclab_mimic_ext.learn.history import History
from isaaclab_mimic_ext.learn.policies import Policy
from isaaclab_mimic_ext.learn.results import Checkpoint, CheckpointResult, Episode
from isaaclab_mimic_ext.rng import Domain, Draws
from isaaclab_mimic_ext.run.failures import FailureObserver
from isaaclab_mimic_ext.run.lanes import Lanes

BROKEN_POLICY = "the policy gave numbers that are not finite"


@dataclass(frozen=True)
class Rules:
    """What an episode is, and when it counts.

    Attributes:
        horizon: steps after which it is over.
        num_success_steps: success must be true in each of its last so many steps.
        any_step: one true step anywhere counts instead.
        stop_at_success: it ends as soon as success has held.
    """

    seed: int
    num_episodes: int
    horizon: int
    num_success_steps: int = 5
    any_step: bool = False
    stop_at_success: bool = True


@dataclass(frozen=True)
class Disturbances:
    """What makes episodes harder; None: nothing."""

    noise: ObservationNoise | None = None
    object_pushes: ObjectPushes | None = None
    arm_pushes: ArmPushes | None = None


@dataclass(frozen=True)
class EvaluationProgress:
    """How far the evaluation of a checkpoint is; `share` is that of its work, 0 to 1."""

    num_ended: int
    num_episodes: int
    num_successes: int
    env_steps: int
    elapsed: float
    share: float


class Evaluator:
    """Runs episodes 0 .. K-1 of a policy, each in whichever env is free.

    What is random in an episode is a function of (seed, episode), so that neither `num_envs` nor the policy decides on its
    scene, its noise or its pushes. A policy's own forward pass may round differently in another batch.

    Args:
        env: its action space and observations must be the policy's.
        history: keeps states for videos.
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
        self._draws = Draws(rules.seed, self._lanes.trial, Domain.EVALUATION)
        self._policy_broke = torch.zeros_like(self._lanes.is_active)
        self._observer = FailureObserver(env.failure_reasons, env.failure_conditions(), env.num_envs, env.device)
        self._start = time.perf_counter()

    def run(self, should_stop: Callable[[EvaluationProgress], bool] = lambda progress: False) -> None:
        """Run all episodes, or until `should_stop`, asked after every step, says so."""
        self._start = time.perf_counter()
        self._begin_episodes()
        while self._lanes.num_active:
            self.step()
            if should_stop(self.progress()):
                return

    @torch.no_grad()
    def step(self) -> None:
        """One control step of every env that has an episode, and what follows from it."""
        actions = self._next_actions()
        lanes, rules = self._lanes, self.rules
        self.env.step(actions, lanes.env_ids)
        if self.history is not None:
            self.history.after_step(lanes.step)
        success = self.env.success()
        self._observer.watch(lanes.step, self.env.failure_conditions(), success)
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
        length = self.env_steps / max(num_ended, 1) if num_ended >= self.env.num_envs else self.rules.horizon
        return EvaluationProgress(
            num_ended=num_ended,
            num_episodes=num_episodes,
            num_successes=sum(episode.success for episode in self._ended.values()),
            env_steps=self.env_steps,
            elapsed=time.perf_counter() - self._start,
            share=min(self.env_steps / (num_episodes * length), 1.0),
        )

    def result(self, checkpoint: Checkpoint) -> CheckpointResult:
        """Episodes 0 .. K-1, K the first that has not ended: after an early stop the short ones must not be favoured."""
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
        self._policy_broke[env_ids] = False
        self._observer.begin(env_ids)
        self.policy.reset(env_ids)
        self._scenes.update(zip(numbers.tolist(), self._describe(env_ids), strict=True))

    def _describe(self, env_ids: Tensor) -> list[dict[str, list[float]]]:
        """Where the objects of each of `env_ids` stand: name -> x, y, z [m], yaw [rad]."""
        poses = self.env.object_pose[env_ids].cpu().double().numpy()
        return [dict(zip(self.env.object_names, map(_x_y_z_yaw, scene), strict=True)) for scene in poses]

    def _next_actions(self) -> Tensor:
        harder = self.disturbances
        observations = trees.flatten(self.env.observations())
        if harder.noise is not None:
            observations = harder.noise.apply(observations, self._draws, self._lanes.step)
        actions = self.policy.act(observations)
        self._check(actions)
        broken = ~actions.isfinite().all(1)
        self._policy_broke |= broken
        actions = torch.where(broken[:, None], 0.0, actions)
        if harder.object_pushes is not None:
            harder.object_pushes.apply(self.env, self._draws, self._lanes.step, self._lanes.is_active)
        if harder.arm_pushes is not None:
            actions = harder.arm_pushes.apply(self.env, actions, self._draws, self._lanes.step)
        return actions

    def _check(self, actions: Tensor) -> None:
        expected = (self.env.num_envs, self.env.action_dim)
        if tuple(actions.shape) != expected:
            raise ConfigError(
                f"policy: gave actions of shape {tuple(actions.shape)}, this env takes {expected} (environments, entries); "
                "give a policy that was made for this task"
            )

    def _end_episodes(self, places: np.ndarray) -> None:
        """Judge the episodes that end in the envs with these indices."""
        lanes, observer = self._lanes, self._observer
        env_ids = lanes.upload(places)
        lengths, is_finite = lanes.step[env_ids], self._is_finite(env_ids)
        codes, steps = observer.reasons(env_ids, lengths, torch.where(is_finite, -1, lengths - 1))
        held = lanes.has_held(self.rules.num_success_steps)[env_ids]
        any_step = observer.ever_successful[env_ids]
        success = (any_step if self.rules.any_step else held) & is_finite
        # Observations that are not finite break any policy: the physics is to blame then.
        policy_broke = self._policy_broke[env_ids] & is_finite
        columns = (lanes.trial[env_ids], success, held, any_step, lengths, codes, steps, policy_broke)
        episodes = [self._episode(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]
        self._ended |= {episode.episode: episode for episode in episodes}
        if self.history is not None:
            self.history.end(env_ids, episodes)
        lanes.end(places)

    def _episode(
        self, number: int, success: bool, held: bool, any_step: bool, length: int, code: int, step: int, policy_broke: bool
    ) -> Episode:
        return Episode(
            episode=number,
            success=success,
            held=held,
            any_step=any_step,
            length=length,
            reason=None if success else (BROKEN_POLICY if policy_broke else self._observer.names[code]),
            failed_at=None if success else step,
            scene=self._scenes.pop(number),
        )

    def _is_finite(self, env_ids: Tensor) -> Tensor:
        """Whether the observations of envs (n,) are finite; an engine's state that blew up stays so."""
        values = trees.flatten(self.env.observations()).values()
        checks = [value[env_ids].flatten(1).isfinite().all(1) for value in values if value.dtype.is_floating_point]
        return torch.stack(checks, dim=1).all(1)


def _x_y_z_yaw(pose: np.ndarray) -> list[float]:
    """Of a pose (4, 4); the same whatever stands beside it."""
    return [round(float(value), 6) for value in (*pose[:3, 3], math.atan2(pose[1, 0], pose[0, 0]))]

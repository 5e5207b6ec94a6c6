"""Evaluate policies: their success rate on scenes that no demonstration was made in."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.config import EvaluateCfg
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.factory import config_of, env_task, make_scene
from isaaclab_mimic_ext.errors import ConfigError
from isaaclab_mimic_ext.files.quaternions import ENTRY
from isaaclab_mimic_ext.learn.disturbances import ArmPushes, ObjectPushes, ObservationNoise, scaled_events
from isaaclab_mimic_ext.learn.evaluator import Disturbances, EvaluationProgress, Evaluator, Rules
from isaaclab_mimic_ext.learn.policies import (
    CheckpointPolicy,
    Policy,
    PolicyRequest,
    check_fits,
    find_policy,
    load_policy,
    make_policy,
)
from isaaclab_mimic_ext.learn.results import Checkpoint, CheckpointResult, horizon_of
from isaaclab_mimic_ext.rng import Domain, Draws
from isaaclab_mimic_ext.task.definition import Task, task_dir


def evaluate(
    env: MimicEnv,
    policy: Policy | str | Path,
    num_episodes: int = 300,
    *,
    seed: int = 1,
    horizon: int | None = None,
    stop_at_success: bool = True,
    disturbances: Disturbances | None = None,
    should_stop: Callable[[EvaluationProgress], bool] = lambda progress: False,
) -> CheckpointResult:
    """Measure how often a policy solves the task of an environment, in scenes that no demonstration was generated in.

    Args:
        env: an environment of `make_env`; episodes run in all its N scenes at once.
        policy: the policy of `train`, the path of its checkpoint, or any object with `reset(env_ids)` and
            `act(observations)`: actions (N, A) for observations, term -> (N, ...).
        num_episodes: episodes 0 .. num_episodes - 1 of `seed`; the same for every policy and any N.
        horizon: steps after which an episode has failed; None: 1.5 times the longest source demo of the task.
        stop_at_success: end an episode when success has held for `num_success_steps`; False: judge its last steps.
        disturbances: observation noise and pushes.
        should_stop: called after every step with the progress; True ends the evaluation.

    Returns:
        The result: `success` (a rate with its 95 % confidence interval), `reasons`, `episodes`.

    Raises:
        SourceDataError: a checkpoint is missing or damaged, or was trained for a different task.
        ConfigError: the task comes without demos that `horizon` could follow from.
    """
    task, config = env_task(env), config_of(env).datagen_config
    name = "policy"
    if isinstance(policy, str | Path):
        policy = load_policy(policy, env.device)
    every_env = torch.arange(env.num_envs, device=env.device)
    env.reset(every_env, Draws(seed, every_env, Domain.EVALUATION))
    if isinstance(policy, CheckpointPolicy):
        name = policy.path.stem
        request = _request(env, task.name, policy.path, seed)
        check_fits(request, policy.task_name, policy.action_dim, policy.obs_shapes)
    rules = Rules(
        seed=seed,
        num_episodes=num_episodes,
        horizon=_default_horizon(task) if horizon is None else horizon,
        num_success_steps=config.num_success_steps,
        any_step=config.success_rule == "any_step",
        stop_at_success=stop_at_success,
    )
    evaluator = Evaluator(env, policy, rules, disturbances or Disturbances())
    evaluator.run(should_stop)
    path = str(policy.path) if isinstance(policy, CheckpointPolicy) else None
    return evaluator.result(known(Checkpoint(name, path), policy))


def _default_horizon(task: Task) -> int:
    path = task_dir(task.name) / "data" / "source_demos.hdf5"
    if not path.is_file():
        raise ConfigError(f"horizon: task '{task.name}' comes without source demos; give horizon=<steps>")
    return horizon_of(str(path))


def start_env(cfg: EvaluateCfg) -> MimicEnv:
    """The env of an evaluation, reset once: that shows whether the scene has room, and what there is to see.

    Raises:
        SimulatorUnavailable: its engine is not installed.
        ConfigError: its objects cannot be placed.
    """
    num_envs = min(cfg.num_envs, cfg.num_episodes)
    events = scaled_events(cfg.events, cfg.randomization_scale)
    env = make_scene(replace(cfg, events=events), num_envs)
    every_env = torch.arange(num_envs, device=env.device)
    env.reset(every_env, Draws(cfg.datagen_config.seed, every_env, Domain.EVALUATION))
    return env


def build_rules(cfg: EvaluateCfg) -> Rules:
    """What an episode is.

    Raises:
        SourceDataError: the horizon is to come from demonstrations, and there are none.
    """
    return Rules(
        seed=cfg.datagen_config.seed,
        num_episodes=cfg.num_episodes,
        horizon=horizon_of(cfg.input_file) if cfg.horizon is None else cfg.horizon,
        num_success_steps=cfg.datagen_config.num_success_steps,
        any_step=cfg.datagen_config.success_rule == "any_step",
        stop_at_success=cfg.stop_at_success,
    )


def build_disturbances(cfg: EvaluateCfg, env: MimicEnv) -> Disturbances:
    """What makes the episodes harder.

    Raises:
        ConfigError: noise is asked for on an observation that is not there.
    """
    observations, declared = trees.flatten(env.observations()), env.env_args().get(ENTRY, {})
    objects = tuple(env.object_names if cfg.push_objects is None else cfg.push_objects)
    return Disturbances(
        ObservationNoise.of(cfg.observation_noise, cfg.observation_noise_keys, observations, declared),
        ObjectPushes(cfg.push_probability, cfg.push_velocity, objects) if cfg.push_probability > 0 else None,
        ArmPushes(cfg.arm_push_probability, cfg.arm_push_distance) if cfg.arm_push_probability > 0 else None,
    )


def load(cfg: EvaluateCfg, env: MimicEnv, checkpoint: Checkpoint) -> Policy:
    """The policy of a checkpoint, for this env.

    Raises:
        UsageError: there is none, or it was made for something else.
    """
    path = None if checkpoint.path is None else Path(checkpoint.path)
    request = _request(env, cfg.task.name, path, cfg.datagen_config.seed)
    return make_policy(cfg.policy, find_policy(cfg.policy), request)


def known(checkpoint: Checkpoint, policy: Policy) -> Checkpoint:
    """The checkpoint with the epoch that the policy itself knows of, where its file's name tells none."""
    epoch = getattr(policy, "facts", {}).get("epoch")
    return checkpoint if checkpoint.epoch is not None or epoch is None else replace(checkpoint, epoch=int(epoch))


def _request(env: MimicEnv, task_name: str, checkpoint: Path | None, seed: int) -> PolicyRequest:
    return PolicyRequest(
        checkpoint=checkpoint,
        task=task_name,
        num_envs=env.num_envs,
        action_dim=env.action_dim,
        observation_shapes={name: tuple(value.shape[1:]) for name, value in trees.flatten(env.observations()).items()},
        step_dt=env.step_dt,
        device=env.device,
        seed=seed,
    )

"""Evaluate policies: their success rate in held-out scenes."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.config import EvaluateCfg
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.factory import config_of, env_task, make_scene
from isaaclab_mimic_ext.errors import ConfigError
from isaaclab_mimic_ext.files.quaternions import ENTRY
from isaaclab_mimic_ext.learn.disturbances import ArmPushes, ObjectPushes, ObservationNoise, scale_events
from isaaclab_mimic_ext.learn.evaluator import Disturbances, EvaluationProgress, Evaluator, Rules
from isaaclab_mimic_ext.learn.policies import (
    CheckpointPolicy,
    Policy,
    PolicyRequest,
    check_fits,
    find_policy_factory,
    load_policy,
    make_policy,
)
from isaaclab_mimic_ext.learn.policy_cameras import (
    PolicyCameras,
    add_policy_cameras,
    close_pictures,
    own_env_with_cameras,
)
from isaaclab_mimic_ext.learn.results import Checkpoint, CheckpointResult, horizon_from_demos
from isaaclab_mimic_ext.rng import Domain, Draws
from isaaclab_mimic_ext.task.definition import Task
from isaaclab_mimic_ext.task.folders import task_dir
from isaaclab_mimic_ext.task.robot import robot_name

log = logging.getLogger(__name__)


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
    """Measure the success rate of a policy in held-out scenes of an environment.

    Args:
        env: environment from `make_env`; its N envs run episodes in parallel.
        policy: a policy from `train`, the path of its checkpoint, or any object with `reset(env_ids)` and
            `act(observations)`, which returns actions (N, A) for observations, term -> (N, ...).
        num_episodes: number of episodes.
        seed: with the number of an episode, decides its scene and disturbances, for every policy and any N.
        horizon: largest number of steps of an episode; None: 1.5 times the longest source demo of the task, rounded up to a
            multiple of 50.
        stop_at_success: end an episode at held success; False: run to the horizon and judge the last steps.
        disturbances: observation noise and pushes.
        should_stop: called after each step with the progress; if it returns True, the evaluation ends.

    Returns:
        The result: `success` (a rate with its 95 % confidence interval), `reasons`, `episodes`.

    Raises:
        SourceDataError: a checkpoint is missing or damaged, or was trained for a different task.
        ConfigError: `policy` is not a policy, or `horizon` is None and the task has no source demos.
    """
    task, config = env_task(env), config_of(env).datagen_config
    name = "policy"
    if not isinstance(policy, str | Path) and not (hasattr(policy, "reset") and hasattr(policy, "act")):
        raise ConfigError(
            f"policy: must have the methods reset and act, or be the path of a checkpoint (got {policy!r}); "
            "use load_policy(<file>)"
        )
    if isinstance(policy, str | Path):
        policy = load_policy(policy, env.device)
    with _with_cameras(env, task, policy) as env:
        all_env_ids = torch.arange(env.num_envs, device=env.device)
        env.reset(all_env_ids, Draws(seed, all_env_ids, Domain.EVALUATION))
        if isinstance(policy, CheckpointPolicy):
            name = policy.path.stem
            request = _request(env, task.name, policy.path, seed)
            check_fits(request, policy.task_name, policy.action_dim, policy.obs_shapes)
        _warn_of_another_robot(policy, env)
        rules = Rules(
            seed=seed,
            num_episodes=num_episodes,
            horizon=default_horizon(task) if horizon is None else horizon,
            num_success_steps=config.num_success_steps,
            any_step=config.success_rule == "any_step",
            stop_at_success=stop_at_success,
        )
        evaluator = Evaluator(env, policy, rules, disturbances or Disturbances())
        evaluator.run(should_stop)
    path = str(policy.path) if isinstance(policy, CheckpointPolicy) else None
    return evaluator.result(with_epoch(Checkpoint(name, path), policy))


@contextmanager
def _with_cameras(env: MimicEnv, task: Task, policy: Policy) -> Iterator[MimicEnv]:
    """The env, in the block with the pictures that the policy sees if the env does not draw them."""
    cameras = policy.cameras if isinstance(policy, CheckpointPolicy) else None
    if cameras is None or {*(cameras.cfg.names or ())} <= trees.flatten(env.observations()).keys():
        yield env
        return
    seen = add_policy_cameras(env, task, cameras)
    try:
        yield seen
    finally:
        close_pictures(seen)


def default_horizon(task: Task) -> int:
    """1.5 times the longest source demo of a task, rounded up to a multiple of 50 [steps].

    Raises:
        ConfigError: the task has no source demos.
    """
    path = task_dir(task.name) / "data" / "source_demos.hdf5"
    if not path.is_file():
        raise ConfigError(f"horizon: must be set because task '{task.name}' has no source demos; give horizon=<steps>")
    return horizon_from_demos(str(path))


def make_evaluation_env(cfg: EvaluateCfg, cameras: PolicyCameras | None = None) -> MimicEnv:
    """Build the environment of an evaluation and reset it once, which checks that all objects can be placed.

    Args:
        cameras: cameras of the pictures that the policy observes; None: no pictures.

    Raises:
        SimulatorUnavailable: the engine is not installed.
        ConfigError: the objects cannot be placed.
    """
    num_envs = min(cfg.num_envs, cfg.num_episodes)
    events = scale_events(cfg.events, cfg.randomization_scale)
    env = make_scene(replace(cfg, events=events), num_envs)
    if cameras is not None:
        env = own_env_with_cameras(env, env_task(env), cameras)
    all_env_ids = torch.arange(num_envs, device=env.device)
    env.reset(all_env_ids, Draws(cfg.datagen_config.seed, all_env_ids, Domain.EVALUATION))
    return env


def build_rules(cfg: EvaluateCfg) -> Rules:
    """Build the rules of an evaluation from its configuration.

    Raises:
        SourceDataError: `horizon` is None, and `input_file` is missing, damaged or empty.
    """
    return Rules(
        seed=cfg.datagen_config.seed,
        num_episodes=cfg.num_episodes,
        horizon=horizon_from_demos(cfg.input_file) if cfg.horizon is None else cfg.horizon,
        num_success_steps=cfg.datagen_config.num_success_steps,
        any_step=cfg.datagen_config.success_rule == "any_step",
        stop_at_success=cfg.stop_at_success,
    )


def _free_objects(env: MimicEnv) -> tuple[str, ...]:
    """Names of the objects that can be pushed: those that are not fixed and not on joints."""
    task: Task | None = getattr(env, "task", None)
    return env.object_names if task is None else tuple(obj.name for obj in task.objects if obj.is_free)


def build_disturbances(cfg: EvaluateCfg, env: MimicEnv) -> Disturbances:
    """Build the disturbances of an evaluation from its configuration.

    Raises:
        ConfigError: `observation_noise_keys` matches no observation.
    """
    observations, declared = trees.flatten(env.observations()), env.env_args().get(ENTRY, {})
    objects = tuple(_free_objects(env) if cfg.push_objects is None else cfg.push_objects)
    return Disturbances(
        ObservationNoise.of(cfg.observation_noise, cfg.observation_noise_keys, observations, declared),
        ObjectPushes(cfg.push_probability, cfg.push_velocity, objects) if cfg.push_probability > 0 else None,
        ArmPushes(cfg.arm_push_probability, cfg.arm_push_distance) if cfg.arm_push_probability > 0 else None,
    )


def build_policy(cfg: EvaluateCfg, env: MimicEnv, checkpoint: Checkpoint) -> Policy:
    """Build the policy of a checkpoint for this environment.

    Raises:
        UsageError: the policy or checkpoint is not found, or is for a different task, other actions or other observations.
    """
    path = None if checkpoint.path is None else Path(checkpoint.path)
    request = _request(env, cfg.task.name, path, cfg.datagen_config.seed, cfg.n_action_steps)
    policy = make_policy(cfg.policy, find_policy_factory(cfg.policy), request)
    _warn_of_another_robot(policy, env)
    return policy


def _warn_of_another_robot(policy: Policy, env: MimicEnv) -> None:
    found = robot_name(env.env_args())
    if isinstance(policy, CheckpointPolicy) and policy.robot_name != found:
        log.warning(
            "checkpoint: %s was trained on demos of robot '%s', and the env has '%s'; with robot=%s both are the same",
            policy.path, policy.robot_name, found, policy.robot_name,
        )  # fmt: skip


def with_epoch(checkpoint: Checkpoint, policy: Policy) -> Checkpoint:
    """Return the checkpoint with its epoch: from the name of the file, otherwise from the metadata of the policy."""
    epoch = getattr(policy, "facts", {}).get("epoch")
    return checkpoint if checkpoint.epoch is not None or epoch is None else replace(checkpoint, epoch=int(epoch))


def _request(
    env: MimicEnv, task_name: str, checkpoint: Path | None, seed: int, n_action_steps: int | None = None
) -> PolicyRequest:
    return PolicyRequest(
        checkpoint=checkpoint,
        task=task_name,
        num_envs=env.num_envs,
        action_dim=env.action_dim,
        observation_shapes={name: tuple(value.shape[1:]) for name, value in trees.flatten(env.observations()).items()},
        step_dt=env.step_dt,
        device=env.device,
        seed=seed,
        env_args=env.env_args(),
        n_action_steps=n_action_steps,
    )

"""Evaluations during a training, which choose the best checkpoint."""

import logging
from collections.abc import Callable

import torch

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.config import TrainCfg
from isaaclab_mimic_ext.envs.factory import make_scene
from isaaclab_mimic_ext.learn.evaluator import Evaluator, Rules
from isaaclab_mimic_ext.learn.policies import Policy, PolicyRequest, check_fits
from isaaclab_mimic_ext.learn.policy_cameras import PolicyCameras, own_env_with_cameras
from isaaclab_mimic_ext.learn.results import Checkpoint, horizon_from_demos
from isaaclab_mimic_ext.rng import Domain, Draws
from isaaclab_mimic_ext.task.definition import load_task
from isaaclab_mimic_ext.texts import counted

log = logging.getLogger(__name__)

_SEED_OFFSET = 2**31
"""Separates the scenes from those of `mimic evaluate`: the best checkpoint must not be chosen on the final test scenes."""


class TrainingEvaluation:
    """Evaluates the current policy of a training, always in the same scenes.

    Args:
        make_policy: builds a policy from the current parameters.
        obs_shapes: observation key of the policy -> shape.
        action_dim: number of action entries of the policy.
        cameras: cameras of its pictures; None: it observes none.

    Raises:
        SourceDataError: the env of the task has no such observations or actions.
        SimulatorUnavailable: the engine is not installed.
    """

    def __init__(
        self,
        cfg: TrainCfg,
        make_policy: Callable[[], Policy],
        obs_shapes: dict[str, tuple[int, ...]],
        action_dim: int,
        cameras: PolicyCameras | None = None,
    ):
        self._make_policy = make_policy
        num_envs = min(cfg.num_eval_envs, cfg.num_eval_episodes)
        self.env = make_scene(cfg, num_envs)
        if cameras is not None:
            self.env = own_env_with_cameras(self.env, load_task(cfg.task.name, cfg.robot, cfg.objects), cameras)
        seed = cfg.datagen_config.seed + _SEED_OFFSET
        all_env_ids = torch.arange(num_envs, device=self.env.device)
        self.env.reset(all_env_ids, Draws(seed, all_env_ids, Domain.EVALUATION))
        env_shapes = {name: tuple(value.shape[1:]) for name, value in trees.flatten(self.env.observations()).items()}
        request = PolicyRequest(
            None, cfg.task.name, num_envs, self.env.action_dim, env_shapes, self.env.step_dt, self.env.device, seed
        )
        check_fits(request, cfg.task.name, action_dim, obs_shapes)
        self._rules = Rules(
            seed=seed,
            num_episodes=cfg.num_eval_episodes,
            horizon=horizon_from_demos(cfg.input_file),
            num_success_steps=cfg.datagen_config.num_success_steps,
            any_step=cfg.datagen_config.success_rule == "any_step",
        )

    def success_rate(self, should_stop: Callable[[], bool]) -> float | None:
        """Success rate of the current policy; None if `should_stop`, called after each step, returned True."""
        log.info(
            "Evaluating the policy: %s of at most %d steps",
            counted(self._rules.num_episodes, "episode"),
            self._rules.horizon,
        )
        evaluator = Evaluator(self.env, self._make_policy(), self._rules)
        evaluator.run(lambda progress: should_stop())
        if should_stop():
            return None
        result = evaluator.result(Checkpoint("training"))
        log.info("Success rate of the policy: %s of %s", result.success, counted(result.num_episodes, "episode"))
        return result.success.rate

    def close(self) -> None:
        self.env.close()

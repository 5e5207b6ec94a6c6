"""Evaluations while a policy is trained, to know which checkpoint is the best."""

import logging
from collections.abc import Callable

import torch

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.config import TrainCfg
from isaaclab_mimic_ext.envs.factory import make_scene
from isaaclab_mimic_ext.learn.evaluator import Evaluator, Rules
from isaaclab_mimic_ext.learn.policies import Policy, PolicyRequest, check_fits
from isaaclab_mimic_ext.learn.results import Checkpoint, horizon_of
from isaaclab_mimic_ext.rng import Domain, Draws

log = logging.getLogger(__name__)

_SEED_OFFSET = 2**31
"""Apart from the seeds of `mimic evaluate`: the best checkpoint must not be chosen on the scenes that judge it."""


class DuringTraining:
    """Judges a policy again and again, on the same scenes.

    Args:
        make_policy: the policy as it is now.
        obs_shapes: of the observations that it wants, key -> shape.

    Raises:
        SourceDataError: it was trained on what the env of the task does not give.
        SimulatorUnavailable: the engine is not installed.
    """

    def __init__(
        self, cfg: TrainCfg, make_policy: Callable[[], Policy], obs_shapes: dict[str, tuple[int, ...]], action_dim: int
    ):
        self._make_policy = make_policy
        num_envs = min(cfg.num_eval_envs, cfg.num_eval_episodes)
        self.env = make_scene(cfg, num_envs)
        seed = cfg.datagen_config.seed + _SEED_OFFSET
        every_env = torch.arange(num_envs, device=self.env.device)
        self.env.reset(every_env, Draws(seed, every_env, Domain.EVALUATION))
        given = {name: tuple(value.shape[1:]) for name, value in trees.flatten(self.env.observations()).items()}
        request = PolicyRequest(
            None, cfg.task.name, num_envs, self.env.action_dim, given, self.env.step_dt, self.env.device, seed
        )
        check_fits(request, cfg.task.name, action_dim, obs_shapes)
        self._rules = Rules(
            seed=seed,
            num_episodes=cfg.num_eval_episodes,
            horizon=horizon_of(cfg.dataset),
            num_success_steps=cfg.datagen_config.num_success_steps,
            any_step=cfg.datagen_config.success_rule == "any_step",
        )

    def success_rate(self, should_stop: Callable[[], bool]) -> float | None:
        """Of the policy as it is now; None where `should_stop`, asked after every step, said so."""
        log.info("Evaluating: %d episodes of at most %d steps", self._rules.num_episodes, self._rules.horizon)
        evaluator = Evaluator(self.env, self._make_policy(), self._rules)
        evaluator.run(lambda progress: should_stop())
        if should_stop():
            return None
        result = evaluator.result(Checkpoint("training"))
        log.info("%s of %d episodes succeeded", result.success, result.num_episodes)
        return result.success.rate

    def close(self) -> None:
        self.env.close()

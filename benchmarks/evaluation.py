"""Measure the share of physics in an evaluation, and compare its speed with robomimic's own rollout of single episodes.

    python benchmarks/evaluation.py checkpoint=logs/robomimic/.../models/model_epoch_200.pth
    python benchmarks/evaluation.py checkpoint=... --num-single 20 --json

Without a checkpoint, the policy is a network of the same size (two hidden layers of 1024) with random weights, and there is
no comparison. The comparison loads the checkpoint with robomimic and calls its `run_rollout` on a single env, which runs
episodes 0, 1, ... of the same seed. Both measurements run in this process, one after the other.
"""

import argparse
import json
import time
from typing import Any

import numpy as np
import torch
from common import Stages, machine
from torch import Tensor, nn

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.config import EvaluateCfg
from isaaclab_mimic_ext.config.compose import load_config
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.learn.checkpoint_files import find_checkpoints
from isaaclab_mimic_ext.learn.evaluate import build_disturbances, build_policy, build_rules, make_evaluation_env
from isaaclab_mimic_ext.learn.evaluator import Evaluator, Rules
from isaaclab_mimic_ext.learn.history import History
from isaaclab_mimic_ext.learn.policies import Policy
from isaaclab_mimic_ext.learn.results import Checkpoint
from isaaclab_mimic_ext.learn.robomimic import require_robomimic
from isaaclab_mimic_ext.rng import Domain, Draws


class RandomNetwork:
    """Network with random weights, as large as the one that `bc.json` trains, with normalized observations."""

    def __init__(self, env: MimicEnv, width: int = 1024):
        self.keys = [name for name in trees.flatten(env.observations()) if name != "actions"]
        size = sum(trees.flatten(env.observations())[name].shape[1] for name in self.keys)
        hidden = (nn.Linear(size, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.layers = nn.Sequential(*hidden, nn.Linear(width, env.action_dim), nn.Tanh())

    def reset(self, env_ids: Tensor) -> None:
        """This policy has no state."""

    def act(self, observations: dict[str, Tensor]) -> Tensor:
        return self.layers(torch.cat([(observations[key] - 0.1) / 1.1 for key in self.keys], dim=1))


class OneScene:
    """Adapter from an environment with one env to the interface of robomimic's rollout; runs episodes 0, 1, ...

    Args:
        keys: observations of the policy.
        action_scale: scale and offset of the actions, which robomimic 0.3 does not apply itself.
    """

    def __init__(self, env: MimicEnv, rules: Rules, keys: list[str], action_scale: tuple[np.ndarray, np.ndarray]):
        self.env, self.rules, self.keys, self.action_scale = env, rules, keys, action_scale
        self.episode = -1
        self.steps_successful = 0

    def reset(self) -> dict[str, np.ndarray]:
        self.episode += 1
        self.steps_successful = 0
        number = torch.tensor([self.episode])
        self.env.reset(torch.zeros(1, dtype=torch.int64), Draws(self.rules.seed, number, Domain.EVALUATION))
        return self._observation()

    def step(self, action: np.ndarray) -> tuple[dict[str, np.ndarray], float, bool, dict[str, Any]]:
        action = self.action_scale[0] * action + self.action_scale[1]
        self.env.step(torch.from_numpy(action.astype(np.float32))[None])
        self.steps_successful = self.steps_successful + 1 if bool(self.env.success()[0]) else 0
        return self._observation(), float(self.steps_successful > 0), False, {}

    def is_success(self) -> dict[str, bool]:
        return {"task": self.steps_successful >= self.rules.num_success_steps}

    def _observation(self) -> dict[str, np.ndarray]:
        observations = self.env.observations()
        return {key: observations[key][0].numpy() for key in self.keys}


def measure_batched(cfg: EvaluateCfg, with_history: bool) -> dict[str, Any]:
    """Measure the times of an evaluation by stage [s]."""
    env = make_evaluation_env(cfg)
    try:
        policy: Policy = RandomNetwork(env) if cfg.checkpoint is None else build_policy(cfg, env, first_checkpoint(cfg))
        history = History(env, build_rules(cfg).horizon, cfg.num_video_episodes) if with_history else None
        evaluator = Evaluator(env, policy, build_rules(cfg), build_disturbances(cfg, env), history)
        stages = Stages()
        time_stages(evaluator, stages)
        start = time.perf_counter()
        evaluator.run()
        total = time.perf_counter() - start
    finally:
        env.close()
    seconds = dict(stages.seconds)
    seconds["engine around physics"] -= seconds["physics"]
    seconds["rest of the loop"] = total - sum(seconds.values())
    result = evaluator.result(Checkpoint(""))
    return {
        "num_envs": env.num_envs, "num_episodes": result.num_episodes, "env_steps": result.env_steps, "seconds": total,
        "success_rate": result.success.rate, "lengths": [episode.length for episode in result.episodes],
        "seconds_per_env_step": total / result.env_steps, "physics_share": seconds["physics"] / total, "stages": seconds,
    }  # fmt: skip


def time_stages(evaluator: Evaluator, stages: Stages) -> None:
    env: Any = evaluator.env
    stages.time(evaluator.policy, "act", "policy")
    stages.time(env, "step", "engine around physics")
    stages.time(env, "reset", "reset")
    stages.time(evaluator._observer, "watch", "success and reasons")
    stages.time(env, "observations", "observations")
    if evaluator.history is not None:
        stages.time(evaluator.history, "after_step", "history")
    env._batch = _Timed(env._batch, stages)


class _Timed:
    """Wrapper of a physics batch that times `step`; the batch itself does not accept new attributes."""

    def __init__(self, batch: Any, stages: Stages):
        self._batch, self.step = batch, batch.step
        stages.time(self, "step", "physics")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)


def measure_single(cfg: EvaluateCfg, num_episodes: int) -> dict[str, Any]:
    """Measure the time of robomimic's rollout, one episode after the other [s]."""
    require_robomimic()
    from robomimic.envs.env_base import EnvBase
    from robomimic.utils.file_utils import policy_from_checkpoint
    from robomimic.utils.train_utils import run_rollout

    EnvBase.register(OneScene)
    content = torch.load(str(first_checkpoint(cfg).path), weights_only=True)
    policy, _ = policy_from_checkpoint(device=torch.device("cpu"), ckpt_dict=content)
    stats = content.get("action_normalization_stats", {}).get("actions", {"scale": [[1.0]], "offset": [[0.0]]})
    cfg.num_envs, rules = 1, build_rules(cfg)
    env = make_evaluation_env(cfg)
    try:
        action_scale = (np.array(stats["scale"][0]), np.array(stats["offset"][0]))
        scene = OneScene(env, rules, list(content["shape_metadata"]["all_shapes"]), action_scale)
        start = time.perf_counter()
        infos = [run_rollout(policy, scene, rules.horizon, terminate_on_success=True) for _ in range(num_episodes)]
        total = time.perf_counter() - start
    finally:
        env.close()
    env_steps = sum(int(info["Horizon"]) for info in infos)
    return {
        "num_episodes": num_episodes, "env_steps": env_steps, "seconds": total, "seconds_per_env_step": total / env_steps,
        "success_rate": sum(float(info["Success_Rate"]) for info in infos) / num_episodes,
    }  # fmt: skip


def first_checkpoint(cfg: EvaluateCfg) -> Checkpoint:
    return find_checkpoints(cfg.checkpoint)[0]


def show(batched: dict[str, Any], single: dict[str, Any] | None) -> None:
    print(
        f"N={batched['num_envs']}: {batched['num_episodes']} episodes, {batched['env_steps']} env-steps in "
        f"{batched['seconds']:.2f} s, {batched['env_steps'] / batched['seconds']:,.0f} env-steps/s, "
        f"success {100 * batched['success_rate']:.1f} %, physics {100 * batched['physics_share']:.1f} % of the wall time"
    )
    for stage, seconds in sorted(batched["stages"].items(), key=lambda item: -item[1]):
        print(f"    {stage:<24} {seconds:7.2f} s  {100 * seconds / batched['seconds']:5.1f} %")
    if single is not None:
        ratio = single["seconds_per_env_step"] / batched["seconds_per_env_step"]
        print(
            f"robomimic's rollout: {single['num_episodes']} episodes, {single['env_steps']} env-steps in "
            f"{single['seconds']:.2f} s, success {100 * single['success_rate']:.1f} %: "
            f"{ratio:.1f} times the batched time per env-step"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--num-single", type=int, default=20, help="number of episodes in robomimic's rollout; 0: no comparison"
    )
    parser.add_argument(
        "--history", action="store_true", help="record states for videos, as `mimic evaluate` does by default"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.add_argument("overrides", nargs="*", help="overrides of `mimic evaluate`")
    args = parser.parse_intermixed_args()
    torch.set_num_threads(1)
    cfg = load_config("evaluate", ["sim=mujoco", *args.overrides, "output_dir=unused"])
    batched = measure_batched(cfg, args.history)
    single = None
    if cfg.checkpoint is not None and args.num_single > 0:
        single = measure_single(cfg, args.num_single)
    if args.json:
        print(json.dumps({"machine": machine(), "batched": batched, "single": single}, indent=2))
        return
    show(batched, single)


if __name__ == "__main__":
    main()

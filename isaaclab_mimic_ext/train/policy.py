"""Policies of checkpoints, acting in N environments at once."""

# N envs, n of them addressed, A action entries, L layers, H hidden units of a recurrent network

from pathlib import Path

import torch
from torch import Tensor

from isaaclab_mimic_ext.errors import ConfigError, SourceDataError
from isaaclab_mimic_ext.train.checkpoint import Checkpoint, load_checkpoint
from isaaclab_mimic_ext.train.normalization import Affine
from isaaclab_mimic_ext.train.robomimic_adapter import Learner, read_config

Memory = Tensor | tuple[Tensor, ...]
"""Hidden state (L, N, H), or the pair of an LSTM."""


class TrainedPolicy:
    """A robomimic policy with its normalization. Envs may begin their episodes at different times."""

    def __init__(
        self,
        learner: Learner,
        obs_shapes: dict[str, tuple[int, ...]],
        obs_scales: dict[str, Affine],
        action_scale: Affine | None,
        device: torch.device,
    ):
        self.obs_shapes = obs_shapes
        self.obs_keys = tuple(obs_shapes)
        self._learner, self._device = learner, device
        self._obs_scales = {key: scale.to(device) for key, scale in obs_scales.items()}
        self._action_scale = action_scale.to(device) if action_scale is not None else None
        self._horizon = learner.memory_horizon
        self._age: Tensor | None = None
        learner.begin_acting()

    def reset(self, env_ids: Tensor) -> None:
        """Episodes begin in the envs `env_ids`, (n,): forget what happened there."""
        if self._age is not None:
            self._age[env_ids.to(self._device)] = 0

    @torch.no_grad()
    def act(self, observations: dict[str, Tensor]) -> Tensor:
        """Actions (N, A) for observations as the env gives them, key -> (N, ...); terms that are not wanted are ignored."""
        inputs = {key: observations[key].to(self._device, torch.float32) for key in self.obs_keys}
        inputs = {key: self._obs_scales[key].normalize(x) if key in self._obs_scales else x for key, x in inputs.items()}
        if self._horizon is not None:
            self._forget(len(inputs[self.obs_keys[0]]), self._horizon)
        actions = self._learner.act(inputs)
        if self._age is not None:
            self._age += 1
        return self._action_scale.unnormalize(actions) if self._action_scale is not None else actions

    def _forget(self, num_envs: int, horizon: int) -> None:
        """Zero the hidden state of envs whose episode begins, and of all after the horizon that they were trained with."""
        memory = self._learner.memory
        if self._age is None or len(self._age) != num_envs or memory is None:
            self._learner.memory = None
            self._age = torch.zeros(num_envs, dtype=torch.int64, device=self._device)
            return
        kept = (self._age % horizon != 0).to(torch.float32)[:, None]
        self._learner.memory = tuple(each * kept for each in memory) if isinstance(memory, tuple) else memory * kept


class CheckpointPolicy(TrainedPolicy):
    """A policy that came from a file."""

    def __init__(self, checkpoint: Checkpoint, device: torch.device):
        try:
            config = read_config(checkpoint.algo_name, checkpoint.content["config"])
            learner = Learner(config, checkpoint.obs_shapes, checkpoint.action_dim, device)
        except ConfigError as error:
            raise SourceDataError(f"checkpoint: {checkpoint.path}: {error}; train again") from error
        try:
            learner.load_parameters(checkpoint.content["model"])
        except (RuntimeError, LookupError, TypeError, AttributeError) as error:
            reason = " ".join(line.strip() for line in str(error).strip().splitlines()[:2])
            raise SourceDataError(
                f"checkpoint: {checkpoint.path}: its parameters do not fit its configuration ({reason}); train again"
            ) from error
        super().__init__(learner, checkpoint.obs_shapes, checkpoint.obs_scales, checkpoint.action_scale, device)
        self.path = Path(checkpoint.path)
        self.task_name, self.action_dim, self.facts = checkpoint.task_name, checkpoint.action_dim, checkpoint.facts


def load_policy(path: str | Path, device: str | torch.device = "cpu") -> CheckpointPolicy:
    """The policy of a checkpoint.

    Raises:
        SourceDataError: the file is missing, damaged, or no checkpoint.
        DependencyMissing: robomimic is not installed.
    """
    return CheckpointPolicy(load_checkpoint(path), torch.device(device))

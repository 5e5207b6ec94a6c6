"""`bc_chunk`, an algorithm for robomimic: behavior cloning that predicts chunks of actions.

The network is an MLP. From the last `train.frame_stack` observations it predicts the next `train.seq_length` actions;
`algo.chunk.num_executed` of them are executed. The loss is the mean absolute error (Zhao et al., ACT, arXiv 2304.13705).
Importing this module adds the algorithm to robomimic's registry.
"""

# B sequences per batch, H observations of a history, K actions of a chunk, A action entries

from collections import OrderedDict
from typing import Any

import torch
from robomimic.algo import register_algo_factory_func
from robomimic.algo.bc import BC
from robomimic.config.base_config import BaseConfig
from robomimic.models.obs_nets import MIMO_MLP
from robomimic.utils.obs_utils import obs_encoder_kwargs_from_config
from torch import Tensor

from isaaclab_mimic_ext.learn.agents import CHUNKED
from isaaclab_mimic_ext.learn.chunks import ActionChunks


class BCChunkConfig(BaseConfig):
    """Default settings. The learning rate falls linearly to 0 at the last epoch."""

    ALGO_NAME = CHUNKED

    def experiment_config(self) -> None:
        super().experiment_config()
        self.experiment.name = CHUNKED
        self.experiment.epoch_every_n_steps = 100

    def train_config(self) -> None:
        super().train_config()
        train = self.train
        train.seq_length, train.frame_stack, train.batch_size, train.num_epochs = 32, 12, 256, 100
        train.hdf5_normalize_obs, train.hdf5_load_next_obs = True, False

    def algo_config(self) -> None:
        policy = self.algo.optim_params.policy
        policy.optimizer_type, policy.regularization.L2 = "adamw", 1e-4
        rate = policy.learning_rate
        rate.initial, rate.scheduler_type, rate.decay_factor, rate.epoch_schedule = 1e-3, "linear", 0.0, []
        self.algo.loss.l1_weight, self.algo.loss.l2_weight = 1.0, 0.0
        self.algo.actor_layer_dims = (512, 512, 512)
        self.algo.chunk.num_executed = 8


class BCChunk(BC):
    """Behavior cloning of action chunks. `get_action` returns one action per call, and predicts when a chunk is used up."""

    def _create_networks(self) -> None:
        train = self.global_config.train
        self.chunks = ActionChunks(train.frame_stack, self.algo_config.chunk.num_executed)
        histories = OrderedDict((key, (train.frame_stack, *shape)) for key, shape in self.obs_shapes.items())
        network = MIMO_MLP(
            input_obs_group_shapes=OrderedDict(obs=histories),
            output_shapes=OrderedDict(actions=(train.seq_length, self.ac_dim)),
            layer_dims=self.algo_config.actor_layer_dims,
            encoder_kwargs=obs_encoder_kwargs_from_config(self.obs_config.encoder),
        )
        self.nets["policy"] = network.float().to(self.device)

    def process_batch_for_training(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Select histories (B, H, ...) and chunks (B, K, A) from sequences (B, H - 1 + K, ...)."""
        num_history = self.chunks.num_history
        obs = {key: values[:, :num_history].to(self.device, torch.float32) for key, values in batch["obs"].items()}
        return {"obs": obs, "actions": batch["actions"][:, num_history - 1 :].to(self.device, torch.float32)}

    def _forward_training(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        return OrderedDict(actions=self.predict(batch["obs"]))

    def _compute_losses(self, predictions: dict[str, Tensor], batch: dict[str, Any]) -> dict[str, Tensor]:
        error = predictions["actions"] - batch["actions"]
        losses = OrderedDict(l1_loss=error.abs().mean(), l2_loss=error.square().mean())
        weights = self.algo_config.loss
        losses["action_loss"] = weights.l1_weight * losses["l1_loss"] + weights.l2_weight * losses["l2_loss"]
        return losses

    def predict(self, obs: dict[str, Tensor]) -> Tensor:
        """Predict chunks (B, K, A) from histories, key -> (B, H, ...)."""
        return self.nets["policy"](obs=obs)["actions"]

    def get_action(self, obs_dict: dict[str, Tensor], goal_dict: dict[str, Tensor] | None = None) -> Tensor:
        """Return the next actions (B, A) for observations, key -> (B, ...)."""
        return self.chunks.act(obs_dict, self.predict)

    def reset(self) -> None:
        self.chunks.clear()


@register_algo_factory_func(CHUNKED)
def algo_class(algo_config: Any) -> tuple[type[BCChunk], dict[str, Any]]:
    """Return the class of the algorithm and its extra arguments, as robomimic asks for them."""
    return BCChunk, {}

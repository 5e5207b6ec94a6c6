"""`bc_image`, an algorithm for robomimic: behavior cloning that sees pictures and predicts chunks of actions.

The policy acts on the newest picture of each camera and on the last `train.frame_stack` vectors, such as of its gripper.
Each camera has its own convolutions, whose features are the image coordinates of a spatial softmax (Finn et al.,
arXiv 1509.06113). Importing this module adds the algorithm and its encoder to robomimic's registries.
"""

# B sequences per batch, H observations of a history, K actions of a chunk, A action entries, C channels

from collections import OrderedDict
from typing import Any

import torch
from robomimic.algo import register_algo_factory_func
from robomimic.models.base_nets import ConvBase, SpatialSoftmax
from robomimic.models.obs_core import EncoderCore
from robomimic.models.obs_nets import MIMO_MLP
from robomimic.utils.obs_utils import obs_encoder_kwargs_from_config, process_obs
from torch import Tensor, nn

from isaaclab_mimic_ext.learn.agents import IMAGES
from isaaclab_mimic_ext.learn.bc_chunk import BCChunk, BCChunkConfig
from isaaclab_mimic_ext.learn.chunks import ActionChunks

_KERNELS, _STRIDES = (5, 3, 3), (2, 2, 1)
_MIN_SIDE = 17
"""Smallest side of a picture that leaves one pixel after the convolutions [pixels]."""


class ThreeConvCore(EncoderCore, ConvBase):
    """Three convolutions, a spatial softmax and a linear layer: small enough to be trained without a GPU.

    Args:
        input_shape: channels, height and width of a picture.
        channels: number of channels after each convolution; the last number is that of the points of the spatial softmax.
        feature_dimension: number of features F.
    """

    def __init__(self, input_shape: list[int], channels: tuple[int, int, int] = (16, 32, 32), feature_dimension: int = 64):
        super().__init__(input_shape=input_shape)
        if min(input_shape[1:]) < _MIN_SIDE:
            raise ValueError(
                f"pictures must have at least {_MIN_SIDE} x {_MIN_SIDE} pixels after the crop (got {input_shape[1]} x "
                f"{input_shape[2]})"
            )
        inputs = (input_shape[0], *channels[:-1])
        convolutions = [nn.Conv2d(*sizes) for sizes in zip(inputs, channels, _KERNELS, _STRIDES, strict=True)]
        features = nn.Sequential(*(layer for each in convolutions for layer in (each, nn.ReLU())))[:-1]
        shape = features(torch.zeros(1, *input_shape)).shape[1:]
        points = SpatialSoftmax(list(shape), num_kp=None)
        # robomimic applies a ReLU to the features; coordinates themselves would lose their negative half.
        self.nets = nn.Sequential(features, points, nn.Flatten(), nn.Linear(2 * channels[-1], feature_dimension))
        self._num_features = feature_dimension
        self.to(memory_format=torch.channels_last)

    def output_shape(self, input_shape: Any = None) -> list[int]:
        return [self._num_features]

    def forward(self, pictures: Tensor) -> Tensor:
        """Compute features (B, F) of pictures (B, C, H, W)."""
        return self.nets(pictures.contiguous(memory_format=torch.channels_last))


class BCImageConfig(BCChunkConfig):
    """Default settings. The learning rate falls linearly to 0 at the last epoch."""

    ALGO_NAME = IMAGES

    def experiment_config(self) -> None:
        super().experiment_config()
        self.experiment.name = IMAGES

    def train_config(self) -> None:
        super().train_config()
        train = self.train
        train.seq_length, train.frame_stack, train.batch_size, train.num_epochs = 16, 1, 64, 40

    def algo_config(self) -> None:
        super().algo_config()
        self.algo.actor_layer_dims = (256, 256)
        self.algo.chunk.num_executed = 4

    def observation_config(self) -> None:
        super().observation_config()
        rgb = self.observation.encoder.rgb
        rgb.core_class, rgb.obs_randomizer_class = ThreeConvCore.__name__, "CropRandomizer"
        rgb.obs_randomizer_kwargs.crop_height = rgb.obs_randomizer_kwargs.crop_width = 80


class BCImage(BCChunk):
    """Behavior cloning of action chunks from pictures (H, W, 3) uint8 and vectors."""

    def _create_networks(self) -> None:
        train = self.global_config.train
        self.chunks = ActionChunks(train.frame_stack, self.algo_config.chunk.num_executed)
        self._cameras = frozenset(self.obs_config.modalities.obs.rgb)
        inputs = OrderedDict(
            (key, (shape[2], *shape[:2]) if key in self._cameras else (train.frame_stack, *shape))
            for key, shape in self.obs_shapes.items()
        )
        self._check_crops()
        network = MIMO_MLP(
            input_obs_group_shapes=OrderedDict(obs=inputs),
            output_shapes=OrderedDict(actions=(train.seq_length, self.ac_dim)),
            layer_dims=self.algo_config.actor_layer_dims,
            encoder_kwargs=obs_encoder_kwargs_from_config(self.obs_config.encoder),
        )
        self.nets["policy"] = network.float().to(self.device)

    def _check_crops(self) -> None:
        """Refuse crops that are larger than a picture, for which robomimic has an assertion without text."""
        rgb = self.obs_config.encoder.rgb
        if rgb.obs_randomizer_class != "CropRandomizer":
            return
        crop = (rgb.obs_randomizer_kwargs.crop_height, rgb.obs_randomizer_kwargs.crop_width)
        for key in sorted(self._cameras):
            size = tuple(self.obs_shapes[key][:2])
            if crop[0] > size[0] or crop[1] > size[1]:
                raise ValueError(f"crop_height and crop_width {crop} must not exceed the pictures of {key}, {size}")

    def process_batch_for_training(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Select the newest pictures, (B, H, W, 3), in addition to the histories and chunks of `BCChunk`."""
        vectors = {key: values for key, values in batch["obs"].items() if key not in self._cameras}
        selected = super().process_batch_for_training({**batch, "obs": vectors})
        # robomimic converts them to (B, 3, H, W) from 0 to 1 in the next step.
        selected["obs"] |= {key: batch["obs"][key][:, -1].to(self.device) for key in self._cameras}
        return selected

    def get_action(self, obs_dict: dict[str, Tensor], goal_dict: dict[str, Tensor] | None = None) -> Tensor:
        """Return the next actions (B, A) for observations, key -> (B, ...)."""
        return self.chunks.act(obs_dict, self._predict_from_histories)

    def _predict_from_histories(self, histories: dict[str, Tensor]) -> Tensor:
        newest = {key: process_obs(values[:, -1], obs_key=key) for key, values in histories.items() if key in self._cameras}
        return self.predict({**histories, **newest})


@register_algo_factory_func(IMAGES)
def algo_class(algo_config: Any) -> tuple[type[BCImage], dict[str, Any]]:
    """Return the class of the algorithm and its extra arguments, as robomimic asks for them."""
    return BCImage, {}

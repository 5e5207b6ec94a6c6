"""Policies of LeRobot, from what `lerobot-train` wrote. Each env has its own chunk of actions."""

# N envs, n of them asked for a chunk, A action entries, C actions of a chunk, K observed steps, H x W pixels

import io
import logging
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor

from isaaclab_mimic_ext.errors import ConfigError, DependencyMissing, SourceDataError
from isaaclab_mimic_ext.learn.lerobot_checkpoint import (
    ACTION,
    CAMERA,
    ENVIRONMENT,
    LeRobotCheckpoint,
    read_lerobot_checkpoint,
)
from isaaclab_mimic_ext.learn.policies import PolicyRequest, check_fits

log = logging.getLogger(__name__)

_IMAGES = "observation.images"
"""Name under which a policy of LeRobot stores the pictures of all cameras."""


class LeRobotPolicy:
    """A policy of LeRobot. Only envs whose chunk has run out are asked for the next chunk.

    Args:
        policy, preprocess, postprocess: LeRobot's policy, and its normalization of observations and of actions.
        terms: feature of the policy -> observations of the env that form it.
        instruction: language instruction, for policies that read one.
    """

    def __init__(
        self,
        policy: Any,
        preprocess: Any,
        postprocess: Any,
        terms: Mapping[str, list[str]],
        instruction: str,
        request: PolicyRequest,
    ):
        self._policy, self._preprocess, self._postprocess = policy, preprocess, postprocess
        self._terms, self._instruction = terms, instruction
        self._num_action_steps = int(getattr(policy.config, "n_action_steps", 1))
        shape = request.num_envs, self._num_action_steps, request.action_dim
        self._chunks = torch.zeros(shape, device=request.device)
        self._num_left = torch.zeros(request.num_envs, dtype=torch.int64, device=request.device)
        self._env_ids = torch.arange(request.num_envs, device=request.device)
        self._num_observed = int(getattr(policy.config, "n_obs_steps", 1))
        self._history: dict[str, Tensor] = {}
        self._is_new = torch.ones(request.num_envs, dtype=torch.bool, device=request.device)

    def reset(self, env_ids: Tensor) -> None:
        """Clear the chunks of the envs `env_ids`, (n,) int64, in which new episodes begin."""
        self._num_left[env_ids] = 0
        self._is_new[env_ids] = True

    def due_envs(self) -> Tensor | None:
        """Return whether the next action of each env uses its observations, (N,) bool; None: that of all envs."""
        return self._num_left == 0 if self._num_observed == 1 else None

    @torch.no_grad()
    def act(self, observations: dict[str, Tensor]) -> Tensor:
        """Return actions (N, A) for observations, term -> (N, ...)."""
        if self._num_observed > 1:
            self._observe(observations)
        rows = (self._num_left == 0).nonzero()[:, 0]
        if len(rows):
            self._chunks[rows] = self._next_chunks(observations, rows)
            self._num_left[rows] = self._num_action_steps
        actions = self._chunks[self._env_ids, self._num_action_steps - self._num_left]
        self._num_left -= 1
        return actions

    def _next_chunks(self, observations: Mapping[str, Tensor], rows: Tensor) -> Tensor:
        """First actions of the next chunk of the envs `rows` (n,), (n, C, A)."""
        if self._num_observed > 1:
            batch = {name: values[rows][:, -1] for name, values in self._history.items()}
            self._policy._queues |= {name: deque(values[rows].unbind(1)) for name, values in self._history.items()}
        else:
            batch = self._normalized({name: values[rows] for name, values in observations.items()})
        chunks = self._postprocess(self._policy.predict_action_chunk(batch))
        if chunks.shape[1] < self._num_action_steps:
            raise ConfigError(
                f"n_action_steps: must be <= {chunks.shape[1]}, the length of a chunk (got {self._num_action_steps})"
            )
        return chunks[:, : self._num_action_steps].to(self._chunks)

    def _observe(self, observations: Mapping[str, Tensor]) -> None:
        """Append the observations of a step to those of the last K steps; new episodes repeat their first one."""
        batch = {name: values for name, values in self._normalized(observations).items() if name in self._policy._queues}
        if not self._history:
            self._history = {name: torch.stack([values] * self._num_observed, dim=1) for name, values in batch.items()}
        for name, values in batch.items():
            history = torch.cat((self._history[name][:, 1:], values[:, None]), dim=1)
            first = values[:, None].expand_as(history)
            self._history[name] = torch.where(self._is_new.view(-1, *[1] * (history.dim() - 1)), first, history)
        self._is_new[:] = False

    def _normalized(self, observations: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Normalized features of the policy, name -> (n, ...)."""
        features: dict[str, Any] = {}
        for feature, names in self._terms.items():
            values = [observations[name] for name in names]
            is_camera = feature.startswith(CAMERA)
            features[feature] = _picture(values[0]) if is_camera else _vector(values)
        features["task"] = [self._instruction] * len(next(iter(observations.values())))
        batch = self._preprocess(features)
        if self._num_observed > 1 and self._policy.config.image_features:
            batch[_IMAGES] = torch.stack([batch[name] for name in self._policy.config.image_features], dim=-4)
        return {name: values for name, values in batch.items() if name != ACTION}


def _vector(values: Sequence[Tensor]) -> Tensor:
    """Observations (n, ...) side by side, (n, W)."""
    return torch.cat([each.flatten(1) for each in values], dim=1).float()


def _picture(images: Tensor) -> Tensor:
    """Pictures (n, H, W, 3) of uint8 as (n, 3, H, W) from 0 to 1."""
    return images.movedim(-1, 1).float() / 255


def make_lerobot_policy(request: PolicyRequest) -> LeRobotPolicy:
    """Load a policy of LeRobot, and check that it matches the environment.

    Raises:
        ConfigError: `checkpoint` is None, or `n_action_steps` is not valid.
        SourceDataError: the checkpoint is missing or damaged, or has other actions or observations than the env.
        DependencyMissing: lerobot is not installed.
    """
    if request.checkpoint is None:
        raise ConfigError("checkpoint: must be set for policy 'lerobot'; give the folder that lerobot-train wrote")
    checkpoint = read_lerobot_checkpoint(request.checkpoint)
    terms = _terms(checkpoint, request)
    if not checkpoint.has_normalized_objects:
        log.warning(
            "checkpoint: %s: %s was not normalized in the training, which costs success; train with "
            '--policy.normalization_mapping, including "ENV": "MEAN_STD"',
            checkpoint.folder, ENVIRONMENT,
        )  # fmt: skip
    policy, preprocess, postprocess = _load(checkpoint, request)
    if request.n_action_steps is not None:
        policy.config.n_action_steps = request.n_action_steps
    policy.reset()
    instruction = checkpoint.instruction or request.task.replace("_", " ")
    return LeRobotPolicy(policy, preprocess, postprocess, terms, instruction, request)


def _terms(checkpoint: LeRobotCheckpoint, request: PolicyRequest) -> dict[str, list[str]]:
    """Feature of the policy -> observations of the env that form it."""
    place, shapes, terms = f"checkpoint: {checkpoint.folder}", request.observation_shapes, {}
    if checkpoint.action_dim != request.action_dim:
        raise SourceDataError(
            f"{place}: actions must have {request.action_dim} entries for task '{request.task}' (got "
            f"{checkpoint.action_dim}); export the dataset with actions=delta, and train again"
        )
    for feature, shape in checkpoint.features.items():
        if feature.startswith(CAMERA):
            terms[feature] = [feature.removeprefix(CAMERA)]
            check_fits(request, request.task, request.action_dim, {terms[feature][0]: (*shape[1:], shape[0])})
            continue
        terms[feature] = checkpoint.terms(feature, shapes, request.env_args)
        check_fits(request, request.task, request.action_dim, {name: tuple(shapes.get(name, ())) for name in terms[feature]})
        width = sum(int(torch.Size(shapes[name]).numel()) for name in terms[feature])
        if shape != (width,):
            raise SourceDataError(
                f"{place}: '{feature}' has {shape[0]} entries, and {', '.join(terms[feature])} of the env have {width}; "
                "keep the dataset of the training at its place, which names them"
            )
    return terms


def _load(checkpoint: LeRobotCheckpoint, request: PolicyRequest) -> tuple[Any, Any, Any]:
    """LeRobot's policy with its normalization of observations and of actions."""
    try:
        from lerobot.configs.policies import PreTrainedConfig
        from lerobot.policies.factory import get_policy_class, make_pre_post_processors
    except (ImportError, RuntimeError) as error:  # torchvision without its operators raises RuntimeError.
        raise DependencyMissing(
            f"policy: lerobot requires the lerobot library, which cannot be imported ({error}); install with "
            '`pip install -e ".[lerobot]"` (in the checkout) in a separate environment, because it requires an older torch'
        ) from error
    folder, device = str(checkpoint.folder), str(request.device)
    torch.manual_seed(request.seed)
    try:
        with redirect_stdout(io.StringIO()):
            config = PreTrainedConfig.from_pretrained(folder)
            config.device = device
            if hasattr(config, "pretrained_backbone_weights"):
                config.pretrained_backbone_weights = None  # The checkpoint contains the weights; nothing is downloaded.
            policy = get_policy_class(config.type).from_pretrained(folder, config=config)
            overrides = {"device_processor": {"device": device}}
            processors = make_pre_post_processors(config, folder, preprocessor_overrides=overrides)
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise SourceDataError(
            f"checkpoint: {folder}: cannot be loaded by lerobot {version('lerobot')}: {reason[:200]}; use the release of "
            "lerobot that trained it"
        ) from error
    return policy.to(request.device).eval(), *processors

"""Random numbers that belong to a trial: pure functions of (seed, trial, stream, step)."""

# n rows (trials), K draws per row

import math
from enum import IntEnum, unique

import torch
from torch import Tensor

from isaaclab_mimic_ext.errors import ConfigError
from isaaclab_mimic_ext.kernels.philox import philox_words

_DOMAIN_SHIFT = 16
"""A stream's word of the counter: the domain above, the stream in the lower bits."""


@unique
class Stream(IntEnum):
    """What a draw is for. The numbers are part of every dataset's reproducibility: append, never renumber."""

    OBJECT_POSE = 0
    JOINT_POSITION = 1
    BOUNDARY = 2
    SELECTION = 3
    ACTION_NOISE = 4
    OPERATOR = 5
    COORDINATION = 6
    OBSERVATION_NOISE = 7
    PUSH = 8


class Domain(IntEnum):
    """Whose trials are numbered. Under one seed no two domains share a counter, and so no draw. Append, never renumber."""

    GENERATION = 0
    """Recorded and generated demonstrations."""
    EVALUATION = 1
    """Episodes that a policy is judged on: scenes that no demonstration was made in."""


class Draws:
    """The random numbers of some trials.

    Args:
        seed: the run's seed, 0 <= seed < 2**64.
        trials: (n,) int64, the trials' numbers.
        domain: whose trials they are.

    Raises:
        ConfigError: the seed is out of range.
    """

    def __init__(self, seed: int, trials: Tensor, domain: Domain = Domain.GENERATION):
        if not 0 <= seed < 2**64:
            raise ConfigError(f"seed: {seed} is out of range; give a number from 0 to 2**64 - 1")
        self.seed = seed
        self.trials = trials
        self.domain = domain

    def uniform(self, stream: Stream, shape: tuple[int, ...], step: Tensor | int = 0) -> Tensor:
        """Uniform on (0, 1), open at both ends, float32 of shape (n, *shape); `step` is one number or (n,)."""
        if not isinstance(step, Tensor):
            step = torch.full_like(self.trials, step)
        steps = step.to(torch.int64).expand(self.trials.shape)
        count = math.prod(shape)
        words = philox_words(self.seed, self.domain << _DOMAIN_SHIFT | stream, self.trials, steps, -(-count // 4))
        words = words.flatten(1)[:, :count]
        return (((words >> 9).float() + 0.5) * 2.0**-23).unflatten(-1, shape)

    def normal(self, stream: Stream, shape: tuple[int, ...], step: Tensor | int = 0) -> Tensor:
        """Standard normal, float32 of shape (n, *shape), by Box and Muller's transform."""
        count = math.prod(shape)
        uniform = self.uniform(stream, (-(-count // 2), 2), step)
        radius = torch.sqrt(-2.0 * torch.log(uniform[..., 0]))
        angle = (2.0 * math.pi) * uniform[..., 1]
        pairs = torch.stack((radius * torch.cos(angle), radius * torch.sin(angle)), dim=-1)
        return pairs.flatten(1)[:, :count].unflatten(-1, shape)

    def integers(self, stream: Stream, low: Tensor, high: Tensor, step: Tensor | int = 0) -> Tensor:
        """Integers from `low` to `high`, both included, int64 of shape (n, *low.shape)."""
        uniform = self.uniform(stream, tuple(low.shape), step)
        return low + (uniform * (high - low + 1)).floor().long()

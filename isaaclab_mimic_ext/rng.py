"""Random numbers of trials, as pure functions of (seed, trial, stream, step)."""

# n rows (trials), K draws per row

import math
from enum import IntEnum, unique

import torch
from torch import Tensor

from isaaclab_mimic_ext.errors import ConfigError
from isaaclab_mimic_ext.kernels.philox import philox_words

_DOMAIN_SHIFT = 16
"""Number of bits of the stream in a word of the counter. The upper bits contain the domain."""


@unique
class Stream(IntEnum):
    """Purpose of a draw. Datasets are only reproducible if the numbers stay the same: append, never renumber."""

    OBJECT_POSE = 0
    JOINT_POSITION = 1
    BOUNDARY = 2
    SELECTION = 3
    ACTION_NOISE = 4
    OPERATOR = 5
    COORDINATION = 6
    OBSERVATION_NOISE = 7
    PUSH = 8
    OBJECT_JOINT = 9
    APPEARANCE = 10
    OBJECT_SCALE = 11
    OBJECT_MESH = 12


class Domain(IntEnum):
    """Kind of trials. With the same seed, different domains have different counters, and so different draws.

    Append, never renumber.
    """

    GENERATION = 0
    """Recorded and generated demos."""
    EVALUATION = 1
    """Episodes in which a policy is evaluated, in held-out scenes."""


class Draws:
    """Random numbers of n trials.

    Args:
        seed: seed of the run, 0 <= seed < 2**64.
        trials: (n,) int64, numbers of the trials, 0 <= trials < 2**32.
        domain: kind of the trials.
        on_host: (n,) int64, the same numbers on the host, if the caller has them.

    Raises:
        ConfigError: the seed is out of range.
    """

    def __init__(self, seed: int, trials: Tensor, domain: Domain = Domain.GENERATION, on_host: Tensor | None = None):
        if not 0 <= seed < 2**64:
            raise ConfigError(f"seed: must be from 0 to 2**64 - 1 (got {seed})")
        self.seed = seed
        self.trials = trials
        self.domain = domain
        self._on_host = on_host

    @property
    def on_host(self) -> "Draws":
        """The same draws, computed on the host."""
        if self._on_host is None:
            self._on_host = self.trials.cpu()  # sync: unless the numbers are known on the host
        return Draws(self.seed, self._on_host, self.domain)

    def uniform(self, stream: Stream, shape: tuple[int, ...], step: Tensor | int = 0) -> Tensor:
        """Uniform numbers in (0, 1), without 0 and 1, float32 of shape `(n, *shape)`. `step` is one number or (n,) int64."""
        if not isinstance(step, Tensor):
            step = torch.full_like(self.trials, step)
        steps = step.to(torch.int64).expand(self.trials.shape)
        count = math.prod(shape)
        words = philox_words(self.seed, self.domain << _DOMAIN_SHIFT | stream, self.trials, steps, -(-count // 4))
        words = words.flatten(1)[:, :count]
        return (((words >> 9).float() + 0.5) * 2.0**-23).unflatten(-1, shape)

    def normal(self, stream: Stream, shape: tuple[int, ...], step: Tensor | int = 0) -> Tensor:
        """Standard normal numbers, float32 of shape `(n, *shape)`, by the Box-Muller transform. `step` as in `uniform`."""
        count = math.prod(shape)
        uniform = self.uniform(stream, (-(-count // 2), 2), step)
        radius = torch.sqrt(-2.0 * torch.log(uniform[..., 0]))
        angle = (2.0 * math.pi) * uniform[..., 1]
        pairs = torch.stack((radius * torch.cos(angle), radius * torch.sin(angle)), dim=-1)
        return pairs.flatten(1)[:, :count].unflatten(-1, shape)

    def integers(self, stream: Stream, low: Tensor, high: Tensor, step: Tensor | int = 0) -> Tensor:
        """Uniform integers from `low` to `high` (inclusive), int64 of shape `(n, *low.shape)`. `step` as in `uniform`."""
        uniform = self.uniform(stream, tuple(low.shape), step)
        return low + (uniform * (high - low + 1)).floor().long()

"""The noise on actions: white, or an Ornstein-Uhlenbeck process, from the draws of each trial."""

# N envs, E end effectors, P pose entries of an action

import math

import torch
from torch import Tensor

from isaaclab_mimic_ext.config import DataGenConfig
from isaaclab_mimic_ext.rng import Draws, Stream


class ActionNoise:
    """Noise of variance 1 for every step of N trials.

    The correlated one is `x_t = a x_{t-1} + sqrt(1 - a^2) w_t` with `a = exp(-1 / correlation steps)` and `x_0 = w_0`: its
    variance is 1 from the first step on. Source: Uhlenbeck and Ornstein (1930), sampled at the control steps.
    """

    def __init__(self, config: DataGenConfig, shape: tuple[int, int, int], device: torch.device):
        self._shape = shape
        is_white = config.action_noise_process == "white"
        self._keep = 0.0 if is_white else math.exp(-1.0 / config.action_noise_correlation_steps)
        self._last = torch.zeros(shape, device=device)

    def sample(self, draws: Draws, step: Tensor) -> Tensor:
        """The noise (N, E, P) at steps (N,) of trials; to be called once at every step, from 0 on."""
        white = draws.normal(Stream.ACTION_NOISE, self._shape[1:], step)
        if not self._keep:
            return white
        is_first = (step == 0)[:, None, None]
        self._last = torch.where(is_first, white, self._keep * self._last + math.sqrt(1.0 - self._keep**2) * white)
        return self._last

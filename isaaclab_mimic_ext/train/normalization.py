"""Scales of observations and actions: computed from the training demos, kept in the checkpoint."""

# R rows (steps of all demos), A action entries

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

ACTION_SCALES = ("min_max", "none")
_STD_FLOOR = 1e-3
"""Added to every deviation, as robomimic does: what hardly varies is not blown up."""
_OUTPUT_LIMIT = 0.999999
"""The network's last tanh comes near to 1, never to it."""
_SMALLEST_RANGE = 1e-4


@dataclass(frozen=True)
class Affine:
    """`raw = scale * normalized + offset`, both of the shape of one value."""

    scale: Tensor
    offset: Tensor

    def normalize(self, raw: Tensor) -> Tensor:
        return (raw - self.offset) / self.scale

    def unnormalize(self, normalized: Tensor) -> Tensor:
        return normalized * self.scale + self.offset

    def to(self, device: torch.device) -> "Affine":
        return Affine(self.scale.to(device), self.offset.to(device))


def observation_scale(rows: np.ndarray) -> Affine:
    """Mean 0 and deviation 1 over (R, ...), as robomimic's `hdf5_normalize_obs`."""
    values = rows.astype(np.float64)
    return _affine(values.std(axis=0) + _STD_FLOOR, values.mean(axis=0))


def action_scale(actions: np.ndarray, kind: str) -> Affine:
    """Of actions (R, A); `min_max`: the entries' ranges become [-1, 1], those that do not vary keep their unit.

    The policies' last layer is a tanh, so nothing outside [-1, 1] can be learnt.
    """
    if kind == "none":
        return _affine(np.ones(actions.shape[1]), np.zeros(actions.shape[1]))
    lowest, highest = actions.min(axis=0).astype(np.float64), actions.max(axis=0).astype(np.float64)
    constant = highest - lowest < _SMALLEST_RANGE
    scale = np.where(constant, 1.0, (highest - lowest) / (2 * _OUTPUT_LIMIT))
    return _affine(scale, (highest + lowest) / 2)


def _affine(scale: np.ndarray, offset: np.ndarray) -> Affine:
    return Affine(torch.tensor(scale, dtype=torch.float32), torch.tensor(offset, dtype=torch.float32))


def observation_stats(scales: dict[str, Affine]) -> dict[str, Any]:
    """As a checkpoint keeps them: nested lists (1, ...)."""
    return {key: {"mean": [scale.offset.tolist()], "std": [scale.scale.tolist()]} for key, scale in scales.items()}


def action_stats(scale: Affine) -> dict[str, Any]:
    return {"actions": {"scale": [scale.scale.tolist()], "offset": [scale.offset.tolist()]}}


def read_observation_stats(stats: dict[str, Any]) -> dict[str, Affine]:
    return {key: _read_affine(each["std"], each["mean"]) for key, each in stats.items()}


def read_action_stats(stats: dict[str, Any]) -> Affine:
    return _read_affine(stats["actions"]["scale"], stats["actions"]["offset"])


def _read_affine(scale: Any, offset: Any) -> Affine:
    """Of nested lists, or of robomimic's arrays, (1, ...)."""
    return Affine(*(torch.as_tensor(values, dtype=torch.float32)[0] for values in (scale, offset)))

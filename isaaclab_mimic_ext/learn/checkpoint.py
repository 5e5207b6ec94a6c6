"""Checkpoints, and the normalization of observations and actions that is saved in them."""

# R rows (steps of all demos), A action entries

import pickle
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from isaaclab_mimic_ext.errors import SourceDataError
from isaaclab_mimic_ext.files.writing import HDF5_ERRORS, replacing

_STD_FLOOR = 1e-3
"""Added to each standard deviation, as robomimic does, so that nearly constant observations are not amplified."""
_OUTPUT_LIMIT = 0.999999
"""Largest normalized action; the tanh of the last layer never reaches 1."""
_MIN_RANGE = 1e-4
"""Action entries whose range is below this count as constant, in the unit of the entry."""


@dataclass(frozen=True)
class Affine:
    """Affine normalization `raw = scale * normalized + offset`; scale and offset have the shape of one value."""

    scale: Tensor
    offset: Tensor

    def normalize(self, raw: Tensor) -> Tensor:
        return (raw - self.offset) / self.scale

    def unnormalize(self, normalized: Tensor) -> Tensor:
        return normalized * self.scale + self.offset

    def to(self, device: torch.device) -> "Affine":
        return Affine(self.scale.to(device), self.offset.to(device))


def observation_scale(rows: np.ndarray) -> Affine:
    """Compute the normalization of observations (R, ...) to mean 0 and standard deviation 1, as in robomimic."""
    values = rows.astype(np.float64)
    return _affine(values.std(axis=0) + _STD_FLOOR, values.mean(axis=0))


def action_scale(actions: np.ndarray, kind: str) -> Affine:
    """Compute the normalization of actions (R, A).

    The last layer of the policies is a tanh, so values outside [-1, 1] cannot be learned.

    Args:
        kind: `min_max` maps the range of each entry to [-1, 1], and only shifts constant entries to 0; `none` keeps actions.
    """
    if kind == "none":
        return _affine(np.ones(actions.shape[1]), np.zeros(actions.shape[1]))
    lowest, highest = actions.min(axis=0).astype(np.float64), actions.max(axis=0).astype(np.float64)
    constant = highest - lowest < _MIN_RANGE
    scale = np.where(constant, 1.0, (highest - lowest) / (2 * _OUTPUT_LIMIT))
    return _affine(scale, (highest + lowest) / 2)


def _affine(scale: np.ndarray, offset: np.ndarray) -> Affine:
    return Affine(torch.tensor(scale, dtype=torch.float32), torch.tensor(offset, dtype=torch.float32))


def observation_stats(scales: dict[str, Affine]) -> dict[str, Any]:
    """Convert observation scales to robomimic's checkpoint format: nested lists (1, ...)."""
    return {key: {"mean": [scale.offset.tolist()], "std": [scale.scale.tolist()]} for key, scale in scales.items()}


def action_stats(scale: Affine) -> dict[str, Any]:
    """Convert the action scale to robomimic's checkpoint format: nested lists (1, A)."""
    return {"actions": {"scale": [scale.scale.tolist()], "offset": [scale.offset.tolist()]}}


def read_observation_stats(stats: dict[str, Any]) -> dict[str, Affine]:
    return {key: _read_affine(each["std"], each["mean"]) for key, each in stats.items()}


def read_action_stats(stats: dict[str, Any]) -> Affine:
    return _read_affine(stats["actions"]["scale"], stats["actions"]["offset"])


def _read_affine(scale: Any, offset: Any) -> Affine:
    """Convert nested lists or robomimic's arrays, (1, ...)."""
    return Affine(*(torch.as_tensor(values, dtype=torch.float32)[0] for values in (scale, offset)))


FORMAT_VERSION = 1

FACTS_KEY = "isaaclab_mimic_ext"
"""Key of our entries in a checkpoint; robomimic ignores it."""
_REQUIRED_KEYS = ("model", "config", "algo_name", "shape_metadata", "env_metadata")


@dataclass(frozen=True)
class Checkpoint:
    """Contents of a checkpoint file.

    Attributes:
        obs_shapes: key -> shape of one observation.
        action_dim: number of action entries A.
        obs_scales: key -> normalization, for the keys that are normalized.
        action_scale: normalization of actions; None: not normalized.
        facts: task, dataset, seed, epoch and other metadata; empty if robomimic's own script wrote the file.
        content: all contents of the file, in robomimic's layout.
    """

    path: Path
    algo_name: str
    obs_shapes: dict[str, tuple[int, ...]]
    action_dim: int
    obs_scales: dict[str, Affine]
    action_scale: Affine | None
    facts: dict[str, Any]
    content: dict[str, Any]

    @property
    def task_name(self) -> str:
        return str(self.facts.get("task") or self.content["env_metadata"].get("env_name", ""))


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Load a checkpoint of this package or of robomimic.

    Raises:
        SourceDataError: the file is missing, damaged, not a checkpoint, or written by a newer version.
    """
    path = Path(path)
    if path.is_dir():
        raise SourceDataError(f"checkpoint: {path} is a folder; give the path of a .pth file in it")
    if not path.is_file():
        raise SourceDataError(f"checkpoint: {path} not found; give the path of a .pth file")
    content = _read(path)
    missing = [key for key in _REQUIRED_KEYS if not isinstance(content, dict) or key not in content]
    if missing:
        raise SourceDataError(
            f"checkpoint: {path} is not a robomimic checkpoint (it has no '{missing[0]}'); give the path of a .pth file of "
            "a training run"
        )
    try:
        return _checkpoint(path, content)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise SourceDataError(f"checkpoint: {path}: contents are not valid ({reason}); train again") from error


def _checkpoint(path: Path, content: dict[str, Any]) -> Checkpoint:
    facts = content.get(FACTS_KEY, {})
    if facts.get("format_version", FORMAT_VERSION) > FORMAT_VERSION:
        raise SourceDataError(
            f"checkpoint: {path}: format_version must be <= {FORMAT_VERSION} (got {facts['format_version']}); update "
            "isaaclab_mimic_ext"
        )
    shapes, scales = content["shape_metadata"], content.get("obs_normalization_stats")
    actions = content.get("action_normalization_stats")
    checkpoint = Checkpoint(
        path=path,
        algo_name=content["algo_name"],
        obs_shapes={key: tuple(shape) for key, shape in shapes["all_shapes"].items()},
        action_dim=int(shapes["ac_dim"]),
        obs_scales=read_observation_stats(scales or {}),
        action_scale=read_action_stats(actions) if actions else None,
        facts=dict(facts),
        content=content,
    )
    _check_scales(checkpoint)
    return checkpoint


def _check_scales(checkpoint: Checkpoint) -> None:
    """Check the shapes of the normalization now; wrong shapes could broadcast silently during an evaluation."""
    content = checkpoint.content
    if not isinstance(content["env_metadata"], dict) or not isinstance(content["config"], str):
        raise TypeError("env_metadata must be a dict, config must be a string")
    scales = {name: (scale, checkpoint.obs_shapes[name]) for name, scale in checkpoint.obs_scales.items()}
    if checkpoint.action_scale is not None:
        scales["actions"] = (checkpoint.action_scale, (checkpoint.action_dim,))
    for name, (scale, shape) in scales.items():
        found = {tuple(scale.scale.shape), tuple(scale.offset.shape)}
        if found != {shape}:
            raise ValueError(f"normalization of '{name}' has shape {sorted(found)}, not {shape}")


def _read(path: Path) -> Any:
    """Load a file of `torch.save` that contains only numbers, strings, lists, dicts, tensors and arrays."""
    try:
        with torch.serialization.safe_globals(_numpy_globals()), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # The error below replaces torch's warnings about the file.
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # The message of torch explains how to execute code from the file; do not repeat it.
        raise SourceDataError(
            f"checkpoint: {path} is not a file of torch.save, or contains more than numbers and tensors; give another file"
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError, TypeError, AttributeError, LookupError) as error:
        reason = _first_line(error).partition(". ")[0]
        raise SourceDataError(f"checkpoint: {path} cannot be read: {reason}; train again") from error


def _numpy_globals() -> list[Any]:
    """Classes and functions that unpickle a NumPy array; robomimic saves its normalization as arrays."""
    dtypes = [type(np.dtype(kind)) for kind in (np.float32, np.float64, np.int32, np.int64, np.bool_)]
    rebuild = np.zeros(1).__reduce__()[0]
    # Files written with NumPy 1 contain the former name of the module.
    old = (rebuild, "numpy.core.multiarray._reconstruct")
    return [rebuild, old, np.ndarray, np.dtype, *dtypes]


def save_checkpoint(path: Path, content: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Write a checkpoint; the file gets its name when it is complete.

    Raises:
        RecorderError: the file cannot be written.
    """
    with replacing(path, remedy="free some space and resume with resume=true", errors=HDF5_ERRORS) as part:
        torch.save({**content, FACTS_KEY: {"format_version": FORMAT_VERSION, **facts}}, part)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]

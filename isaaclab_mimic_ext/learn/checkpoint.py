"""Scales of observations and actions: computed from the training demos, kept in the checkpoint."""

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


FORMAT_VERSION = 1

_OURS = "isaaclab_mimic_ext"

_NEEDED = ("model", "config", "algo_name", "shape_metadata", "env_metadata")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was read.

    Attributes:
        obs_shapes: key -> shape of one observation.
        obs_scales: of the keys that are normalized.
        facts: task, dataset, seed, epoch and the like; empty in a file that robomimic alone wrote.
        content: the whole file.
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
    """A checkpoint of this package, or one of robomimic's.

    Raises:
        SourceDataError: the file is missing, damaged, no checkpoint, or of a newer version.
    """
    path = Path(path)
    if not path.is_file():
        raise SourceDataError(f"checkpoint: {path}: there is no such file; give the path of a .pth file")
    content = _read(path)
    missing = [key for key in _NEEDED if not isinstance(content, dict) or key not in content]
    if missing:
        raise SourceDataError(f"checkpoint: {path}: is no robomimic checkpoint, it has no '{missing[0]}'; give another file")
    try:
        return _checkpoint(path, content)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise SourceDataError(f"checkpoint: {path}: its parts are not a checkpoint's ({reason}); train again") from error


def _checkpoint(path: Path, content: dict[str, Any]) -> Checkpoint:
    facts = content.get(_OURS, {})
    if facts.get("format_version", FORMAT_VERSION) > FORMAT_VERSION:
        raise SourceDataError(
            f"checkpoint: {path}: format_version is {facts['format_version']}, this version knows {FORMAT_VERSION}; update"
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
    """Wrong ones would show in the middle of an evaluation only, or never."""
    content = checkpoint.content
    if not isinstance(content["env_metadata"], dict) or not isinstance(content["config"], str):
        raise TypeError("env_metadata must be a dict, config a text")
    scales = {name: (scale, checkpoint.obs_shapes[name]) for name, scale in checkpoint.obs_scales.items()}
    if checkpoint.action_scale is not None:
        scales["actions"] = (checkpoint.action_scale, (checkpoint.action_dim,))
    for name, (scale, shape) in scales.items():
        found = {tuple(scale.scale.shape), tuple(scale.offset.shape)}
        if found != {shape}:
            raise ValueError(f"normalization of '{name}' has shape {sorted(found)}, not {shape}")


def _read(path: Path) -> Any:
    """What was saved, if it is made of numbers, texts, lists, dicts, tensors and arrays."""
    try:
        with torch.serialization.safe_globals(_arrays()), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # What torch thinks of a file that is refused is no news.
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # torch's own text tells how to run whatever code the file brings.
        raise SourceDataError(
            f"checkpoint: {path}: is no file of torch.save, or holds more than numbers and tensors; give another file"
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError, TypeError, AttributeError, LookupError) as error:
        reason = _first_line(error).partition(". ")[0]
        raise SourceDataError(f"checkpoint: {path}: cannot be read ({reason}); train again") from error


def _arrays() -> list[Any]:
    """What NumPy's arrays are made of in a pickle: robomimic keeps its normalization in such."""
    kinds = [type(np.dtype(kind)) for kind in (np.float32, np.float64, np.int32, np.int64, np.bool_)]
    rebuild = np.zeros(1).__reduce__()[0]
    # Files of NumPy 1 name the module by its former name.
    old = (rebuild, "numpy.core.multiarray._reconstruct")
    return [rebuild, old, np.ndarray, np.dtype, *kinds]


def save_checkpoint(path: Path, content: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Write a checkpoint; the name is there only when the file is complete.

    Raises:
        RecorderError: it cannot be written.
    """
    with replacing(path, remedy="free some space and resume with resume=true", errors=HDF5_ERRORS) as part:
        torch.save({**content, _OURS: {"format_version": FORMAT_VERSION, **facts}}, part)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]

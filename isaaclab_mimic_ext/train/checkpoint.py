"""The file in which a policy leaves training; docs/training.md has its layout. Read and checked without robomimic."""

import os
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from isaaclab_mimic_ext.errors import RecorderError, SourceDataError
from isaaclab_mimic_ext.train.normalization import Affine, read_action_stats, read_observation_stats

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
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise SourceDataError(f"checkpoint: {path}: cannot be read ({_first_line(error)}); train again") from error
    missing = [key for key in _NEEDED if not isinstance(content, dict) or key not in content]
    if missing:
        raise SourceDataError(f"checkpoint: {path}: is no robomimic checkpoint, it has no '{missing[0]}'; give another file")
    facts = content.get(_OURS, {})
    if facts.get("format_version", FORMAT_VERSION) > FORMAT_VERSION:
        raise SourceDataError(
            f"checkpoint: {path}: format_version is {facts['format_version']}, this version knows {FORMAT_VERSION}; update"
        )
    shapes = content["shape_metadata"]
    actions = content.get("action_normalization_stats")
    return Checkpoint(
        path=path,
        algo_name=content["algo_name"],
        obs_shapes={key: tuple(shape) for key, shape in shapes["all_shapes"].items()},
        action_dim=int(shapes["ac_dim"]),
        obs_scales=read_observation_stats(content.get("obs_normalization_stats") or {}),
        action_scale=read_action_stats(actions) if actions else None,
        facts=facts,
        content=content,
    )


def save_checkpoint(path: Path, content: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Write a checkpoint; the name is there only when the file is complete.

    Raises:
        RecorderError: it cannot be written.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        torch.save({**content, _OURS: {"format_version": FORMAT_VERSION, **facts}}, part)
        os.replace(part, path)
    except (OSError, RuntimeError) as error:  # torch's writer raises RuntimeError when the disk is full.
        part.unlink(missing_ok=True)
        raise RecorderError(
            f"{path} cannot be written ({_first_line(error)}); free some space and go on with resume=true"
        ) from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]

"""Checkpoints of `lerobot-train`: their files, and the observations that their policies use."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from isaaclab_mimic_ext.errors import ConfigError, SourceDataError
from isaaclab_mimic_ext.learn.policy_cameras import PolicyCameras, policy_cameras
from isaaclab_mimic_ext.learn.results import Checkpoint
from isaaclab_mimic_ext.task.robot import is_robot_observation

STATE, ENVIRONMENT, ACTION = "observation.state", "observation.environment_state", "action"
CAMERA = "observation.images."
_WEIGHTS, _CONFIG, _TRAINING = "pretrained_model", "config.json", "train_config.json"
_IDENTITY = "IDENTITY"
"""Name of LeRobot's normalization that changes nothing."""
_REMEDY = "give the folder that lerobot-train wrote, or one of its checkpoints"


@dataclass(frozen=True)
class LeRobotCheckpoint:
    """Files of a checkpoint, and what its training data were.

    Attributes:
        folder: folder `pretrained_model`.
        config: configuration of the policy.
        names: feature -> names of its entries in the training data; empty if the data are not found.
        source: facts about the file that the training data were exported from; empty if not found.
        instruction: language instruction of the first episode; None if not found.
    """

    folder: Path
    config: dict[str, Any]
    names: dict[str, list[str]] = field(default_factory=dict)
    source: dict[str, Any] = field(default_factory=dict)
    instruction: str | None = None

    @property
    def features(self) -> dict[str, tuple[int, ...]]:
        """Shape of each feature that the policy observes."""
        found = self.config.get("input_features") or {}
        return {name: tuple(each["shape"]) for name, each in found.items()}

    @property
    def action_dim(self) -> int:
        """Number of action entries."""
        return int(self.config["output_features"][ACTION]["shape"][0])

    @property
    def has_normalized_objects(self) -> bool:
        """Whether the observations of objects, if the policy has any, are normalized. By LeRobot's default, they are not."""
        mode = (self.config.get("normalization_mapping") or {}).get("ENV", _IDENTITY)
        return ENVIRONMENT not in self.features or mode != _IDENTITY

    def terms(self, feature: str, observations: Mapping[str, tuple[int, ...]], env_args: Mapping[str, Any]) -> list[str]:
        """Observations of the env that form a feature, in their order.

        Args:
            observations: shapes of the observations of the env.
        """
        if names := self.names.get(feature):
            return list(dict.fromkeys(name.rpartition(".")[0] for name in names))
        known = sorted(name for name, shape in observations.items() if name != "actions" and len(shape) < 3)
        return [name for name in known if is_robot_observation(name, env_args) == (feature == STATE)]

    def cameras(self) -> PolicyCameras | None:
        """Cameras that the policy observes, in the size and rendering mode of its training; None: it needs no pictures.

        Raises:
            SourceDataError: the pictures differ in size.
        """
        shapes = {name.removeprefix(CAMERA): shape for name, shape in self.features.items() if name.startswith(CAMERA)}
        pictures = {name: (*shape[1:], shape[0]) for name, shape in shapes.items()}
        return policy_cameras(pictures, self.source.get("env_args", {}), f"checkpoint: {self.folder}")


def find_lerobot_checkpoints(given: Any) -> list[Checkpoint]:
    """Find the checkpoints of `lerobot-train` in the field `checkpoint`: those of a training, or a single one.

    Args:
        given: output folder of a training, a checkpoint in it, or a list of these.

    Raises:
        ConfigError: `given` is neither a string nor a list of strings.
        SourceDataError: a folder contains no checkpoint.
    """
    places = [given] if isinstance(given, str) else given
    if not isinstance(places, list) or not places or not all(isinstance(place, str) and place for place in places):
        raise ConfigError(f"checkpoint: must be the path of a folder, or a list of paths (got {given!r}); {_REMEDY}")
    folders = [folder for place in places for folder in _folders(Path(place))]
    names = _names(folders)
    return [Checkpoint(name, str(folder), run) for folder, (name, run) in zip(folders, names, strict=True)]


def _folders(place: Path) -> list[Path]:
    """Folders `pretrained_model` of a training, in the order of their steps."""
    if (place / _CONFIG).is_file():
        return [place]
    if (place / _WEIGHTS / _CONFIG).is_file():
        return [place / _WEIGHTS]
    steps = sorted(path.parent for path in place.glob(f"checkpoints/*/{_WEIGHTS}"))
    found = [step / _WEIGHTS for step in steps if step.name.isdigit() and (step / _WEIGHTS / _CONFIG).is_file()]
    if not found:
        reason = "contains no checkpoint of LeRobot" if place.exists() else "not found"
        raise SourceDataError(f"checkpoint: {place} {reason}; {_REMEDY}")
    return found


def _names(folders: Sequence[Path]) -> list[tuple[str, str]]:
    """Unique name of each checkpoint, and the name of its training."""
    found = []
    for folder in folders:
        step = folder.resolve().parent if folder.name == _WEIGHTS else folder.resolve()
        run = step.parent.parent.name if step.parent.name == "checkpoints" else step.parent.name
        found.append((f"step_{step.name}" if step.name.isdigit() else step.name, run))
    if len({name for name, _ in found}) == len(found):
        return found
    return [(f"{run}/{name}", run) for name, run in found]


def read_lerobot_checkpoint(folder: Path) -> LeRobotCheckpoint:
    """Read the configuration of a checkpoint, and facts about its training data if they are still at their place.

    Raises:
        SourceDataError: the checkpoint is damaged.
    """
    config = _json(folder / _CONFIG)
    try:
        checkpoint = LeRobotCheckpoint(folder, config, *_training_data(folder))
        checkpoint.features, checkpoint.action_dim  # noqa: B018 - the properties raise if the file is damaged.
    except (TypeError, LookupError, ValueError, AttributeError) as error:
        raise SourceDataError(f"checkpoint: {folder / _CONFIG}: is damaged ({error!r}); train again") from error
    return checkpoint


def _training_data(folder: Path) -> tuple[dict[str, list[str]], dict[str, Any], str | None]:
    training = folder / _TRAINING
    root = _json(training).get("dataset", {}).get("root") if training.is_file() else None
    places = [Path(root), *(parent / root for parent in folder.resolve().parents)] if root else []
    meta = next((place / "meta" for place in places if (place / "meta" / "info.json").is_file()), None)
    if meta is None:
        return {}, {}, None
    features = _json(meta / "info.json").get("features", {})
    names = {name: each["names"] for name, each in features.items() if isinstance(each.get("names"), list)}
    source = _json(meta / "source.json") if (meta / "source.json").is_file() else {}
    episodes = meta / "provenance.jsonl"
    first = episodes.read_text(encoding="utf-8").partition("\n")[0] if episodes.is_file() else ""
    return names, source, json.loads(first or "{}").get("instruction")


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SourceDataError(f"checkpoint: {path}: cannot be read: {error}; {_REMEDY}") from error
    if not isinstance(found, dict):
        raise SourceDataError(f"checkpoint: {path}: must be a JSON object; {_REMEDY}")
    return found

"""Settings of an agent: loading, overriding, and checking against robomimic's names and types."""

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.errors import ConfigError, choices
from isaaclab_mimic_ext.task.folders import task_dir
from isaaclab_mimic_ext.task.robot import is_robot_observation

Settings = dict[str, Any]
"""Configuration of an algorithm in robomimic's layout, as nested dicts."""

CHUNKED, IMAGES = "bc_chunk", "bc_image"
ACT = "act"
"""Algorithm that LeRobot trains."""
CHUNK_ALGORITHMS = (CHUNKED, IMAGES)
"""Algorithms that predict chunks of actions."""
ALGORITHMS = ("bc", *CHUNK_ALGORITHMS)
"""Supported algorithms. `bc` is robomimic's behavior cloning, with or without a recurrent network; the others are ours.

Other algorithms need data that training does not read from datasets, e.g. rewards or goals.
"""

_GRIPPER = "gripper_pos"
"""Observation of a gripper; with several arms, it has a prefix."""
_AT_LEAST_1 = (
    "train.batch_size", "train.seq_length", "train.frame_stack", "train.num_epochs", "experiment.epoch_every_n_steps",
)  # fmt: skip
_TYPE_CHECKED = ("algo.", "train.", "experiment.", "observation.modalities.")
_MAY_BE_NONE = "experiment."
"""Prefix of settings where None means "never", or one pass over all training steps."""
_OBSERVATIONS = "observation.modalities.obs."
_USED_SETTINGS = (
    "algo_name", "algo", "observation", "experiment.name", "experiment.epoch_every_n_steps", "train.batch_size",
    "train.seq_length", "train.frame_stack", "train.hdf5_normalize_obs", "train.num_epochs", "train.max_grad_norm",
)  # fmt: skip
"""Settings that our training loop uses. All others are used by robomimic's own training script only."""
_FIELD_OF_SETTING = {
    "train.seed": "seed",
    "train.data": "input_file",
    "train.cuda": "device",
    "experiment.save": "save_every",
    "experiment.rollout": "evaluate_every",
    "train.output_dir": "output_dir",
}
"""Settings that are set by a field of `TrainCfg` instead."""


def check_settings(settings: Mapping[str, Any], known: Mapping[str, Any], place: str = "agent") -> None:
    """Check that robomimic has these settings, with these types, and that their values are consistent.

    Args:
        known: robomimic's default configuration of the algorithm.
        place: prefix of names in error messages.

    Raises:
        ConfigError: a setting is unknown, has the wrong type, or has a value that cannot work.
    """
    _check_names(settings, known, place, "")
    values = flatten_settings(known) | flatten_settings(settings)
    for name in _AT_LEAST_1:
        if (value := values.get(name)) is not None and value < 1:
            raise ConfigError(f"{place}.{name}: must be >= 1 (got {value})")
    for name, value in values.items():
        if name.startswith("observation.modalities.") and not name.startswith(_OBSERVATIONS) and value:
            raise ConfigError(f"{place}.{name}: must be [] (got {list(value)!r}); policies receive only 'obs'")
        if name.endswith(".epoch_schedule"):
            _check_epochs(values, name, place)
    _check_memory(values, place)


def _check_epochs(values: Mapping[str, Any], name: str, place: str) -> None:
    """Check the epochs of a learning rate schedule; robomimic silently ignores values that are not numbers."""
    epochs, kind = values[name], values.get(f"{name.rpartition('.')[0]}.scheduler_type")
    if not all(_is_positive_int(epoch) for epoch in epochs):
        raise ConfigError(f"{place}.{name}: must be a list of whole numbers >= 1, e.g. [100] (got {list(epochs)!r})")
    if kind == "linear" and len(epochs) > 1:
        raise ConfigError(
            f"{place}.{name}: must be one epoch for scheduler_type 'linear', its end (got {list(epochs)!r}); "
            "give epoch_schedule=[] for the last epoch"
        )


def _check_memory(values: Mapping[str, Any], place: str) -> None:
    """Check settings of history, chunks and recurrence."""
    if values.get("algo.transformer.enabled"):
        raise ConfigError(
            f"{place}.algo.transformer.enabled: transformers are not supported; use algo=bc_chunk or algo=bc_rnn"
        )
    num_executed, length = values.get("algo.chunk.num_executed"), values.get("train.seq_length", 1)
    if num_executed is not None:
        if not 1 <= num_executed <= length:
            raise ConfigError(
                f"{place}.algo.chunk.num_executed: must be between 1 and train.seq_length, which is {length} actions (got "
                f"{num_executed})"
            )
        return
    if values.get("train.frame_stack", 1) != 1:
        raise ConfigError(
            f"{place}.train.frame_stack: must be 1 (got {values['train.frame_stack']}); other algorithms use a history"
        )
    horizon = values.get("algo.rnn.horizon")
    if values.get("algo.rnn.enabled") and horizon is not None and length != horizon:
        raise ConfigError(
            f"{place}.train.seq_length: must equal algo.rnn.horizon, which is {horizon} steps (got {length}); give both the "
            "same value"
        )


def check_overrides(overrides: Mapping[str, Any], epochs: int | None) -> None:
    """Check that every overridden setting has an effect on training.

    Raises:
        ConfigError: training does not use a setting, or a field of `TrainCfg` sets it.
    """
    for name, value in flatten_settings(overrides).items():
        field = next((field for setting, field in _FIELD_OF_SETTING.items() if _is_in(name, setting)), None)
        if field is not None:
            raise ConfigError(f"agent.{name}: has no effect (got {value!r}), the field {field} sets it; use {field}=<value>")
        if not any(_is_in(name, setting) for setting in _USED_SETTINGS):
            raise ConfigError(
                f"agent.{name}: has no effect (got {value!r}), training does not use it; it uses {', '.join(_USED_SETTINGS)}"
            )
        if name == "train.num_epochs" and epochs is not None and epochs != value:
            raise ConfigError(f"agent.{name}: conflicts with epochs={epochs} (got {value!r}); set only epochs")


def flatten_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Convert nested settings to a dict: dotted name -> value."""
    return trees.flatten(settings, ".", lambda value: isinstance(value, Mapping) and bool(value))


def _check_names(settings: Mapping[str, Any], known: Mapping[str, Any], place: str, prefix: str) -> None:
    for name, value in settings.items():
        full = f"{prefix}{name}"
        if name not in known:
            # robomimic marks parts that accept any name, such as the arguments of an encoder.
            if getattr(known, "key_lockable", True):
                raise ConfigError(f"{place}.{full}: robomimic has no such setting; {choices(name, known)}")
        elif isinstance(known[name], Mapping):
            if not isinstance(value, Mapping):
                raise ConfigError(f"{place}.{full}: must be a group of settings (got {value!r}); {choices('', known[name])}")
            _check_names(value, known[name], place, f"{full}.")
        elif full.startswith(_TYPE_CHECKED) and not _has_type_of(value, known[name], full):
            raise ConfigError(f"{place}.{full}: must have the type of robomimic's default, {known[name]!r} (got {value!r})")


def _has_type_of(value: Any, default: Any, name: str) -> bool:
    if default is None or (value is None and name.startswith(_MAY_BE_NONE)):
        return True
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    if isinstance(default, int | float):
        return isinstance(value, int | (float if isinstance(default, float) else int))
    if isinstance(default, list | tuple):
        return isinstance(value, list | tuple)
    return isinstance(value, str) or value is None


def _is_positive_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_in(name: str, setting: str) -> bool:
    return name == setting or name.startswith(f"{setting}.")


def agents_dir(task_name: str) -> Path:
    """Folder of a task's agents, `<algo>.json` files."""
    return task_dir(task_name) / "agents" / "robomimic"


def load_agent(task_name: str, algo: str) -> Settings:
    """Load the settings of an agent.

    Args:
        algo: name of an agent of the task, or path of a .json file.

    Raises:
        ConfigError: the agent is not found, or its file is not valid JSON or has no `algo_name`.
    """
    folder = agents_dir(task_name)
    path = Path(algo) if algo.endswith(".json") else folder / f"{algo}.json"
    if not path.is_file():
        known = sorted(each.stem for each in folder.glob("*.json"))
        raise ConfigError(
            f"algo: task '{task_name}' has no agent '{algo}' ({path}); {choices(algo, known)}, or the path of a .json file"
        )
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"algo: {path} is not valid JSON ({error}); correct it") from error
    if not isinstance(settings, dict) or "algo_name" not in settings:
        raise ConfigError(f'algo: {path} has no \'algo_name\'; add it, e.g. "algo_name": "bc"')
    return settings


def override_settings(settings: Mapping[str, Any], overrides: Mapping[str, Any]) -> Settings:
    """Return a copy of the settings with some values replaced, at any depth."""
    result = deepcopy(dict(settings))
    for key, value in overrides.items():
        is_branch = isinstance(value, Mapping) and isinstance(result.get(key), dict)
        result[key] = override_settings(result[key], value) if is_branch else deepcopy(value)
    return result


def linear_schedules_to_end(config: Mapping[str, Any]) -> Settings:
    """Settings that let linear schedules of the learning rate without a given epoch end at the last epoch.

    Args:
        config: complete configuration.
    """
    last = [config["train"]["num_epochs"]]
    rates = {name: params["learning_rate"] for name, params in config["algo"]["optim_params"].items()}
    ending = {
        name: {"learning_rate": {"epoch_schedule": last}}
        for name, rate in rates.items()
        if rate.get("scheduler_type") == "linear" and not rate["epoch_schedule"]
    }
    return {"algo": {"optim_params": ending}} if ending else {}


def has_agent(task_name: str, algo: str) -> bool:
    """Return whether a task has an agent, or `algo` is the path of a file."""
    return algo.endswith(".json") or (agents_dir(task_name) / f"{algo}.json").is_file()


def default_agent(observations: Mapping[str, Sequence[int]]) -> Settings:
    """Agent of tasks without one for `bc_chunk`: it uses all observations but the last action and images.

    Args:
        observations: names of the observations in the dataset -> shape of one step.
    """
    used = sorted(name for name, shape in observations.items() if name != "actions" and len(shape) == 1)
    return {"algo_name": CHUNKED, "observation": {"modalities": {"obs": {"low_dim": used}}}}


def default_image_agent(observations: Mapping[str, Sequence[int]], env_args: Mapping[str, Any]) -> Settings:
    """Agent of tasks without one for `bc_image`: it sees all pictures, and the grippers of the robot.

    The pose of the hand is left out: with it, a policy repeats the paths of the demos and looks less at the pictures.

    Args:
        observations: names of the observations in the dataset -> shape of one step.
        env_args: metadata of the env that recorded the dataset.
    """
    pictures = {name: shape for name, shape in sorted(observations.items()) if is_picture(shape)}
    vectors = sorted(
        name
        for name, shape in observations.items()
        if len(shape) == 1 and is_robot_observation(name, env_args) and name.endswith(_GRIPPER)
    )
    side = min((min(shape[:2]) for shape in pictures.values()), default=84)
    crop = max(side * 20 // 21, 1)
    encoder = {"rgb": {"obs_randomizer_kwargs": {"crop_height": crop, "crop_width": crop}}}
    modalities = {"obs": {"low_dim": vectors, "rgb": list(pictures)}}
    return {"algo_name": IMAGES, "observation": {"modalities": modalities, "encoder": encoder}}


def is_picture(shape: Sequence[int]) -> bool:
    """Return whether an observation with this shape of one step is a picture (H, W, 3)."""
    return len(shape) == 3 and shape[-1] == 3


def not_vectors(observations: Mapping[str, Sequence[int]]) -> list[str]:
    """Names and shapes of the observations that `default_agent` leaves out: images and other arrays."""
    return [
        f"obs/{name} {('T', *shape)}".replace("'", "") for name, shape in sorted(observations.items()) if len(shape) != 1
    ]


def low_dim_keys(settings: Mapping[str, Any], algo: str) -> list[str]:
    """Sorted names of the vectors that an agent observes (the order of robomimic).

    Raises:
        ConfigError: the agent uses images that its algorithm does not support.
    """
    modalities = _modalities(settings)
    kinds = ("depth", "scan") if settings.get("algo_name") == IMAGES else ("rgb", "depth", "scan")
    images = [key for name in kinds for key in modalities.get(name, [])]
    if images:
        raise ConfigError(
            f"algo: {algo}: observation '{images[0]}' is an image, and only algo=bc_image learns from images, of kind rgb"
        )
    return sorted(modalities.get("low_dim", []))


def picture_keys(settings: Mapping[str, Any]) -> list[str]:
    """Sorted names of the pictures that an agent observes."""
    return sorted(_modalities(settings).get("rgb", []))


def _modalities(settings: Mapping[str, Any]) -> Mapping[str, list[str]]:
    found: Mapping[str, list[str]] = settings.get("observation", {}).get("modalities", {}).get("obs", {})
    return found

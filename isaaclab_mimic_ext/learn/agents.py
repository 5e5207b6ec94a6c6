"""What an agent's settings may be: names and types as robomimic has them, and values that training can go by."""

import json
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.errors import ConfigError, choices
from isaaclab_mimic_ext.task.definition import task_dir

ALGORITHMS = ("bc",)

"""Of robomimic's: behaviour cloning in its forms with and without memory; others need more of a dataset than we read."""

_AT_LEAST_1 = ("train.batch_size", "train.seq_length", "train.num_epochs", "experiment.epoch_every_n_steps")

_TYPED = ("algo.", "train.", "experiment.", "observation.modalities.")

_OPEN_VALUES = "experiment."

"""Here None stands for "never", or for a whole pass."""

_OBSERVATIONS = "observation.modalities.obs."

_READ = (
    "algo_name", "algo", "observation", "experiment.name", "experiment.epoch_every_n_steps", "train.batch_size",
    "train.seq_length", "train.frame_stack", "train.hdf5_normalize_obs", "train.num_epochs", "train.max_grad_norm",
)  # fmt: skip

"""What training goes by; robomimic's own script reads the rest."""

_HERE = {
    "train.seed": "seed",
    "train.data": "dataset",
    "train.cuda": "device",
    "experiment.save": "save_every",
    "experiment.rollout": "evaluate_every",
    "train.output_dir": "output_dir",
}

"""Settings that a field of this script has the say about."""


def check_settings(settings: Mapping[str, Any], known: Mapping[str, Any], place: str = "agent") -> None:
    """Make sure that settings are robomimic's, and that what they say fits together.

    Args:
        known: robomimic's configuration of the algorithm, as it is without them.

    Raises:
        ConfigError: one is unknown, of another type, or has a value that cannot work.
    """
    _check_names(settings, known, place, "")
    values = flat(known) | flat(settings)
    for name in _AT_LEAST_1:
        if (value := values.get(name)) is not None and value < 1:
            raise ConfigError(f"{place}.{name}: {value} is out of range; give 1 or more")
    for name, value in values.items():
        if name.startswith("observation.modalities.") and not name.startswith(_OBSERVATIONS) and value:
            raise ConfigError(f"{place}.{name}: {list(value)!r}; policies get observations alone; give []")
        if name.endswith(".epoch_schedule"):
            _check_epochs(values, name, place)
    _check_memory(values, place)


def _check_epochs(values: Mapping[str, Any], name: str, place: str) -> None:
    """The epochs that a learning rate goes by; robomimic overlooks those that are no numbers."""
    epochs, kind = values[name], values.get(f"{name.rpartition('.')[0]}.scheduler_type")
    if not all(_is_count(epoch) for epoch in epochs):
        raise ConfigError(f"{place}.{name}: {list(epochs)!r} are no epochs; give whole numbers, e.g. [100]")
    if kind == "linear" and len(epochs) != 1:
        raise ConfigError(
            f"{place}.{name}: {list(epochs)!r}, but scheduler_type 'linear' takes one: the epoch at which it ends; give "
            "epoch_schedule=['${epochs}'] for the last"
        )


def _check_memory(values: Mapping[str, Any], place: str) -> None:
    """What the network remembers must be what the batches hold."""
    if values.get("algo.transformer.enabled"):
        raise ConfigError(f"{place}.algo.transformer.enabled: transformers are not trained here; give algo=bc or bc_rnn")
    if values.get("train.frame_stack", 1) != 1:
        raise ConfigError(f"{place}.train.frame_stack: {values['train.frame_stack']}; only transformers read it; give 1")
    length, horizon = values.get("train.seq_length", 1), values.get("algo.rnn.horizon")
    if values.get("algo.rnn.enabled") and horizon is not None and length != horizon:
        raise ConfigError(
            f"{place}.train.seq_length: {length}, but the policy remembers {horizon} steps (algo.rnn.horizon); give both "
            "the same value"
        )


def check_changes(changes: Mapping[str, Any], epochs: int | None) -> None:
    """Make sure that something reads what a command line changes.

    Raises:
        ConfigError: nothing does, or a field of the script overrules it.
    """
    for name, value in flat(changes).items():
        own = next((field for setting, field in _HERE.items() if _is_in(name, setting)), None)
        if own is not None:
            raise ConfigError(f"agent.{name}: {value!r} would do nothing: the field {own} says it; give {own}=<value>")
        if not any(_is_in(name, setting) for setting in _READ):
            raise ConfigError(
                f"agent.{name}: {value!r} would do nothing: training does not read it; it reads {', '.join(_READ)}"
            )
        if name == "train.num_epochs" and epochs is not None and epochs != value:
            raise ConfigError(f"agent.{name}: {value!r}, and epochs={epochs}; give epochs alone")


def flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted name -> value of each setting."""
    return trees.flatten(settings, ".", lambda value: isinstance(value, Mapping) and bool(value))


def _check_names(settings: Mapping[str, Any], known: Mapping[str, Any], place: str, prefix: str) -> None:
    for name, value in settings.items():
        full = f"{prefix}{name}"
        if name not in known:
            # Parts that are the user's own say so, e.g. the arguments of an encoder.
            if getattr(known, "key_lockable", True):
                raise ConfigError(f"{place}.{full}: robomimic has no such setting; {choices(name, known)}")
        elif isinstance(known[name], Mapping):
            if not isinstance(value, Mapping):
                raise ConfigError(f"{place}.{full}: {value!r} in the place of several settings; {choices('', known[name])}")
            _check_names(value, known[name], place, f"{full}.")
        elif full.startswith(_TYPED) and not _is_of_kind(value, known[name], full):
            raise ConfigError(f"{place}.{full}: {value!r} cannot be used; robomimic's own is {known[name]!r}, give its like")


def _is_of_kind(value: Any, default: Any, name: str) -> bool:
    if default is None or (value is None and name.startswith(_OPEN_VALUES)):
        return True
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    if isinstance(default, int | float):
        return isinstance(value, int | (float if isinstance(default, float) else int))
    if isinstance(default, list | tuple):
        return isinstance(value, list | tuple)
    return isinstance(value, str) or value is None


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_in(name: str, setting: str) -> bool:
    return name == setting or name.startswith(f"{setting}.")


Settings = dict[str, Any]


def agents_dir(task_name: str) -> Path:
    """Where a task keeps its agents."""
    return task_dir(task_name) / "agents" / "robomimic"


def load_agent(task_name: str, algo: str) -> Settings:
    """The settings of `algo`: of the task, or of a file if `algo` is the path of a .json.

    Raises:
        ConfigError: there is no such agent, or its file is no JSON.
    """
    folder = agents_dir(task_name)
    path = Path(algo) if algo.endswith(".json") else folder / f"{algo}.json"
    if not path.is_file():
        known = sorted(each.stem for each in folder.glob("*.json"))
        raise ConfigError(
            f"algo: task '{task_name}' has no agent '{algo}' ({path}); {choices(algo, known)}, or the path of a .json"
        )
    try:
        settings = json.loads(path.read_text())
    except ValueError as error:
        raise ConfigError(f"algo: {path} is no JSON ({error}); correct it") from error
    if not isinstance(settings, dict) or "algo_name" not in settings:
        raise ConfigError(f'algo: {path} has no \'algo_name\'; add one, e.g. "algo_name": "bc"')
    return settings


def changed(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> Settings:
    """Settings with some of their values replaced, at any depth."""
    result = deepcopy(dict(settings))
    for key, value in changes.items():
        is_branch = isinstance(value, Mapping) and isinstance(result.get(key), dict)
        result[key] = changed(result[key], value) if is_branch else deepcopy(value)
    return result


def low_dim_keys(settings: Mapping[str, Any], algo: str) -> list[str]:
    """The observations that an agent wants, in robomimic's order.

    Raises:
        ConfigError: it wants images, which datasets of this version do not have, or names none.
    """
    modalities = settings.get("observation", {}).get("modalities", {}).get("obs", {})
    pictures = [key for name in ("rgb", "depth", "scan") for key in modalities.get(name, [])]
    if pictures:
        raise ConfigError(f"algo: {algo}: observation '{pictures[0]}' is an image; training takes low_dim observations only")
    return sorted(modalities.get("low_dim", []))

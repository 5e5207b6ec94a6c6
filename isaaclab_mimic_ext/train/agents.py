"""A task's own settings of an algorithm: `tasks/<task>/agents/robomimic/<algo>.json`, and what a command line changes."""

import json
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from isaaclab_mimic_ext.errors import ConfigError, choices
from isaaclab_mimic_ext.task import task_dir

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

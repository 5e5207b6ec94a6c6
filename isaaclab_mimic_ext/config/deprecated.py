"""Names of the last release that this release accepts with a warning, and the next release refuses."""

import logging
import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from omegaconf import DictConfig, OmegaConf, open_dict

from isaaclab_mimic_ext.errors import ConfigError

log = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

DEPRECATED_FIELDS = {"datagen_config.name": "it has no effect, `task` selects the task"}
"""Fields without effect -> the reason."""
RENAMED_FIELDS: dict[str, dict[str, str]] = {
    "check_demos": {"picture_file": "output_file"},
    "report": {"output_dir": "input_dir", "report_file": "output_file"},
    "replay_demos": {"video_file": "output_file"},
    "train": {"dataset": "input_file"},
    "sweep_report": {"sweep_dir": "input_dir"},
}
"""Name of a script -> old name of a field -> its name."""


def current_name(script: str, name: str) -> str:
    """Return the present name of a field of a command, with a warning if `name` is an old name."""
    new_name = RENAMED_FIELDS.get(script, {}).get(name)
    if new_name is None:
        return name
    log.warning("%s", _renamed(name, new_name))
    return new_name


def drop_deprecated(config: Any) -> None:
    """Remove, in place and with a warning, the fields of `config` that are deprecated."""
    for name in DEPRECATED_FIELDS:
        group, _, field = name.rpartition(".")
        node = OmegaConf.select(config, group) if isinstance(config, DictConfig) else None
        if isinstance(node, DictConfig) and field in node:
            warn_deprecated(name)
            del node[field]


def rename_fields(config: Any, script: str) -> None:
    """Rename, in place and with a warning, the fields at the top level of a configuration file that have old names.

    Raises:
        ConfigError: a field is set by its old name and by its name.
    """
    if not isinstance(config, DictConfig):
        return
    for old, new in RENAMED_FIELDS.get(script, {}).items():
        if old not in config:
            continue
        if new in config:
            raise ConfigError(f"{new}: is set twice, as {old} and as {new}; remove {old}")
        with open_dict(config):
            config._set_item_impl(current_name(script, old), config._get_node(old))
            del config[old]


def warn_deprecated(name: str) -> None:
    """Log a warning about a field in `DEPRECATED_FIELDS`."""
    log.warning("%s is deprecated: %s; remove it, the next release refuses it", name, DEPRECATED_FIELDS[name])


def renamed_arguments(**new_names: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a function of the Python API that still accepts old names of keyword arguments: `dataset="input_file"`.

    Args:
        new_names: old name -> name.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            for old in kwargs.keys() & new_names.keys():
                new = new_names[old]
                if new in kwargs:
                    raise TypeError(f"{function.__name__}() has two values for '{new}': '{old}' is its old name")
                warnings.warn(_renamed(old, new), DeprecationWarning, stacklevel=2)
                kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return call

    return decorate


def _renamed(old: str, new: str) -> str:
    return f"{old} is renamed to {new}; use {new}, the next release refuses {old}"

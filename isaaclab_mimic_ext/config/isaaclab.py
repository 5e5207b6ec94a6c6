"""The configuration of a Mimic environment that is registered with Isaac Lab, under our names and as plain containers.

It is read by attribute, so that Isaac Lab need not be installed: `isaaclab.envs.mimic_env_cfg` of 2.3 and of 3.0 are alike.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from enum import Enum
from types import NoneType
from typing import Any, get_args

from isaaclab_mimic_ext.config.task import (
    CONSTRAINT_TYPES,
    COORDINATION_SCHEMES,
    DataGenConfig,
    SubTaskConfig,
    SubTaskConstraintConfig,
)
from isaaclab_mimic_ext.errors import ConfigError

log = logging.getLogger(__name__)

MEANINGLESS_HERE = {
    "source_dataset_path": "input_file names the source",
    "generation_path": "output_dir names the run's folder",
    "task_name": "task.id names the task",
    "name": "task.id names the task",
    "generation_relative": "Isaac Lab does not read it: an env's own actions say what they are relative to",
    "generation_joint_pos": "Isaac Lab does not read it: an env's own actions say what they are",
    "num_demo_to_render": "Isaac Lab does not read it; num_video_demos of the playback",
    "num_fail_demo_to_render": "Isaac Lab does not read it; the report draws failures",
    "next_subtask_description": "shown to a teleoperator",
}
"""Isaac Lab's fields that generation does not use, and why."""


def mimic_fields_of(env_cfg: object) -> dict[str, Any]:
    """`datagen_config`, `subtask_configs` and `task_constraint_configs` of an environment's configuration.

    Only fields that Isaac Lab's configuration has are included, so that it can be merged over our defaults. Fields that
    neither we nor `MEANINGLESS_HERE` know are logged as warnings and left out.

    Raises:
        ConfigError: it does not belong to a Mimic environment, or one of its values is not valid.
    """
    _check_is_mimic(env_cfg)
    subtasks: Mapping[str, Sequence[object]] = env_cfg.subtask_configs  # type: ignore[attr-defined]
    constraints: Sequence[object] = getattr(env_cfg, "task_constraint_configs", None) or ()
    return {
        "datagen_config": _read("datagen_config", env_cfg.datagen_config, DataGenConfig),  # type: ignore[attr-defined]
        "subtask_configs": {
            str(eef): [_read(f"subtask_configs.{eef}.{i}", cfg, SubTaskConfig) for i, cfg in enumerate(of_eef)]
            for eef, of_eef in subtasks.items()
        },
        "task_constraint_configs": [_read_constraint(i, cfg) for i, cfg in enumerate(constraints)],
    }


def _check_is_mimic(env_cfg: object) -> None:
    name = type(env_cfg).__name__
    missing = [part for part in ("datagen_config", "subtask_configs") if getattr(env_cfg, part, None) is None]
    if missing:
        raise ConfigError(
            f"task.id: {name}, the configuration of this environment, is not a Mimic configuration: it has no "
            f"{' and no '.join(missing)}; give the id of one whose configuration derives from isaaclab.envs.mimic_env_cfg."
            "MimicEnvCfg (their ids have 'Mimic' or 'Skillgen' in them)"
        )
    subtasks = env_cfg.subtask_configs  # type: ignore[attr-defined]
    empty = [eef for eef, of_eef in subtasks.items() if not of_eef]
    if empty or not subtasks:
        whose = f"subtask_configs.{empty[0]} of {name}" if empty else f"subtask_configs of {name}"
        raise ConfigError(f"{whose} is empty; let its __post_init__ give every end effector at least one SubTaskConfig")


def _read(place: str, config: object, schema: type) -> dict[str, Any]:
    """The fields that `schema` has of one of Isaac Lab's configuration objects, as plain values."""
    _report_unknown(place, config, schema)
    found = {}
    for field in fields(schema):
        value = getattr(config, field.name, MISSING)
        # None stands for the default where we have no None: selection_strategy_kwargs, description.
        is_default = value is None and field.type is not Any and NoneType not in get_args(field.type)
        if value is not MISSING and not is_default:
            convert = _CONVERT.get(field.name)
            found[field.name] = convert(f"{place}.{field.name}", value) if convert else _plain(value)
    return found


def _report_unknown(place: str, config: object, schema: type) -> None:
    known = {field.name for field in fields(schema)} | MEANINGLESS_HERE.keys()
    for name, value in getattr(config, "__dict__", {}).items():
        if name not in known and not name.startswith("_"):
            log.warning(
                "%s.%s is %r in Isaac Lab's configuration; generation has no such field; ignored", place, name, value
            )


def _read_constraint(index: int, config: object) -> dict[str, Any]:
    place = f"task_constraint_configs.{index}"
    found = _read(place, config, SubTaskConstraintConfig)
    if "constraint_type" not in found:
        raise ConfigError(f"{place}.constraint_type: no value; choices: {', '.join(CONSTRAINT_TYPES)}")
    return found


def _plain(value: Any) -> Any:
    """Mappings, sequences, arrays and tensors as Python's own containers."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value


def _action_noise(place: str, value: Any) -> Any:
    """One deviation, or one for every pose entry of an action."""
    noise = _plain(value)
    if not isinstance(noise, list):
        return noise
    if len(noise) == 1:
        return noise[0]
    if hasattr(value, "tolist"):
        log.warning(
            "%s is an array of %d: Isaac Lab takes one level for each step of a segment, here they are one for each pose "
            "entry of an action",
            place,
            len(noise),
        )
    return noise


def _named(valid: Sequence[str]) -> Callable[[str, Any], str]:
    """A conversion from an enum's member, its number, or its name in any case to its name in lower case."""

    def convert(place: str, value: Any) -> str:
        name = value.name if isinstance(value, Enum) else value
        if isinstance(name, int) and not isinstance(name, bool) and 0 <= name < len(valid):
            return valid[name]
        if isinstance(name, str) and name.lower() in valid:
            return name.lower()
        internal = "; it is internal to Isaac Lab's generator" if isinstance(name, str) and name.startswith("_") else ""
        raise ConfigError(
            f"{place}: {name!r} is unknown{internal}; choices: {', '.join(choice.upper() for choice in valid)}"
        )

    return convert


_CONVERT: dict[str, Callable[[str, Any], Any]] = {
    "action_noise": _action_noise,
    "constraint_type": _named(CONSTRAINT_TYPES),
    "coordination_scheme": _named(COORDINATION_SCHEMES),
}

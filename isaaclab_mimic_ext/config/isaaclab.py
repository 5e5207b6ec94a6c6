"""Conversion of the configuration of a registered Isaac Lab Mimic task to the fields of this package, as plain containers.

The configuration is read by attribute, so Isaac Lab need not be installed. `isaaclab.envs.mimic_env_cfg` has the same fields
in 2.3 and 3.0.
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

UNUSED_FIELDS = {
    "source_dataset_path": "use input_file",
    "generation_path": "use output_dir",
    "task_name": "use task.id",
    "name": "use task.id",
    "generation_relative": "not read by Isaac Lab; the actions of the env define whether they are relative",
    "generation_joint_pos": "not read by Isaac Lab; the actions of the env define their type",
    "num_demo_to_render": "not read by Isaac Lab; use num_video_demos of the playback",
    "num_fail_demo_to_render": "not read by Isaac Lab; the report shows failed trials",
    "next_subtask_description": "only displayed to a teleoperator",
}
"""Isaac Lab's fields that generation does not use -> reason."""


def mimic_fields_of(env_cfg: object) -> dict[str, Any]:
    """`datagen_config`, `subtask_configs` and `task_constraint_configs` of an environment's configuration.

    The result contains only fields that Isaac Lab's configuration has, so it can be merged over the defaults of this
    package. Fields that are neither in the schema nor in `UNUSED_FIELDS` are logged as warnings and ignored.

    Raises:
        ConfigError: the configuration is not that of a Mimic environment, or one of its values is not valid.
    """
    _check_is_mimic(env_cfg)
    subtasks: Mapping[str, Sequence[object]] = env_cfg.subtask_configs  # type: ignore[attr-defined]
    constraints: Sequence[object] = getattr(env_cfg, "task_constraint_configs", None) or ()
    return {
        "datagen_config": _with_total_failures(
            _read("datagen_config", env_cfg.datagen_config, DataGenConfig)  # type: ignore[attr-defined]
        ),
        "subtask_configs": {
            str(eef): [_read(f"subtask_configs.{eef}.{i}", cfg, SubTaskConfig) for i, cfg in enumerate(of_eef)]
            for eef, of_eef in subtasks.items()
        },
        "task_constraint_configs": [_read_constraint(i, cfg) for i, cfg in enumerate(constraints)],
    }


def _with_total_failures(datagen_config: dict[str, Any]) -> dict[str, Any]:
    """The same settings with `max_num_failures` as `max_total_failures`.

    Isaac Lab counts all failures of a run, and only if `generation_guarantee` is true; here, `max_num_failures` counts
    failures in a row.
    """
    limit = datagen_config.get("max_num_failures")
    if limit is None:
        return datagen_config
    if not datagen_config.get("generation_guarantee", True):
        log.info("max_num_failures: %s of the task has no effect without generation_guarantee, as in Isaac Lab", limit)
        return {**datagen_config, "max_num_failures": None}
    log.info("max_num_failures: %s of the task is used as max_total_failures: Isaac Lab counts all failures", limit)
    return {**datagen_config, "max_num_failures": None, "max_total_failures": limit}


def _check_is_mimic(env_cfg: object) -> None:
    name = type(env_cfg).__name__
    missing = [part for part in ("datagen_config", "subtask_configs") if getattr(env_cfg, part, None) is None]
    if missing:
        raise ConfigError(
            f"task.id: {name}, the configuration of this environment, is not a Mimic configuration: "
            f"{' and '.join(missing)} not found; use an id whose configuration derives from "
            "isaaclab.envs.mimic_env_cfg.MimicEnvCfg (these ids contain 'Mimic' or 'Skillgen')"
        )
    subtasks = env_cfg.subtask_configs  # type: ignore[attr-defined]
    empty = [eef for eef, of_eef in subtasks.items() if not of_eef]
    if empty or not subtasks:
        place = f"subtask_configs.{empty[0]}" if empty else "subtask_configs"
        raise ConfigError(
            f"{place}: must not be empty (in {name}); define at least one SubTaskConfig for each end effector in its "
            "__post_init__"
        )


def _read(place: str, config: object, schema: type) -> dict[str, Any]:
    """Values of the fields of `schema` in one of Isaac Lab's configuration objects, as plain containers."""
    _report_unknown(place, config, schema)
    found = {}
    for field in fields(schema):
        value = getattr(config, field.name, MISSING)
        # None means the default in fields that cannot be None in `schema`: selection_strategy_kwargs, description.
        is_default = value is None and field.type is not Any and NoneType not in get_args(field.type)
        if value is not MISSING and not is_default:
            convert = _CONVERT.get(field.name)
            found[field.name] = convert(f"{place}.{field.name}", value) if convert else _plain(value)
    return found


def _report_unknown(place: str, config: object, schema: type) -> None:
    known = {field.name for field in fields(schema)} | UNUSED_FIELDS.keys()
    for name, value in getattr(config, "__dict__", {}).items():
        if name not in known and not name.startswith("_"):
            log.warning("%s.%s: ignored (%r in Isaac Lab's configuration); generation has no such field", place, name, value)


def _read_constraint(index: int, config: object) -> dict[str, Any]:
    place = f"task_constraint_configs.{index}"
    found = _read(place, config, SubTaskConstraintConfig)
    if "constraint_type" not in found:
        raise ConfigError(f"{place}.constraint_type: must be set (got no value); choices: {', '.join(CONSTRAINT_TYPES)}")
    return found


def _plain(value: Any) -> Any:
    """Mappings, sequences, arrays and tensors converted to dicts and lists."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value


def _action_noise(place: str, value: Any) -> Any:
    """Standard deviation of the action noise: one number, or a list with one number per pose entry of an action."""
    noise = _plain(value)
    if not isinstance(noise, list):
        return noise
    if len(noise) == 1:
        return noise[0]
    if hasattr(value, "tolist"):
        log.warning(
            "%s: has %d numbers, used as one per pose entry of an action; Isaac Lab uses them as one per step of a segment",
            place,
            len(noise),
        )
    return noise


def _named(valid: Sequence[str]) -> Callable[[str, Any], str]:
    """Make a converter from an enum member, its index, or its name in any case to its name in lower case."""

    def convert(place: str, value: Any) -> str:
        name = value.name if isinstance(value, Enum) else value
        if isinstance(name, int) and not isinstance(name, bool) and 0 <= name < len(valid):
            return valid[name]
        if isinstance(name, str) and name.lower() in valid:
            return name.lower()
        internal = ", which is internal to Isaac Lab's generator" if isinstance(name, str) and name.startswith("_") else ""
        raise ConfigError(
            f"{place}: must be one of the choices (got {name!r}{internal}); choices: "
            f"{', '.join(choice.upper() for choice in valid)}"
        )

    return convert


_CONVERT: dict[str, Callable[[str, Any], Any]] = {
    "action_noise": _action_noise,
    "constraint_type": _named(CONSTRAINT_TYPES),
    "coordination_scheme": _named(COORDINATION_SCHEMES),
}

"""Isaac Lab's Mimic configurations, unchanged and converted by `mimic_fields_of`."""

import logging
import pkgutil
from enum import Enum
from importlib import import_module
from typing import Any

from isaaclab.envs.mimic_env_cfg import (
    MimicEnvCfg,
    SubTaskConfig,
    SubTaskConstraintConfig,
    SubTaskConstraintCoordinationScheme,
    SubTaskConstraintType,
)
from isaaclab_mimic import envs

from isaaclab_mimic_ext.config import isaaclab
from tests.contract.isaaclab_side.messages import Shipped


def shipped(_: None) -> dict[str, Shipped]:
    """All configuration classes of `isaaclab_mimic.envs` by name. Modules that cannot be imported are listed by name."""
    found: dict[str, Shipped] = {}
    for module in pkgutil.walk_packages(envs.__path__, f"{envs.__name__}."):
        if not module.name.endswith("_cfg"):
            continue
        try:
            members = vars(import_module(module.name))
        except ImportError as error:
            found[module.name] = Shipped(repr(error), {}, {}, [])
            continue
        for name, value in members.items():
            if isinstance(value, type) and issubclass(value, MimicEnvCfg) and value.__module__ == module.name:
                found[name] = _describe(value)
    return found


def _describe(config_class: type) -> Shipped:
    try:
        config: Any = config_class()
    except Exception as error:
        return Shipped(repr(error), {}, {}, [])
    warnings: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: warnings.append(record.getMessage())
    isaaclab.log.addHandler(handler)
    ours = isaaclab.mimic_fields_of(config)
    isaaclab.log.removeHandler(handler)
    parts = ("datagen_config", "subtask_configs", "task_constraint_configs")
    return Shipped(None, {part: _flat(getattr(config, part)) for part in parts}, ours, warnings)


def _flat(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.name.lower()
    if isinstance(value, dict):
        return {key: _flat(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_flat(item) for item in value]
    return _flat(vars(value)) if hasattr(value, "__dict__") else value


def constraints(configs: list[dict[str, Any]]) -> dict[str, Any]:
    """Convert constraints made of Isaac Lab's classes and enums; the configurations in Isaac Lab contain none."""
    env_cfg = MimicEnvCfg()
    env_cfg.subtask_configs = {"left": [SubTaskConfig()], "right": [SubTaskConfig()]}
    env_cfg.task_constraint_configs = [
        SubTaskConstraintConfig(
            **{
                **config,
                "constraint_type": SubTaskConstraintType[config["constraint_type"]],
                "coordination_scheme": SubTaskConstraintCoordinationScheme[config["coordination_scheme"]],
            }
        )
        for config in configs
    ]
    return isaaclab.mimic_fields_of(env_cfg)

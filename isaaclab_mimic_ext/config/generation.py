"""Generation settings in Python: changes to the settings of a task."""

from dataclasses import fields
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from isaaclab_mimic_ext.config.task import DataGenConfig
from isaaclab_mimic_ext.config.value_types import type_fault
from isaaclab_mimic_ext.errors import ConfigError, choices

_PREFIX = "generation_"
SETTINGS = {field.name.removeprefix(_PREFIX): field.name for field in fields(DataGenConfig)}
"""Short name of a setting, in Python and on the command line -> field of `DataGenConfig`."""


class GenerationCfg:
    """Changes to the generation settings of a task, such as the number of trials and the seed.

    Each field of `DataGenConfig` is a keyword argument. Settings that are not passed keep the values of the task. The prefix
    `generation_` of Isaac Lab's names (`generation_num_trials`, `generation_guarantee`, ...) may be omitted.

        GenerationCfg(num_trials=1000, seed=3)   # 1000 successful trials
        GenerationCfg(num_trials=1000, guarantee=False, max_num_failures=None)   # 1000 trials, successful or not

    Raises:
        ConfigError: a setting does not exist, a value has the wrong type, or both names of a setting are passed.
    """

    def __init__(self, **settings: Any):
        self.settings: dict[str, Any] = {}
        """Field of `DataGenConfig` -> value."""
        for name, value in settings.items():
            field = SETTINGS.get(name, name)
            if field not in SETTINGS.values():
                raise ConfigError(f"GenerationCfg: '{name}' is not a setting; {choices(name, SETTINGS)}")
            if field in self.settings:
                short = name.removeprefix(_PREFIX)
                raise ConfigError(f"GenerationCfg: '{short}' and '{field}' are the same setting; pass one of them")
            self.settings[field] = value
        self.applied_to(DataGenConfig())

    def __repr__(self) -> str:
        return f"GenerationCfg({', '.join(f'{name}={value!r}' for name, value in self.settings.items())})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GenerationCfg) and self.settings == other.settings

    __hash__ = None  # type: ignore[assignment]

    def applied_to(self, task_settings: DataGenConfig) -> DataGenConfig:
        """Return the settings of a task with these changes.

        Raises:
            ConfigError: a value has the wrong type.
        """
        merged = OmegaConf.structured(task_settings)
        for name, value in self.settings.items():
            try:
                OmegaConf.update(merged, name, value)
            except OmegaConfBaseException as error:
                reason = type_fault(error) or (error.msg or str(error)).splitlines()[0]
                raise ConfigError(f"GenerationCfg: {name}: {reason}") from error
        changed: DataGenConfig = OmegaConf.to_object(merged)  # type: ignore[assignment]
        return changed

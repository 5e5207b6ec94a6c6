"""Generation settings of a Python caller: changes to those of the task."""

from dataclasses import fields
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from isaaclab_mimic_ext.config.task import DataGenConfig
from isaaclab_mimic_ext.errors import ConfigError, choices

_PREFIX = "generation_"
_NAMES = {field.name.removeprefix(_PREFIX): field.name for field in fields(DataGenConfig)}
"""Short name -> field of `DataGenConfig`."""


class GenerationCfg:
    """How many trials are run, and how: changes to the generation settings of a task.

    Takes every field of `DataGenConfig` by keyword; settings that are not given keep the task's values. Isaac Lab's names
    (`generation_num_trials`, `generation_guarantee`, ...) are aliases of the same names without `generation_`.

        GenerationCfg(num_trials=1000, seed=3)   # 1000 successful demos
        GenerationCfg(num_trials=1000, guarantee=False, max_num_failures=None)   # 1000 trials, successful or not

    Raises:
        ConfigError: there is no such setting, a value has the wrong type, or both names of one setting are given.
    """

    def __init__(self, **settings: Any):
        self.settings: dict[str, Any] = {}
        """Field of `DataGenConfig` -> value."""
        for name, value in settings.items():
            field = _NAMES.get(name, name)
            if field not in _NAMES.values():
                raise ConfigError(f"GenerationCfg: there is no setting '{name}'; {choices(name, _NAMES)}")
            if field in self.settings:
                raise ConfigError(f"GenerationCfg: '{name}' and '{name.removeprefix(_PREFIX)}' are one setting; give one")
            self.settings[field] = value
        self.applied_to(DataGenConfig())

    def __repr__(self) -> str:
        return f"GenerationCfg({', '.join(f'{name}={value!r}' for name, value in self.settings.items())})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GenerationCfg) and self.settings == other.settings

    __hash__ = None  # type: ignore[assignment]

    def applied_to(self, task_settings: DataGenConfig) -> DataGenConfig:
        """The task's settings with these changes.

        Raises:
            ConfigError: a value has the wrong type.
        """
        merged = OmegaConf.structured(task_settings)
        for name, value in self.settings.items():
            try:
                OmegaConf.update(merged, name, value)
            except OmegaConfBaseException as error:
                reason = (error.msg or str(error)).splitlines()[0]
                raise ConfigError(f"GenerationCfg: {name}: {reason}") from error
        changed: DataGenConfig = OmegaConf.to_object(merged)  # type: ignore[assignment]
        return changed

"""Bounds of a configuration field, declared at the field, and the one check that applies them all."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

from omegaconf import MISSING

from isaaclab_mimic_ext.errors import ConfigError, TaskSpecError, choices
from isaaclab_mimic_ext.texts import counted

Rule = Callable[[Any], str | None]
"""Function that returns the fault of a value, such as `must be a folder (got '')`, or None if the value is valid."""

_BOUNDS, _LIKE = "bounds", "like"
_TASK_SPEC_FIELDS = ("subtask_configs", "task_constraint_configs")
"""Faults in these fields are reported as `TaskSpecError`."""


@dataclass(frozen=True)
class Bounds:
    """Valid values of a field. None is valid wherever the field's type allows it.

    Attributes:
        at_least, at_most: inclusive limits of a number. A number with limits must be finite.
        above: exclusive lower limit.
        choices: complete list of valid values.
        rule: any other condition on the value.
        unit: unit appended to the limits in messages.
        remedy: appended to every message about the field.
        example: valid value, shown if a field without default is not set.
        computed: description of the default that the files in `conf/` compute, for help.
    """

    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    choices: tuple[Any, ...] = ()
    rule: Rule | None = None
    unit: str = ""
    remedy: str = ""
    example: str = ""
    computed: str = ""

    def fault(self, value: Any) -> str | None:
        """Return the reason why a value is refused, with the remedy; None if the value is valid."""
        found = self._choice_fault(value) or self._limit_fault(value) or (self.rule(value) if self.rule else None)
        return found and f"{found}; {self.remedy}" if self.remedy else found

    def __str__(self) -> str:
        """Bounds as shown in help: `>= 1`, `held | any_step`."""
        return " | ".join(map(str, self.choices)) or " and ".join(self._limits())

    def _choice_fault(self, value: Any) -> str | None:
        if not self.choices or value in self.choices:
            return None
        return f"'{value}' is not valid; {choices(value, map(str, self.choices))}"

    def _limits(self) -> list[str]:
        limits = ((">=", self.at_least), (">", self.above), ("<=", self.at_most))
        return [f"{sign} {_format_limit(limit)}" for sign, limit in limits if limit is not None]

    def _limit_fault(self, value: Any) -> str | None:
        limits = self._limits()
        if not limits or (
            math.isfinite(value)
            and (self.at_least is None or value >= self.at_least)
            and (self.above is None or value > self.above)
            and (self.at_most is None or value <= self.at_most)
        ):
            return None
        finite = "" if math.isfinite(value) else "finite and "
        unit = f" {self.unit}" if self.unit else ""
        return f"must be {finite}{' and '.join(limits)}{unit} (got {value})"


def bounded(default: Any, *, like: Sequence[str] = (), **bounds: Any) -> Any:
    """Declare a dataclass field with `Bounds`: `num_envs: int = bounded(100, at_least=1)`.

    Args:
        default: default value of the field; each object gets its own copy of a list.
        like: names of the same quantity in other commands or programs. An error about such a name suggests this field.
        **bounds: attributes of `Bounds`.
    """
    if "choices" in bounds:
        bounds["choices"] = tuple(bounds["choices"])
    metadata = {_BOUNDS: Bounds(**bounds), _LIKE: tuple(like)}
    if isinstance(default, list):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


def bounds_of(config_field: Any) -> Bounds | None:
    """Return the bounds declared at a dataclass field; None if it has none."""
    found: Bounds | None = config_field.metadata.get(_BOUNDS)
    return found


def names_like(config_field: Any) -> tuple[str, ...]:
    """Return names that other commands or programs use for the quantity of a dataclass field."""
    return tuple(config_field.metadata.get(_LIKE, ()))


def check_bounds(config: Any, place: str = "") -> None:
    """Refuse the first value outside the bounds of its field, in a dataclass object and all objects inside it.

    Args:
        config: dataclass object, or a dict or list of such objects.
        place: dotted name of `config`. The `label` of a list item follows in brackets: `subtask_configs.franka.0 (reach)`.

    Raises:
        ConfigError: `<field>: must be >= 1 (got 0)`; a TaskSpecError for subtasks and constraints.
    """
    if isinstance(config, dict):
        for key, item in config.items():
            check_bounds(item, f"{place}.{key}")
    elif isinstance(config, list):
        for index, item in enumerate(config):
            label = getattr(item, "label", "")
            check_bounds(item, f"{place}.{index}" + (f" ({label})" if label else ""))
    elif is_dataclass(config):
        for config_field in fields(config):
            _check_field(config_field, getattr(config, config_field.name), place)


def _check_field(config_field: Any, value: Any, place: str) -> None:
    name, bounds = config_field.name, bounds_of(config_field)
    # A dotted name ends at a label: "subtask_configs.franka.0 (reach): num_fixed_steps must be ..."
    full_name, separator = (f"{place}: {name}", " ") if place.endswith(")") else (f"{place}.{name}".lstrip("."), ": ")
    if bounds is not None and value is not None and value != MISSING and (fault := bounds.fault(value)):
        error = TaskSpecError if place.startswith(_TASK_SPEC_FIELDS) else ConfigError
        raise error(f"{full_name}{separator}{fault}")
    check_bounds(value, full_name)


def _format_limit(limit: float) -> str:
    return next((f"2**{power} - 1" for power in (32, 64) if limit == 2**power - 1), f"{limit}")


def file_rule(example: str) -> dict[str, Any]:
    """Make bounds: the value must be the path of a file, which need not exist."""

    def rule(value: str) -> str | None:
        if value and not Path(value).is_dir():
            return None
        return f"must be the path of a file, e.g. {example} (got '{value}')"

    return {"rule": rule, "example": example}


def folder_rule(example: str) -> dict[str, Any]:
    """Make bounds: the value must be the path of a folder, which need not exist."""

    def rule(value: str) -> str | None:
        return None if value else f"must be the path of a folder, e.g. {example} (got '')"

    return {"rule": rule, "example": example}


def suffix_rule(*suffixes: str) -> Rule:
    """Make a rule: the path of a file must end with one of `suffixes`."""

    def rule(value: str) -> str | None:
        if Path(value).suffix.lower() in suffixes:
            return None
        return f"must end with {' or '.join(suffixes)} (got '{value}')"

    return rule


def range_fault(value: Sequence[float]) -> str | None:
    """Return the fault of a range, which must be [lowest, highest] with finite bounds; None if it is valid."""
    is_numbers = all(isinstance(each, int | float) and math.isfinite(each) for each in value)
    if is_numbers and len(value) == 2 and value[0] <= value[1]:
        return None
    return f"must be [lowest, highest] (got {list(value)})"


AUTO = "auto"
"""Device of a scene: a CUDA device if the engine and the machine have one, otherwise the CPU."""


def scene_device_fault(value: str) -> str | None:
    """Return the fault of the device of a scene: `auto`, or the name of a torch device."""
    return None if value == AUTO else device_fault(value)


def device_fault(value: str) -> str | None:
    """Return the fault of the name of a torch device, which must exist on this machine; None if it is valid."""
    import torch

    try:
        device = torch.device(value)
    except RuntimeError:
        return f"'{value}' is not a valid device; choices: cpu, cuda, cuda:<index>"
    if device.type not in ("cpu", "cuda"):
        return f"'{value}' is not supported; choices: cpu, cuda, cuda:<index>"
    count = torch.cuda.device_count() if device.type == "cuda" else 1
    if (device.index or 0) >= count:
        return f"'{value}' does not exist: this machine has {counted(count, 'CUDA device')}; use device=cpu"
    return None

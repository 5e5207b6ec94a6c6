"""Bounds of a configuration field, declared at the field, and the one check that applies them all."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

from omegaconf import MISSING

from isaaclab_mimic_ext.errors import ConfigError, TaskSpecError, choices

Rule = Callable[[Any], str | None]
"""Returns the fault of a value, such as `must be a folder (got '')`, or None."""

_BOUNDS, _LIKE = "bounds", "like"
_OF_THE_TASK = ("subtask_configs", "task_constraint_configs")
"""Faults in these fields are faults of the task's specification."""


@dataclass(frozen=True)
class Bounds:
    """Values that a field may have. None is always allowed where the field's type allows it.

    Attributes:
        at_least, at_most: inclusive limits of a number, which must be finite.
        above: exclusive lower limit.
        choices: the only valid values.
        rule: any other condition on the value alone.
        unit: behind the number in a message.
        remedy: appended to every message about the field.
    """

    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    choices: tuple[Any, ...] = ()
    rule: Rule | None = None
    unit: str = ""
    remedy: str = ""

    def fault(self, value: Any) -> str | None:
        """The reason for which a value is refused, with the remedy; None if it is valid."""
        found = self._choice_fault(value) or self._limit_fault(value) or (self.rule(value) if self.rule else None)
        return found and f"{found}; {self.remedy}" if self.remedy else found

    def __str__(self) -> str:
        """The bounds as help shows them: `>= 1`, `held | any_step`."""
        return " | ".join(map(str, self.choices)) or " and ".join(self._limits())

    def _choice_fault(self, value: Any) -> str | None:
        if not self.choices or value in self.choices:
            return None
        return f"'{value}' is not valid; {choices(value, map(str, self.choices))}"

    def _limits(self) -> list[str]:
        limits = ((">=", self.at_least), (">", self.above), ("<=", self.at_most))
        return [f"{sign} {_shown(limit)}" for sign, limit in limits if limit is not None]

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
    """A dataclass field with `Bounds`: `num_envs: int = bounded(100, at_least=1)`.

    Args:
        like: names that other commands, or other programs, have for the same thing; an error suggests this field for them.
    """
    if "choices" in bounds:
        bounds["choices"] = tuple(bounds["choices"])
    return field(default=default, metadata={_BOUNDS: Bounds(**bounds), _LIKE: tuple(like)})


def bounds_of(config_field: Any) -> Bounds | None:
    """The bounds declared at a dataclass field."""
    found: Bounds | None = config_field.metadata.get(_BOUNDS)
    return found


def names_like(config_field: Any) -> tuple[str, ...]:
    """Other names for what a dataclass field sets."""
    return tuple(config_field.metadata.get(_LIKE, ()))


def check_bounds(config: Any, place: str = "") -> None:
    """Refuse the first value out of its field's bounds, in a dataclass object and everything below it.

    Args:
        place: the dotted name of `config`; an item of a list has its `label` in brackets behind.

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
    # A label closes the dotted name: "subtask_configs.franka.0 (reach): num_fixed_steps must be ..."
    full_name, separator = (f"{place}: {name}", " ") if place.endswith(")") else (f"{place}.{name}".lstrip("."), ": ")
    if bounds is not None and value is not None and value != MISSING and (fault := bounds.fault(value)):
        error = TaskSpecError if place.startswith(_OF_THE_TASK) else ConfigError
        raise error(f"{full_name}{separator}{fault}")
    check_bounds(value, full_name)


def _shown(limit: float) -> str:
    return next((f"2**{power} - 1" for power in (32, 64) if limit == 2**power - 1), f"{limit}")


def a_file(example: str) -> Rule:
    """The path of a file, which need not exist."""

    def rule(value: str) -> str | None:
        if value and not Path(value).is_dir():
            return None
        return f"must be the path of a file, e.g. {example} (got '{value}')"

    return rule


def a_folder(example: str) -> Rule:
    """The path of a folder, which need not exist."""
    return lambda value: None if value else f"must be the path of a folder, e.g. {example} (got '')"


def a_range(value: Sequence[float]) -> str | None:
    """[lowest, highest], both finite."""
    if len(value) == 2 and all(map(math.isfinite, value)) and value[0] <= value[1]:
        return None
    return f"must be [lowest, highest] (got {list(value)})"


def a_device(value: str) -> str | None:
    """A torch device that this machine has."""
    import torch

    try:
        device = torch.device(value)
    except RuntimeError:
        return f"'{value}' is not a valid device; choices: cpu, cuda, cuda:<index>"
    if device.type not in ("cpu", "cuda"):
        return f"'{value}' is not supported; choices: cpu, cuda, cuda:<index>"
    count = torch.cuda.device_count() if device.type == "cuda" else 1
    if (device.index or 0) >= count:
        return f"'{value}' does not exist: this machine has {count} CUDA device(s); use device=cpu"
    return None

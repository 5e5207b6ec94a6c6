"""Cameras in the configuration of a command."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from isaaclab_mimic_ext.errors import ConfigError, choices
from isaaclab_mimic_ext.task.cameras import CameraCfg


def camera_cfgs(given: Mapping[str, Any]) -> dict[str, CameraCfg]:
    """Convert the field `camera_cfgs` of a command, name -> values of a camera.

    Raises:
        ConfigError: a name has no fields, a field is not known, or a value has the wrong type.
    """
    return {name: _camera_cfg(f"camera_cfgs.{name}", values) for name, values in given.items()}


def _camera_cfg(place: str, values: Any) -> CameraCfg:
    known = [field.name for field in fields(CameraCfg)]
    if not isinstance(values, Mapping):
        raise ConfigError(f"{place}: must be a group of fields (got {values}); set its fields: {place}.<field>=<value>")
    for name, value in values.items():
        if name not in known:
            raise ConfigError(f"{place}.{name}: is not a field of a camera; {choices(name, known)}")
        if value is not None and not _FITS[name](value):
            raise ConfigError(f"{place}.{name}: must be {_KINDS[name]} (got {value})")
    return CameraCfg(**values)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_vector(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 3 and all(map(_is_number, value))


_FITS = {
    "frame": lambda value: isinstance(value, str),
    **dict.fromkeys(("pos", "target", "up"), _is_vector),
    "fovy": lambda value: _is_number(value) and 0 < value < 180,
}
_KINDS = {"frame": "a text", **dict.fromkeys(("pos", "target", "up"), "[x, y, z]"), "fovy": "> 0 and < 180 deg"}

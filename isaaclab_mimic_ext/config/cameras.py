"""Cameras in the configuration of a command."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from isaaclab_mimic_ext.config.bounds import bounded
from isaaclab_mimic_ext.errors import ConfigError, choices
from isaaclab_mimic_ext.task.cameras import MODALITIES, RENDERING_MODES, RGB, CameraCfg


def _size_fault(value: list[int]) -> str | None:
    is_size = len(value) == 2 and all(side >= 1 for side in value)
    return None if is_size else f"must be [height,width] in pixels (got {list(value)})"


def modalities_fault(value: Sequence[str]) -> str | None:
    """Reason why names of modalities are not valid; None if they are."""
    wrong = next((name for name in value if name not in MODALITIES), None)
    if wrong is not None:
        return f"'{wrong}' is not a modality; {choices(wrong, MODALITIES)}"
    return None if value and len({*value}) == len(value) else f"must name each modality once (got {list(value)})"


@dataclass
class CamerasCfg:
    """Pictures that `enable_cameras=true` records. Not for Isaac Lab, whose envs have their own cameras."""

    names: list[str] | None = None
    """Cameras; `wrist` stands for the cameras at the hands of all arms. Null: `wrist`, and `agentview` with
    `sim=mujoco_warp`, else `front`."""
    size: list[int] | None = bounded(None, rule=_size_fault)
    """Height and width of a picture [pixels]; null: 84x84 with `sim=mujoco_warp`, else 128x128."""
    rendering_mode: str | None = bounded(None, choices=RENDERING_MODES)
    """`policy` (hard edges) or `film` (smooth edges); null: `policy` with `sim=mujoco_warp`, else `film`."""
    modalities: list[str] | None = bounded(None, rule=modalities_fault)
    """Pictures of each camera: `rgb`, `depth` [m], `segmentation` (number of the object); null: `rgb`. Depth and
    segmentation are the observations `<camera>_depth` and `<camera>_segmentation`."""

    appearance: list[str] = field(default_factory=list)
    """Random looks, one per trial: `light`, `color` (of the light), `table`, `arm`, `objects`, `camera` (poses), `all`."""

    def completed(self, defaults: "CamerasCfg") -> "CamerasCfg":
        """Return the settings with the values of `defaults` in the place of null."""
        missing = (each.name for each in fields(self) if getattr(self, each.name) is None)
        return replace(self, **{name: getattr(defaults, name) for name in missing})

    @property
    def height_width(self) -> tuple[int, int]:
        """Size of a picture [pixels]; `size` must be set."""
        assert self.size is not None
        return self.size[0], self.size[1]

    @property
    def mode(self) -> str:
        """Rendering mode, which must be set."""
        assert self.rendering_mode is not None
        return self.rendering_mode

    @property
    def kinds(self) -> tuple[str, ...]:
        """Modalities."""
        return tuple(self.modalities or (RGB,))


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

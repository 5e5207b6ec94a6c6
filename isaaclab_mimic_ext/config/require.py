"""What one value of a configuration must be; each refusal is a `ConfigError` with place, value, choices and remedy."""

import math
from collections.abc import Iterable
from pathlib import Path

from isaaclab_mimic_ext.errors import ConfigError, choices


def require_device(name: str) -> None:
    """Refuse what is no device of this machine."""
    import torch

    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"device: '{name}' is no device; choices: cpu, cuda, cuda:<index>") from error
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f"device: '{name}' is not supported; choices: cpu, cuda, cuda:<index>")
    count = torch.cuda.device_count() if device.type == "cuda" else 1
    if (device.index or 0) >= count:
        raise ConfigError(f"device: '{name}' is not on this machine, it has {count} CUDA device(s); use device=cpu")


def require_seed(place: str, seed: int) -> None:
    """Refuse a seed that the generators of random numbers cannot take."""
    if not 0 <= seed < 2**64:
        raise ConfigError(f"{place}: {seed} is out of range; give a number from 0 to 2**64 - 1")


def require_at_least(place: str, value: float, lowest: int, note: str = "") -> None:
    """Refuse what is not finite or less than `lowest`."""
    if not (value >= lowest and math.isfinite(value)):
        raise ConfigError(f"{place}: {value} is out of range; give {lowest} or more{note}")


def require_choice(place: str, value: str, valid: Iterable[str]) -> None:
    """Refuse what is not among the choices."""
    if value not in valid:
        raise ConfigError(f"{place}: '{value}' is unknown; {choices(value, valid)}")


def require_name(place: str, value: str) -> None:
    """Refuse what cannot be the name of a file."""
    if not value or Path(value).is_dir():
        raise ConfigError(f"{place}: '{value}' is no file name; give the path of a file, e.g. datasets/demos.hdf5")

"""Train and validation demos of a dataset, as robomimic's filter keys: `mask/train` and `mask/valid`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from isaaclab_mimic_ext.datasets.hdf5 import demo_names, open_hdf5
from isaaclab_mimic_ext.errors import ConfigError, OutputError


@dataclass(frozen=True)
class Split:
    """Names of the demos in natural order, and whether the file had a split before."""

    train: tuple[str, ...]
    valid: tuple[str, ...]
    replaced: bool


def split_dataset(path: str | Path, ratio: float, seed: int) -> Split:
    """Draw a split and write it into the file; one that is there already is replaced, other masks are kept.

    Args:
        ratio: part of the demos that goes to `train`.
        seed: of the draw.

    Raises:
        ConfigError: the ratio is none, or would leave `train` or `valid` empty.
        SourceDataError: the file is missing, damaged, or has no demos.
        OutputError: the file cannot be written to.
    """
    with open_hdf5(path) as file:
        names = demo_names(file)
    train, valid = draw_split(names, ratio, seed)
    try:
        with h5py.File(path, "r+") as file:
            replaced = _write_masks(file, {"train": train, "valid": valid})
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise OutputError(f"{path}: the split cannot be written ({error}); check permissions and disk space") from error
    return Split(train, valid, replaced)


def draw_split(names: Sequence[str], ratio: float, seed: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """`names` in two parts, each in the order given; the first has `ratio` of them, rounded.

    Raises:
        ConfigError: the ratio is none, or would leave a part empty.
    """
    if not 0.0 < ratio < 1.0:
        raise ConfigError(f"ratio: {ratio}, expected a number between 0 and 1, both excluded, such as 0.8")
    num_train = round(ratio * len(names))
    if num_train in (0, len(names)):
        empty = "train" if num_train == 0 else "valid"
        raise ConfigError(f"ratio: {ratio} of {len(names)} demos leaves '{empty}' empty; {_ratio_remedy(len(names))}")
    chosen = set(np.random.default_rng(seed).permutation(len(names))[:num_train].tolist())
    train = tuple(name for index, name in enumerate(names) if index in chosen)
    return train, tuple(name for index, name in enumerate(names) if index not in chosen)


def _ratio_remedy(num_demos: int) -> str:
    if num_demos < 2:
        return "a split takes at least two demos"
    return f"with so many demos use {1 / num_demos:.3g} to {1 - 1 / num_demos:.3g}"


def _write_masks(file: h5py.File, masks: dict[str, tuple[str, ...]]) -> bool:
    group = file.require_group("mask")
    replaced = any(name in group for name in masks)
    for name, demos in masks.items():
        if name in group:
            del group[name]
        group[name] = np.array(demos, dtype="S")
    return replaced

"""Train and validation demos of a dataset, as robomimic's filter keys: `mask/train` and `mask/valid`."""

# D demos, S source demos, C candidate sets of sources to hold out

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from isaaclab_mimic_ext.errors import ConfigError, OutputError, SourceDataError
from isaaclab_mimic_ext.files.hdf5 import demo_names, open_hdf5
from isaaclab_mimic_ext.files.writing import unwritable

_MAX_SOURCES = 12
"""Of so many source demos every subset is tried, of more a random choice."""

_ROOM = 4 * 10**6
"""Bytes that must be free on the disk; masks of 10,000 demos take a twentieth."""


@dataclass(frozen=True)
class Split:
    """Names of the demos in natural order, and whether the file had a split before.

    Attributes:
        held_out: names of the source demos from which no demo of `train` was made; empty where sources did not count.
    """

    train: tuple[str, ...]
    valid: tuple[str, ...]
    replaced: bool
    held_out: tuple[str, ...] = ()


def split_dataset(path: str | Path, ratio: float = 0.8, seed: int = 1, by_source_demo: bool = False) -> Split:
    """Draw a split and write it into the file; one that is there already is replaced, other masks are kept.

    Args:
        ratio: part of the demos that goes to `train`.
        seed: of the draw.
        by_source_demo: hold source demos out: `valid` are the demos with a segment of one of them, `train` all others.
            Which ones, is chosen so that `train` has `ratio` of the demos as nearly as possible.

    Raises:
        ConfigError: the ratio is none, or would leave `train` or `valid` empty.
        SourceDataError: the file is missing, damaged, has no demos, or does not say what they were made from.
        OutputError: the file cannot be written to, or the disk is full; the file is what it was.
    """
    held_out: tuple[str, ...] = ()
    with open_hdf5(path) as file:
        names = demo_names(file)
        if by_source_demo:
            used, source_names = _sources_used(file, names)
    if by_source_demo:
        sources = hold_out_sources(used, ratio, seed)
        held_out = tuple(source_names[index] for index in sources)
        in_valid = np.any(used[:, sources], axis=1).tolist()
        train = tuple(name for name, is_valid in zip(names, in_valid, strict=True) if not is_valid)
        valid = tuple(name for name, is_valid in zip(names, in_valid, strict=True) if is_valid)
    else:
        train, valid = draw_split(names, ratio, seed)
    _check_room(Path(path))
    try:
        with h5py.File(path, "r+") as file:
            replaced = _write_masks(file, {"train": train, "valid": valid})
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise unwritable(Path(path), error, remedy="check permissions and disk space", kind=OutputError) from error
    return Split(train, valid, replaced, held_out)


def _check_room(path: Path) -> None:
    """HDF5 cannot go back where the disk is full in the middle of a change: the process dies, the file may be damaged."""
    if shutil.disk_usage(path.absolute().parent).free < _ROOM:
        raise OutputError(f"{path}: the split cannot be written, the disk is full; free {_ROOM / 1e6:.0f} MB and run again")


def draw_split(names: Sequence[str], ratio: float, seed: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """`names` in two parts, each in the order given; the first has `ratio` of them, rounded.

    Raises:
        ConfigError: the ratio is none, or would leave a part empty.
    """
    _check_ratio(ratio)
    num_train = round(ratio * len(names))
    if num_train in (0, len(names)):
        empty = "train" if num_train == 0 else "valid"
        raise ConfigError(f"ratio: {ratio} of {len(names)} demos leaves '{empty}' empty; {_ratio_remedy(len(names))}")
    chosen = set(np.random.default_rng(seed).permutation(len(names))[:num_train].tolist())
    train = tuple(name for index, name in enumerate(names) if index in chosen)
    return train, tuple(name for index, name in enumerate(names) if index not in chosen)


def hold_out_sources(used: np.ndarray, ratio: float, seed: int) -> list[int]:
    """Indices of the source demos to hold out, so that `ratio` of the demos use none of them, as nearly as possible.

    Of equally good sets one of the smallest is taken, at random.

    Args:
        used: (D, S) bool, whether a demo has a segment of a source demo.

    Raises:
        ConfigError: the ratio is none, or every choice would leave `train` or `valid` empty.
    """
    _check_ratio(ratio)
    rng = np.random.default_rng(seed)
    candidates = _candidates(used.shape[1], rng)
    # Of many demos few have different sources: count the kinds.
    kinds, counts = np.unique(used, axis=0, return_counts=True)
    num_train = np.array([counts[~kinds[:, chosen].any(1)].sum() for chosen in candidates])
    usable = np.flatnonzero((num_train > 0) & (num_train < len(used)))
    if not len(usable):
        raise ConfigError(
            f"by_source_demo: whichever of the {used.shape[1]} source demos are held out, train or valid is empty; "
            "use by_source_demo=false, or generate from more source demos"
        )
    distance = np.abs(num_train[usable] - ratio * len(used))
    order = np.lexsort((rng.random(len(usable)), candidates[usable].sum(1), distance))
    return np.flatnonzero(candidates[usable[order[0]]]).tolist()


def _candidates(num_sources: int, rng: np.random.Generator) -> np.ndarray:
    """Sets of source demos that could be held out, (C, S) bool."""
    if num_sources <= _MAX_SOURCES:
        return (np.arange(2**num_sources)[:, None] >> np.arange(num_sources)) & 1 == 1
    sizes = rng.integers(1, num_sources, size=2**_MAX_SOURCES)
    ranks = rng.random((len(sizes), num_sources)).argsort(1)
    return ranks < sizes[:, None]


def _sources_used(file: h5py.File, names: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """(D, S) bool, whether a demo has a segment of a source demo, and the names of the S source demos."""
    indices = []
    for name in names:
        found = file["data"][name].attrs.get("source_demos")
        if found is None or np.asarray(found).dtype.kind not in "iu":
            raise SourceDataError(
                f"{file.filename}: {name}: no attribute 'source_demos' with indices of what it was made from; "
                "use by_source_demo=false"
            )
        indices.append(np.unique(found))
    num_sources = 1 + max(int(each.max(initial=-1)) for each in indices)
    used = np.zeros((len(names), num_sources), dtype=bool)
    for row, each in zip(used, indices, strict=True):
        row[each[each >= 0]] = True
    named = [str(name) for name in file["data"].attrs.get("source_demo_names", ())]
    return used, [named[index] if index < len(named) else f"source demo {index}" for index in range(num_sources)]


def _check_ratio(ratio: float) -> None:
    if not 0.0 < ratio < 1.0:
        raise ConfigError(f"ratio: {ratio}, expected a number between 0 and 1, both excluded, such as 0.8")


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

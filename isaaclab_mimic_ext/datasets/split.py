"""Split a dataset into training and validation demos: robomimic's filter keys `mask/train` and `mask/valid`."""

# D demos, S source demos, C candidate sets of sources to hold out

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from isaaclab_mimic_ext.config.deprecated import renamed_arguments
from isaaclab_mimic_ext.errors import ConfigError, OutputError, SourceDataError
from isaaclab_mimic_ext.files.attributes import attribute
from isaaclab_mimic_ext.files.dataset_file import fixed_texts
from isaaclab_mimic_ext.files.hdf5 import open_hdf5, text_of, texts_of
from isaaclab_mimic_ext.files.opening import open_file
from isaaclab_mimic_ext.files.selection import Chosen, usable_demos
from isaaclab_mimic_ext.files.writing import unwritable
from isaaclab_mimic_ext.progress import tracked
from isaaclab_mimic_ext.texts import counted

_MAX_SOURCES = 12
"""Largest number of source demos of which all subsets are tried. With more, a random sample of subsets is tried."""
_MIN_FREE_BYTES = 4 * 10**6
"""Required free space on the disk; the masks of 10,000 demos need a twentieth of it."""


@dataclass(frozen=True)
class Split:
    """Result of a split.

    Attributes:
        train, valid: names of the demos in natural order.
        replaced: whether the file already had a split.
        held_out: names of the source demos that no demo of `train` was generated from; empty unless `by_source_demo`.
    """

    train: tuple[str, ...]
    valid: tuple[str, ...]
    replaced: bool
    held_out: tuple[str, ...] = ()


@renamed_arguments(path="input_file")
def split_dataset(
    input_file: str | Path, ratio: float = 0.8, seed: int = 1, by_source_demo: bool = False, demos: Chosen = None
) -> Split:
    """Draw a random split and write it into the file. An existing split is replaced, other masks are kept.

    Args:
        ratio: fraction of the demos in `train`, 0 to 1, both excluded.
        seed: seed of the draw.
        by_source_demo: hold out source demos. `valid` are the demos with a segment of a held-out source demo, `train` all
            other demos. The source demos are chosen so that the size of `train` is as close to `ratio` as possible.
        demos: demos to split: names of demos and masks, with `-` in front to exclude them; None: all.

    Raises:
        ConfigError: the ratio is out of range, or would leave `train` or `valid` empty.
        SourceDataError: the file is missing or damaged, has no demos, or lacks `source_demos` (with `by_source_demo`).
        OutputError: the file cannot be written, or the disk is full; the file is unchanged.
    """
    held_out: tuple[str, ...] = ()
    with open_hdf5(input_file) as file:
        names = usable_demos(file, demos)
        if isinstance(file.get("mask"), h5py.Dataset):
            raise OutputError(f"{input_file}: mask: must be a group of masks (got a dataset); rename the dataset")
        if by_source_demo:
            used, source_names = _sources_used(file, names)
        originals = [text_of(file["data"][name].attrs.get("copy_of", name)) for name in names]
    if by_source_demo:
        sources = hold_out_sources(used, ratio, seed)
        held_out = tuple(source_names[index] for index in sources)
        in_valid = np.any(used[:, sources], axis=1).tolist()
    else:
        # Copies of a demo (`mimic render copies=`) are in the mask of their demo.
        chosen = {*draw_split(list(dict.fromkeys(originals)), ratio, seed)[1]}
        in_valid = [original in chosen for original in originals]
    train = tuple(name for name, is_valid in zip(names, in_valid, strict=True) if not is_valid)
    valid = tuple(name for name, is_valid in zip(names, in_valid, strict=True) if is_valid)
    _check_free_space(Path(input_file))
    try:
        with open_file(input_file, "r+") as file:
            replaced = _write_masks(file, {"train": train, "valid": valid})
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise unwritable(Path(input_file), error, remedy="check permissions and disk space", kind=OutputError) from error
    return Split(train, valid, replaced, held_out)


def _check_free_space(path: Path) -> None:
    """Refuse a full disk. If HDF5 runs out of space during a change, the process dies and the file may be damaged."""
    if shutil.disk_usage(path.absolute().parent).free < _MIN_FREE_BYTES:
        remedy = f"free {_MIN_FREE_BYTES / 1e6:.0f} MB and run again"
        raise OutputError(f"{path}: the split cannot be written: the disk is full; {remedy}")


def draw_split(names: Sequence[str], ratio: float, seed: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Draw a random split of `names` into two parts, each in the order of `names`; the first has round(ratio * D) names.

    Raises:
        ConfigError: the ratio is out of range, or would leave a part empty.
    """
    _check_ratio(ratio)
    num_train = round(ratio * len(names))
    if num_train in (0, len(names)):
        empty = "train" if num_train == 0 else "valid"
        raise ConfigError(f"ratio: must not leave '{empty}' empty (got {ratio}); {_ratio_remedy(len(names))}")
    chosen = set(np.random.default_rng(seed).permutation(len(names))[:num_train].tolist())
    train = tuple(name for index, name in enumerate(names) if index in chosen)
    return train, tuple(name for index, name in enumerate(names) if index not in chosen)


def hold_out_sources(used: np.ndarray, ratio: float, seed: int) -> list[int]:
    """Choose source demos to hold out, so that the fraction of demos that use none of them is closest to `ratio`.

    Among sets of equal distance to `ratio`, a random one of the smallest is chosen.

    Args:
        used: mask of the source demos that each demo has segments of, shape (D, S) bool.

    Returns:
        Indices of the source demos to hold out.

    Raises:
        ConfigError: the ratio is out of range, or every set would leave `train` or `valid` empty.
    """
    _check_ratio(ratio)
    rng = np.random.default_rng(seed)
    candidates = _candidates(used.shape[1], rng)
    # Many demos use the same set of source demos: count each set once.
    kinds, counts = np.unique(used, axis=0, return_counts=True)
    num_train = np.array([counts[~kinds[:, chosen].any(1)].sum() for chosen in candidates])
    usable = np.flatnonzero((num_train > 0) & (num_train < len(used)))
    if not len(usable):
        raise ConfigError(
            f"by_source_demo: holding out any of {counted(used.shape[1], 'source demo')} leaves train or valid empty; "
            "use by_source_demo=false, or generate from more source demos"
        )
    distance = np.abs(num_train[usable] - ratio * len(used))
    order = np.lexsort((rng.random(len(usable)), candidates[usable].sum(1), distance))
    return np.flatnonzero(candidates[usable[order[0]]]).tolist()


def _candidates(num_sources: int, rng: np.random.Generator) -> np.ndarray:
    """Candidate sets of source demos to hold out, shape (C, S) bool."""
    if num_sources <= _MAX_SOURCES:
        return (np.arange(2**num_sources)[:, None] >> np.arange(num_sources)) & 1 == 1
    sizes = rng.integers(1, num_sources, size=2**_MAX_SOURCES)
    ranks = rng.random((len(sizes), num_sources)).argsort(1)
    return ranks < sizes[:, None]


def _sources_used(file: h5py.File, names: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Mask of the source demos that each demo has segments of, shape (D, S) bool, and the names of the source demos."""
    indices = []
    for name in tracked(names, "reading", len(names)):
        found = file["data"][name].attrs.get("source_demos")
        if found is None or np.asarray(found).dtype.kind not in "iu":
            raise SourceDataError(
                f"{file.filename}: {name}: by_source_demo requires attribute 'source_demos' with indices of source demos, "
                "which is missing; use by_source_demo=false"
            )
        indices.append(np.unique(found))
    num_sources = 1 + max(int(each.max(initial=-1)) for each in indices)
    used = np.zeros((len(names), num_sources), dtype=bool)
    for row, each in zip(used, indices, strict=True):
        row[each[each >= 0]] = True
    known = texts_of(attribute(file["data"], "source_demo_names", ()))
    return used, [known[index] if index < len(known) else f"source demo {index}" for index in range(num_sources)]


def _check_ratio(ratio: float) -> None:
    if not 0.0 < ratio < 1.0:
        raise ConfigError(f"ratio: must be > 0 and < 1 (got {ratio}); use 0.8, for example")


def _ratio_remedy(num_demos: int) -> str:
    if num_demos < 2:
        return f"a split requires at least two demos (the file has {num_demos})"
    return f"with {counted(num_demos, 'demo')}, use {1 / num_demos:.3g} to {1 - 1 / num_demos:.3g}"


def _write_masks(file: h5py.File, masks: dict[str, tuple[str, ...]]) -> bool:
    """Write masks and return whether one of them existed."""
    group = file.require_group("mask")
    replaced = any(name in group for name in masks)
    for name, demos in masks.items():
        if name in group:
            del group[name]
        group[name] = fixed_texts(demos)
    return replaced

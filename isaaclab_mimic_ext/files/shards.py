"""Shards: files with the demos of a large dataset, which a small file presents as one dataset, with one link per demo.

The links are relative: `demo.hdf5` and the folder `demo_shards` next to it can be moved together. The shards of collected
blocks are the datasets of the blocks.
"""

import os
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np

from isaaclab_mimic_ext.errors import SourceDataError
from isaaclab_mimic_ext.files.attributes import attribute, whole_number
from isaaclab_mimic_ext.files.faults import DAMAGE
from isaaclab_mimic_ext.files.opening import open_file

NUM_SHARDS = "num_shards"
"""Name of the attribute of the group `data` that contains the number of shards; a dataset in one file does not have it."""
LINKED_FILES = "linked_files"
"""Name of the attribute of the group `data` that lists the files of the demos, if they have other names than shards."""
_FIRST_DEMO = "demo_0"
_MAX_SHARDS = 100_000
"""Larger numbers are damaged."""


def shard_folder(path: Path) -> Path:
    """Folder of the shards of a dataset."""
    return path.with_name(f"{path.stem}_shards")


def shard_path(path: Path, index: int) -> Path:
    """Path of a shard of a dataset."""
    return shard_folder(path) / f"{path.stem}_{index:05d}{path.suffix}"


def shards_of(file: h5py.File) -> list[Path]:
    """Paths of the files with the demos of a dataset; empty if its demos are in the dataset itself.

    Raises:
        SourceDataError: a shard is not found. (HDF5 would search it in the working directory, too.)
    """
    names = _names(file.get("data"))
    dataset = Path(os.fsdecode(file.filename))
    parent = (dataset.resolve() if dataset.is_symlink() else dataset).parent
    present = {folder: _content(parent / folder) for folder in {name.parent for name in names}}
    absent = [name for name in names if name.name not in present[name.parent]]
    if absent:
        raise SourceDataError(
            f"{dataset}: shards not found: {parent / absent[0]} ({len(absent)} of {len(names)} missing); copy the folder "
            f"{absent[0].parts[0]} that belongs to {dataset.name} next to it"
        )
    return [parent / name for name in names]


def _names(data: h5py.Group | None) -> list[Path]:
    """Paths of the shards relative to the folder of the dataset."""
    if not isinstance(data, h5py.Group):
        return []
    listed = np.ravel(attribute(data, LINKED_FILES, ()))
    if listed.dtype.kind in "SO":
        return [Path(os.fsdecode(name)) for name in listed.tolist() if isinstance(name, bytes | str) and name]
    number = min(whole_number(data.attrs.get(NUM_SHARDS)) or 0, _MAX_SHARDS)
    link = data.get(_FIRST_DEMO, getlink=True) if number else None
    if not isinstance(link, h5py.ExternalLink):
        return []
    linked = Path(link.filename)
    stem = linked.name.rpartition("_")[0]
    return [linked.with_name(shard_path(Path(f"{stem}.hdf5"), index).name) for index in range(number)]


def _content(folder: Path) -> set[str]:
    return {*os.listdir(folder)} if folder.is_dir() else set()


def damaged_shard(path: Path) -> Path | None:
    """First shard of a dataset that HDF5 cannot open; None if there is none."""
    with suppress(SourceDataError, *DAMAGE):
        with open_file(path) as file:
            shards = shards_of(file)
        for shard in shards:
            try:
                open_file(shard).close()
            except DAMAGE:
                return shard
    return None


def size_of(path: Path, shards: list[Path]) -> int:
    """Size of a dataset with its shards [bytes]."""
    return sum(each.stat().st_size for each in (path, *shards))

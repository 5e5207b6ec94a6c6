"""Shards: files with the demos of a large dataset, which a small file presents as one dataset, with one link per demo.

The links are relative: `demo.hdf5` and the folder `demo_shards` next to it can be moved together.
"""

import os
from pathlib import Path

import h5py

from isaaclab_mimic_ext.errors import SourceDataError
from isaaclab_mimic_ext.files.attributes import whole_number

NUM_SHARDS = "num_shards"
"""Name of the attribute of the group `data` that contains the number of shards; a dataset in one file does not have it."""
_FIRST_DEMO = "demo_0"


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
    data = file.get("data")
    number = (whole_number(data.attrs.get(NUM_SHARDS)) if isinstance(data, h5py.Group) else None) or 0
    link = data.get(_FIRST_DEMO, getlink=True) if number else None
    if not isinstance(link, h5py.ExternalLink):
        return []
    dataset = Path(os.fsdecode(file.filename))
    folder = (dataset.resolve() if dataset.is_symlink() else dataset).parent / Path(link.filename).parent
    stem = Path(link.filename).name.rpartition("_")[0]
    present = {*os.listdir(folder)} if folder.is_dir() else set()
    shards = []
    for index in range(number):
        shards.append(folder / shard_path(Path(f"{stem}.hdf5"), index).name)
        if shards[-1].name not in present:
            missing = max(1, number - len(present))
            raise SourceDataError(
                f"{dataset}: shards not found: {shards[-1]} ({missing} of {number} missing); copy the folder {folder.name} "
                f"that belongs to {dataset.name} next to it"
            )
    return shards


def size_of(path: Path, shards: list[Path]) -> int:
    """Size of a dataset with its shards [bytes]."""
    return sum(each.stat().st_size for each in (path, *shards))

"""Digests (SHA-256) of the data of a file and of a demo."""

import hashlib
from collections.abc import Collection, Iterator
from pathlib import Path

import h5py
import numpy as np

from isaaclab_mimic_ext.errors import OutputError, SourceDataError
from isaaclab_mimic_ext.files.attributes import attribute
from isaaclab_mimic_ext.files.dataset_file import DIGEST, digest_fault, fixed, leaves_digest
from isaaclab_mimic_ext.files.hdf5 import datasets_below, demo_names, open_hdf5
from isaaclab_mimic_ext.files.opening import open_file
from isaaclab_mimic_ext.files.writing import HDF5_ERRORS, write_errors
from isaaclab_mimic_ext.progress import phase

ORIGINAL_DIGEST = "original_digest"
"""Name of the attribute of a changed demo that contains the digest of its writer."""
_BLOCK_BYTES = 16 * 2**20
"""Amount of data that is read at a time [bytes]."""


def dataset_digest(path: str | Path) -> str:
    """SHA-256 (hex) of path, dtype, shape and bytes of every HDF5 dataset of a file, in natural order.

    Attributes, compression and the order of writing do not count. Two files with the same digest contain the same data.

    Raises:
        SourceDataError: the file is missing or damaged, or a large dataset has no stored values.
    """
    update, demos = phase("reading"), set()
    with open_hdf5(path) as file:
        digest, num_demos = hashlib.sha256(), len(file.get("data", ()))
        for name, dataset in datasets_below(file):
            demos.add("/".join(name.split("/")[:2]))
            update(min(len(demos) - 1, num_demos), num_demos)
            digest.update(f"{name}\0{dataset.dtype.str}\0{dataset.shape}\0".encode())
            for block in _blocks(dataset):
                digest.update(block)
        update(num_demos, num_demos)
        return digest.hexdigest()


def demo_digest(group: h5py.Group) -> str:
    """SHA-256 (hex) of all datasets of a demo, as its writer stored it in the attribute `digest`."""
    return leaves_digest({path: dataset for path, dataset in datasets_below(group) if dataset.shape is not None})


def check_demo_digest(group: h5py.Group) -> None:
    """Compare the data of a demo with its attribute `digest`; a demo without this attribute passes.

    Raises:
        SourceDataError: the data does not match the digest.
    """
    if not matches_digest(group):
        name = group.name.removeprefix("/data/")
        raise SourceDataError(digest_fault(Path(group.file.filename), f"{name}: the data"))


def matches_digest(group: h5py.Group) -> bool:
    """Return whether the data of a demo match its attribute `digest`; true without this attribute."""
    written = attribute(group, DIGEST)
    if written is None:
        return True
    text = written.decode(errors="replace") if isinstance(written, bytes) else str(written)
    return text == demo_digest(group)


def renew_digests(path: str | Path, names: Collection[str]) -> tuple[str, ...]:
    """Accept the changes of demos: give each of `names` whose data differ from its digest the digest of its data.

    The digest of its writer stays in the attribute `original_digest`.

    Returns:
        The names of these demos.

    Raises:
        SourceDataError: the file is missing or damaged.
        OutputError: the file cannot be written.
    """
    with open_hdf5(path) as file:
        changed = tuple(name for name in demo_names(file) if name in names and not matches_digest(file["data"][name]))
    if not changed:
        return ()
    with (
        write_errors(Path(path), "input_file", "check permissions and disk space", OutputError, HDF5_ERRORS),
        open_file(path, "r+") as file,
    ):
        for name in changed:
            demo = file["data"][name]
            demo.attrs.setdefault(ORIGINAL_DIGEST, demo.attrs[DIGEST])
            demo.attrs[DIGEST] = fixed(demo_digest(demo))
    return changed


def _blocks(dataset: h5py.Dataset) -> Iterator[bytes]:
    if dataset.shape is None:
        return
    if dataset.ndim == 0:
        yield _bytes(np.asarray(dataset[()]))
        return
    _check_stored(dataset)
    row_size = max(1, dataset.dtype.itemsize * int(np.prod(dataset.shape[1:], dtype=np.int64)))
    num_rows = max(1, _BLOCK_BYTES // row_size)
    for start in range(0, len(dataset), num_rows):
        yield _bytes(dataset[start : start + num_rows])


def _check_stored(dataset: h5py.Dataset) -> None:
    """Refuse a large dataset without stored values: a file of a few kB can declare terabytes of fill values."""
    is_elsewhere = dataset.is_virtual or dataset.external
    if dataset.nbytes > _BLOCK_BYTES and not is_elsewhere and dataset.id.get_storage_size() == 0:
        place, size = f"{dataset.file.filename}: {dataset.name.removeprefix('/')}", f"{dataset.nbytes / 1e6:,.0f} MB"
        raise SourceDataError(f"{place}: has {size} of values, none of which are stored; was it written completely?")


def _bytes(values: np.ndarray) -> bytes:
    if values.dtype.kind != "O":
        return values.tobytes()
    # An array of variable-length strings contains addresses; the digest is of the texts.
    return b"".join(repr(value).encode() + b"\0" for value in values.ravel())

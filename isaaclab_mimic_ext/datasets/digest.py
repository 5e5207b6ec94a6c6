"""One number for everything that a dataset holds."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from isaaclab_mimic_ext.datasets.hdf5 import datasets_below, open_hdf5

_BLOCK = 16 * 2**20
"""Bytes that are read at a time."""


def dataset_digest(path: str | Path) -> str:
    """SHA-256, as hex, over path, dtype, shape and bytes of every HDF5 dataset of a file, in natural order.

    Attributes, compression and the order of writing do not enter, so that two files with the same digest hold the same data.

    Raises:
        SourceDataError: the file is missing or damaged.
    """
    with open_hdf5(path) as file:
        digest = hashlib.sha256()
        for name, dataset in datasets_below(file):
            digest.update(f"{name}\0{dataset.dtype.str}\0{dataset.shape}\0".encode())
            for block in _blocks(dataset):
                digest.update(block)
        return digest.hexdigest()


def _blocks(dataset: h5py.Dataset) -> Iterator[bytes]:
    if dataset.shape is None:
        return
    if dataset.ndim == 0:
        yield _bytes(np.asarray(dataset[()]))
        return
    row_size = max(1, dataset.dtype.itemsize * int(np.prod(dataset.shape[1:], dtype=np.int64)))
    num_rows = max(1, _BLOCK // row_size)
    for start in range(0, len(dataset), num_rows):
        yield _bytes(dataset[start : start + num_rows])


def _bytes(values: np.ndarray) -> bytes:
    if values.dtype.kind != "O":
        return values.tobytes()
    # Of strings of any length the array holds addresses; their texts count.
    return b"".join(repr(value).encode() + b"\0" for value in values.ravel())

"""Write the datasets and attributes of a demo through h5py's low-level calls, with a third of the CPU time of its groups.

HDF5 creates the datasets. Their values, which HDF5 places one after the other, are then written with one call of the system
instead of one call per dataset. So a full disk is reported here: HDF5 ignores errors that occur when it releases an object.
"""

# T steps of one demo

import os
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from typing import Any

import h5py
import numpy as np

from isaaclab_mimic_ext.files.attributes import MAX_BYTES, num_bytes, set_attribute

METADATA_BLOCK_BYTES = 1 << 16
"""Size of the blocks of a file for metadata; between smaller blocks, fewer values are neighbors [bytes]."""
_MIN_COMPRESSED_BYTES = 2048
"""Datasets up to this size are not compressed: the index of a compressed dataset would be larger [bytes]."""
_MAX_CHUNK_BYTES = 1 << 20
"""Largest chunk of a compressed dataset [bytes]."""
_MAX_BUFFERS = 512
"""Largest number of arrays in one call of the system; Linux accepts 1024."""
_PLAIN_KINDS = "biuf"
"""Kinds of NumPy's dtypes whose bytes in memory are their bytes in the file."""


def create_datasets(group: h5py.Group, leaves: Mapping[str, np.ndarray], compression: str) -> None:
    """Write arrays (T, ...), given by path below a new group, as datasets.

    Args:
        compression: `none`, `lzf` or `gzip`.

    Raises:
        OSError: the file cannot be written.
    """
    groups = {"": group.id}
    placed: list[tuple[int, memoryview]] = []
    for path, values in leaves.items():
        if values.dtype.kind not in _PLAIN_KINDS or (compression != "none" and values.nbytes > _MIN_COMPRESSED_BYTES):
            _create_in_chunks(group, path, values, compression)
            continue
        parent, _, name = path.rpartition("/")
        dataset = h5py.h5d.create(
            _group(groups, parent), name.encode(), datatype(values.dtype), dataspace(values.shape), _allocated_at_once()
        )
        if values.nbytes:
            placed.append((dataset.get_offset(), np.ascontiguousarray(values).reshape(-1).view(np.uint8).data.cast("B")))
    descriptor = group.file.id.get_vfd_handle() if placed else -1
    for offset, arrays in _neighbors(placed):
        _write_at(descriptor, offset, arrays)


def _create_in_chunks(group: h5py.Group, path: str, values: np.ndarray, compression: str) -> None:
    options: dict[str, Any] = {}
    if compression != "none" and values.nbytes > _MIN_COMPRESSED_BYTES:
        rows = max(1, _MAX_CHUNK_BYTES // values[0].nbytes)
        options = {"compression": compression, "shuffle": True, "chunks": (min(rows, len(values)), *values.shape[1:])}
    group.create_dataset(path, data=values, **options).flush()


def _group(groups: dict[str, h5py.h5g.GroupID], path: str) -> h5py.h5g.GroupID:
    """Return the group at a path from `groups`, to which missing groups are added."""
    found = groups.get(path)
    if found is None:
        parent, _, name = path.rpartition("/")
        owner = _group(groups, parent)
        is_known = name.encode() in owner  # `_create_in_chunks` may have created it.
        found = groups[path] = h5py.h5g.open(owner, name.encode()) if is_known else h5py.h5g.create(owner, name.encode())
    return found


def _neighbors(placed: list[tuple[int, memoryview]]) -> Iterator[tuple[int, list[memoryview]]]:
    """Yield offset and arrays of the sections of a file in which arrays follow each other without gaps."""
    start, end = 0, -1
    arrays: list[memoryview] = []
    for offset, array in sorted(placed, key=lambda place: place[0]):
        if offset != end or len(arrays) == _MAX_BUFFERS:
            if arrays:
                yield start, arrays
            start, arrays = offset, []
        arrays.append(array)
        end = offset + array.nbytes
    if arrays:
        yield start, arrays


def _write_at(descriptor: int, offset: int, arrays: list[memoryview]) -> None:
    num_bytes = sum(array.nbytes for array in arrays)
    written = os.pwritev(descriptor, arrays, offset)
    if written < num_bytes:  # The disk is full, or a signal arrived; the next call reports the reason.
        rest = memoryview(b"".join(arrays))
        while written < num_bytes:
            written += os.pwrite(descriptor, rest[written:], offset + written)


def set_attributes(owner: h5py.Group, attributes: Mapping[str, Any]) -> None:
    """Set attributes that do not exist yet; numbers, arrays of numbers and texts of fixed length without h5py's checks."""
    for name, value in attributes.items():
        array = np.asarray(value, order="C")
        is_plain = array.dtype.kind in _PLAIN_KINDS or isinstance(value, np.bytes_)
        if not is_plain or num_bytes(array) > MAX_BYTES:
            set_attribute(owner, name, value)
            continue
        of_file = datatype(array.dtype)
        h5py.h5a.create(owner.id, name.encode(), of_file, dataspace(array.shape)).write(array, mtype=of_file)


@lru_cache(maxsize=1024)
def datatype(dtype: np.dtype[Any]) -> h5py.h5t.TypeID:
    """HDF5's type of a dtype, as h5py stores it."""
    return h5py.h5t.py_create(dtype, logical=True)


@lru_cache(maxsize=1024)
def dataspace(shape: tuple[int, ...]) -> h5py.h5s.SpaceID:
    """HDF5's description of a shape."""
    return h5py.h5s.create_simple(shape) if shape else h5py.h5s.create(h5py.h5s.SCALAR)


@cache
def _allocated_at_once() -> h5py.h5p.PropDCID:
    """Creation properties of a dataset that gets its place in the file when it is created, without fill values.

    Without times of changes, equal datasets have equal bytes in the file.
    """
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    properties.set_obj_track_times(False)
    return properties

"""Write the datasets and attributes of a demo through h5py's low-level calls, with a fifth of the CPU time of its groups.

Small datasets are copied from a template (`demo_templates.py`). HDF5 creates the large ones. Their values, which HDF5 places
one after the other, are then written with one call of the system instead of one call per dataset. So a full disk is reported
here: HDF5 ignores errors that occur when it releases an object.
"""

# T steps of one demo

from collections.abc import Iterator, Mapping
from typing import Any

import h5py
import numpy as np

from isaaclab_mimic_ext.files import demo_templates
from isaaclab_mimic_ext.files.attributes import MAX_BYTES, num_bytes, set_attribute
from isaaclab_mimic_ext.files.demo_templates import allocated_at_once, copy_from_template, dataspace, datatype
from isaaclab_mimic_ext.files.writing import write_at

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


def create_demo(
    data: h5py.Group, name: str, leaves: Mapping[str, np.ndarray], attributes: Mapping[str, Any], compression: str
) -> None:
    """Create the group of a demo, and write arrays (T, ...), given by path below it, as datasets.

    Args:
        data: group in which the demo is created.
        attributes: attributes of the demo.
        compression: `none`, `lzf` or `gzip`.

    Raises:
        OSError, RuntimeError: the file cannot be written.
    """
    leaves = {path: values if values.flags.c_contiguous else np.ascontiguousarray(values) for path, values in leaves.items()}
    small = {
        path: values
        for path, values in leaves.items()
        if 0 < values.nbytes <= demo_templates.MAX_BYTES and _is_plain(values, compression)
    }
    arrays = {each: np.asarray(value, order="C") for each, value in attributes.items()}
    plain = {each: array for each, array in arrays.items() if _is_plain_attribute(array, attributes[each])}
    copy_from_template(data, name, small, plain)
    if len(small) == len(leaves) and len(plain) == len(arrays):
        return
    demo = data[name]
    _create_datasets(demo, {path: values for path, values in leaves.items() if path not in small}, compression)
    for each, value in attributes.items():
        if each not in plain:
            set_attribute(demo, each, value)


def _is_plain_attribute(array: np.ndarray, value: Any) -> bool:
    """Return whether an attribute has numbers or a text of fixed length, and is short enough for HDF5."""
    return (array.dtype.kind in _PLAIN_KINDS or isinstance(value, np.bytes_)) and num_bytes(array) <= MAX_BYTES


def _is_plain(values: np.ndarray, compression: str) -> bool:
    """Return whether an array is written as it is in memory, in one piece."""
    return values.dtype.kind in _PLAIN_KINDS and (compression == "none" or values.nbytes <= _MIN_COMPRESSED_BYTES)


def _create_datasets(group: h5py.Group, leaves: Mapping[str, np.ndarray], compression: str) -> None:
    groups = {"": group.id}
    placed: list[tuple[int, memoryview]] = []
    for path, values in leaves.items():
        if not _is_plain(values, compression):
            _create_in_chunks(group, path, values, compression)
            continue
        parent, _, name = path.rpartition("/")
        dataset = h5py.h5d.create(
            _group(groups, parent), name.encode(), datatype(values.dtype), dataspace(values.shape), allocated_at_once()
        )
        if values.nbytes:
            placed.append((dataset.get_offset(), values.reshape(-1).view(np.uint8).data.cast("B")))
    descriptor = group.file.id.get_vfd_handle() if placed else -1
    for offset, arrays in _neighbors(placed):
        write_at(descriptor, offset, arrays)


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
        is_known = name.encode() in owner  # The template or `_create_in_chunks` may have created it.
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

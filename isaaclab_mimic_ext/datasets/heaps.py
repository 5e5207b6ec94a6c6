"""Whether the texts of any length in an HDF5 file can be read: from a damaged heap HDF5 never ends reading one.

Such a text lies in a global heap: a collection of objects, each of which says where the next one begins. HDF5 (2.0 and
before) follows them until the collection's end, without looking whether they lead there. Here they are followed first.
Source: HDF5 File Format Specification 3.0, III.E "Global Heap".
"""

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path

_SIGNATURE = b"GCOL\x01\x00\x00\x00"
_HEADER = 16
"""Of a collection, and of each object in it [bytes]."""
_WHOLE, _PART = 2**28, 2**26
"""A file up to the one is searched whole, a larger one for the other at its begin and end [bytes]: heaps of attributes
are written with the first demos, or last of all."""
_PIECE = 2**23
"""Searched, and then forgotten; whole pages [bytes]."""


def damaged_heap(path: Path) -> int | None:
    """Where a global heap of a file begins that HDF5 would not come to the end of, or None."""
    if path.stat().st_size < _HEADER:
        return None
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return next((start for start in _collections(data) if not _leads_to_its_end(data, start)), None)


def _collections(data: mmap.mmap) -> Iterator[int]:
    size = len(data)
    last = (size - _PART) // _PIECE * _PIECE
    for begin in range(0, size, _PIECE) if size <= _WHOLE else [*range(0, _PART, _PIECE), *range(last, size, _PIECE)]:
        end = min(begin + _PIECE + len(_SIGNATURE) - 1, size)
        start = data.find(_SIGNATURE, begin, end)
        while start >= 0:
            yield start
            start = data.find(_SIGNATURE, start + 1, end)
        # Whoever reads a file to its end should not be counted all of it as memory.
        data.madvise(mmap.MADV_DONTNEED, begin, end - begin)


def _leads_to_its_end(data: mmap.mmap, start: int) -> bool:
    (size,) = struct.unpack_from("<Q", data, start + 8) if start + _HEADER <= len(data) else (0,)
    if not _HEADER <= size <= len(data) - start:
        return True  # HDF5 notices by itself, if this is a heap at all.
    position = _HEADER
    while size - position >= _HEADER:
        index, length = struct.unpack_from("<H6xQ", data, start + position)
        step = _HEADER + (length + 7) // 8 * 8 if index else length
        if not 0 < step <= size - position:
            return False
        position += step
    return True

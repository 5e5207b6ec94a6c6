"""Rows of an episode as bytes for the store: a checksum, a description of the arrays, and their values."""

# T steps of an episode, W columns of a row

import json
import math
import struct
import zlib
from collections.abc import Mapping

import numpy as np

_CHECKSUM, _LENGTH = struct.Struct("<I"), struct.Struct("<I")
_ALIGNMENT = 16
"""The values start at a multiple of this number [bytes]."""


def to_bytes(rows: Mapping[str, np.ndarray]) -> bytes:
    """Convert rows (T, W), given by name, to bytes."""
    return b"".join(to_parts(rows))


def to_parts(rows: Mapping[str, np.ndarray]) -> list[memoryview]:
    """Bytes of rows (T, W), given by name, in consecutive parts, without a copy of the values; the first is the checksum."""
    described = json.dumps([[name, values.dtype.str, values.shape] for name, values in rows.items()]).encode()
    described += b" " * (-(_CHECKSUM.size + _LENGTH.size + len(described)) % _ALIGNMENT)
    parts = [memoryview(_LENGTH.pack(len(described))), memoryview(described), *map(_bytes_of, rows.values())]
    checksum = 0
    for part in parts:
        checksum = zlib.crc32(part, checksum)
    return [memoryview(_CHECKSUM.pack(checksum)), *parts]


def checksum_of(content: memoryview) -> int:
    """Checksum at the begin of the bytes of rows."""
    return int(_CHECKSUM.unpack_from(content)[0])


def to_rows(content: bytes | memoryview) -> dict[str, np.ndarray]:
    """Convert the bytes of `to_bytes` to rows; the arrays are read-only.

    Raises:
        ValueError: the bytes are damaged.
    """
    view = memoryview(content)
    if len(view) < _CHECKSUM.size + _LENGTH.size or zlib.crc32(view[_CHECKSUM.size :]) != _CHECKSUM.unpack_from(view)[0]:
        raise ValueError("its checksum does not match")
    start = _CHECKSUM.size + _LENGTH.size
    stop = start + _LENGTH.unpack_from(view, _CHECKSUM.size)[0]
    rows = {}
    for name, dtype, shape in json.loads(bytes(view[start:stop])):
        rows[name] = np.frombuffer(view, dtype, math.prod(shape), stop).reshape(shape)
        stop += rows[name].nbytes
    return rows


def _bytes_of(values: np.ndarray) -> memoryview:
    return np.ascontiguousarray(values).reshape(-1).view(np.uint8).data.cast("B")

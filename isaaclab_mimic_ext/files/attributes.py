"""Attributes of any size. HDF5 limits an attribute to 64 kB: a longer value is a dataset below the group `attributes`.

The dataset `attributes/data/merged_from` is the attribute `merged_from` of the group `data`. The group is next to `data`,
not in it, because robomimic takes every group in `data` for a demo.
"""

from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

LONG = "attributes"
"""Group of the file that contains the long attributes of all groups."""
MAX_BYTES = 60_000
"""Largest attribute that is stored as such [bytes]; HDF5 refuses 64 kB, a part of which describes the value."""

_READ_BY_OTHERS = ("env_args",)
"""Texts that robomimic reads as attributes."""
_REFERENCE_BYTES = 16
"""Size of a text of variable length in an attribute [bytes]; the text itself is stored elsewhere."""


def set_attribute(item: h5py.Group, name: str, value: Any) -> None:
    """Set an attribute of a group, as a dataset if it is too long for an attribute."""
    stored = np.asarray(value)
    path = _long_path(item, name)
    if path in item.file:
        del item.file[path]
    if num_bytes(stored) <= MAX_BYTES or name in _READ_BY_OTHERS:
        is_long = num_bytes(stored) > MAX_BYTES
        # A text of variable length may be long, but a damaged one may make HDF5 hang: short texts have a fixed length.
        item.attrs[name] = str(np.char.decode(stored, "utf-8")) if is_long and stored.dtype.kind == "S" else value
        return
    if name in item.attrs:
        del item.attrs[name]
    item.file[path] = np.char.encode(stored.astype(str), "utf-8") if stored.dtype.kind in "UO" else stored


def set_attributes(item: h5py.Group, attributes: Mapping[str, Any]) -> None:
    """Set several attributes of a group."""
    for name, value in attributes.items():
        set_attribute(item, name, value)


def attributes_of(item: h5py.Group) -> dict[str, Any]:
    """Attributes of a group, short and long ones."""
    return {**item.attrs, **long_attributes(item)}


def long_attributes(item: h5py.Group) -> dict[str, Any]:
    """Attributes of a group that are stored as datasets."""
    if LONG not in item.file:
        return {}
    group = item.file.get(_long_path(item))
    if not isinstance(group, h5py.Group):
        return {}
    return {name: each[()] for name, each in group.items() if isinstance(each, h5py.Dataset)}


def attribute(item: h5py.Group, name: str, default: Any = None) -> Any:
    """Read an attribute; return the default only if it does not exist. (`attrs.get` also returns it if reading fails.)"""
    if name in item.attrs:
        return item.attrs[name]
    return long_attributes(item).get(name, default)


def truth_value(value: Any) -> bool | None:
    """Return the value of an attribute that is true or false; None if it is neither, or is missing."""
    is_truth_value = value is not None and not np.ndim(value) and value in (0, 1)
    return bool(value) if is_truth_value else None


def whole_number(value: Any) -> int | None:
    """Return the value of an attribute that is a whole number; None if it is something else, or is missing."""
    is_number = isinstance(value, int | float | np.integer | np.floating) and value == value // 1
    return int(value) if is_number else None


def indices(value: Any) -> NDArray[np.int64]:
    """Return the indices in an attribute, of any shape; empty if the attribute contains something else, or is missing."""
    found = np.asarray(() if value is None else value)
    return found.astype(np.int64) if found.dtype.kind in "iu" else np.zeros(0, np.int64)


def copy_long_attributes(source: h5py.Group, target: h5py.Group) -> None:
    """Copy the attributes of a group that are stored as datasets. (HDF5 copies the others with the group.)"""
    set_attributes(target, long_attributes(source))


def num_bytes(stored: np.ndarray) -> int:
    """Size of a value in an attribute [bytes]."""
    return stored.size * (_REFERENCE_BYTES if stored.dtype.kind in "UO" else stored.itemsize)


def _long_path(item: h5py.Group, name: str = "") -> str:
    return "/".join(part for part in (LONG, str(item.name).strip("/"), name) if part)

"""Reading HDF5 files that may be missing, damaged, or something else altogether."""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from isaaclab_mimic_ext.errors import SourceDataError
from isaaclab_mimic_ext.files.quaternions import ENTRY

DAMAGE = (OSError, LookupError, RuntimeError, ValueError, TypeError, OverflowError, MemoryError)
"""What h5py raises, by the place of the damage."""
DEMOS_PER_OPENING = 500
"""HDF5 keeps some bytes for each object that it met, until the file is closed."""
NEWEST_FORMAT = 1
"""The highest `format_version` that this package knows; 0 is that of a file without the attribute."""

_REFERENCE = 16
"""Size of a reference to a value of variable length [bytes]."""
_CACHE = 128 * 2**10
"""Of metadata [bytes]. HDF5's own of 32 MB grows to hundreds with its overhead, and is slower."""


@contextmanager
def open_hdf5(path: str | Path) -> Iterator[h5py.File]:
    """Open a file for reading. What h5py raises within the block becomes an error that names the file.

    HDF5 may crash on, or never finish, a file whose global heaps are damaged; only `validate_dataset` detects that.

    Raises:
        SourceDataError: the file is missing, no HDF5 file, or damaged.
    """
    path = Path(path)
    if not path.exists():
        raise SourceDataError(f"{path}: there is no such file; check input_file")
    if path.is_dir():
        raise SourceDataError(f"{path}: is a folder, expected an HDF5 file; name the file in it")
    try:
        with h5py.File(path, "r") as file:
            limit_cache(file)
            yield file
    except PermissionError as error:
        raise SourceDataError(f"{path}: may not be read ({error.strerror}); change its permissions") from error
    except DAMAGE as error:
        raise SourceDataError(f"{path}: {_reason(path)} ({_one_line(error)}); copy or make the file again") from error


def each_demo(path: str | Path, names: Sequence[str]) -> Iterator[tuple[str, h5py.Group]]:
    """Demos in turn, in memory that does not grow with their number.

    Raises:
        SourceDataError: the file is missing or damaged.
    """
    for start in range(0, len(names), DEMOS_PER_OPENING):
        with open_hdf5(path) as file:
            for name in names[start : start + DEMOS_PER_OPENING]:
                yield name, file["data"][name]


def limit_cache(file: h5py.File, num_bytes: int = _CACHE) -> None:
    """Keep HDF5's cache of metadata small: whoever goes from demo to demo does not come back to one."""
    config = file.id.get_mdc_config()
    config.set_initial_size = True
    config.initial_size = config.min_size = config.max_size = num_bytes
    config.incr_mode = config.flash_incr_mode = config.decr_mode = 0  # Of a fixed size.
    file.id.set_mdc_config(config)


def demo_names(file: h5py.File) -> list[str]:
    """Names of the demos in `data`, in natural order.

    Raises:
        SourceDataError: the file has no group `data`, or no demos in it.
    """
    data = file.get("data")
    if not isinstance(data, h5py.Group):
        found = ", ".join(sorted(file)[:10]) or "nothing"
        raise SourceDataError(f"{file.filename}: no group 'data' (found: {found}); expected Isaac Lab's dataset layout")
    names = sorted((name for name in data if isinstance(data[name], h5py.Group)), key=natural_key)
    if not names:
        raise SourceDataError(f"{file.filename}: no demos in 'data'; record some first")
    return names


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key under which numbers in a name count as numbers: `demo_2` comes before `demo_10`."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name)
    # Equal as numbers, `01` and `1` still differ as text, which keeps the order total.
    return tuple((0, int(part), part) if part.isdecimal() and part.isascii() else (1, 0, part) for part in parts)


def format_version(file: h5py.File) -> int:
    """The version of a file's layout: 0 (quaternions wxyz) or 1 (xyzw).

    Raises:
        SourceDataError: it is of a version that this package does not know.
    """
    found = attribute(file, "format_version", 0)
    near = get_close_matches("format_version", file.attrs, cutoff=0.9)
    if near and near[0] != "format_version":
        # A file without it is read with rotations in another order.
        raise SourceDataError(f"{file.filename}: attribute {near[0]!r} looks like a damaged 'format_version'; copy it again")
    if np.ndim(found) or found not in range(NEWEST_FORMAT + 1):
        known = ", ".join(map(str, range(NEWEST_FORMAT + 1)))
        raise SourceDataError(
            f"{file.filename}: format_version is {found}, this version of isaaclab_mimic_ext knows {known}; update it"
        )
    return int(found)


def quaternion_columns(file: h5py.File) -> dict[str, tuple[int, ...]]:
    """Where a file's env_args say that quaternions begin, observation -> first columns; empty where they say nothing.

    Raises:
        SourceDataError: they cannot be read, or say it in another way.
    """
    try:
        declared = json.loads(attribute(file["data"], "env_args", "{}")).get(ENTRY, {})
        columns = {name: tuple(first) for name, first in declared.items()}
    except (ValueError, TypeError, AttributeError) as error:
        place = f"{file.filename}: data.attrs['env_args']"
        raise SourceDataError(f"{place}: no JSON object, or '{ENTRY}' is none ({error}); write the file again") from error
    for name, starts in columns.items():
        if not all(type(first) is int and first >= 0 for first in starts):
            place = f"{file.filename}: data.attrs['env_args']: {ENTRY}: {name}"
            raise SourceDataError(f"{place}: {list(starts)}, expected numbers of columns; write the file again")
    return columns


def attribute(item: h5py.Group, name: str, default: Any = None) -> Any:
    """An attribute, or the default where there is none; `attrs.get` takes one that cannot be read for none."""
    if name not in item.attrs:
        return default
    return item.attrs[name]


def datasets_below(group: h5py.Group, prefix: str = "") -> Iterator[tuple[str, h5py.Dataset]]:
    """Yield every dataset below a group with its path relative to it, in natural order.

    Raises:
        OSError: an object is damaged, and HDF5 would crash on it.
    """
    for key in sorted(group, key=natural_key):
        item = group[key]
        if isinstance(item, h5py.Group):
            yield from datasets_below(item, f"{prefix}{key}/")
        else:
            _check_dataset(item.id, item.name)
            yield f"{prefix}{key}", item


def check_objects_below(group: h5py.h5g.GroupID, path: str) -> None:
    """Refuse what `datasets_below` refuses, several times faster: nothing is sorted or wrapped.

    Raises:
        OSError: an object is damaged, and HDF5 would crash on it.
    """
    for name in group:
        item, where = h5py.h5o.open(group, name), f"{path}/{name.decode(errors='replace')}"
        if isinstance(item, h5py.h5g.GroupID):
            check_objects_below(item, where)
        else:
            _check_dataset(item, where)


def _check_dataset(item: Any, path: str) -> None:
    """Refuse objects on which HDF5 crashes: damage turned them into something else, or their numbers into references."""
    if not isinstance(item, h5py.h5d.DatasetID):
        raise OSError(f"{path}: neither a group nor a dataset")
    datatype = item.get_type()
    kind = datatype.get_class()
    if kind == h5py.h5t.VLEN or (kind == h5py.h5t.STRING and datatype.is_variable_str()):
        stored, expected = item.get_storage_size(), _REFERENCE * item.get_space().get_simple_extent_npoints()
        if stored not in (0, expected) and item.get_create_plist().get_layout() != h5py.h5d.CHUNKED:
            raise OSError(f"{path}: values of any length, in {stored} bytes")


def text_of(value: Any) -> str:
    """A text of a file, which is bytes where its length is fixed."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def plain_value(value: Any) -> Any:
    """The value of an attribute as what JSON knows; JSON texts are read."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list):
        return [plain_value(item) for item in value]
    if isinstance(value, bytes):
        value = text_of(value)
    if isinstance(value, str) and value[:1] in "{[":
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value if isinstance(value, str | int | float | bool) else str(value)


def _reason(path: Path) -> str:
    try:
        if h5py.is_hdf5(path):
            return "the file is damaged or incomplete"
    except DAMAGE:
        pass
    return "is no HDF5 file, or a truncated one"


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else f"{text[:157]}..."

"""Read HDF5 files that may be missing, damaged, or of a different format."""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from isaaclab_mimic_ext.command_lines import command_line
from isaaclab_mimic_ext.errors import SourceDataError
from isaaclab_mimic_ext.files.attributes import attribute
from isaaclab_mimic_ext.files.faults import DAMAGE, UNFINISHED, fault_of, link_fault
from isaaclab_mimic_ext.files.opening import open_file
from isaaclab_mimic_ext.files.quaternions import ENTRY
from isaaclab_mimic_ext.files.shards import damaged_shard, shards_of
from isaaclab_mimic_ext.files.writing import part_path, store_path

DEMOS_PER_OPENING = 500
"""Number of demos after which a file is opened again: HDF5 keeps memory for each object it read until the file is closed."""
NEWEST_FORMAT = 1
"""Highest `format_version` that this package can read; a file without the attribute has version 0."""

_REFERENCE_BYTES = 16
"""Size of a reference to a value of variable length [bytes]."""
_METADATA_CACHE_BYTES = 128 * 2**10
"""Size of HDF5's metadata cache [bytes]. The default of 32 MB is slower, and takes hundreds of MB with its overhead."""


@contextmanager
def open_hdf5(path: str | Path) -> Iterator[h5py.File]:
    """Open a file for reading. Errors of h5py within the block become errors that name the file.

    HDF5 may crash or hang on a file whose global heaps are damaged. Only `validate_dataset` detects such files.

    Raises:
        SourceDataError: the file is missing, damaged, or not an HDF5 file; another program writes it; or one of its shards
            is missing.
    """
    path = Path(path)
    check_is_file(path)
    with damage_errors(path), open_file(path) as file:
        limit_cache(file)
        shards_of(file)
        yield file


@contextmanager
def damage_errors(path: Path) -> Iterator[None]:
    """Convert the errors that h5py raises within the block, while it reads a file, to errors that name the file.

    Raises:
        SourceDataError: the file is damaged, or must not be read.
    """
    try:
        yield
    except PermissionError as error:
        raise SourceDataError(f"{path}: cannot be read: {error.strerror}; change its permissions") from error
    except DAMAGE as error:
        damaged = damaged_shard(path) or path
        raise SourceDataError(f"{damaged}: {fault_of(damaged, error)}") from error


def check_is_file(path: Path) -> None:
    """Check that an HDF5 file to read exists.

    Raises:
        SourceDataError: the path does not exist, is a folder, or is a pipe or device, whose reader could wait forever.
    """
    if not path.exists():
        if (store := store_path(path)).exists():
            raise SourceDataError(
                f"{path}: not found; its recording is unfinished, and its demos are in {store}; finish it with the command "
                "that started it: `mimic studio`, or `mimic record` with resume=true"
            )
        if _has_unfinished_run(path):
            resume = command_line("generate", resume=True, output_dir=path.parent)
            raise SourceDataError(
                f"{path}: not found; the run in {path.parent} is not finished; wait, or continue it with: {resume}"
            )
        if (part := part_path(path)).exists():
            raise SourceDataError(f"{path}: not found, but {part.name} exists; {UNFINISHED}")
        raise SourceDataError(f"{path}: not found; use the path of an existing HDF5 file")
    if path.is_dir():
        raise SourceDataError(f"{path}: must be an HDF5 file (got a folder); use a file in this folder")
    if not path.is_file():
        raise SourceDataError(f"{path}: must be an HDF5 file (got a pipe or a device); write its content to a file first")


def _has_unfinished_run(path: Path) -> bool:
    """Return whether a missing file is in the folder of a run that has not ended, or was interrupted."""
    if not (path.parent / "run.sqlite").exists():
        return False
    if part_path(path).exists():
        return True
    try:
        progress = json.loads((path.parent / "progress.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return path.name == "demo.hdf5" and isinstance(progress, dict) and progress.get("state") == "running"


def each_opening(path: str | Path, names: Sequence[str]) -> Iterator[tuple[h5py.File, Sequence[str]]]:
    """Open a file once for every few demos, and yield it with their names: memory does not grow with the number of demos.

    Errors of h5py in the body of the caller's loop are not converted: `damage_errors` does that.

    Raises:
        SourceDataError: the file is missing or damaged.
    """
    for start in range(0, len(names), DEMOS_PER_OPENING):
        with open_hdf5(path) as file:
            yield file, names[start : start + DEMOS_PER_OPENING]


def each_demo(path: str | Path, names: Sequence[str]) -> Iterator[tuple[str, h5py.Group]]:
    """Yield the name and the group of each demo, as `each_opening`. The group may be in a shard, under another name.

    Raises:
        SourceDataError: the file is missing or damaged.
    """
    for file, part in each_opening(path, names):
        for name in part:
            yield name, file["data"][name]


def limit_cache(file: h5py.File, num_bytes: int = _METADATA_CACHE_BYTES) -> None:
    """Limit HDF5's metadata cache to `num_bytes`: a reader visits each demo only once."""
    config = file.id.get_mdc_config()
    config.set_initial_size = True
    config.initial_size = config.min_size = config.max_size = num_bytes
    config.incr_mode = config.flash_incr_mode = config.decr_mode = 0  # The size is fixed.
    file.id.set_mdc_config(config)


def demo_names(file: h5py.File) -> list[str]:
    """Names of the demos in `data`, in natural order.

    Raises:
        SourceDataError: the file has no group `data`, or the group contains no demos.
    """
    if "data" in [*file] and (fault := link_fault(file, "data")):
        raise SourceDataError(f"{file.filename}: data {fault}")
    with damage_errors(Path(file.filename)):
        data = file["data"] if "data" in [*file] else None
    if not isinstance(data, h5py.Group):
        found = ", ".join(sorted(name for name in file if isinstance(file.get(name), h5py.Group))[:10]) or "nothing"
        raise SourceDataError(
            f"{file.filename}: group 'data' not found (groups: {found}); use a dataset in Isaac Lab's layout"
        )
    # A link without a target is a demo that cannot be read, which is reported with its name.
    names = sorted((name for name in data if _may_be_demo(data, name)), key=natural_key)
    if not names:
        raise SourceDataError(f"{file.filename}: group 'data' contains no demos; record demos first")
    return names


def _may_be_demo(data: h5py.Group, name: str) -> bool:
    try:
        return isinstance(data[name], h5py.Group)
    except (KeyError, OSError):
        if data.get(name, getlink=True, getclass=True) is h5py.HardLink:
            raise
        return True


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key for natural order: numbers in a name are compared as numbers, so `demo_2` comes before `demo_10`."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name)
    # The text is part of the key: `01` and `1` are equal as numbers, and their order must be defined.
    return tuple((0, int(part), part) if part.isdecimal() and part.isascii() else (1, 0, part) for part in parts)


def format_version(file: h5py.File) -> int:
    """Version of the layout of a file: 0 (quaternions wxyz) or 1 (xyzw).

    Raises:
        SourceDataError: this package cannot read the version.
    """
    found = attribute(file, "format_version", 0)
    near = get_close_matches("format_version", file.attrs, cutoff=0.9)
    if near and near[0] != "format_version":
        # Without the attribute, the file would be read with quaternions as wxyz.
        raise SourceDataError(f"{file.filename}: attribute {near[0]!r} looks like a damaged 'format_version'; copy it again")
    if np.ndim(found) or found not in range(NEWEST_FORMAT + 1):
        known = ", ".join(map(str, range(NEWEST_FORMAT + 1)))
        raise SourceDataError(
            f"{file.filename}: format_version is {found}, supported are {known}; update isaaclab_mimic_ext"
        )
    return int(found)


def quaternion_columns(file: h5py.File) -> dict[str, tuple[int, ...]]:
    """First columns of the quaternions in each observation, from the file's env_args; empty if env_args lists none.

    Raises:
        SourceDataError: env_args cannot be read, or its list of columns is not valid.
    """
    try:
        declared = json.loads(attribute(file["data"], "env_args", "{}")).get(ENTRY, {})
        columns = {name: tuple(first) for name, first in declared.items()}
    except (ValueError, TypeError, AttributeError) as error:
        place = f"{file.filename}: data.attrs['env_args']"
        raise SourceDataError(
            f"{place}: it and '{ENTRY}' in it must be JSON objects ({error}); write the file again"
        ) from error
    for name, starts in columns.items():
        if not all(type(first) is int and first >= 0 for first in starts):
            place = f"{file.filename}: data.attrs['env_args']: {ENTRY}: {name}"
            raise SourceDataError(f"{place}: must be column numbers >= 0 (got {list(starts)}); write the file again")
    return columns


def datasets_below(
    group: h5py.Group, prefix: str = "", above: tuple[h5py.h5g.GroupID, ...] = ()
) -> Iterator[tuple[str, h5py.Dataset]]:
    """Yield every dataset below a group with its path relative to the group, in natural order.

    Args:
        prefix: path of the group in the paths that are yielded.
        above: groups that contain this one.

    Raises:
        OSError: an object is damaged, and HDF5 would crash on it; or a group is linked into itself.
    """
    above = (*above, group.id)
    for key in sorted(group, key=natural_key):
        item = group[key]
        if isinstance(item, h5py.Group):
            if item.id in above:
                raise OSError(f"{prefix}{key}: is a link to a group that contains the link")
            yield from datasets_below(item, f"{prefix}{key}/", above)
        else:
            _check_dataset(item.id, item.name)
            yield f"{prefix}{key}", item


def check_objects_below(group: h5py.h5g.GroupID, path: str) -> None:
    """Check the objects below a group as `datasets_below` does. It is several times faster, without sorting and wrappers.

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
    """Refuse objects on which HDF5 crashes: damage changed the kind of the object, or turned numbers into references."""
    if not isinstance(item, h5py.h5d.DatasetID):
        raise OSError(f"{path}: neither a group nor a dataset")
    datatype = item.get_type()
    kind = datatype.get_class()
    if kind == h5py.h5t.VLEN or (kind == h5py.h5t.STRING and datatype.is_variable_str()):
        stored, expected = item.get_storage_size(), _REFERENCE_BYTES * item.get_space().get_simple_extent_npoints()
        if stored not in (0, expected) and item.get_create_plist().get_layout() != h5py.h5d.CHUNKED:
            raise OSError(f"{path}: values of variable length need {expected} bytes (got {stored})")


def texts_of(value: Any) -> list[str]:
    """Convert a list of texts of an HDF5 file, of any shape and type, to `str`."""
    return [text_of(item) for item in np.ravel(value).tolist()]


def text_of(value: Any) -> str:
    """Convert a text of an HDF5 file to `str`; texts of fixed length are read as bytes."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def plain_value(value: Any) -> Any:
    """Convert the value of an attribute to JSON types; JSON texts are parsed."""
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

"""Write files atomically: a file gets its name when it is complete. All failures to write become uniform errors."""

import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from isaaclab_mimic_ext.errors import MimicError, OutputError, RecorderError
from isaaclab_mimic_ext.files.lock_errors import is_held

HDF5_ERRORS: tuple[type[Exception], ...] = (OSError, RuntimeError)
"""Errors that h5py and torch raise if the disk is full."""
FREE_SPACE = "free some space and run again"
"""Default remedy: most writes that fail after a successful start fail because the disk is full."""


def part_path(path: Path, keep_suffix: bool = False, several_writers: bool = False) -> Path:
    """Path under which a file is written until it is complete.

    Args:
        keep_suffix: end with the suffix of `path`, for libraries that choose the format by the suffix.
        several_writers: contain the number of this process, for a file that several processes may write at the same time.
    """
    part = f"part{os.getpid()}" if several_writers else "part"
    return path.with_name(f"{path.stem}.{part}{path.suffix}" if keep_suffix else f"{path.name}.{part}")


def store_path(path: Path) -> Path:
    """Path of the store that makes the demos of an unfinished recording durable, next to its dataset `path`."""
    return path.with_name(f"{path.name}.sqlite")


def annotated_path(raw: Path) -> Path:
    """Path of the annotated demos of a recording in messages: `annotated.hdf5` for `raw.hdf5`, else `<name>_annotated`."""
    name = raw.stem.removesuffix("raw").removesuffix("_")
    return raw.with_stem(f"{name}_annotated" if name else "annotated")


def unwritable(
    path: Path, error: BaseException, field: str = "", remedy: str = FREE_SPACE, kind: type[MimicError] = RecorderError
) -> MimicError:
    """Build the error for a file or folder that cannot be written.

    Args:
        error: error of the system or of a library.
        field: configuration field that contains the path; empty if there is none.
        remedy: what the user can do.
        kind: `RecorderError` for a run that fails, `OutputError` for a path that the user has to change.
    """
    place = f"{field}: " if field else ""
    blocking = next((each for each in path.parents if each.exists() and not each.is_dir()), None)
    reason = _reason(error) if blocking is None else f"{blocking} is a file, not a folder"
    if is_held(error):
        reason, remedy = "another program has it open", "close it there (in a notebook: `file.close()`), or wait"
    if "object header message is too large" in str(error):
        reason, remedy = "an attribute is longer than the 64 kB that HDF5 allows", "shorten the attributes of the input"
    return kind(f"{place}{path} cannot be written: {reason}; {remedy}")


@contextmanager
def write_errors(
    path: Path,
    field: str = "",
    remedy: str = FREE_SPACE,
    kind: type[MimicError] = RecorderError,
    errors: tuple[type[Exception], ...] = (OSError,),
) -> Iterator[None]:
    """Convert failures to write within the block to the error of `unwritable`.

    Args:
        errors: types that are failures to write; `HDF5_ERRORS` if h5py or torch write.

    Raises:
        MimicError: of type `kind`: the file cannot be written.
    """
    try:
        yield
    except errors as error:
        raise unwritable(path, error, field, remedy, kind) from error


@contextmanager
def replacing(
    path: Path,
    field: str = "",
    remedy: str = FREE_SPACE,
    kind: type[MimicError] = RecorderError,
    errors: tuple[type[Exception], ...] = (OSError,),
    keep_suffix: bool = False,
    several_writers: bool = False,
) -> Iterator[Path]:
    """Replace `path` atomically: the block writes a file or folder at the yielded path, which is renamed at the end.

    The content is on the disk (fsync) before the renaming. If the block raises, `path` is unchanged and the yielded path
    is removed.

    Args:
        keep_suffix, several_writers: as in `part_path`; the others as in `write_errors`.

    Raises:
        MimicError: of type `kind`: the file cannot be written.
    """
    part = part_path(path, keep_suffix, several_writers)
    try:
        with write_errors(path, field, remedy, kind, errors):
            yield part
            if part.is_dir():
                shutil.rmtree(path, ignore_errors=True)  # `os.replace` with a folder requires that the target is empty.
            else:
                sync(part)
            os.replace(part, path)
    except BaseException:
        _remove(part)
        raise


@contextmanager
def created_folder(
    path: Path, field: str = "", remedy: str = FREE_SPACE, kind: type[MimicError] = RecorderError
) -> Iterator[None]:
    """Create a folder and its parents for the files of the block. If the block raises, those that are empty are removed.

    Raises:
        MimicError: of type `kind`: the folder cannot be created.
    """
    with write_errors(path, field, remedy, kind):
        created = create_folder(path)
    try:
        yield
    except BaseException:
        remove_folders(created)
        raise


def create_folder(path: Path) -> list[Path]:
    """Create a folder and its parents. Return those that did not exist, for `remove_folders`."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    return missing


def remove_folders(folders: list[Path]) -> None:
    """Remove folders of `create_folder` that are empty."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


def write_bytes(
    path: Path, content: bytes, field: str = "", remedy: str = FREE_SPACE, kind: type[MimicError] = RecorderError
) -> None:
    """Write a file atomically.

    Raises:
        MimicError: of type `kind`: the file cannot be written; an existing file is unchanged.
    """
    with replacing(path, field, remedy, kind) as part:
        part.write_bytes(content)


def write_text(
    path: Path, content: str, field: str = "", remedy: str = FREE_SPACE, kind: type[MimicError] = RecorderError
) -> None:
    """Write a text file (UTF-8) atomically; errors as `write_bytes`."""
    write_bytes(path, utf8_bytes(content), field, remedy, kind)


def utf8_bytes(text: str) -> bytes:
    """Bytes of a text in UTF-8, in any locale.

    Python marks bytes of a path that it cannot decode: in a locale without UTF-8 all letters outside of ASCII, otherwise
    those of a name that is not UTF-8, which are written as escapes such as `\\udce9`.
    """
    try:
        return text.encode()
    except UnicodeEncodeError:
        as_bytes = text.encode(errors="surrogateescape")
    try:
        as_bytes.decode()
        return as_bytes
    except UnicodeDecodeError:
        return text.encode(errors="backslashreplace")


def write_json(path: Path, content: Any, kind: type[MimicError] = RecorderError) -> None:
    """Write a JSON file atomically; errors as `write_bytes`."""
    write_text(path, json.dumps(content, indent=2) + "\n", kind=kind)


def link_file(source: Path, path: Path, field: str) -> None:
    """Give a file a second name, which replaces an existing file; the content is copied where the file system has no links.

    Raises:
        OutputError: the file cannot be written.
    """
    with write_errors(path, field, f"use another {field}", OutputError):
        create_folder(path.parent)
    with replacing(path, field, f"use another {field}", OutputError) as part:
        part.unlink(missing_ok=True)
        try:
            os.link(source, part)
        except OSError:
            shutil.copyfile(source, part)


def check_output(path: Path, overwrite: bool) -> None:
    """Check that a file can be written to `path`, without changing files or folders.

    Raises:
        OutputError: the file exists and `overwrite` is not set, or its folder cannot be written to.
    """
    if path.is_dir():
        raise OutputError(f"output_file: {path} is a folder; use the path of a file")
    part, remedy = part_path(path), "use another output_file, or overwrite=true"
    if path.exists() and not overwrite:
        raise OutputError(f"output_file: {path} already exists; {remedy}")
    if part.exists() and not overwrite:
        raise OutputError(
            f"output_file: {part} already exists: another run is writing it, or was killed; remove it, or {remedy}"
        )
    with write_errors(path, "output_file", "use another output_file", OutputError):
        created, existed = create_folder(path.parent), part.exists()
        try:
            with open(part, "ab"):
                pass
            if not existed:
                part.unlink()
        finally:
            remove_folders(created)


def system_reason(error: BaseException) -> str | None:
    """Reason of the system, also from HDF5's long message; None if the system did not raise the error."""
    link: BaseException | None = error
    while link is not None:
        quoted = re.search(r"error message = '([^']*)'", str(link))
        if quoted:
            return quoted[1][:1].upper() + quoted[1][1:]  # h5py may lower the first letter of a text that it repeats.
        link = link.__cause__ or link.__context__
    return error.strerror if isinstance(error, OSError) else None


def _reason(error: BaseException) -> str:
    """Reason of the system, or the first line of a library's message."""
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    return system_reason(error) or first[:200]


def publish(part: Path, path: Path) -> None:
    """Give a complete file its name. When this returns, the name is on the disk as well."""
    os.replace(part, path)
    sync(path.parent)


def write_at(descriptor: int, offset: int, arrays: Sequence[memoryview]) -> None:
    """Write bytes to consecutive places of an open file, with one call of the system; at most 512 arrays.

    Raises:
        OSError: the file cannot be written.
    """
    num_bytes = sum(array.nbytes for array in arrays)
    written = os.pwritev(descriptor, arrays, offset)
    if written < num_bytes:  # The disk is full, or a signal arrived; the next call reports the reason.
        rest = memoryview(b"".join(arrays))
        while written < num_bytes:
            written += os.pwrite(descriptor, rest[written:], offset + written)


def sync(path: Path) -> None:
    """Write a file, or the entries of a folder, to the disk (fsync)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)

"""Write files that have their name only when they are complete, and report in one way why one cannot be written."""

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from isaaclab_mimic_ext.errors import MimicError, OutputError, RecorderError

HDF5_ERRORS: tuple[type[Exception], ...] = (OSError, RuntimeError)
"""What h5py and torch raise where the disk is full."""
FREE_SPACE = "free some space and run again"
"""The usual remedy: most writes that fail after a successful start fail because the disk is full."""


def part_path(path: Path, keep_suffix: bool = False) -> Path:
    """Path under which a file is written until it is complete.

    Args:
        keep_suffix: End with the suffix of `path`, for libraries that choose a format by it.
    """
    return path.with_name(f"{path.stem}.part{path.suffix}" if keep_suffix else f"{path.name}.part")


def unwritable(
    path: Path, error: BaseException, field: str = "", remedy: str = FREE_SPACE, kind: type[MimicError] = RecorderError
) -> MimicError:
    """Build the error for a file or folder that cannot be written.

    Args:
        error: What the system or a library raised.
        field: Configuration field that names the path; empty if there is none.
        kind: `RecorderError` for a run that fails, `OutputError` for a path that the user has to change.
    """
    place = f"{field}: " if field else ""
    return kind(f"{place}{path} cannot be written: {_reason(error)}; {remedy}")


@contextmanager
def write_errors(
    path: Path,
    field: str = "",
    remedy: str = FREE_SPACE,
    kind: type[MimicError] = RecorderError,
    errors: tuple[type[Exception], ...] = (OSError,),
) -> Iterator[None]:
    """Report a failure to write within the block by `unwritable`.

    Args:
        errors: What is taken for such a failure; `HDF5_ERRORS` where h5py or torch write.
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
) -> Iterator[Path]:
    """Write a file or folder at the path that is yielded; it replaces `path`, durably, when the block ends.

    If the block fails, whatever it raises, `path` stays as it was and nothing else is left.

    Raises:
        MimicError: of `kind`: the file cannot be written.
    """
    part = part_path(path, keep_suffix)
    try:
        with write_errors(path, field, remedy, kind, errors):
            yield part
            if part.is_dir():
                shutil.rmtree(path, ignore_errors=True)  # A folder replaces only an empty one.
            else:
                _sync(part)
            os.replace(part, path)
    except BaseException:
        _remove(part)
        raise


def write_bytes(
    path: Path, content: bytes, field: str = "", remedy: str = FREE_SPACE, kind: type[MimicError] = RecorderError
) -> None:
    """Replace a file by other content.

    Raises:
        MimicError: of `kind`: the file cannot be written; it is what it was.
    """
    with replacing(path, field, remedy, kind) as part:
        part.write_bytes(content)


def write_text(
    path: Path, content: str, field: str = "", remedy: str = FREE_SPACE, kind: type[MimicError] = RecorderError
) -> None:
    """Replace a text file, encoded as UTF-8; as `write_bytes`."""
    write_bytes(path, content.encode(), field, remedy, kind)


def write_json(
    path: Path, content: Any, field: str = "", remedy: str = FREE_SPACE, kind: type[MimicError] = RecorderError
) -> None:
    """Replace a JSON file; as `write_bytes`."""
    write_text(path, json.dumps(content, indent=2) + "\n", field, remedy, kind)


def check_output(path: Path, overwrite: bool) -> None:
    """Make sure that a dataset can be written to `path`, without changing what is there.

    Raises:
        OutputError: the file exists and `overwrite` is not set, or its folder cannot be written to.
    """
    part, remedy = part_path(path), "give another output_file, or overwrite=true"
    if path.is_dir():
        raise OutputError(f"output_file: {path} is a folder; give the path of a file")
    if path.exists() and not overwrite:
        raise OutputError(f"output_file: {path} exists; {remedy}")
    if part.exists() and not overwrite:
        raise OutputError(
            f"output_file: {part} exists: another run is writing it, or one was killed; remove it, or {remedy}"
        )
    with write_errors(path, "output_file", "give another output_file", OutputError):
        path.parent.mkdir(parents=True, exist_ok=True)
        existed = part.exists()
        with open(part, "ab"):
            pass
        if not existed:
            part.unlink()


def _reason(error: BaseException) -> str:
    """The system's reason; HDF5 quotes it in a paragraph, others in their own words, of which the first line counts."""
    link: BaseException | None = error
    while link is not None:
        quoted = re.search(r"error message = '([^']*)'", str(link))
        if quoted:
            return quoted[1]
        link = link.__cause__ or link.__context__
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    return first[:200]


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)

"""Reasons why an HDF5 file cannot be read, each with its remedy. Only the last reason is damage."""

import errno
from pathlib import Path

import h5py

from isaaclab_mimic_ext.files.lock_errors import is_held
from isaaclab_mimic_ext.files.opening import open_file
from isaaclab_mimic_ext.files.writing import part_path, system_reason

DAMAGE = (OSError, LookupError, RuntimeError, ValueError, TypeError, OverflowError, MemoryError)
"""Errors that h5py raises for damaged files; which one depends on the place of the damage."""
UNFINISHED = "it is being written, or its run was killed; wait, or finish the run with resume=true"
"""Remedy for a file without its final name."""

_DISK = (errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENXIO, errno.ETIMEDOUT, errno.EMFILE, errno.ENFILE)
"""Errors of the system that do not come from the contents of a file."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
"""Errors of the system when a file is written."""
_CONTENTS = {
    b"version https://git-lfs": ("is a Git LFS pointer, not the file itself", "run `git lfs pull` in its repository"),
    b"<!doctype html": ("is a web page, not an HDF5 file", "download the file again; the page says why it was sent instead"),
    b"<html": ("is a web page, not an HDF5 file", "download the file again; the page says why it was sent instead"),
    b"PK\x03\x04": ("is a ZIP archive, not an HDF5 file", "unpack it, and use the file in it"),
    b"\x1f\x8b": ("is a gzip archive, not an HDF5 file", "unpack it, and use the file in it"),
}
"""First bytes of files that are taken for HDF5 files -> what they are, and the remedy."""
_MISSING_TARGET = ("can't open file", "component not found", "doesn't exist", "external")
"""Parts of h5py's messages about objects that do not exist, or a link to which has no target."""
_NUM_BYTES = 64


def fault_of(path: Path, error: BaseException) -> str:
    """Reason and remedy of an error of h5py that occurred while a file was read, without the path."""
    if is_held(error):
        return "is open for writing in another program; close it there (in a notebook: `file.close()`), or wait"
    if isinstance(error, OSError) and error.errno in _DISK:
        return f"cannot be read: {system_reason(error)}; check the disk or the connection to it"
    if isinstance(error, MemoryError):
        return f"needs more memory than is free ({one_line(error)}); leave out the demos with large datasets"
    if path.suffix == part_path(path).suffix:
        return f"{_kind_of_fault(path)} ({one_line(error)}); {UNFINISHED}"
    if any(text in str(error) for text in _MISSING_TARGET) and (link := dangling_link(path)):
        return link
    if known := _known_contents(path):
        return known
    return f"{_kind_of_fault(path)} ({one_line(error)}); copy or create the file again"


def is_of_machine(error: BaseException) -> bool:
    """Return whether an error comes from memory, disk or open files of the machine, not from the contents of a file."""
    causes = [each for each in (error, error.__cause__) if each is not None]
    return any(isinstance(each, MemoryError) or getattr(each, "errno", None) in (*_DISK, *_FULL) for each in causes)


def dangling_link(path: Path) -> str | None:
    """Reason and remedy if a link in a file has no target; None if all have."""
    try:
        with open_file(path) as file:

            def fault(name: str, _: object) -> str | None:
                found = link_fault(file, name)
                return None if found is None else f"{name} {found}"

            found: str | None = file.visititems_links(fault)
            return found
    except (*DAMAGE, SystemError):  # A name that is not text becomes a SystemError.
        return None


def link_fault(group: h5py.Group, name: str) -> str | None:
    """Reason and remedy if a link of a group, given by its path, has no target; None if it has, or is not a link."""
    link = group.get(name, getlink=True)
    if not isinstance(link, h5py.SoftLink | h5py.ExternalLink) or _has_target(group, name):
        return None
    if isinstance(link, h5py.SoftLink):
        return f"is a link to {link.path}, which is not in the file; leave it out, or copy the target into the file"
    target = Path(group.file.filename).parent / link.filename
    if not target.exists():
        return f"is a link into {target}, which is not found; copy that file there, or leave the link out"
    return f"is a link to {link.path} in {target}, which cannot be read there; check that file, or leave the link out"


def _has_target(group: h5py.Group, name: str) -> bool:
    try:
        return group.get(name) is not None  # `name in group` is true for the link itself.
    except DAMAGE:
        return False


def _known_contents(path: Path) -> str | None:
    """Reason and remedy for a file that begins as a known file of another kind."""
    try:
        with open(path, "rb") as file:
            first = file.read(_NUM_BYTES)
    except OSError:
        return None
    for start, (reason, remedy) in _CONTENTS.items():
        if first.lstrip().lower().startswith(start.lower()):
            return f"{reason}; {remedy}"
    return None


def _kind_of_fault(path: Path) -> str:
    try:
        if h5py.is_hdf5(path):
            return "the file is damaged or incomplete"
    except DAMAGE:
        pass
    return "is not an HDF5 file, or is truncated"


def one_line(error: BaseException) -> str:
    """Message of an error in at most 160 characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else f"{text[:157]}..."

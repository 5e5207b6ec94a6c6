"""One pipeline at a time in a folder."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from isaaclab_mimic_ext.errors import OutputError


@contextmanager
def locked(folder: Path) -> Iterator[int]:
    """Hold a folder; yields the descriptor that holds it.

    A step that inherits it holds the folder too, so that one that outlives its pipeline is not run beside another.

    Raises:
        OutputError: somebody else holds it, or it cannot be written to.
    """
    path = folder / "pipeline.lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise OutputError(f"output_dir: {folder} cannot be written: {error.strerror}; give another one") from error
    try:
        _lock(descriptor, folder)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()}".encode())
        yield descriptor
    finally:
        os.close(descriptor)


def _lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
            raise OutputError(
                f"output_dir: {folder} cannot be locked: {error.strerror}; give an output_dir on another disk"
            ) from error
        holder = os.pread(descriptor, 200, 0).decode(errors="replace") or "another process"
        raise OutputError(
            f"output_dir: {folder} is being worked on by another pipeline ({holder}), or by the step that it left running; "
            "wait for its end, or give another output_dir"
        ) from error

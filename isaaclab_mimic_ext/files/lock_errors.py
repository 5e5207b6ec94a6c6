"""Errors of locks: a file system without locks or shared memory, and files that another program holds."""

import errno
import fcntl
import mmap
import tempfile
from pathlib import Path

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""Errors of a file system without locks, such as NFS without a lock service."""
_NO_SHARED_MEMORY = (errno.ENODEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
"""Errors of a file system without shared memory, such as FUSE with `direct_io`."""
HELD = (errno.EWOULDBLOCK, errno.EACCES)
"""Errors of locks that another process holds."""

_LOCK = "unable to lock file"
_OPEN_HERE = ("file is already open", "already open for", "unable to truncate a file which is already open")


def has_locks(folder: Path) -> bool:
    """Return whether the file system of a folder has locks for parts of files, which databases use."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in NO_LOCKS
    return True


def has_shared_memory(folder: Path) -> bool:
    """Return whether processes can share the memory of a file in a folder, which a database uses in WAL mode."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.truncate(mmap.PAGESIZE)
            mmap.mmap(file.fileno(), mmap.PAGESIZE).close()
    except OSError as error:
        return error.errno not in _NO_SHARED_MEMORY
    return True


def lacks_locks(error: BaseException) -> bool:
    """Return whether a file could not be opened because its file system has no locks."""
    return isinstance(error, OSError) and _LOCK in str(error) and _number(error) in NO_LOCKS


def is_held(error: BaseException) -> bool:
    """Return whether a file could not be opened because a program, maybe this one, has it open."""
    is_locked = isinstance(error, OSError) and _LOCK in str(error) and _number(error) in HELD
    return is_locked or (isinstance(error, OSError | ValueError) and any(text in str(error) for text in _OPEN_HERE))


def _number(error: OSError) -> int | None:
    """Number of the error of the system; h5py repeats it in its message."""
    if error.errno is not None:
        return error.errno
    return next((number for number in (*NO_LOCKS, *HELD) if f"errno = {number}," in str(error)), None)

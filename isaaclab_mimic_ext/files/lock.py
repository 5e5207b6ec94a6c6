"""Let one process at a time work in a folder."""

import errno
import fcntl
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from isaaclab_mimic_ext.errors import OutputError
from isaaclab_mimic_ext.files.writing import write_errors

_GRACE, _POLL = 0.2, 0.02
"""Time to wait for a live holder, which may only be checking the lock, and between two attempts [s]."""


@dataclass(frozen=True)
class FolderLock:
    """A lock file, which holds the name of the process that locked it.

    The lock ends with the last process that has its file descriptor open, so that a child process that inherits the
    descriptor (`pass_fds`) keeps the folder locked after its parent was killed. The file itself stays.

    Attributes:
        path: The lock file; its folder is the one that is locked.
        grace_of_the_dead: Time to wait for the child of a holder that was killed [s].
        note: Clause for the error, after the name of the holder.
    """

    path: Path
    grace_of_the_dead: float = 30.0
    note: str = ""

    @contextmanager
    def hold(self) -> Iterator[int]:
        """Lock the folder during the block, and yield the descriptor of the lock.

        Raises:
            OutputError: another process holds the lock, or its file cannot be written or locked.
        """
        with write_errors(self.path, "output_dir", "give another output_dir", OutputError):
            lock = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            self._acquire(lock, fcntl.LOCK_EX)
            os.ftruncate(lock, 0)
            os.write(lock, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
            yield lock
        finally:
            os.close(lock)

    def check_free(self) -> None:
        """Make sure that no process holds the lock at this moment, without changing anything.

        Raises:
            OutputError: a process holds it.
        """
        if not self.path.is_file():
            return
        try:
            lock = os.open(self.path, os.O_RDONLY)
        except OSError:
            return  # The reason is reported when the file is to be written.
        try:
            self._acquire(lock, fcntl.LOCK_SH)
        finally:
            os.close(lock)

    def _acquire(self, lock: int, kind: int) -> None:
        start = time.monotonic()
        while True:
            try:
                return fcntl.flock(lock, kind | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                    raise OutputError(
                        f"output_dir: {self.path} cannot be locked: {error.strerror}; give an output_dir on another disk"
                    ) from error
                holder = os.pread(lock, 200, 0).decode(errors="replace").strip() or "another process"
                # A holder that was killed may have left a child, which still ends in order.
                if time.monotonic() - start > (self.grace_of_the_dead if _is_dead(holder) else _GRACE):
                    raise OutputError(
                        f"output_dir: {self.path.parent} is being worked on by {holder}{self.note}; wait until it has "
                        "ended, or give another output_dir"
                    ) from error
            time.sleep(_POLL)


def _is_dead(holder: str) -> bool:
    """Return whether the process ended that the text in a lock file names, if it ran on this host."""
    found = re.fullmatch(r"process (\d+) on (.*)", holder)
    if found is None or found[2] != socket.gethostname():
        return False
    try:
        os.kill(int(found[1]), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False

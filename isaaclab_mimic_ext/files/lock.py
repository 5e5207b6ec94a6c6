"""Lock a folder or a file so that only one process at a time works on it."""

import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from isaaclab_mimic_ext.errors import FolderInUse, OutputError
from isaaclab_mimic_ext.files.lock_errors import HELD, NO_LOCKS
from isaaclab_mimic_ext.files.lock_holder import Holder, heartbeat_age, heartbeats, holder_of, this_process
from isaaclab_mimic_ext.files.writing import write_errors

log = logging.getLogger(__name__)

_LIVE_HOLDER_TIMEOUT = 0.2
"""Time to wait for a running process that holds the lock: the process may only be checking the lock [s]."""
_POLL_PERIOD = 0.02
"""Time between two attempts to lock [s]."""


@dataclass(frozen=True)
class FolderLock:
    """Lock file that names the process that holds the lock, and whose time is renewed while the process works.

    Some network file systems have no locks, or locks that only the same machine sees: there, the name and the time of the
    lock file are the lock.

    The lock ends with the last process that has its file descriptor open. A child process that inherits the descriptor
    (`pass_fds`) keeps the folder locked after its parent was killed.

    Attributes:
        path: path of the lock file; the lock applies to its folder.
        dead_holder_timeout: time to wait for the child of a holder that was killed [s].
        note: clause for the error message, after the name of the holder.
        file: file that the lock applies to; None: the folder. When the lock ends, the lock file of a file is deleted, and
            that of a folder is not. It is also kept when the holder is interrupted: a child may still hold the lock.
    """

    path: Path
    dead_holder_timeout: float = 30.0
    note: str = ""
    file: Path | None = None

    @property
    def _field(self) -> str:
        return "output_dir" if self.file is None else "output_file"

    @contextmanager
    def hold(self) -> Iterator[int]:
        """Lock during the block, and yield the file descriptor of the lock.

        Raises:
            FolderInUse: another process holds the lock.
            OutputError: the lock file cannot be written or locked.
        """
        while not self._is_current(lock := self._open_and_acquire()):
            os.close(lock)  # The last holder deleted this file while this process waited for the lock.
        try:
            os.ftruncate(lock, 0)
            os.write(lock, str(this_process()).encode())
            with heartbeats(lock):
                yield lock
        except Exception:
            self._release(lock)
            raise
        else:
            self._release(lock)
        finally:
            os.close(lock)

    def _release(self, lock: int) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.utime(lock, (0, 0))  # Other machines see that the holder has ended; a child may still hold the lock.
        except OSError:
            os.ftruncate(lock, 0)  # Without locks, the name of the process is the lock.
        if self.file is not None:
            self.path.unlink(missing_ok=True)

    def _open_and_acquire(self) -> int:
        with write_errors(self.path, self._field, f"use another {self._field}", OutputError):
            lock = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            self._acquire(lock, fcntl.LOCK_EX)
        except BaseException:
            os.close(lock)
            raise
        return lock

    def _is_current(self, lock: int) -> bool:
        """Return whether the path still is the locked file."""
        try:
            return os.path.samestat(os.fstat(lock), os.stat(self.path))
        except FileNotFoundError:
            return False

    def check_free(self) -> None:
        """Check that no process holds the lock at this moment, without changing files.

        Raises:
            FolderInUse: a process holds the lock.
        """
        if not self.path.is_file():
            return
        try:
            lock = os.open(self.path, os.O_RDONLY)
        except OSError:
            return  # `hold` reports the reason when it opens the file for writing.
        try:
            self._acquire(lock, fcntl.LOCK_SH)
        finally:
            os.close(lock)

    def is_held(self) -> bool:
        """Return whether a process holds the lock at this moment. Does not wait, and changes no files."""
        try:
            lock = os.open(self.path, os.O_RDONLY)
        except OSError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return self._working_elsewhere(lock) is not None
        except OSError as error:
            return self._working(lock) is not None if error.errno in NO_LOCKS else True
        finally:
            os.close(lock)

    def _acquire(self, lock: int, kind: int) -> None:
        start = time.monotonic()
        while True:
            try:
                fcntl.flock(lock, kind | fcntl.LOCK_NB)
                return self._check_elsewhere(lock)
            except OSError as error:
                if error.errno in NO_LOCKS:
                    return self._check_holder(lock)
                if error.errno not in HELD:
                    raise OutputError(
                        f"{self._field}: {self.path} cannot be locked: {error.strerror}; use an {self._field} on another "
                        "disk"
                    ) from error
                holder = holder_of(lock)
                # A child of a killed holder may still be closing its files.
                is_dead = holder is not None and holder.is_on_this_machine and holder.has_ended(0.0)
                if time.monotonic() - start > (self.dead_holder_timeout if is_dead else _LIVE_HOLDER_TIMEOUT):
                    raise self._in_use(holder) from error
            time.sleep(_POLL_PERIOD)

    def _in_use(self, holder: Holder | None) -> FolderInUse:
        name = "another process" if holder is None else holder.name
        return FolderInUse(
            f"{self._field}: {self.file or self.path.parent} is in use by {name}{self.note}; wait until it has ended, or "
            f"use another {self._field}"
        )

    def _check_elsewhere(self, lock: int) -> None:
        """Check that no process on another machine works, whose lock this machine may not see."""
        if (holder := self._working_elsewhere(lock)) is not None:
            raise self._in_use(holder)

    def _working_elsewhere(self, lock: int) -> Holder | None:
        holder = self._working(lock)
        return None if holder is None or holder.is_on_this_kernel else holder

    def _working(self, lock: int) -> Holder | None:
        """Process that the lock file names, unless it is this one or has ended."""
        holder = holder_of(lock)
        if holder is None or holder == this_process():
            return None
        return None if holder.has_ended(heartbeat_age(lock, self.path.parent)) else holder

    def _check_holder(self, lock: int) -> None:
        """Check, on a file system without locks, that the process named in the lock file has ended."""
        if (holder := self._working(lock)) is not None:
            raise FolderInUse(
                f"{self._field}: {self.file or self.path.parent} may be in use by {holder.name}{self.note}, and this file "
                f"system has no locks; if that process has ended, delete {self.path}"
            )
        log.warning("%s: this file system has no locks; start only one process for it", self.file or self.path.parent)

"""Process that holds a lock, as its lock file names it: a process number alone is 1 in every container."""

import os
import re
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

HEARTBEAT_PERIOD = 10.0
"""Interval at which a holder renews the time of its lock file [s]."""
_STALE_AFTER = 90.0
"""Age of the last heartbeat at which a holder on another machine has ended [s]. NFS shows a new time after up to 60 s."""


@dataclass(frozen=True)
class Holder:
    """Process that holds a lock.

    Attributes:
        name: number and host of the process, for messages.
        place: boot of the machine and namespace of the process number; empty in lock files of earlier versions.
        start: time of its start, which a later process with the same number does not have [ticks since the boot].
    """

    name: str
    place: str = ""
    start: str = ""

    def __str__(self) -> str:
        return f"{self.name}\n{self.place}\n{self.start}\n"

    @property
    def is_on_this_machine(self) -> bool:
        """Return whether this process can look at the process by its number."""
        return self.place == _place() if self.place else self.name.endswith(f" on {socket.gethostname()}")

    @property
    def is_on_this_kernel(self) -> bool:
        """Return whether the locks of the process are seen here, or not known: containers of a machine share its locks."""
        return not self.place or self.place.rpartition(" ")[0] == _place().rpartition(" ")[0]

    def has_ended(self, age: float) -> bool:
        """Return whether the process has ended.

        Args:
            age: age of its last heartbeat, which counts if the process is on another machine or in another container [s].
        """
        if not self.is_on_this_machine:
            return bool(self.place) and age > _STALE_AFTER
        found = re.match(r"process (\d+) on ", self.name)
        if found is None:
            return False
        start = start_of(int(found[1]))
        return start is None or (self.start not in ("", start))


def this_process() -> Holder:
    """The calling process."""
    name = f"process {os.getpid()} on {socket.gethostname()}"
    return Holder(name, _place(), start_of(os.getpid()) or "")


def holder_of(lock: int) -> Holder | None:
    """Holder that a lock file names; None if it names none.

    Args:
        lock: file descriptor of the lock file.
    """
    name, place, start, *_ = [*os.pread(lock, 400, 0).decode(errors="replace").split("\n"), "", "", ""]
    return Holder(name.strip(), place.strip(), start.strip()) if name.strip() else None


def start_of(pid: int) -> str | None:
    """Time of the start of a process [ticks since the boot]; empty if it is not known, None if there is no such process."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[19]
    except ProcessLookupError:
        return None
    except (OSError, IndexError):
        return ""


def _place() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"boot {boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return f"host {socket.gethostname()}"


def heartbeat_age(lock: int, folder: Path) -> float:
    """Age of the last heartbeat of a lock file, by the clock of its file system [s]."""
    now = time.time()
    with suppress(OSError), tempfile.TemporaryFile(dir=folder) as file:
        now = os.fstat(file.fileno()).st_mtime
    return now - os.fstat(lock).st_mtime


@contextmanager
def heartbeats(lock: int) -> Iterator[None]:
    """Renew the time of a lock file during the block."""
    has_ended = threading.Event()

    def beat() -> None:
        while not has_ended.wait(HEARTBEAT_PERIOD):
            with suppress(OSError):
                os.utime(lock)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        has_ended.set()
        thread.join()

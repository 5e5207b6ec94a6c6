"""Locks of folders that several machines and containers share, and databases on their file systems."""

import errno
import fcntl
import mmap
import os
import re
import socket
import time
from dataclasses import replace
from pathlib import Path

import pytest

from isaaclab_mimic_ext.errors import FolderInUse
from isaaclab_mimic_ext.files import lock_holder
from isaaclab_mimic_ext.files.lock import FolderLock
from isaaclab_mimic_ext.files.lock_errors import has_shared_memory
from isaaclab_mimic_ext.files.lock_holder import Holder, this_process
from isaaclab_mimic_ext.run import store
from isaaclab_mimic_ext.run.store import RunStore

OTHER_MACHINE = "boot 00000000-0000-0000-0000-000000000000 pid:[1]"


def other_container() -> str:
    """Place of a process with the same kernel in another container."""
    return re.sub(r"pid:.*", "pid:[1]", this_process().place)


def held_by(path: Path, holder: Holder, age: float = 0.0) -> FolderLock:
    """A lock file that names a holder, whose last heartbeat was `age` seconds ago."""
    path.write_text(str(holder))
    os.utime(path, (time.time() - age, time.time() - age))
    return FolderLock(path)


@pytest.fixture
def without_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)


@pytest.mark.parametrize("place", [OTHER_MACHINE, other_container()])
@pytest.mark.usefixtures("without_locks")
def test_container_with_the_same_process_number_and_host_holds_the_lock(tmp_path: Path, place: str) -> None:
    lock = held_by(tmp_path / "run.lock", replace(this_process(), place=place), age=30.0)
    assert lock.is_held()
    for attempt in (lock.check_free, lock.hold().__enter__):
        with pytest.raises(FolderInUse, match=rf"may be in use by process {os.getpid()} on .* has no locks"):
            attempt()


@pytest.mark.usefixtures("without_locks")
def test_holder_without_heartbeats_has_ended(tmp_path: Path) -> None:
    lock = held_by(tmp_path / "run.lock", replace(this_process(), place=OTHER_MACHINE), age=100.0)
    assert not lock.is_held()
    with lock.hold():
        assert lock.path.read_text() == str(this_process())


@pytest.mark.usefixtures("without_locks")
def test_later_process_with_the_number_of_the_holder_is_not_the_holder(tmp_path: Path) -> None:
    name = f"process {os.getppid()} on {socket.gethostname()}"
    place, start = this_process().place, lock_holder.start_of(os.getppid())
    assert held_by(tmp_path / "run.lock", Holder(name, place, str(start))).is_held()
    assert not held_by(tmp_path / "run.lock", Holder(name, place, "1")).is_held()


def test_lock_that_only_the_other_machine_sees_is_held_until_its_heartbeats_end(tmp_path: Path) -> None:
    elsewhere = replace(this_process(), place=OTHER_MACHINE)
    lock = held_by(tmp_path / "run.lock", elsewhere, age=30.0)
    assert lock.is_held()
    for attempt in (lock.check_free, lock.hold().__enter__):
        with pytest.raises(FolderInUse, match=rf"is in use by process {os.getpid()} on .*; wait until it has ended"):
            attempt()
    lock = held_by(tmp_path / "run.lock", elsewhere, age=100.0)
    lock.check_free()
    assert not lock.is_held()


def test_killed_container_on_this_machine_holds_no_lock(tmp_path: Path) -> None:
    lock = held_by(tmp_path / "run.lock", replace(this_process(), place=other_container()))
    lock.check_free()
    with lock.hold():
        assert lock.path.read_text() == str(this_process())


def test_holder_renews_the_time_of_its_lock_file_until_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_holder, "HEARTBEAT_PERIOD", 0.01)
    lock = FolderLock(tmp_path / "run.lock")
    with lock.hold():
        os.utime(lock.path, (5.0, 5.0))
        end = time.monotonic() + 10
        while lock.path.stat().st_mtime == 5.0 and time.monotonic() < end:
            time.sleep(0.01)
        assert lock.path.stat().st_mtime > 5.0
    assert lock.path.stat().st_mtime == 0.0


def test_database_starts_on_a_file_system_without_shared_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

    shared = tmp_path / "run.sqlite-shm"
    opened = RunStore(tmp_path / "run.sqlite")
    assert shared.exists()
    opened.close()
    monkeypatch.setattr(mmap, "mmap", refuse)
    assert not has_shared_memory(tmp_path)
    first = RunStore(tmp_path / "run.sqlite")
    first.set_facts(seed=1)
    first.commit()
    assert (tmp_path / "run.sqlite-wal").exists() and not shared.exists()
    first.close()
    again = store.RunStore(tmp_path / "run.sqlite", read_only=True)
    assert again.facts()["seed"] == 1
    again.close()
    assert not shared.exists()

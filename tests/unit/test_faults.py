"""A file that cannot be read is reported as what it is: in use, a broken link, another kind of file, or damaged."""

import errno
import fcntl
import os
import socket
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from isaaclab_mimic_ext.datasets.convert.prepare import PrepareOptions, prepare_dataset
from isaaclab_mimic_ext.datasets.inspect import inspect_dataset
from isaaclab_mimic_ext.datasets.merge import merge_datasets
from isaaclab_mimic_ext.datasets.split import split_dataset
from isaaclab_mimic_ext.datasets.validate import validate_dataset
from isaaclab_mimic_ext.errors import OutputError, SourceDataError
from isaaclab_mimic_ext.files import opening
from isaaclab_mimic_ext.files.dataset_file import DatasetFile
from isaaclab_mimic_ext.files.faults import fault_of
from isaaclab_mimic_ext.files.lock import FolderLock
from isaaclab_mimic_ext.run.store import RunStore
from tests.builders import make_source_file

REAL_FILE = h5py.File


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return make_source_file(tmp_path / "demo.hdf5", num_demos=3)


def refuse_locks(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Let all locks fail as on a file system without locks."""

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    class File(REAL_FILE):  # type: ignore[misc]
        def __init__(self, name: Any, *args: Any, locking: bool | None = None, **kwargs: Any):
            if locking is not False and not isinstance(name, h5py.h5f.FileID):
                raise OSError(number, f"Unable to synchronously open file (unable to lock file, errno = {number}, error)")
            super().__init__(name, *args, locking=locking, **kwargs)

    monkeypatch.setattr(opening.h5py, "File", File)
    monkeypatch.setattr(fcntl, "flock", fail)
    monkeypatch.setattr(fcntl, "lockf", fail)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_file_system_without_locks_can_be_worked_in(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    other = make_source_file(tmp_path / "other.hdf5", num_demos=2, seed=5)
    refuse_locks(monkeypatch, number)
    assert inspect_dataset(dataset).num_demos == 3
    split_dataset(dataset, 0.5)
    split_dataset(other, 0.5)
    assert merge_datasets([dataset, other], tmp_path / "merged.hdf5").num_demos == 5
    assert prepare_dataset(dataset, tmp_path / "prepared.hdf5", PrepareOptions()).num_demos == 3
    file = DatasetFile(tmp_path / "new.hdf5", {})
    file.add_demo({"actions": np.zeros((2, 7), np.float32)}, {})
    file.finish({})
    with FolderLock(tmp_path / "run.lock").hold():
        assert "has no locks" in caplog.text
        store = RunStore(tmp_path / "run.sqlite")
        store.set_facts(identity={"seed": 1})
        store.commit()
        store.close()
    assert RunStore(tmp_path / "run.sqlite", read_only=True).facts()["identity"] == {"seed": 1}


def test_database_without_locks_takes_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_locks(monkeypatch, errno.ENOLCK)
    options: list[str] = []
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda name, **kwargs: options.append(name) or connect(name, **kwargs))
    RunStore(tmp_path / "run.sqlite").close()
    assert options and all("nolock=1" in name for name in options)


def test_second_process_is_refused_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_locks(monkeypatch, errno.ENOLCK)
    path = tmp_path / "run.lock"
    path.write_text(f"process {os.getppid()} on {socket.gethostname()}\n")
    refused = pytest.raises(OutputError, match=rf"in use by process {os.getppid()}.*has no locks.*delete {path}")
    with refused, FolderLock(path).hold():
        pass
    path.write_text(f"process 99999999 on {socket.gethostname()}\n")
    with FolderLock(path).hold():
        assert str(os.getpid()) in path.read_text()
    assert not path.read_text()


def test_file_that_another_program_has_open_is_not_called_damaged(dataset: Path, tmp_path: Path) -> None:
    def held(action: Callable[[], object], error: type[Exception]) -> None:
        with pytest.raises(error) as raised:
            action()
        assert "program" in str(raised.value)
        assert "file.close()" in str(raised.value)
        assert "damaged" not in str(raised.value)

    descriptor = os.open(dataset, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        held(lambda: inspect_dataset(dataset), SourceDataError)
        held(lambda: validate_dataset(dataset), SourceDataError)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        inspect_dataset(dataset)
        held(lambda: split_dataset(dataset, 0.5), OutputError)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize(
    ("link", "reason"),
    [
        (h5py.ExternalLink("moved_away.hdf5", "data/demo_2"), r"is a link into .*moved_away\.hdf5, which is not found"),
        (h5py.ExternalLink("demo.hdf5", "data/demo_9"), r"is a link to data/demo_9 in .*demo\.hdf5"),
        (h5py.SoftLink("/data/demo_9"), "is a link to /data/demo_9, which is not in the file"),
    ],
)
def test_link_without_target_is_named(dataset: Path, link: object, reason: str) -> None:
    with h5py.File(dataset, "r+") as file:
        for demo in file["data"].values():
            del demo["actions"]
            demo["actions"] = link
    with pytest.raises(SourceDataError, match=rf"data/demo_0/actions {reason}"):
        prepare_dataset(dataset, dataset.with_name("prepared.hdf5"), PrepareOptions())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 2714837\n", "Git LFS pointer.*git lfs pull"),
        (b"\n<!DOCTYPE html><html><body>Please log in</body></html>", "is a web page"),
        (b"PK\x03\x04rest", "is a ZIP archive"),
        (b"\x1f\x8brest", "is a gzip archive"),
        (b"demo", "is not an HDF5 file, or is truncated"),
    ],
)
def test_file_of_another_kind_is_named(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "demo.hdf5").write_bytes(content)
    with pytest.raises(SourceDataError, match=rf"demo\.hdf5: .*{reason}"):
        inspect_dataset(tmp_path / "demo.hdf5")


def test_error_of_the_disk_is_not_called_damage(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Unable to read (error message = 'Input/output error')")

    monkeypatch.setattr(opening.h5py, "File", fail)
    with pytest.raises(SourceDataError, match="cannot be read: Input/output error; check the disk"):
        inspect_dataset(dataset)


def test_lack_of_memory_is_not_called_damage() -> None:
    found = fault_of(Path("demo.hdf5"), MemoryError("Unable to allocate 261. GiB for an array with shape (10000000000, 7)"))
    assert found.startswith("needs more memory than is free (Unable to allocate 261. GiB")


@pytest.mark.parametrize("link", [h5py.SoftLink("/nowhere"), h5py.ExternalLink("gone.hdf5", "/data")])
def test_group_of_demos_that_is_a_link_without_target_is_named(dataset: Path, link: object) -> None:
    with h5py.File(dataset, "r+") as file:
        file.move("data", "moved")
        file["data"] = link
    with pytest.raises(SourceDataError, match=r": data is a link (to /nowhere|into .*gone.hdf5), which is not"):
        split_dataset(dataset, 0.5)


def test_damaged_group_of_demos_is_not_called_missing(dataset: Path) -> None:
    with h5py.File(dataset) as file:
        address = h5py.h5o.get_info(file["data"].id).addr
    with open(dataset, "r+b") as content:
        content.seek(address)
        content.write(b"\xff")
    with pytest.raises(SourceDataError, match=r"the file is damaged or incomplete .*bad object header"):
        split_dataset(dataset, 0.5)

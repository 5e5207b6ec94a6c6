"""Datasets of a demo are written with a few calls of the system, and read as they were given."""

import errno
import os
import resource
import signal
from pathlib import Path

import h5py
import numpy as np
import pytest

from isaaclab_mimic_ext.files.dataset_file import DatasetFile
from isaaclab_mimic_ext.files.demo_datasets import create_datasets, set_attributes
from tests import requires

RNG = np.random.default_rng(3)
LEAVES = {
    "actions": RNG.normal(size=(50, 7)).astype(np.float32),
    "obs/rgb": RNG.integers(0, 255, (50, 8, 8, 3), dtype=np.uint8),
    "obs/depth": RNG.normal(size=(50, 8, 8)),
    "obs/column": RNG.normal(size=(50, 9)).astype(np.float32)[:, 2:5],
    "obs/none": np.zeros((0, 4), np.float32),
    "obs/big_endian": np.arange(50, dtype=">i4"),
    "obs/name": np.array([b"left", b"right"] * 25),
    "states/one/pose": np.zeros((50, 0), np.float32),
    "dones": np.arange(50) == 49,
    "initial_state/object/pose": np.ones((1, 7), np.float32),
}


@pytest.mark.parametrize("compression", ["none", "lzf", "gzip"])
def test_datasets_are_read_as_they_were_written(tmp_path: Path, compression: str) -> None:
    with h5py.File(tmp_path / "demo.hdf5", "w") as file:
        for name in ("one", "two"):
            create_datasets(file.create_group(name), LEAVES, compression)
    with h5py.File(tmp_path / "demo.hdf5") as file, h5py.File(tmp_path / "other.hdf5", "w") as other:
        for path, values in LEAVES.items():
            found = file["two"][path]
            np.testing.assert_array_equal(found[()], values)
            assert found.id.get_type() == other.create_dataset(path, data=values).id.get_type()
            assert (found.compression is not None) == (compression != "none" and values.nbytes > 2048)


def test_more_arrays_than_one_call_accepts_are_written(tmp_path: Path) -> None:
    leaves = {f"obs/{index}": np.full((3, 2), index, np.float32) for index in range(1200)}
    with h5py.File(tmp_path / "demo.hdf5", "w") as file:
        create_datasets(file.create_group("demo"), leaves, "none")
    with h5py.File(tmp_path / "demo.hdf5") as file:
        assert [float(file[f"demo/obs/{index}"][2, 1]) for index in range(1200)] == list(range(1200))


def test_write_that_ends_early_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux writes fewer bytes than requested if a signal arrives or the disk becomes full."""
    monkeypatch.setattr(os, "pwritev", lambda file, arrays, offset: os.pwrite(file, arrays[0][:10], offset))
    write, calls = os.pwrite, []

    def short(file: int, content: memoryview, offset: int) -> int:
        calls.append(offset)
        return write(file, content[:1000], offset)

    monkeypatch.setattr(os, "pwrite", short)
    test_datasets_are_read_as_they_were_written(tmp_path, "none")
    assert len(calls) > 10


@requires.mark("linux", hasattr(resource, "RLIMIT_FSIZE"), "the system has no limit on file sizes")
def test_full_disk_is_reported_by_the_demo_that_does_not_fit(tmp_path: Path) -> None:
    file = DatasetFile(tmp_path / "demo.hdf5", {})
    limits, leaves = resource.getrlimit(resource.RLIMIT_FSIZE), {"actions": np.ones((1000, 100), np.float32)}
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
        for trial in range(2):
            file.add_demo(leaves, {"trial": trial})
        with pytest.raises(OSError) as raised:
            file.add_demo(leaves, {"trial": 2})
        assert raised.value.errno == errno.EFBIG
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    file.discard()


def test_attributes_are_those_of_h5py(tmp_path: Path) -> None:
    values = {
        "success": True, "trial": 7, "source_demos": [[1, 2]], "rate": 0.5, "seed": np.int64(3), "text": "größer",
        "digest": np.bytes_(b"a" * 64), "mask": np.array([True, False]), "empty": np.zeros(0, np.float32),
    }  # fmt: skip
    with h5py.File(tmp_path / "demo.hdf5", "w") as file:
        groups = [file.create_group(name) for name in ("ours", "h5py")]
        set_attributes(groups[0], values)
        for name, value in values.items():
            groups[1].attrs[name] = value
    with h5py.File(tmp_path / "demo.hdf5") as file:
        for name, expected in file["h5py"].attrs.items():
            np.testing.assert_array_equal(file["ours"].attrs[name], expected)
            ours, theirs = (file[group].attrs.get_id(name) for group in ("ours", "h5py"))
            assert (ours.get_type(), ours.shape) == (theirs.get_type(), theirs.shape)

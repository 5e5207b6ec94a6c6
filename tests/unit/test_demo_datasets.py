"""Datasets of a demo are written with a few calls of the system, and read as they were given."""

import errno
import os
import resource
import signal
from pathlib import Path

import h5py
import numpy as np
import pytest

from isaaclab_mimic_ext.files import demo_templates
from isaaclab_mimic_ext.files.dataset_file import DatasetFile
from isaaclab_mimic_ext.files.demo_datasets import create_demo
from isaaclab_mimic_ext.files.writing import HDF5_ERRORS, system_reason
from tests import requires

RNG = np.random.default_rng(3)
LEAVES = {
    "actions": RNG.normal(size=(50, 7)).astype(np.float32),
    "obs/rgb": RNG.integers(0, 255, (50, 8, 8, 3), dtype=np.uint8),
    "obs/depth": RNG.normal(size=(50, 8, 8)),
    "obs/wide": RNG.normal(size=(50, 500)),
    "obs/camera/rgb": RNG.integers(0, 255, (50, 40, 40, 3), dtype=np.uint8),
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
            create_demo(file, name, LEAVES, {}, compression)
    with h5py.File(tmp_path / "demo.hdf5") as file, h5py.File(tmp_path / "other.hdf5", "w") as other:
        for path, values in LEAVES.items():
            found = file["two"][path]
            np.testing.assert_array_equal(found[()], values)
            assert found.id.get_type() == other.create_dataset(path, data=values).id.get_type()
            assert (found.compression is not None) == (compression != "none" and values.nbytes > 2048)


def test_demos_of_one_length_have_their_own_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They share a template, which is created again if it had to leave the memory."""
    monkeypatch.setattr(demo_templates, "_MAX_CACHED_BYTES", 1_000_000)
    demos = [{path: RNG.normal(size=(length, width)) for path, width in (("a", 3), ("b/c", 9))} for length in [7, 8, 9] * 3]
    with h5py.File(tmp_path / "demo.hdf5", "w") as file:
        for index, leaves in enumerate(demos):
            create_demo(file, f"demo_{index}", leaves, {"seed": index}, "none")
    assert demo_templates._templates._num_bytes <= 1_000_000
    with h5py.File(tmp_path / "demo.hdf5") as file:
        for index, leaves in enumerate(demos):
            assert file[f"demo_{index}"].attrs["seed"] == index
            for path, values in leaves.items():
                np.testing.assert_array_equal(file[f"demo_{index}"][path][()], values)


def test_more_arrays_than_one_call_accepts_are_written(tmp_path: Path) -> None:
    leaves = {f"obs/{index}": np.full((3, 2), index, np.float32) for index in range(1200)}
    with h5py.File(tmp_path / "demo.hdf5", "w") as file:
        create_demo(file, "demo", leaves, {}, "none")
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
@pytest.mark.parametrize("num_datasets", [1, 10])
def test_full_disk_is_reported_by_the_demo_that_does_not_fit(tmp_path: Path, num_datasets: int) -> None:
    file = DatasetFile(tmp_path / "demo.hdf5", {})
    limits, width = resource.getrlimit(resource.RLIMIT_FSIZE), 100 // num_datasets
    leaves = {name: np.ones((1000, width), np.float32) for name in ("actions", *map(str, range(num_datasets - 1)))}
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
        for trial in range(2):
            file.add_demo(leaves, {"trial": trial})
        with pytest.raises(HDF5_ERRORS) as raised:
            file.add_demo(leaves, {"trial": 2})
        assert system_reason(raised.value) == os.strerror(errno.EFBIG)
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
        create_demo(file, "ours", {}, values, "none")
        for name, value in values.items():
            file.require_group("h5py").attrs[name] = value
    with h5py.File(tmp_path / "demo.hdf5") as file:
        for name, expected in file["h5py"].attrs.items():
            np.testing.assert_array_equal(file["ours"].attrs[name], expected)
            ours, theirs = (file[group].attrs.get_id(name) for group in ("ours", "h5py"))
            assert (ours.get_type(), ours.shape) == (theirs.get_type(), theirs.shape)

"""A demo contains the digest of its data, and readers compare the data with it."""

import re
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from isaaclab_mimic_ext.datasets.inspect import DatasetSummary, inspect_dataset
from isaaclab_mimic_ext.datasets.replay import read_demos
from isaaclab_mimic_ext.datasets.validate import validate_dataset
from isaaclab_mimic_ext.errors import SourceDataError
from isaaclab_mimic_ext.files.dataset_file import DatasetFile
from isaaclab_mimic_ext.files.digest import demo_digest
from isaaclab_mimic_ext.files.stream import stream_demos
from tests.left_out import left_out

LEAVES = {
    "actions": np.linspace(-1, 1, 70, dtype=np.float32).reshape(10, 7),
    "initial_state/rigid_object/ketchup/root_pose": np.array([[0, 0, 0, 0, 0, 0, 1]], np.float32),
    "obs/eef_quat": np.tile(np.array([0, 0, 0.6, 0.8], np.float32), (10, 1)),
    "dones": np.arange(10) == 9,
}


def write(path: Path, **options: object) -> Path:
    file = DatasetFile(path, {"env_name": "ketchup", "note": "é" * 300}, **options)
    for trial in range(3):
        file.add_demo({**LEAVES, "actions": LEAVES["actions"] * (trial + 1) / 3}, {"success": True, "trial": trial})
    file.finish({})
    file.publish()
    return path


@pytest.mark.parametrize("options", [{}, {"compression": "gzip"}, {"format_version": 0}])
def test_written_demo_matches_its_digest_in_every_format(tmp_path: Path, options: dict[str, object]) -> None:
    with h5py.File(write(tmp_path / "demo.hdf5", **options)) as file:
        for demo in file["data"].values():
            assert demo.attrs["digest"].decode() == demo_digest(demo)


def fault_of_demo(read: Callable[[Path], object], path: Path, name: str, caplog: pytest.LogCaptureFixture) -> str:
    """Return why a demo is left out by a reader of demos, or is refused by the inspection of the whole file."""
    if read is not inspect_whole:
        demos, message = left_out(lambda: read(path), caplog)
        assert name not in {demo.name for demo in demos}  # type: ignore[attr-defined]
        assert f"{name} is left out" in message
        return message
    with pytest.raises(SourceDataError) as raised:
        read(path)
    return str(raised.value)


def inspect_whole(path: Path) -> DatasetSummary:
    return inspect_dataset(path, digest=True)


@pytest.mark.parametrize("read", [read_demos, inspect_whole, lambda path: list(stream_demos(path))])
@pytest.mark.parametrize("leaf", LEAVES)
def test_flipped_bit_is_detected(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, read: Callable[[Path], object], leaf: str
) -> None:
    path = write(tmp_path / "demo.hdf5")
    read(path)
    with h5py.File(path) as file:
        offset = file[f"data/demo_1/{leaf}"].id.get_offset()
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)
    assert "the data does not match its digest" in fault_of_demo(read, path, "demo_1", caplog)


@pytest.mark.parametrize("read", [read_demos, inspect_whole, lambda path: list(stream_demos(path))])
def test_unreadable_digest_is_not_treated_as_missing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, read: Callable[[Path], object]
) -> None:
    path = write(tmp_path / "demo.hdf5")
    data = bytearray(path.read_bytes())
    named = data.index(b"digest\0\0")  # Of the first demo; the text's type and length come after its name.
    assert data[named + 12] == 64
    data[named + 12] = 72
    path.write_bytes(data)
    assert "damaged or incomplete" in fault_of_demo(read, path, "demo_0", caplog)


@pytest.mark.parametrize("position", range(14))
def test_damaged_name_of_the_format_attribute_does_not_change_the_order_of_quaternions(
    tmp_path: Path, position: int
) -> None:
    path = write(tmp_path / "demo.hdf5")
    data = bytearray(path.read_bytes())
    data[data.index(b"format_version") + position] ^= 1
    path.write_bytes(data)
    with pytest.raises(SourceDataError, match="looks like a damaged 'format_version'"):
        read_demos(path)


def test_file_of_a_different_program_needs_no_digest(tmp_path: Path) -> None:
    path = write(tmp_path / "demo.hdf5")
    with h5py.File(path, "r+") as file:
        for demo in file["data"].values():
            del demo.attrs["digest"]
            demo["actions"][0, 0] = 0.5
    assert len(read_demos(path)) == 3


def test_long_texts_have_a_fixed_length(tmp_path: Path) -> None:
    """Texts of variable length are stored in a heap; HDF5 may hang when it reads a damaged heap."""
    with h5py.File(write(tmp_path / "demo.hdf5")) as file:
        for name in ("env_args", "versions"):
            assert not file["data"].attrs.get_id(name).get_type().is_variable_str()


def test_change_is_accepted_with_the_command_in_the_message(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "demo.hdf5")
    with h5py.File(path, "r+") as file:
        written = file["data/demo_1"].attrs["digest"]
        file["data/demo_1/actions"][0, 0] = 0.5
        file["data/demo_2/obs/added"] = np.zeros((10, 1), np.float32)
    command = r"accept the change with: mimic validate \S*demo.hdf5 renew_digests=true"
    assert [demo.name for demo in read_demos(path)] == ["demo_0"]
    for name in ("demo_1", "demo_2"):
        assert re.search(rf"{name} is left out: .*{command}", caplog.text)
    with pytest.raises(SourceDataError, match=command):
        read_demos(path, ["demo_1", "demo_2"])
    report = validate_dataset(path, time_limit=None, renew_digests=True)
    assert report.renewed == ("demo_1", "demo_2")
    assert "renewed the digest of 2 changed demos: demo_1, demo_2" in report.as_text()
    assert not [finding for finding in report.findings if finding.check == "digest"]
    assert len(read_demos(path)) == 3
    with h5py.File(path) as file:
        assert file["data/demo_1"].attrs["original_digest"] == written
        assert "original_digest" not in file["data/demo_0"].attrs
    assert validate_dataset(path, time_limit=None, renew_digests=True).renewed == ()


def test_only_checked_demos_with_finite_data_get_a_new_digest(tmp_path: Path) -> None:
    path = write(tmp_path / "demo.hdf5")
    with h5py.File(path, "r+") as file:
        for name, value in (("demo_0", 0.5), ("demo_1", 0.5), ("demo_2", np.nan)):
            file[f"data/{name}/actions"][0, 0] = value
    assert validate_dataset(path, time_limit=None, renew_digests=True, demos=["demo_0"]).renewed == ("demo_0",)
    assert validate_dataset(path, time_limit=None, renew_digests=True).renewed == ("demo_1",)


def test_unreadable_demo_gets_no_new_digest(tmp_path: Path) -> None:
    path = write(tmp_path / "demo.hdf5", compression="gzip")
    with h5py.File(path, "r+") as file:
        demo = file["data/demo_1"]
        del demo["obs"]
        demo.create_dataset(
            "obs/wide", data=np.random.default_rng(1).random((10, 500)), compression="gzip", chunks=(10, 500)
        )
        file.flush()
        offset = demo["obs/wide"].id.get_chunk_info(0).byte_offset
    data = bytearray(path.read_bytes())
    data[offset : offset + 1000] = bytes(1000)
    path.write_bytes(data)
    report = validate_dataset(path, time_limit=None, renew_digests=True)
    assert report.renewed == () and "error: damage" in report.counts

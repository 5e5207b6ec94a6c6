"""Demos that are moved as bytes are what HDF5's own copy of them is; what cannot be moved is copied."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isaaclab_mimic_ext.datasets import copying
from isaaclab_mimic_ext.datasets.copying import DemoCopier, open_to_append
from isaaclab_mimic_ext.datasets.relocate import Unfamiliar, find_block
from isaaclab_mimic_ext.datasets.transfer import Transfer
from tests.builders import make_source_file

KINDS = ("f4", "f8", "i8", "u1", "?", "S5", ">i2")
SIZES = (16, 4)
"""Of HDF5's groups, where nothing else is asked for."""


def fill(group: h5py.Group, rng: np.random.Generator, depth: int, width: int) -> None:
    """Give a group datasets and attributes of all kinds that are moved, and groups of the same."""
    for number in range(width):
        kind = np.dtype(KINDS[rng.integers(len(KINDS))])
        shape = tuple(rng.integers(0, 9, rng.integers(0, 3)))
        values = rng.integers(0, 2, shape).astype(kind)
        name = f"{'n' * int(rng.integers(1, 60))}_{number}"
        if rng.random() < 0.4:
            group.attrs[name] = values
        if depth and rng.random() < 0.3:
            fill(group.create_group(name), rng, depth - 1, width)
        else:
            group[name] = values
            group[name].attrs["of"] = np.bytes_(name.encode())


def write_file(path: Path, num_demos: int, seed: int, depth: int = 2, width: int = 6) -> Path:
    rng = np.random.default_rng(seed)
    with h5py.File(path, "w") as file:
        for index in range(num_demos):
            fill(file.create_group(f"data/demo_{index}"), rng, depth, width)
    return path


def everything(group: h5py.Group) -> dict[str, Any]:
    """What is below a group, and what is said of it, as values that can be compared."""
    found: dict[str, Any] = {}

    def add(path: str, item: h5py.Group | h5py.Dataset) -> None:
        found[path] = {name: (np.asarray(value).dtype, np.asarray(value).tolist()) for name, value in item.attrs.items()}
        assert h5py.h5o.get_info(item.id).rc >= 1
        if isinstance(item, h5py.Dataset):
            found[f"{path}:"] = (item.dtype, item.shape, item.chunks, item[()].tolist() if item.shape is not None else None)

    add(".", group)
    group.visititems(add)
    return found


def copy(path: Path, target: Path, copier: DemoCopier | None = None) -> list[str]:
    """Copy all demos of a file, and return the names of the copies."""
    with h5py.File(target, "w") as file:
        file.create_group("data")
    with copier or DemoCopier() as used, h5py.File(path) as source, open_to_append(target) as file:
        names = sorted(source["data"], key=lambda name: int(name[5:]))
        return [demo.name for demo in used.copies(source, names, file, 7)]


def assert_same(path: Path, target: Path) -> None:
    with h5py.File(path) as source, h5py.File(target) as file:
        assert len(file["data"]) == len(source["data"])
        for name in source["data"]:
            copied = file[f"data/demo_{int(name[5:]) + 7}"]
            assert everything(copied) == everything(source["data"][name])
            assert h5py.h5o.get_info(copied.id).rc == 1


@pytest.fixture
def only_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a demo was copied by HDF5")

    monkeypatch.setattr(copying, "_copied", refuse)


@given(st.integers(0, 2**31), st.integers(1, 6), st.integers(0, 3), st.integers(1, 12), st.sampled_from([2**13, 2**24]))
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_demos_of_any_form_are_what_they_were(
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    num_demos: int,
    depth: int,
    width: int,
    window: int,
) -> None:
    folder = tmp_path_factory.mktemp("moved")
    path = write_file(folder / "a.hdf5", num_demos, seed, depth, width)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(copying, "_WINDOW", window)
        names = copy(path, folder / "b.hdf5")
    assert names == [f"/data/demo_{7 + index}" for index in range(num_demos)]
    assert_same(path, folder / "b.hdf5")


@pytest.mark.parametrize("seed", range(4))
def test_moved_demos_are_what_they_were(only_moved: None, tmp_path: Path, seed: int) -> None:
    path = write_file(tmp_path / "a.hdf5", 30, seed)
    copy(path, tmp_path / "b.hdf5")
    assert_same(path, tmp_path / "b.hdf5")


def test_groups_with_hundreds_of_children_are_moved(only_moved: None, tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.hdf5", 3, seed=1, depth=0, width=700)
    copy(path, tmp_path / "b.hdf5")
    assert_same(path, tmp_path / "b.hdf5")


def test_moved_demos_can_be_changed_like_others(only_moved: None, tmp_path: Path) -> None:
    path, target = make_source_file(tmp_path / "a.hdf5", num_demos=12), tmp_path / "b.hdf5"
    copy(path, target)
    with h5py.File(path, "r+") as source, h5py.File(target, "r+") as file:
        for demos, shift in ((source["data"], 0), (file["data"], 7)):
            del demos[f"demo_{3 + shift}"], demos[f"demo_{4 + shift}/obs"]
            for index in (0, 5, 11):
                demo = demos[f"demo_{index + shift}"]
                demo["obs/more"] = np.arange(5000)
                demo["actions"][:] = index
                demo.attrs.update({f"note {number}": "x" * 100 for number in range(20)})
    assert_same(path, target)


def make_chunked(demo: h5py.Group) -> None:
    demo.create_dataset("extra", data=np.arange(1000), chunks=(100,), compression="gzip")


def name_twice(demo: h5py.Group) -> None:
    demo["extra"] = demo["actions"]


UNKNOWN: list[Callable[[h5py.Group], object]] = [
    make_chunked,
    name_twice,
    lambda demo: demo.attrs.create("extra", "of any length"),
    lambda demo: demo.create_dataset("extra", data="of any length"),
    lambda demo: demo.create_dataset("extra", data=demo["actions"].ref, dtype=h5py.ref_dtype),
    lambda demo: demo.create_dataset("extra", data=np.zeros(3, "i4,f4")),
    lambda demo: demo.__setitem__("extra", h5py.SoftLink("/data/demo_0/actions")),
    lambda demo: demo.create_group("extra", track_order=True),
]


@pytest.mark.parametrize("add", UNKNOWN)
@pytest.mark.parametrize("where", [0, 4, 9])
def test_what_is_not_known_is_left_to_hdf5(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, add: Callable[[h5py.Group], object], where: int
) -> None:
    path, target = make_source_file(tmp_path / "a.hdf5", num_demos=10), tmp_path / "b.hdf5"
    with h5py.File(path, "r+") as file:
        add(file[f"data/demo_{where}"])
    copied: list[str] = []
    by_hdf5 = copying._copied
    monkeypatch.setattr(copying, "_WINDOW", 150_000)  # Two demos.
    monkeypatch.setattr(copying, "_copied", lambda *given: copied.append(given[1]) or by_hdf5(*given))
    copy(path, target)
    assert f"demo_{where}" in copied
    assert where < 4 or "demo_0" not in copied
    with h5py.File(path) as source, h5py.File(target) as file:
        for index in {*range(10)} - {where}:
            assert everything(file[f"data/demo_{index + 7}"]) == everything(source[f"data/demo_{index}"])
        assert {*file[f"data/demo_{where + 7}"]} == {*source[f"data/demo_{where}"]}


@pytest.mark.parametrize("options", [{"libver": "latest"}, {"userblock_size": 512}, {"driver": "core"}])
def test_files_of_other_forms_are_copied(tmp_path: Path, options: dict[str, Any]) -> None:
    sound, path = make_source_file(tmp_path / "sound.hdf5", num_demos=4), tmp_path / "a.hdf5"
    with h5py.File(sound) as source, h5py.File(path, "w", **options) as file:
        source.copy("data", file)
    copy(path, tmp_path / "b.hdf5")
    assert_same(sound, tmp_path / "b.hdf5")


def test_all_is_copied_where_nothing_can_be_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise AttributeError("H5Oopen_by_addr")

    monkeypatch.setattr(copying, "_Mover", missing)
    path = make_source_file(tmp_path / "a.hdf5", num_demos=4)
    copy(path, tmp_path / "b.hdf5")
    assert_same(path, tmp_path / "b.hdf5")


def test_damage_is_met_as_something_unfamiliar_or_lies_in_the_values(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.hdf5", 4, seed=3)
    content = np.fromfile(path, np.uint8)
    with h5py.File(path) as file:
        demos = np.array([h5py.h5o.get_info(demo.id).addr for demo in file["data"].values()])
    sound = find_block(content.copy(), 0, demos, SIZES)
    rng, refused = np.random.default_rng(1), 0
    for _ in range(1500):
        damaged = content.copy()
        damaged[rng.integers(len(damaged))] ^= 1 << rng.integers(8)
        try:
            block = find_block(damaged, 0, demos, SIZES)
        except Unfamiliar:
            refused += 1
        else:
            assert len(block.fields) <= len(sound.fields)
            assert block.fields.min() >= 0 and block.fields.max() <= len(block.content) - 8
    assert refused > 100


def test_an_error_while_writing_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise OSError(28, "No space left on device")

    path = make_source_file(tmp_path / "a.hdf5", num_demos=4)
    monkeypatch.setattr("isaaclab_mimic_ext.datasets.transfer.os.sendfile", fail)
    with pytest.raises(OSError, match="No space left"):
        copy(path, tmp_path / "b.hdf5")


def test_pieces_are_written_while_others_are_read(tmp_path: Path) -> None:
    content = np.random.default_rng(0).integers(0, 256, 100_000, dtype=np.uint8)
    source, target = tmp_path / "source", tmp_path / "target"
    content.tofile(source)
    target.write_bytes(bytes(5))
    spans = [(begin, min(begin + 7000, len(content))) for begin in range(0, len(content), 7000)]
    transfer = Transfer()
    with transfer.between(str(source), str(target), spans):
        for index, (begin, end) in enumerate(spans):
            transfer.read(index)[:] += 1
            transfer.write(index, begin + 3, end, begin)
    transfer.close()
    written = np.fromfile(target, np.uint8)
    for begin, end in spans:
        np.testing.assert_array_equal(written[begin : end - 3], content[begin + 3 : end] + 1)

"""Files whose texts HDF5 would never end reading are refused before it begins."""

import multiprocessing
import struct
from pathlib import Path

import h5py
import numpy as np
import pytest

from isaaclab_mimic_ext.datasets.heaps import damaged_heap
from isaaclab_mimic_ext.datasets.inspect import inspect_dataset
from isaaclab_mimic_ext.demos.source import load_source_demos
from isaaclab_mimic_ext.errors import SourceDataError
from tests.builders import OBJECT_NAMES, SIGNAL_NAMES, make_source_file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with texts of any length, short and long, and lists of them."""
    made = make_source_file(tmp_path / "source.hdf5", num_demos=2)
    with h5py.File(made, "r+") as file:
        file["data"].attrs["note"] = "of any length"
        file["data"].attrs["names"] = [f"name {index}" * index for index in range(300)]
        file["data"].attrs["long"] = "x" * 30_000
    return made


def end_the_chain(path: Path) -> None:
    """The first object becomes free space of size 0, from which HDF5 goes on to itself for ever."""
    start = path.read_bytes().index(b"GCOL")
    with open(path, "r+b") as file:
        file.seek(start + 16)
        file.write(bytes(16))


def read_texts(path: Path) -> None:
    with h5py.File(path) as file:
        dict(file["data"].attrs)


def test_sound_files_pass_and_so_do_those_without_texts(path: Path, tmp_path: Path) -> None:
    assert damaged_heap(path) is None
    plain = tmp_path / "plain.hdf5"
    with h5py.File(plain, "w") as file:
        file["GCOL"] = np.frombuffer(b"GCOL" * 64, np.uint8)
    assert damaged_heap(plain) is None
    (tmp_path / "empty").touch()
    assert damaged_heap(tmp_path / "empty") is None


@pytest.mark.parametrize("place", [0, 2**23 - 11, 2**23, 3 * 2**23 - 1])
def test_a_heap_is_found_wherever_it_lies(tmp_path: Path, place: int) -> None:
    path = tmp_path / "large"
    with open(path, "wb") as file:
        file.seek(place)
        file.write(b"GCOL\x01\x00\x00\x00" + struct.pack("<Q", 4096))  # Its first object has no length.
        file.truncate(3 * 2**23 + 5000)
    assert damaged_heap(path) == place


def test_a_text_that_hdf5_never_ends_reading_is_refused_by_every_reader(path: Path) -> None:
    inspect_dataset(path)
    end_the_chain(path)
    assert damaged_heap(path) is not None
    for read in (inspect_dataset, lambda file: load_source_demos(file, ("franka",), OBJECT_NAMES, SIGNAL_NAMES[:-1], 7)):
        with pytest.raises(SourceDataError, match=r"the texts at byte \d+ are damaged; copy or make the file again"):
            read(path)


def test_hdf5_itself_reads_it_for_ever_or_not_at_all(path: Path) -> None:
    end_the_chain(path)
    process = multiprocessing.get_context("spawn").Process(target=read_texts, args=(path,))
    process.start()
    process.join(timeout=15)
    hangs = process.is_alive()
    process.kill()
    process.join()
    assert hangs or process.exitcode, "HDF5 reads it now: the search for damaged heaps can go"


@pytest.mark.parametrize("length", [2**40, 2**64 - 16])
def test_an_object_that_reaches_beyond_its_heap_is_refused(path: Path, length: int) -> None:
    start = path.read_bytes().index(b"GCOL")
    with open(path, "r+b") as file:
        file.seek(start + 24)
        file.write(struct.pack("<Q", length))
    assert damaged_heap(path) == start


def test_numbers_that_damage_turns_into_references_are_not_followed(path: Path) -> None:
    with h5py.File(path) as file:
        signal = file["data/demo_0/obs/datagen_info/subtask_term_signals/grasp"]
        header = h5py.h5o.get_info(signal.id).addr
    content = bytearray(path.read_bytes())
    assert content[header + 48] == 3 and content[header + 56] == 0x18  # The type's message: an enumeration.
    content[header + 56] = 0x19
    path.write_bytes(content)
    with pytest.raises(SourceDataError, match=r"grasp: values of any length, in \d+ bytes"):
        inspect_dataset(path, with_digest=True)


def test_values_of_any_length_that_are_sound_are_read(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["mask/best"] = ["demo_0", "demo_1"]
        file["data/demo_0/words"] = ["of", "any", "length"]
        file["data/demo_0/none"] = h5py.Empty(h5py.string_dtype())
        file.create_dataset("data/demo_0/unset", (5,), h5py.vlen_dtype(np.int32))
    inspect_dataset(path, with_digest=True)

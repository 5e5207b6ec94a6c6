"""Files have their name only when they are complete; what cannot be written is reported in one way."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from isaaclab_mimic_ext.envs.playback import check_picture
from isaaclab_mimic_ext.errors import OutputError, RecorderError, SourceDataError
from isaaclab_mimic_ext.files.dataset_file import DatasetFile
from isaaclab_mimic_ext.files.hdf5 import open_hdf5
from isaaclab_mimic_ext.files.stream import read_facts
from isaaclab_mimic_ext.files.writing import (
    HDF5_ERRORS,
    check_output,
    created_folder,
    part_path,
    replacing,
    system_reason,
    write_bytes,
    write_json,
    write_text,
)

FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("write", "content"),
    [
        (lambda path: write_text(path, "größer\n"), "größer\n".encode()),
        (lambda path: write_bytes(path, b"\0\1"), b"\0\1"),
        (lambda path: write_json(path, {"a": [1]}), json.dumps({"a": [1]}, indent=2).encode() + b"\n"),
    ],
)
def test_content_replaces_what_was_there(tmp_path: Path, write: Callable[[Path], None], content: bytes) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    write(path)
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("keep_suffix", [False, True])
@pytest.mark.parametrize(
    "error", [FULL, RuntimeError("HDF5 says: error message = 'No space left on device', ..."), KeyboardInterrupt()]
)
def test_block_that_fails_leaves_what_was_there_and_no_part(tmp_path: Path, error: BaseException, keep_suffix: bool) -> None:
    path = tmp_path / "file.png"
    path.write_text("old")
    expected = KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else OutputError
    with (
        pytest.raises(expected) as raised,
        replacing(path, "output_file", "give another one", OutputError, HDF5_ERRORS, keep_suffix) as part,
    ):
        assert part.suffix == (".png" if keep_suffix else ".part")
        part.write_text("half")
        raise error
    if expected is OutputError:
        assert str(raised.value) == f"output_file: {path} cannot be written: No space left on device; give another one"
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_folder_replaces_a_folder_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "dataset"
    path.mkdir()
    (path / "old").touch()
    with replacing(path) as part:
        part.mkdir()
        (part / "new").touch()
    assert [each.name for each in path.iterdir()] == ["new"]
    with pytest.raises(RecorderError), replacing(path) as part:
        part.mkdir()
        raise FULL
    assert [each.name for each in tmp_path.iterdir()] == ["dataset"]


def test_path_in_a_folder_that_does_not_exist_is_reported(tmp_path: Path) -> None:
    with pytest.raises(RecorderError, match=r"nowhere/a cannot be written: No such file or directory; free some space"):
        write_text(tmp_path / "nowhere" / "a", "")


def test_errors_of_a_library_that_are_not_about_writing_pass(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="renderer"), replacing(tmp_path / "film.mp4"):
        raise RuntimeError("renderer")


def test_checking_an_output_leaves_no_folder(tmp_path: Path) -> None:
    check_output(tmp_path / "new" / "folder" / "demos.hdf5", overwrite=False)
    check_picture(tmp_path / "new" / "folder" / "film.mp4", ".mp4", overwrite=False)
    assert not list(tmp_path.iterdir())


def test_created_folders_are_removed_after_an_error_unless_they_contain_files(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    with pytest.raises(ValueError, match="too early"), created_folder(folder):
        assert folder.is_dir()
        raise ValueError("too early")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="too late"), created_folder(folder):
        (folder.parent / "file").touch()
        raise ValueError("too late")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["file"]


def test_pipe_is_refused_instead_of_waiting_for_its_writer(tmp_path: Path) -> None:
    pipe = tmp_path / "demo.hdf5"
    os.mkfifo(pipe)
    with pytest.raises(SourceDataError, match=r"demo.hdf5: .*got a pipe"), open_hdf5(pipe):
        pass


def test_unfinished_dataset_is_named_by_readers_of_its_final_name(tmp_path: Path) -> None:
    path = tmp_path / "demo.hdf5"
    part_path(path).write_bytes(b"")
    named = r"demo.hdf5: not found, but demo.hdf5.part exists; .* resume=true"
    with pytest.raises(SourceDataError, match=named), open_hdf5(path):
        pass
    with pytest.raises(SourceDataError, match=r"demo.hdf5.part: .*; it is being written, or .* resume=true"):
        read_facts(part_path(path))


def test_dataset_of_an_unfinished_run_is_named_with_the_command_that_continues_the_run(tmp_path: Path) -> None:
    path, progress = tmp_path / "demo.hdf5", tmp_path / "progress.json"

    def reason(name: str = "demo.hdf5") -> str:
        with pytest.raises(SourceDataError) as error, open_hdf5(tmp_path / name):
            pass
        return str(error.value)

    continues = f"wait, or continue it with: mimic generate resume=true output_dir={tmp_path}"
    unfinished = f"{path}: not found; the run in {tmp_path} is not finished; {continues}"
    (tmp_path / "run.sqlite").touch()
    progress.write_text('{"state": "running"}')
    assert reason() == unfinished, "no demo is written yet"
    assert reason("demos.hdf5").endswith("use the path of an existing HDF5 file")
    progress.write_text('{"state": "ended"}')
    assert reason().endswith("use the path of an existing HDF5 file"), "the dataset was moved"
    part_path(path).touch()
    assert reason() == unfinished, "the run was interrupted"


def test_discarded_dataset_leaves_no_folder(tmp_path: Path) -> None:
    file = DatasetFile(tmp_path / "new" / "demo.hdf5", {})
    assert file.part_path.exists()
    file.discard()
    assert not list(tmp_path.iterdir())


def test_reason_of_the_system_has_one_form_however_h5py_repeats_it(tmp_path: Path) -> None:
    repeated = "Unable to extend file properly, errno = 27, error message = 'file too large' (file write failed: ...)"
    assert system_reason(OSError(errno.EFBIG, repeated)) == "File too large"

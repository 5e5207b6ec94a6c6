"""Paths that do not exist, exist already, or are a folder in place of a file: errors name the field and the remedy."""

import shutil
from pathlib import Path

import pytest

from tests.forked_scripts import ROOT, message_of, run_script

SOURCE = ROOT / "tasks" / "desktop_organizer" / "data" / "source_demos.hdf5"
WITH_INPUT = {
    "annotate_demos": "output_file=new.hdf5 sim=kinematic",
    "check_demos": "",
    "generate": "output_dir=new sim=kinematic",
    "split_dataset": "",
    "replay_demos": "sim=kinematic",
    "train": "output_dir=new",
    "evaluate": "checkpoint=a.pth output_dir=new",
}
WITH_OUTPUT = {
    "record_demos": ("sim=kinematic", ".hdf5"),
    "annotate_demos": ("input_file=source.hdf5 sim=kinematic", ".hdf5"),
    "check_demos": ("input_file=source.hdf5", ".png"),
    "merge_datasets": ("input_file=[source.hdf5,other.hdf5]", ".hdf5"),
    "replay_demos": ("input_file=source.hdf5 sim=kinematic", ".mp4"),
    "import_dataset": ("input_file=source.hdf5", ".hdf5"),
    "export_dataset": ("format=robomimic input_file=source.hdf5", ".hdf5"),
    "prepare_dataset": ("input_file=source.hdf5", ".hdf5"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with source demos, a folder, and files that must not be overwritten."""
    path = tmp_path_factory.mktemp("paths")
    for name in ("source.hdf5", "other.hdf5"):
        shutil.copyfile(SOURCE, path / name)
    for suffix in ("", ".hdf5", ".png", ".mp4"):
        (path / f"file{suffix}").write_text("notes")
    (path / "folder").mkdir()
    (path / "folder" / "notes.txt").touch()
    return path


def refusal(script: str, *words: str, cwd: Path) -> str:
    done = run_script(script, *words, cwd=cwd)
    assert done.returncode == 2
    return message_of(done)


@pytest.mark.parametrize("script", WITH_INPUT)
def test_missing_input_is_refused_with_its_field(script: str, folder: Path) -> None:
    message = refusal(script, "input_file=nothing.hdf5", *WITH_INPUT[script].split(), cwd=folder)
    remedy = "; or set horizon=<steps>, which requires no demos" if script == "evaluate" else ""
    rule = "nothing.hdf5: not found; use the path of an existing HDF5 file"
    assert message == f"SourceDataError: input_file: {rule}{remedy}"


@pytest.mark.parametrize("script", ["split_dataset", "train"])
def test_folder_in_place_of_an_input_file_is_refused_with_its_field(script: str, folder: Path) -> None:
    message = refusal(script, "input_file=folder", *WITH_INPUT[script].split(), cwd=folder)
    assert message.partition(": ")[2].startswith("input_file: ") and "folder" in message and "must be" in message


@pytest.mark.parametrize("script", ["report", "sweep_report"])
@pytest.mark.parametrize(("path", "fault"), [("nothing", "nothing not found"), ("file", "file is a file")])
def test_wrong_input_folder_is_refused_with_its_field(script: str, path: str, fault: str, folder: Path) -> None:
    message = refusal(script, f"input_dir={path}", cwd=folder)
    assert message == f"SourceDataError: input_dir: {fault}; use the path of an existing folder"


@pytest.mark.parametrize("script", WITH_OUTPUT)
def test_existing_output_is_kept_and_refused_with_its_field(script: str, folder: Path) -> None:
    words, suffix = WITH_OUTPUT[script]
    message = refusal(script, *words.split(), f"output_file=file{suffix}", cwd=folder)
    assert message.startswith(f"OutputError: output_file: file{suffix} already exists; ")
    assert message.endswith("use another output_file, or overwrite=true")
    assert (folder / f"file{suffix}").read_text() == "notes"


@pytest.mark.parametrize("script", ["record_demos", "replay_demos", "export_dataset"])
def test_output_below_a_file_is_refused_with_its_field(script: str, folder: Path) -> None:
    words, suffix = WITH_OUTPUT[script]
    message = refusal(script, *words.split(), f"output_file=file/a{suffix}", cwd=folder)
    place = f"output_file: file/a{suffix}"
    assert message == f"OutputError: {place} cannot be written: file is a file, not a folder; use another output_file"


@pytest.mark.parametrize("script", ["generate", "train", "evaluate", "pipeline"])
@pytest.mark.parametrize(
    ("path", "fault"), [("file", "is a file; use the path of a folder"), ("folder", "contains other files (notes.txt); use")]
)
def test_output_folder_that_is_a_file_or_contains_other_files_is_refused(
    script: str, path: str, fault: str, folder: Path
) -> None:
    words = {"pipeline": "", "evaluate": "input_file=source.hdf5 checkpoint=a.pth"}.get(script, "input_file=source.hdf5")
    assert f"OutputError: output_dir: {path} {fault}" in refusal(script, *words.split(), f"output_dir={path}", cwd=folder)
    assert sorted(each.name for each in (folder / "folder").iterdir()) == ["notes.txt"]

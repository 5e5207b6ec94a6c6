"""Output folders keep existing files, and are used by one process at a time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from isaaclab_mimic_ext.errors import OutputError
from isaaclab_mimic_ext.files.folder import OutputFile, OutputFolder
from isaaclab_mimic_ext.files.lock import FolderLock


class Folder(OutputFolder):
    content = "a survey"
    resumes_from = "state.sqlite"

    state = OutputFile("state.sqlite")
    page = OutputFile("pages/index.html")
    lock = OutputFile("survey.lock", is_kept=True)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "survey")


def fill(folder: Folder, *names: str) -> None:
    for name in names:
        path = folder.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_attributes_return_the_paths_of_files(folder: Folder) -> None:
    assert folder.page == folder.path / "pages" / "index.html"
    assert [file.name for file in Folder.files()] == ["state.sqlite", "pages/index.html", "survey.lock"]


@pytest.mark.parametrize("names", [(), ("survey.lock",)])
@pytest.mark.parametrize(("overwrite", "resume"), [(False, False), (True, False), (False, True)])
def test_new_or_empty_folder_or_folder_with_only_a_lock_file_is_accepted(
    folder: Folder, names: tuple[str, ...], overwrite: bool, resume: bool
) -> None:
    folder.check(overwrite, resume)
    folder.create()
    fill(folder, *names)
    folder.check(overwrite, resume)


def test_results_are_kept_unless_they_are_overwritten_or_resumed(folder: Folder) -> None:
    fill(folder, "state.sqlite", "state.sqlite-wal", "pages/index.html", "survey.lock")
    reason = (
        r"already contains a survey \(state.sqlite, pages, state.sqlite-wal\); continue it with resume=true, use another"
    )
    with pytest.raises(OutputError, match=reason):
        folder.check(overwrite=False)
    folder.check(overwrite=True)
    folder.check(overwrite=False, resume=True)
    folder.clear()
    assert [path.name for path in folder.path.iterdir()] == ["survey.lock"]


def test_folder_without_the_file_to_resume_from_is_refused(folder: Folder) -> None:
    fill(folder, "pages/index.html")
    for overwrite in (False, True):
        with pytest.raises(OutputError, match=r"contains a survey without state.sqlite, .* with overwrite=true"):
            folder.check(overwrite, resume=True)


def test_folder_with_other_files_is_refused_even_with_overwrite(folder: Folder) -> None:
    fill(folder, "thesis.tex")
    with pytest.raises(OutputError, match=r"contains other files \(thesis.tex\)"):
        folder.check(overwrite=True)
    with pytest.raises(OutputError, match="is a file"):
        Folder(folder.path / "thesis.tex").check(overwrite=True)


def test_folder_that_cannot_be_created_is_reported() -> None:
    with pytest.raises(OutputError, match=r"output_dir: /proc/survey cannot be written: .*; use another output_dir"):
        Folder(Path("/proc/survey")).create()


@pytest.mark.slow
def test_error_of_a_lock_names_its_holder_and_the_lock_is_free_afterwards(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path / "survey.lock", note=" (a survey)")
    lock.check_free()
    with lock.hold():
        for attempt in (lock.check_free, lock.hold().__enter__):
            with pytest.raises(OutputError, match=rf"in use by process {os.getpid()} on .* \(a survey\); wait until"):
                attempt()
    lock.check_free()
    with lock.hold():
        pass


def test_lock_of_a_file_is_deleted_and_a_waiting_process_locks_the_new_one(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path / "fields.hdf5.lock", file=tmp_path / "fields.hdf5")
    with lock.hold():
        with pytest.raises(OutputError, match=r"output_file: .*fields.hdf5 is in use by process"):
            lock.hold().__enter__()
        # As if the holder deleted the file between opening and locking by the other process.
        lock.path.unlink()
        with lock.hold() as fresh:
            assert os.path.samestat(os.fstat(fresh), lock.path.stat())
    assert not list(tmp_path.iterdir())


def test_child_of_an_interrupted_holder_keeps_the_lock_of_a_file(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path / "fields.hdf5.lock", file=tmp_path / "fields.hdf5")
    with pytest.raises(KeyboardInterrupt), lock.hold() as descriptor:
        child = os.dup(descriptor)
        raise KeyboardInterrupt
    with pytest.raises(OutputError, match=r"fields.hdf5 is in use by process"), lock.hold():
        pass
    os.close(child)
    with lock.hold():
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("timeout", [0.0, 30.0])
def test_child_of_a_dead_holder_keeps_the_lock_until_the_child_ends(tmp_path: Path, timeout: float) -> None:
    path = tmp_path / "survey.lock"
    script = (
        "import subprocess, sys; from pathlib import Path; from isaaclab_mimic_ext.files.lock import FolderLock\n"
        "with FolderLock(Path(sys.argv[1])).hold() as lock:\n"
        "    print(subprocess.Popen(['sleep', '2'], pass_fds=(lock,), stdout=-3, stderr=-3).pid, flush=True)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=True, capture_output=True)
    lock = FolderLock(path, dead_holder_timeout=timeout)
    if timeout:
        with lock.hold():
            pass
    else:
        with pytest.raises(OutputError, match="is in use"), lock.hold():
            pass

"""Folder of a session: one studio at a time uses it."""

from pathlib import Path

import pytest

from isaaclab_mimic_ext.errors import OutputError
from isaaclab_mimic_ext.studio.folder import StudioFolder


def test_second_studio_leaves_the_lock_of_the_first(tmp_path: Path) -> None:
    folder = StudioFolder(tmp_path / "session")
    with folder.held():
        for _ in range(2):
            with pytest.raises(OutputError, match=r"is in use by process .* \(another studio\)"), folder.held():
                pass
        assert (folder.path / "studio.lock").is_file()
    assert not folder.path.exists()


def test_folder_with_files_stays(tmp_path: Path) -> None:
    folder = StudioFolder(tmp_path / "session")
    with folder.held():
        folder.raw.touch()
    assert folder.raw.is_file()

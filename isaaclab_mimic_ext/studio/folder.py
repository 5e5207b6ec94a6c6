"""Folder of a session of the studio."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from isaaclab_mimic_ext.files.lock import FolderLock
from isaaclab_mimic_ext.files.writing import create_folder, remove_folders
from isaaclab_mimic_ext.run.session import RunFolder


@dataclass(frozen=True)
class StudioFolder:
    """Folder of a session; one studio at a time uses it.

    Attributes:
        path: path of the folder.
    """

    path: Path

    @property
    def raw(self) -> Path:
        """Path of the recorded demos."""
        return self.path / "raw.hdf5"

    @property
    def marks(self) -> Path:
        """Path of the marks, a `marks_file` of `annotate`."""
        return self.path / "marks.yaml"

    @property
    def annotated(self) -> Path:
        """Path of the annotated demos."""
        return self.path / "annotated.hdf5"

    @property
    def run(self) -> Path:
        """Folder of the generation."""
        return self.path / "run"

    @property
    def generated(self) -> Path:
        """Path of the generated demos."""
        return self.run / "demo.hdf5"

    @property
    def check_picture(self) -> Path:
        """Path of the picture of the check."""
        return self.path / "check.png"

    @property
    def video(self) -> Path:
        """Path of the video of the generated demos."""
        return RunFolder(self.run).video

    @property
    def report(self) -> Path:
        """Path of the page about the generation."""
        return self.run / "report.html"

    @property
    def outcomes(self) -> Path:
        """Path of the outcomes of the commands that the page has started."""
        return self.path / "steps.json"

    def log(self, step: str) -> Path:
        """Path of the output of the last command of a step."""
        return self.path / "logs" / f"{step}.txt"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Lock the folder during the block; it is created, and removed if it is empty at the end.

        Raises:
            OutputError: another studio uses the folder, or it cannot be written to.
        """
        created = create_folder(self.path)
        lock = self.path / "studio.lock"
        try:
            with FolderLock(lock, note=" (another studio)").hold():
                yield from self._used(lock)
        finally:
            remove_folders(created)

    def _used(self, lock: Path) -> Iterator[None]:
        """Yield, and remove the lock file of a folder that stays empty. Only the holder of the lock may do that."""
        try:
            yield
        finally:
            if sorted(self.path.iterdir()) == [lock]:
                lock.unlink()

"""The folder of a generation run: what a MimicGen user looks for, under the names that MimicGen gives it."""

from dataclasses import dataclass
from pathlib import Path

from isaaclab_mimic_ext.errors import OutputError, RecorderError
from isaaclab_mimic_ext.files.writing import part_path


@dataclass(frozen=True)
class RunFolder:
    """Where each file of a run goes."""

    path: Path

    @property
    def demos(self) -> Path:
        return self.path / "demo.hdf5"

    @property
    def failed_demos(self) -> Path:
        return self.path / "demo_failed.hdf5"

    @property
    def stats(self) -> Path:
        return self.path / "important_stats.json"

    @property
    def log(self) -> Path:
        return self.path / "log.txt"

    @property
    def config(self) -> Path:
        return self.path / "config.yaml"

    @property
    def video(self) -> Path:
        return self.path / "playback.mp4"

    @property
    def failed_video(self) -> Path:
        return self.path / "playback_failed.mp4"

    @property
    def picture(self) -> Path:
        return self.path / "scene.png"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def store(self) -> Path:
        return self.path / "run.sqlite"

    @property
    def lock(self) -> Path:
        return self.path / "run.lock"

    def present(self) -> list[Path]:
        """The files of a run that are there; the lock, which nobody may need, is not among them."""
        demos = (self.demos, self.failed_demos)
        others = (self.stats, self.log, self.config, self.video, self.failed_video, self.picture, self.report)
        store = [self.path / f"{self.store.name}{suffix}" for suffix in ("", "-wal", "-shm")]
        return [path for path in (*demos, *map(part_path, demos), *others, *store) if path.exists()]

    def check(self, overwrite: bool, resume: bool) -> None:
        """Make sure that a run can be put here, or continued, without touching anything.

        Raises:
            OutputError: it is no folder, it holds something else, or a run that is to be kept.
        """
        if not self.path.exists():
            return
        if not self.path.is_dir():
            raise OutputError(f"output_dir: {self.path} is a file; give the path of a folder")
        present = self.present()
        if not present:
            self._check_empty()
        elif not (overwrite or resume):
            names = ", ".join(path.name for path in present)
            raise OutputError(
                f"output_dir: {self.path} holds a run already ({names}); continue it with resume=true, give another "
                "output_dir, or overwrite=true"
            )
        elif resume and not self.store.exists():
            raise OutputError(f"output_dir: {self.path} holds a run without {self.store.name}; use overwrite=true")

    def _check_empty(self) -> None:
        others = sorted(path.name for path in self.path.iterdir() if path != self.lock)
        if others:
            names = ", ".join(others[:5]) + (", ..." if len(others) > 5 else "")
            raise OutputError(f"output_dir: {self.path} holds other files ({names}); give a new or an empty folder")

    def create(self) -> None:
        """Make the folder.

        Raises:
            OutputError: it cannot be written to.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.lock.touch()
        except OSError as error:
            raise OutputError(
                f"output_dir: {self.path} cannot be written: {error.strerror}; give another output_dir"
            ) from error

    def clear(self) -> None:
        """Remove a run that is here."""
        for path in self.present():
            path.unlink()

    def write(self, path: Path, text: str) -> None:
        """Write one of the run's text files.

        Raises:
            RecorderError: it cannot be written.
        """
        try:
            path.write_text(text)
        except OSError as error:
            raise RecorderError(f"{path} cannot be written: {error.strerror}; free some space and run again") from error

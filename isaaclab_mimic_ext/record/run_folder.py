"""The folder of a generation run: what a MimicGen user looks for, under the names that MimicGen gives it."""

from dataclasses import dataclass
from pathlib import Path

from isaaclab_mimic_ext.errors import OutputError, RecorderError
from isaaclab_mimic_ext.record.hdf5 import part_path


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

    def present(self) -> list[Path]:
        """The files of a run that are there."""
        demos = (self.demos, self.failed_demos)
        others = (self.stats, self.log, self.config, self.video, self.failed_video, self.picture)
        return [path for path in (*demos, *map(part_path, demos), *others) if path.exists()]

    def check_free(self, overwrite: bool) -> None:
        """Make sure that a run can be put here, without touching anything.

        Raises:
            OutputError: there is a run in the folder and `overwrite` is not set, or it is no folder.
        """
        if self.path.exists() and not self.path.is_dir():
            raise OutputError(f"output_dir: {self.path} is a file; give the path of a folder")
        present = self.present()
        if present and not overwrite:
            names = ", ".join(path.name for path in present)
            raise OutputError(
                f"output_dir: {self.path} holds a run already ({names}); give another output_dir, or overwrite=true"
            )

    def write(self, path: Path, text: str) -> None:
        """Write one of the run's text files.

        Raises:
            RecorderError: it cannot be written.
        """
        try:
            path.write_text(text)
        except OSError as error:
            raise RecorderError(f"{path} cannot be written: {error.strerror}; free some space and run again") from error

    def create(self) -> None:
        """Make the folder and clear it of an earlier run.

        Raises:
            OutputError: it cannot be written to.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for path in self.present():
                path.unlink()
            self.log.touch()
        except OSError as error:
            raise OutputError(
                f"output_dir: {self.path} cannot be written: {error.strerror}; give another output_dir"
            ) from error

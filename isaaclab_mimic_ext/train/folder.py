"""The folder of a training run."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isaaclab_mimic_ext.errors import OutputError, RecorderError


@dataclass(frozen=True)
class TrainFolder:
    """Where each file of a run goes."""

    path: Path

    @property
    def models(self) -> Path:
        return self.path / "models"

    @property
    def last(self) -> Path:
        return self.models / "last.pth"

    @property
    def best(self) -> Path:
        return self.models / "best.pth"

    @property
    def tensorboard(self) -> Path:
        return self.path / "logs" / "tb"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.csv"

    @property
    def robomimic_config(self) -> Path:
        return self.path / "config.json"

    @property
    def config(self) -> Path:
        return self.path / "train.yaml"

    @property
    def log(self) -> Path:
        return self.path / "log.txt"

    def of_epoch(self, epoch: int) -> Path:
        return self.models / f"model_epoch_{epoch}.pth"

    def check(self, overwrite: bool, resume: bool) -> None:
        """Make sure that a run can be put here, or continued, without touching anything.

        Raises:
            OutputError: it is no folder, or holds something that is to be kept.
        """
        if self.path.exists() and not self.path.is_dir():
            raise OutputError(f"output_dir: {self.path} is a file; give the path of a folder")
        if resume and not self.last.exists() and self._names() and not self._was_only_begun():
            raise OutputError(f"output_dir: {self.path} holds no run to go on with (no models/last.pth); use overwrite=true")
        if self._names() and not (overwrite or resume):
            raise OutputError(
                f"output_dir: {self.path} holds files already ({', '.join(self._names()[:5])}); go on with resume=true, "
                "give another output_dir, or overwrite=true"
            )

    def _was_only_begun(self) -> bool:
        """Whether a run was killed before it had saved anything: there is nothing to lose."""
        ours = {path.name for path in (self.models, self.tensorboard.parent, self.robomimic_config, self.config, self.log)}
        return set(self._names()) <= ours and not list(self.path.rglob("*.pth"))

    def _names(self) -> list[str]:
        return sorted(each.name for each in self.path.iterdir()) if self.path.is_dir() else []

    def create(self, num_bytes: int) -> None:
        """Make the folder.

        Args:
            num_bytes: what the run will write.

        Raises:
            OutputError: it cannot be written to, or the disk has less room.
        """
        existing = next(folder for folder in (self.path, *self.path.absolute().parents) if folder.is_dir())
        try:
            free = shutil.disk_usage(existing).free
            if free < num_bytes:
                raise OutputError(
                    f"output_dir: {self.path}: the checkpoints take {num_bytes / 1e6:.0f} MB, the disk has "
                    f"{free / 1e6:.0f} MB free; free some space, save fewer (save_every), or give another output_dir"
                )
            self.models.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"output_dir: {self.path} cannot be written: {error.strerror}; give another one") from error

    def clear(self) -> None:
        """Remove what a run left here."""
        for path in (self.models, self.path / "logs"):
            shutil.rmtree(path, ignore_errors=True)
        for path in (self.metrics, self.robomimic_config, self.config, self.log):
            path.unlink(missing_ok=True)

    def write(self, path: Path, content: str | dict[str, Any]) -> None:
        """Write one of the run's text files.

        Raises:
            RecorderError: it cannot be written.
        """
        try:
            path.write_text(content if isinstance(content, str) else json.dumps(content, indent=2) + "\n")
        except OSError as error:
            raise RecorderError(f"{path} cannot be written: {error.strerror}; free some space and run again") from error

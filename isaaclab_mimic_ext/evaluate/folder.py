"""The folder of an evaluation."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isaaclab_mimic_ext.errors import OutputError, RecorderError


@dataclass(frozen=True)
class EvaluationFolder:
    """Where each file of an evaluation goes."""

    path: Path

    @property
    def report(self) -> Path:
        return self.path / "evaluation.json"

    @property
    def config(self) -> Path:
        return self.path / "config.yaml"

    @property
    def plot(self) -> Path:
        return self.path / "success_over_epochs.png"

    @property
    def videos(self) -> Path:
        return self.path / "videos"

    def video(self, checkpoint: str, success: bool) -> Path:
        kind = "successes" if success else "failures"
        return self.videos / f"{checkpoint.replace('/', '_')}_{kind}.mp4"

    def check(self, overwrite: bool) -> None:
        """Make sure that an evaluation can be put here, without touching anything.

        Raises:
            OutputError: it is no folder, or holds something that is to be kept.
        """
        if not self.path.exists():
            return
        if not self.path.is_dir():
            raise OutputError(f"output_dir: {self.path} is a file; give the path of a folder")
        if self.report.exists():
            if not overwrite:
                raise OutputError(
                    f"output_dir: {self.path} holds an evaluation already; give another output_dir, or overwrite=true"
                )
            return
        others = sorted(path.name for path in self.path.iterdir())
        if others:
            names = ", ".join(others[:5]) + (", ..." if len(others) > 5 else "")
            raise OutputError(f"output_dir: {self.path} holds other files ({names}); give a new or an empty folder")

    def create(self) -> None:
        """Make the folder, without the evaluation that may be in it.

        Raises:
            OutputError: it cannot be written to.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for old in (self.report, self.config, self.plot, *self.videos.glob("*.mp4")):
                old.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(
                f"output_dir: {self.path} cannot be written: {error.strerror}; give another output_dir"
            ) from error

    def write_report(self, report: dict[str, Any]) -> None:
        """Write `evaluation.json` in place of what it was; it is whole at any instant.

        Raises:
            RecorderError: it cannot be written.
        """
        self._write(self.report, json.dumps(report, indent=1) + "\n")

    def write_config(self, text: str) -> None:
        """Write `config.yaml`: what the evaluation was asked for.

        Raises:
            RecorderError: it cannot be written.
        """
        self._write(self.config, text)

    def _write(self, path: Path, text: str) -> None:
        part = path.with_name(f"{path.name}.part")
        try:
            with part.open("w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise RecorderError(f"{path} cannot be written: {error.strerror}; free some space and run again") from error

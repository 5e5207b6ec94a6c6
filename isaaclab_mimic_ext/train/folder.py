"""The folder of a training run."""

import shutil
from pathlib import Path

from isaaclab_mimic_ext.errors import OutputError
from isaaclab_mimic_ext.files.folder import OutputFile, OutputFolder
from isaaclab_mimic_ext.files.writing import write_errors


class TrainFolder(OutputFolder):
    """Paths of a run's files."""

    content = "a training run"
    resumes_from = "models/last.pth"

    models = OutputFile("models")
    last = OutputFile("models/last.pth")
    best = OutputFile("models/best.pth")
    tensorboard = OutputFile("logs/tb")
    metrics = OutputFile("metrics.csv")
    robomimic_config = OutputFile("config.json")
    config = OutputFile("train.yaml")
    log = OutputFile("log.txt")

    def of_epoch(self, epoch: int) -> Path:
        """Path of the checkpoint of an epoch."""
        return self.models / f"model_epoch_{epoch}.pth"

    def create(self) -> None:
        super().create()
        with write_errors(self.models, "output_dir", "give another output_dir", OutputError):
            self.models.mkdir(exist_ok=True)

    def has_results(self) -> bool:
        # A run that was killed before its first checkpoint has nothing to lose.
        return self.metrics.exists() or any(self.models.glob("*.pth"))

    def check_room(self, num_bytes: int) -> None:
        """Make sure that the disk has room for the run's checkpoints.

        Raises:
            OutputError: it has less than `num_bytes`.
        """
        existing = next(folder for folder in (self.path, *self.path.absolute().parents) if folder.is_dir())
        free = shutil.disk_usage(existing).free
        if free < num_bytes:
            raise OutputError(
                f"output_dir: {self.path}: the checkpoints take {num_bytes / 1e6:.0f} MB, the disk has "
                f"{free / 1e6:.0f} MB free; free some space, save fewer (save_every), or give another output_dir"
            )

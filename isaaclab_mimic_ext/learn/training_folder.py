"""What makes two trainings the same run, so that one may go on where the other stopped."""

import shutil
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from isaaclab_mimic_ext.config import TrainCfg
from isaaclab_mimic_ext.errors import OutputError
from isaaclab_mimic_ext.files.folder import OutputFile, OutputFolder
from isaaclab_mimic_ext.files.writing import write_errors
from isaaclab_mimic_ext.learn.agents import flat

_FREE = ("train.num_epochs", "train.data", "train.cuda", "experiment.save", "experiment.name")

"""May change: how long, where the same data lies, on what, how often it is saved."""


def identity_of(settings: Mapping[str, Any], cfg: TrainCfg, dataset_digest: str) -> dict[str, Any]:
    """All that the parameters after an epoch depend on: name -> value."""
    values = {name: deepcopy(value) for name, value in flat(settings).items() if not name.startswith(_FREE)}
    return {
        "task": cfg.task.name,
        "dataset": dataset_digest,
        "normalize_actions": cfg.normalize_actions,
        **{f"agent.{name}": value for name, value in sorted(values.items())},
    }


def check_same_run(made: Mapping[str, Any], wanted: Mapping[str, Any], folder: Path) -> None:
    """Make sure that a run may go on as what is asked for.

    Raises:
        OutputError: it was started as something else; names the first thing that differs.
    """
    different = [name for name in {**made, **wanted} if made.get(name) != wanted.get(name)]
    if different:
        name = different[0]
        raise OutputError(
            f"output_dir: {folder} holds another run: {name} is {made.get(name)!r} there, {wanted.get(name)!r} is asked "
            "for; give another output_dir, or overwrite=true"
        )


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

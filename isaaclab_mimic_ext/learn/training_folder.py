"""Output folder of a training, and the check that a training may be resumed."""

import shutil
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from isaaclab_mimic_ext.config import TrainCfg
from isaaclab_mimic_ext.errors import OutputError
from isaaclab_mimic_ext.files.folder import OutputFile, OutputFolder
from isaaclab_mimic_ext.files.writing import write_errors
from isaaclab_mimic_ext.learn.agents import flatten_settings

_MAY_CHANGE = ("train.num_epochs", "train.data", "train.cuda", "experiment.save", "experiment.name")
"""Settings that may change when a training is resumed: length, path of the dataset, device, saving, name.

The length may not change if the learning rate falls to 0 at the last epoch."""
_ALGORITHM = "agent.algo_name"
_END_OF_SCHEDULE = ".learning_rate.epoch_schedule"


def identity_of(settings: Mapping[str, Any], cfg: TrainCfg, dataset_digest: str) -> dict[str, Any]:
    """Identity of a training: all values that its parameters after an epoch depend on, by name."""
    values = {
        name: deepcopy(value) for name, value in flatten_settings(settings).items() if not name.startswith(_MAY_CHANGE)
    }
    return {
        "task": cfg.task.name,
        "dataset": dataset_digest,
        "normalize_actions": cfg.normalize_actions,
        **({} if cfg.action_key == "actions" else {"action_key": cfg.action_key}),
        **{f"agent.{name}": value for name, value in sorted(values.items())},
    }


def check_same_run(started: Mapping[str, Any], requested: Mapping[str, Any], folder: Path) -> None:
    """Check that a training is resumed with the configuration that it was started with.

    Args:
        started, requested: identities, from `identity_of`.

    Raises:
        OutputError: a value differs; the message names one of them, the algorithm first.
    """
    different = [name for name in {**started, **requested} if started.get(name) != requested.get(name)]
    if different and all(name.endswith(_END_OF_SCHEDULE) for name in different):
        (then, now) = (values[different[0]][0] for values in (started, requested))
        raise OutputError(
            f"epochs: must be {then} to resume {folder}, because its learning rate is 0 after epoch {then} (got {now}); use "
            f"epochs={then}, or another output_dir"
        )
    if different:
        # All other settings of an agent follow from its algorithm, and a schedule from the number of epochs.
        name = min(different, key=lambda each: (each != _ALGORITHM, each.endswith(_END_OF_SCHEDULE)))
        raise OutputError(
            f"output_dir: {folder} was started with a different configuration ({name}: {started.get(name)!r}, now "
            f"{requested.get(name)!r}); use the old value, another output_dir, or overwrite=true"
        )


class TrainFolder(OutputFolder):
    """Output folder of a training."""

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

    def create(self) -> list[Path]:
        created = super().create()
        with write_errors(self.models, "output_dir", "use another output_dir", OutputError):
            self.models.mkdir(exist_ok=True)
        return created

    def has_results(self) -> bool:
        # A training that was killed before its first checkpoint has no results to protect.
        return self.metrics.exists() or any(self.models.glob("*.pth"))

    def check_room(self, num_bytes: int) -> None:
        """Check that the disk has at least `num_bytes` free for the checkpoints.

        Raises:
            OutputError: the disk has less space.
        """
        existing = next(folder for folder in (self.path, *self.path.absolute().parents) if folder.is_dir())
        free = shutil.disk_usage(existing).free
        if free < num_bytes:
            raise OutputError(
                f"output_dir: {self.path}: the checkpoints need {num_bytes / 1e6:.0f} MB, {free / 1e6:.0f} MB are free; "
                "free some space, save fewer checkpoints (save_every), or use another output_dir"
            )

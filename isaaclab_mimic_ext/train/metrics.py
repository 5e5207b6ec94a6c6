"""A run's curves: a CSV with one row an epoch, and TensorBoard."""

import csv
import logging
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from isaaclab_mimic_ext.files.writing import replacing

log = logging.getLogger(__name__)

COLUMNS = ("epoch", "train_loss", "valid_loss", "success_rate", "learning_rate", "gradient_norm", "seconds")


class Metrics:
    """Writes the rows of epochs after `start_epoch`; rows of later epochs that an interrupted run left are dropped."""

    def __init__(self, path: Path, tensorboard: Path, start_epoch: int):
        self._path = path
        kept = [row for row in read_metrics(path) if int(row["epoch"]) <= start_epoch]
        self._rows: list[dict[str, float | str]] = [dict(row) for row in kept]
        self._board = _tensorboard_writer(tensorboard, start_epoch)

    def __enter__(self) -> "Metrics":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._board is not None:
            self._board.close()

    def add(self, epoch: int, values: Mapping[str, float]) -> None:
        """One epoch's row.

        Raises:
            RecorderError: the file cannot be written.
        """
        self._rows.append({"epoch": epoch, **values})
        with replacing(self._path) as part, part.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore", restval="")
            writer.writeheader()
            writer.writerows(self._rows)
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(_BOARD_NAMES.get(name, name), value, epoch)


_BOARD_NAMES = {
    "train_loss": "Train/Loss",
    "valid_loss": "Valid/Loss",
    "success_rate": "Rollout/Success_Rate",
    "learning_rate": "Train/Learning_Rate",
    "gradient_norm": "Train/Policy_Grad_Norms",
    "seconds": "Timing_Stats/Epoch",
}


def read_metrics(path: Path) -> list[dict[str, str]]:
    """The rows of a run's CSV; none where there is no file."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _tensorboard_writer(folder: Path, start_epoch: int):  # type: ignore[no-untyped-def]  # SummaryWriter, or None
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        log.warning(
            "tensorboardX is not installed: no TensorBoard logs, %s has the curves", folder.parents[1] / "metrics.csv"
        )
        return None
    return SummaryWriter(str(folder), purge_step=start_epoch + 1)

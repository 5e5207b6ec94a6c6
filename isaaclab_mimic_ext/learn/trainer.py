"""A run's curves: a CSV with one row an epoch, and TensorBoard."""

import csv
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.errors import MimicError
from isaaclab_mimic_ext.files.writing import replacing
from isaaclab_mimic_ext.learn.checkpoint import Checkpoint, save_checkpoint
from isaaclab_mimic_ext.learn.data import Batches
from isaaclab_mimic_ext.learn.robomimic import Learner
from isaaclab_mimic_ext.learn.training_folder import TrainFolder

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


_VALID_BATCHES = 10

_LAST_PERIOD = 30.0

"""`last.pth` is no older than this [s]: what a killed run loses."""

_VALID_STREAM = 2**32

_MOST_EPOCHS = 2**20


@dataclass(frozen=True)
class Schedule:
    """How long training goes on, and what happens in between.

    Attributes:
        steps_per_epoch: gradient steps; None: one pass over all training steps.
        save_every, evaluate_every: epochs; 0: never.
    """

    epochs: int
    steps_per_epoch: int | None
    save_every: int
    evaluate_every: int
    seed: int


@dataclass
class TrainingReport:
    """What a training gave."""

    epoch: int
    train_loss: float
    valid_loss: float
    best_success: float | None
    seconds: float


class Trainer:
    """Trains a learner. A run that is resumed goes on as if it had not been interrupted.

    Args:
        evaluate: the success rate of the learner as it is now; None where it was told to stop.
        content: what a checkpoint holds beside the parameters.
        facts: likewise, of this package.
    """

    def __init__(
        self,
        learner: Learner,
        train: Batches,
        valid: Batches,
        schedule: Schedule,
        folder: TrainFolder,
        content: Mapping[str, Any],
        facts: Mapping[str, Any],
        evaluate: Callable[[], float | None] | None = None,
    ):
        self.learner, self.schedule, self.folder = learner, schedule, folder
        self._train, self._valid, self._evaluate = train, valid, evaluate
        self._content, self._facts = dict(content), dict(facts)
        self.epoch = 0
        self._best_success: float | None = None
        self._losses = {"train_loss": float("nan"), "valid_loss": float("nan")}
        self._saved_at, self._saved_epoch = time.perf_counter(), 0

    def restore(self, last: Checkpoint) -> None:
        """Go on from `last.pth`."""
        self.learner.load_parameters(last.content["model"])
        self.learner.load_optimizer_state(last.content["training_state"])
        state = last.content["variable_state"]
        self.epoch = self._saved_epoch = int(state["epoch"])
        self._best_success = state["best_success"]
        self._losses = {name: float(state[name]) for name in self._losses}

    def run(self, metrics: Metrics, on_epoch: Callable[["TrainingReport"], bool] = lambda report: False) -> TrainingReport:
        """Train to the last epoch, or until `on_epoch`, asked after each, says to stop.

        Raises:
            RecorderError: a file cannot be written.
            MimicError: the loss is no number any more.
        """
        start = time.perf_counter()
        stopped = False
        if self.epoch == 0:
            self._save_last()  # So that there is a run to go on with, whenever it is killed.
        while self.epoch < self.schedule.epochs and not stopped:
            self.epoch += 1
            values = self._run_epoch()
            if self._evaluate is not None and _is_due(self.epoch, self.schedule.evaluate_every, self.schedule.epochs):
                success = self._evaluate_now(self._evaluate)
                if success is None:
                    # The run goes on before this epoch, so that it is judged after all.
                    return replace(self._report(start), epoch=self._saved_epoch)
                values["success_rate"] = success
            metrics.add(self.epoch, values)
            stopped = on_epoch(self._report(start))
            # An evaluation takes as long as many epochs; it is not to be done again.
            self._save(stopped or self.epoch == self.schedule.epochs or "success_rate" in values)
        return self._report(start)

    def _run_epoch(self) -> dict[str, float]:
        began = time.perf_counter()
        seed = self.schedule.seed * _MOST_EPOCHS + self.epoch
        # A function of seed and epoch, dropout included: nothing to restore.
        torch.manual_seed(seed)
        num_steps = self.schedule.steps_per_epoch or self._train.num_in_pass
        steps = [self.learner.train(batch, self.epoch) for batch in self._train.draw(num_steps, seed)]
        checks = [
            self.learner.validate(batch, self.epoch) for batch in self._valid.draw(_VALID_BATCHES, seed + _VALID_STREAM)
        ]
        self.learner.end_epoch(self.epoch)
        self._losses = {"train_loss": _mean(steps, "Loss"), "valid_loss": _mean(checks, "Loss")}
        if not isfinite(self._losses["train_loss"]):
            raise MimicError(
                f"the loss is {self._losses['train_loss']} in epoch {self.epoch}: the parameters are lost; lower the "
                "learning rate (agent.algo.optim_params.policy.learning_rate.initial) and train anew with overwrite=true"
            )
        rates = [value for name, value in steps[-1].items() if name.endswith("_lr")]
        return {
            **self._losses,
            "learning_rate": rates[0] if rates else float("nan"),
            "gradient_norm": _mean(steps, "Policy_Grad_Norms"),
            "seconds": time.perf_counter() - began,
        }

    def _evaluate_now(self, evaluate: Callable[[], float | None]) -> float | None:
        success = evaluate()
        if success is None:
            return None
        if self._best_success is None or success >= self._best_success:
            self._best_success = success
            self._write(self.folder.best, {})
        return success

    def _save(self, at_once: bool) -> None:
        if _is_due(self.epoch, self.schedule.save_every, self.schedule.epochs):
            self._write(self.folder.of_epoch(self.epoch), {})
        if at_once or time.perf_counter() - self._saved_at > _LAST_PERIOD:
            self._save_last()

    def _save_last(self) -> None:
        self._write(self.folder.last, {"training_state": self.learner.optimizer_state()})
        self._saved_at, self._saved_epoch = time.perf_counter(), self.epoch

    def _write(self, path: Any, more: Mapping[str, Any]) -> None:
        state = {"epoch": self.epoch, "best_success": self._best_success, **self._losses}
        content = {"model": self.learner.parameters_state(), **self._content, "variable_state": state, **more}
        save_checkpoint(path, content, {**self._facts, "epoch": self.epoch})

    def _report(self, start: float) -> TrainingReport:
        return TrainingReport(
            self.epoch,
            self._losses["train_loss"],
            self._losses["valid_loss"],
            self._best_success,
            time.perf_counter() - start,
        )


def checkpoint_bytes(learner: Learner, schedule: Schedule) -> int:
    """What a run's checkpoints take on the disk."""
    tensors = [leaf for leaf in trees.flatten(learner.parameters_state()).values() if isinstance(leaf, torch.Tensor)]
    parameters = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    numbered = schedule.epochs // schedule.save_every + 1 if schedule.save_every else 1
    # `last` holds two moments of each parameter too, and while one is replaced two are there.
    return parameters * (numbered + 1 + 2 * 3)


def _is_due(epoch: int, period: int, last: int) -> bool:
    return period > 0 and (epoch % period == 0 or epoch == last)


def _mean(logs: list[dict[str, float]], name: str) -> float:
    return sum(each.get(name, float("nan")) for each in logs) / max(len(logs), 1)

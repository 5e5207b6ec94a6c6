"""The training loop; its curves are written to a CSV file with one row per epoch, and to TensorBoard."""

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
    """Writes the curves of a training.

    Args:
        path: CSV file. Rows after `start_epoch`, left by an interrupted run, are dropped.
        tensorboard: folder for TensorBoard.
        start_epoch: last epoch before this run.
    """

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
        """Add the row of an epoch.

        Args:
            values: name of the column -> value.

        Raises:
            RecorderError: the file cannot be written.
        """
        self._rows.append({"epoch": epoch, **values})
        with replacing(self._path) as part, part.open("w", newline="", encoding="utf-8") as file:
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
    """Rows of the CSV file of a training: column -> text; empty if the file does not exist."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _tensorboard_writer(folder: Path, start_epoch: int):  # type: ignore[no-untyped-def]  # SummaryWriter, or None
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        log.warning(
            "tensorboardX is not installed: no TensorBoard logs are written, the curves are only in %s; install with "
            "`pip install tensorboardX`",
            folder.parents[1] / "metrics.csv",
        )
        return None
    return SummaryWriter(str(folder), purge_step=start_epoch + 1)


_NUM_VALID_BATCHES = 10
"""Batches per epoch to compute the validation loss from."""
_SAVE_PERIOD = 30.0
"""Time between two writes of `last.pth` [s]; a killed run loses at most this time and one epoch."""
_VALID_SEED_OFFSET = 2**32
_MAX_EPOCHS = 2**20
"""The seed of an epoch is `seed * _MAX_EPOCHS + epoch`, which differs for all epochs of all seeds."""


@dataclass(frozen=True)
class Schedule:
    """Length of a training, and intervals between checkpoints and evaluations.

    Attributes:
        epochs: number of epochs.
        steps_per_epoch: gradient steps per epoch; None: one pass over all rows.
        save_every: epochs between two numbered checkpoints; 0: no numbered checkpoints.
        evaluate_every: epochs between two evaluations; 0: no evaluations.
        seed: decides the order of batches and dropout.
    """

    epochs: int
    steps_per_epoch: int | None
    save_every: int
    evaluate_every: int
    seed: int


@dataclass
class TrainingReport:
    """State of a training after an epoch.

    Attributes:
        epoch: number of epochs trained.
        train_loss, valid_loss: mean losses of the last epoch.
        best_success: best success rate of all evaluations; None without evaluation.
        seconds: time since the start of this run [s].
        share: estimated fraction of this run's time that has passed, evaluations included, 0 to 1; None if it is unknown.
        is_complete: whether the training has reached its last epoch.
    """

    epoch: int
    train_loss: float
    valid_loss: float
    best_success: float | None
    seconds: float
    share: float | None = None
    is_complete: bool = False

    def figures(self) -> str:
        """Format the losses, and the best success rate until now."""
        best = f", best success {self.best_success:.0%}" if self.best_success is not None else ""
        return f"loss {self.train_loss:.5f}, valid {self.valid_loss:.5f}{best}"


class Trainer:
    """Trains a learner. A resumed training has the same result as an uninterrupted one.

    Args:
        content: contents of the checkpoints in addition to the parameters, in robomimic's layout.
        facts: metadata in the checkpoints.
        evaluate: returns the success rate of the current policy, or None if the evaluation was stopped.
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
        self.epoch = self._first_epoch = 0
        self._best_success: float | None = None
        self._losses = {"train_loss": float("nan"), "valid_loss": float("nan")}
        self._saved_at, self._saved_epoch = time.perf_counter(), 0
        self._evaluation_times: list[float] = []
        """Durations of the evaluations of this run [s]."""

    def restore(self, last: Checkpoint) -> None:
        """Restore parameters, optimizers and epoch from `last.pth`."""
        self.learner.load_parameters(last.content["model"])
        self.learner.load_optimizer_state(last.content["training_state"])
        state = last.content["variable_state"]
        self.epoch = self._saved_epoch = int(state["epoch"])
        self._best_success = state["best_success"]
        self._losses = {name: float(state[name]) for name in self._losses}

    def run(self, metrics: Metrics, on_epoch: Callable[["TrainingReport"], bool] = lambda report: False) -> TrainingReport:
        """Train to the last epoch; stop early if `on_epoch`, called after each epoch, returns True.

        Raises:
            RecorderError: a file cannot be written.
            MimicError: the loss is not finite.
        """
        start, self._first_epoch = time.perf_counter(), self.epoch
        stopped = False
        if self.epoch == 0:
            self._save_last()  # A run that is killed in its first epoch can be resumed.
        while self.epoch < self.schedule.epochs and not stopped:
            self.epoch += 1
            values = self._run_epoch()
            if self._evaluate is not None and _is_due(self.epoch, self.schedule.evaluate_every, self.schedule.epochs):
                success = self._evaluate_policy(self._evaluate)
                if success is None:
                    # The evaluation was stopped: resuming repeats this epoch and its evaluation.
                    return replace(self._report(start), epoch=self._saved_epoch, is_complete=False)
                values["success_rate"] = success
            metrics.add(self.epoch, values)
            stopped = on_epoch(self._report(start))
            # An evaluation takes as long as many epochs: save now, so that resuming does not repeat it.
            self._save(stopped or self.epoch == self.schedule.epochs or "success_rate" in values)
        return self._report(start)

    def _run_epoch(self) -> dict[str, float]:
        start = time.perf_counter()
        seed = self.schedule.seed * _MAX_EPOCHS + self.epoch
        # All random numbers of an epoch, including dropout, depend on this seed only: no generator state to restore.
        torch.manual_seed(seed)
        num_steps = self.schedule.steps_per_epoch or self._train.num_per_pass
        losses = [self.learner.train(batch, self.epoch) for batch in self._train.draw(num_steps, seed)]
        valid_batches = self._valid.draw(_NUM_VALID_BATCHES, seed + _VALID_SEED_OFFSET)
        valid_losses = [self.learner.validate(batch, self.epoch) for batch in valid_batches]
        self.learner.end_epoch(self.epoch)
        self._losses = {"train_loss": _mean(losses, "Loss"), "valid_loss": _mean(valid_losses, "Loss")}
        if not isfinite(self._losses["train_loss"]):
            raise MimicError(
                f"epoch {self.epoch}: the loss must be finite (got {self._losses['train_loss']}); lower the learning rate "
                "(agent.algo.optim_params.policy.learning_rate.initial) and train again with overwrite=true"
            )
        rates = [value for name, value in losses[-1].items() if name.endswith("_lr")]
        return {
            **self._losses,
            "learning_rate": rates[0] if rates else float("nan"),
            "gradient_norm": _mean(losses, "Policy_Grad_Norms"),
            "seconds": time.perf_counter() - start,
        }

    def _evaluate_policy(self, evaluate: Callable[[], float | None]) -> float | None:
        """Success rate of the current policy; writes `best.pth` if no earlier rate is higher."""
        start = time.perf_counter()
        success = evaluate()
        self._evaluation_times.append(time.perf_counter() - start)
        if success is None:
            return None
        if self._best_success is None or success >= self._best_success:
            self._best_success = success
            self._write(self.folder.best, {})
        return success

    def _save(self, now: bool) -> None:
        """Write the numbered checkpoint if it is due, and `last.pth` if `now` is set or it is too old."""
        if _is_due(self.epoch, self.schedule.save_every, self.schedule.epochs):
            self._write(self.folder.of_epoch(self.epoch), {})
        if now or time.perf_counter() - self._saved_at > _SAVE_PERIOD:
            self._save_last()

    def _save_last(self) -> None:
        self._write(self.folder.last, {"training_state": self.learner.optimizer_state()})
        self._saved_at, self._saved_epoch = time.perf_counter(), self.epoch

    def _write(self, path: Any, more: Mapping[str, Any]) -> None:
        state = {"epoch": self.epoch, "best_success": self._best_success, **self._losses}
        content = {"model": self.learner.parameters_state(), **self._content, "variable_state": state, **more}
        save_checkpoint(path, content, {**self._facts, "epoch": self.epoch})

    def _report(self, start: float) -> TrainingReport:
        seconds = time.perf_counter() - start
        losses = self._losses["train_loss"], self._losses["valid_loss"]
        is_complete = self.epoch == self.schedule.epochs
        return TrainingReport(self.epoch, *losses, self._best_success, seconds, self._share(seconds), is_complete)

    def _share(self, seconds: float) -> float | None:
        """Fraction of the time of this run that has passed after `seconds` [s], if epochs and evaluations last as before."""
        schedule, num_trained = self.schedule, self.epoch - self._first_epoch
        if not num_trained:
            return None
        evaluating = sum(self._evaluation_times)
        remaining = (seconds - evaluating) / num_trained * (schedule.epochs - self.epoch)
        if self._evaluation_times:
            due = (
                _is_due(epoch, schedule.evaluate_every, schedule.epochs)
                for epoch in range(self.epoch + 1, schedule.epochs + 1)
            )
            remaining += evaluating / len(self._evaluation_times) * sum(due)
        return seconds / max(seconds + remaining, 1e-9)


def checkpoint_bytes(learner: Learner, schedule: Schedule) -> int:
    """Largest size of all checkpoints of a training on the disk."""
    tensors = [leaf for leaf in trees.flatten(learner.parameters_state()).values() if isinstance(leaf, torch.Tensor)]
    parameters = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    numbered = schedule.epochs // schedule.save_every + 1 if schedule.save_every else 1
    # `best`, and two copies of `last` (while it is replaced), each with the parameters and their two moments (Adam).
    return parameters * (numbered + 1 + 2 * 3)


def _is_due(epoch: int, period: int, last: int) -> bool:
    return period > 0 and (epoch % period == 0 or epoch == last)


def _mean(logs: list[dict[str, float]], name: str) -> float:
    return sum(each.get(name, float("nan")) for each in logs) / max(len(logs), 1)

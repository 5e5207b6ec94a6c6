"""The records of a run's trials, as arrays."""

# K trials, E end effectors, S subtasks, O objects, Q term signals

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from isaaclab_mimic_ext.errors import SourceDataError
from isaaclab_mimic_ext.run.store import RunStore, TrialRecord


@dataclass(frozen=True)
class Subtask:
    """One subtask, as the configuration names it; `eef` and `index` are its place in a record's arrays."""

    eef: int
    index: int
    eef_name: str
    signal: str | None
    description: str
    object_ref: str | None

    @property
    def title(self) -> str:
        return self.signal or f"subtask {self.index}"


@dataclass(frozen=True)
class RunRecords:
    """Trials that have ended, in the order of their numbers.

    Attributes:
        facts: what the run's store says of it.
        trials, success, reason, length, step: (K,); step and reason say when and why a trial failed.
        stopped: (K,) bool, whether a trial was ended early.
        held, any_step: (K,) bool, whether it succeeded by each `success_rule`; `success` is by the run's own.
        scene: (K, O, 3), x, y [m] and yaw [rad] of every object after the reset.
        reached: (K, Q), the step in which each term signal was first true, or -1.
        subtask: (K, E), the one that the plan was in at the end.
        source_demos: (K, E, S), -1 where none was chosen.
        tracking: (K, E, S, 4), see `diagnose.tracking.TRACKING`; NaN where there is nothing to say.
    """

    facts: dict[str, Any]
    trials: np.ndarray
    success: np.ndarray
    reason: np.ndarray
    length: np.ndarray
    step: np.ndarray
    stopped: np.ndarray
    held: np.ndarray
    any_step: np.ndarray
    scene: np.ndarray
    reached: np.ndarray
    subtask: np.ndarray
    source_demos: np.ndarray
    tracking: np.ndarray

    def __len__(self) -> int:
        return len(self.trials)

    @property
    def objects(self) -> list[str]:
        return list(self.facts["trials"]["objects"])

    @property
    def source_names(self) -> list[str]:
        return list(self.facts["trials"]["source_demos"])

    @property
    def signals(self) -> list[str]:
        """What the last axis of `reached` stands for."""
        return list(dict.fromkeys(name for row in self.facts["trials"]["signals"] for name in row if name))

    @property
    def subtasks(self) -> list[list[Subtask]]:
        """By end effector."""
        facts = self.facts["trials"]
        columns = (facts["signals"], facts["descriptions"], facts["object_refs"])
        return [
            [Subtask(eef, index, name, *values) for index, values in enumerate(zip(*rows, strict=True))]
            for eef, (name, *rows) in enumerate(zip(facts["eefs"], *columns, strict=True))
        ]

    def only(self, rows: np.ndarray) -> "RunRecords":
        """Some of the trials, by mask or index."""
        arrays = {field.name: getattr(self, field.name)[rows] for field in fields(self) if field.name != "facts"}
        return replace(self, **arrays)

    def attained(self, subtask: Subtask) -> np.ndarray:
        """Whether each trial attained a subtask and all before it of the same end effector, (K,) bool.

        A subtask is attained when its term signal was true at some time; one without a signal with the trial's success if it
        is the last one, else with the one before.
        """
        attained = np.ones(len(self), dtype=bool)
        row = self.subtasks[subtask.eef]
        for other in row[: subtask.index + 1]:
            if other.signal is not None:
                attained &= self.reached[:, self.signals.index(other.signal)] >= 0
            elif other.index == len(row) - 1:
                attained &= self.success
        return attained


def read_records(store_path: Path, num_trials: int | None = None) -> RunRecords:
    """The records in a run's store, also while the run goes on.

    Args:
        num_trials: only trials of lower numbers; None: all that have ended.

    Raises:
        SourceDataError: there are none, or they cannot be read.
        OutputError: another version of this package has made them.
    """
    if not store_path.is_file():
        raise SourceDataError(f"{store_path}: there is no such file; give the output_dir of a generation run")
    try:
        facts, found = _read(store_path)
        if "trials" in facts:
            return _arrays(facts, [record for record in found if num_trials is None or record.trial < num_trials])
    except (sqlite3.Error, ValueError, TypeError, LookupError) as error:
        raise SourceDataError(f"{store_path}: the file is damaged ({error}); generate again") from error
    raise SourceDataError(f"{store_path}: no run has begun in it; generate first")


def _read(store_path: Path) -> tuple[dict[str, Any], list[TrialRecord]]:
    store = RunStore(store_path, read_only=True)
    try:
        return store.facts(), list(store.records())
    finally:
        store.close()


def _arrays(facts: dict[str, Any], records: Sequence[TrialRecord]) -> RunRecords:
    layout = facts["trials"]
    num_eefs, num_subtasks = len(layout["eefs"]), max(len(row) for row in layout["signals"])
    num_signals = len({name for row in layout["signals"] for name in row if name})

    def noted(name: str, *shape: int, dtype: Any = np.int64) -> np.ndarray:
        return np.array([record.notes[name] for record in records], dtype=dtype).reshape(len(records), *shape)

    return RunRecords(
        facts=facts,
        trials=np.array([record.trial for record in records], dtype=np.int64),
        success=np.array([record.success for record in records], dtype=bool),
        reason=np.array([record.reason for record in records], dtype=str),
        length=np.array([record.length for record in records], dtype=np.int64),
        step=noted("step"),
        stopped=noted("stopped", dtype=bool),
        held=noted("held", dtype=bool),
        any_step=noted("any_step", dtype=bool),
        scene=noted("scene", len(layout["objects"]), 3, dtype=float),
        reached=noted("reached", num_signals),
        subtask=noted("subtask", num_eefs),
        source_demos=noted("source_demos", num_eefs, num_subtasks),
        tracking=noted("tracking", num_eefs, num_subtasks, 4, dtype=float),
    )

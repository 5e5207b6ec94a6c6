"""Records of the trials of a run, read from its store as arrays."""

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
    """Names of a subtask in the configuration; `eef` and `index` are its indices in the arrays of `RunRecords`."""

    eef: int
    index: int
    eef_name: str
    signal: str | None
    description: str
    object_ref: str | None

    @property
    def title(self) -> str:
        """Name for tables and charts: the term signal, or the index of the subtask."""
        return self.signal or f"subtask {self.index + 1}"


@dataclass(frozen=True)
class RunRecords:
    """Records of the trials that have ended, in the order of their numbers.

    Attributes:
        facts: facts about the run from its store.
        trials: (K,), numbers of the trials.
        success: (K,) bool, success by the run's `success_rule`.
        reason: (K,), name of the reason of failure; empty if the trial succeeded.
        length: (K,), number of steps.
        step: (K,), step of the failure.
        stopped: (K,) bool, trials that were ended early.
        held, any_step: (K,) bool, success by each `success_rule`.
        scene: (K, O, 3), x, y [m] and yaw [rad] of every object after the reset.
        reached: (K, Q), first step in which each term signal was true; -1 if never.
        subtask: (K, E), subtask of each end effector at the end.
        source_demos: (K, E, S), index of the selected source demo; -1 if none was selected.
        tracking: (K, E, S, 4), tracking errors, see `run.failures.TRACKING`; NaN without steps.
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
        """Names of the objects, axis O of `scene`."""
        return list(self.facts["trials"]["objects"])

    @property
    def source_names(self) -> list[str]:
        """Names of the source demos, by the index in `source_demos`."""
        return list(self.facts["trials"]["source_demos"])

    @property
    def signals(self) -> list[str]:
        """Names of the term signals, axis Q of `reached`."""
        return list(dict.fromkeys(name for row in self.facts["trials"]["signals"] for name in row if name))

    @property
    def subtasks(self) -> list[list[Subtask]]:
        """Subtasks of each end effector."""
        facts = self.facts["trials"]
        columns = (facts["signals"], facts["descriptions"], facts["object_refs"])
        return [
            [Subtask(eef, index, name, *values) for index, values in enumerate(zip(*rows, strict=True))]
            for eef, (name, *rows) in enumerate(zip(facts["eefs"], *columns, strict=True))
        ]

    def only(self, rows: np.ndarray) -> "RunRecords":
        """Select trials by mask or index."""
        arrays = {field.name: getattr(self, field.name)[rows] for field in fields(self) if field.name != "facts"}
        return replace(self, **arrays)

    def attained(self, subtask: Subtask) -> np.ndarray:
        """Return whether each trial attained a subtask and all earlier subtasks of the same end effector, (K,) bool.

        A subtask is attained if its term signal was true in any step. Without a term signal, the last subtask is attained
        if the trial succeeded, and any other subtask if the subtask before it is attained.
        """
        attained = np.ones(len(self), dtype=bool)
        row = self.subtasks[subtask.eef]
        for other in row[: subtask.index + 1]:
            if other.signal is not None:
                attained &= self.reached[:, self.signals.index(other.signal)] >= 0
            elif other.index == len(row) - 1:
                attained &= self.success
        return attained


def read_records(store_path: Path, end_trial: int | None = None) -> RunRecords:
    """Read the records in the store of a run, which may still be running.

    Args:
        end_trial: read only trials with lower numbers; None: all trials that have ended.

    Raises:
        SourceDataError: the store is missing or damaged, or no run has started in it.
        OutputError: a different version of this package wrote the store.
    """
    if not store_path.is_file():
        raise SourceDataError(f"{store_path}: not found; give the folder of a generation run")
    try:
        facts, found = _read(store_path)
        if "trials" in facts:
            return _arrays(facts, [record for record in found if end_trial is None or record.trial < end_trial])
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_ERROR:
            raise SourceDataError(f"{store_path}: cannot be read: {error}; check permissions, and other programs") from error
        raise SourceDataError(f"{store_path}: is damaged ({error}); generate again") from error
    except (sqlite3.Error, ValueError, TypeError, LookupError) as error:
        raise SourceDataError(f"{store_path}: is damaged ({error}); generate again") from error
    raise SourceDataError(f"{store_path}: must contain a run that has started; generate first")


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

"""What goes between the generator and the writer's process. Imported by the latter: no torch here."""

# F episodes of one batch, F' of them kept, T steps (of the longest of them), W columns

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from isaaclab_mimic_ext.diagnose.reasons import SUCCEEDED
from isaaclab_mimic_ext.record.fields import Field
from isaaclab_mimic_ext.record.hdf5 import FileOptions


@dataclass
class TrialOutcomes:
    """Trials that ended in one step, and how.

    Attributes:
        trials, lengths: (F,), numbers of the trials and of their steps.
        reason: (F,), code of the reason why each failed (its place in `reason_names`), `SUCCEEDED` where it did not.
        attributes: name -> (F, ...), attributes of each demo.
        notes: name -> (F, ...), what the store keeps of every trial, demo or not.
    """

    trials: np.ndarray
    reason: np.ndarray
    lengths: np.ndarray
    attributes: dict[str, np.ndarray] = field(default_factory=dict)
    notes: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def success(self) -> np.ndarray:
        """(F,) bool."""
        return self.reason == SUCCEEDED


@dataclass
class EpisodeBatch:
    """Ended trials with what they recorded.

    Attributes:
        kept: (F,) bool, which episodes are.
        rows: name -> (F', T, W) of the F' kept episodes, in order.
        initial_rows: name -> (F', 1, W).
        committed: trials below this number may be written.
    """

    outcomes: TrialOutcomes
    kept: np.ndarray
    rows: dict[str, np.ndarray]
    initial_rows: dict[str, np.ndarray]
    committed: int

    @property
    def num_bytes(self) -> int:
        """Of what was recorded."""
        return sum(values.nbytes for values in (*self.rows.values(), *self.initial_rows.values()))


@dataclass
class Closing:
    """The end of a run.

    Attributes:
        committed: trials below this number are written, or all that ended where it is None.
        attributes: closing attributes of the datasets.
        facts: what the store notes of the run's end.
        is_final: the run is over for good, so that the store need not keep its episodes.
        seconds: how long writing may take, after which the datasets are left as they were, and the store has all.
    """

    committed: int | None
    attributes: dict[str, Any]
    facts: dict[str, Any]
    is_final: bool
    seconds: float | None = None


@dataclass
class Saved:
    """So many trials have become durable since the writer started."""

    num_trials: int


@dataclass
class WriterSummary:
    """What a closed writer wrote.

    Attributes:
        lengths: steps of each successful demo.
        is_written: False where the time did not suffice; the demos are in the store, the datasets are those of before.
    """

    lengths: list[int]
    is_written: bool = True


@dataclass(frozen=True)
class WriterOptions:
    """Where and how to write.

    Attributes:
        path: of successful demos.
        failed_path: of failed ones, or None to drop them.
        store_path: of the run's database (`store.IN_MEMORY` where the run is not to be continued).
        elapsed: time of the run's earlier sessions [s].
        facts: what the store notes of the run at its start.
        fields, initial_fields: `Field`s of the rows.
    """

    path: Path
    failed_path: Path | None
    store_path: Path | str
    file: FileOptions
    overwrite: bool
    fields: tuple[Field, ...]
    initial_fields: tuple[Field, ...]
    queue_megabytes: int = 256
    elapsed: float = 0.0
    facts: dict[str, Any] = field(default_factory=dict)

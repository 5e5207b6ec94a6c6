"""What goes between the generator and the writer's process. Imported by the latter: no torch here."""

# F episodes of one batch, F' of them kept, T steps (of the longest of them), W columns

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from isaaclab_mimic_ext.record.fields import Field
from isaaclab_mimic_ext.record.hdf5 import FileOptions


@dataclass
class EpisodeBatch:
    """The trials that ended in one step.

    Attributes:
        trials, success, lengths: (F,).
        rows: name -> (F', T, W) of the F' episodes that are kept, in order; `kept` says which.
        initial_rows: name -> (F', 1, W).
        kept: (F,) bool.
        attributes: name -> (F, ...), facts of each whole demo.
        committed: trials below this number may be written.
    """

    trials: np.ndarray
    success: np.ndarray
    lengths: np.ndarray
    rows: dict[str, np.ndarray]
    initial_rows: dict[str, np.ndarray]
    kept: np.ndarray
    attributes: dict[str, np.ndarray]
    committed: int


@dataclass
class Closing:
    """The end of a run: trials below `committed` are written, or all that ended where it is None."""

    committed: int | None
    attributes: dict[str, Any]


@dataclass
class WriterSummary:
    """What a closed writer wrote: the steps of each successful demo."""

    lengths: list[int]


@dataclass(frozen=True)
class WriterOptions:
    """Where and how to write.

    Attributes:
        path: of successful demos.
        failed_path: of failed ones, or None to drop them.
        fields, initial_fields: `Field`s of the rows.
    """

    path: Path
    failed_path: Path | None
    file: FileOptions
    overwrite: bool
    fields: tuple[Field, ...]
    initial_fields: tuple[Field, ...]
    queue_size: int = 8

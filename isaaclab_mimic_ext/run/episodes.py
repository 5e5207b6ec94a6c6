"""The columns of recorded rows. Imported by the writer's process: no torch here."""

# T steps, W columns
# F episodes of one batch, F' of them kept, T steps (of the longest of them), W columns

import pickle
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from isaaclab_mimic_ext.run.store import IN_MEMORY
from isaaclab_mimic_ext.task.reasons import SUCCEEDED


@dataclass(frozen=True)
class Field:
    """One leaf of a recorded tree.

    Attributes:
        path: below the demo.
        shape: of one step.
        rows: the name of the rows that hold it; rows are named after what is recorded when, and their dtype.
        start, stop: its columns in them.
    """

    path: str
    shape: tuple[int, ...]
    rows: str
    start: int
    stop: int


def unpack(fields: Iterable[Field], rows: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Leaves (T, *shape) by path, from rows (T, W) by name."""
    return {f.path: rows[f.rows][:, f.start : f.stop].reshape(-1, *f.shape) for f in fields}


def send_message(connection: Connection, message: Any) -> None:
    """Send what `receive_message` receives."""
    arrays: list[pickle.PickleBuffer] = []
    body = pickle.dumps(message, protocol=5, buffer_callback=arrays.append)
    connection.send((body, len(arrays)))
    for array in arrays:
        connection.send_bytes(array.raw())


def receive_message(connection: Connection) -> Any:
    """A message, once it is all there; its arrays may not be written to.

    Raises:
        EOFError: the other end is gone.
    """
    body, num_arrays = connection.recv()
    return pickle.loads(body, buffers=[connection.recv_bytes() for _ in range(num_arrays)])


SECONDS_TO_WRITE = 15.0

"""Half of what clusters give a job between a signal and its end [s]."""


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
class Saved:
    """So many trials have become durable since the writer started."""

    num_trials: int


@dataclass(frozen=True)
class EpisodeFormat:
    """What an environment records, the same for every process that hands episodes to one writer.

    Attributes:
        env_args: description of the environment, for the dataset.
        fields, initial_fields: columns of the rows of every step, and of the initial state.
    """

    env_args: dict[str, Any]
    fields: tuple[Field, ...]
    initial_fields: tuple[Field, ...] = ()


@dataclass(frozen=True)
class Output:
    """Where and how episodes are written.

    Attributes:
        path: dataset of the successful episodes.
        failed_path: dataset of the failed ones; None drops them.
        attributes: attributes of the datasets' `data` group.
        overwrite: replace files that exist.
        compression: `none`, `lzf` or `gzip`.
        format_version: 1 (quaternions xyzw) or 0 (wxyz).
        queue_megabytes: episodes that may wait for the writer.
        store_path: database of the run; `IN_MEMORY` for a run that cannot be resumed.
        lock: file descriptor of the run's lock, which the writer's process holds as well.
        elapsed: time of the run's earlier sessions [s].
        facts: what the store keeps about the run, from the start on.
        seconds_to_write: time for the datasets after an interruption, where the store has the episodes as well [s].
    """

    path: Path
    failed_path: Path | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    overwrite: bool = False
    compression: str = "none"
    format_version: int = 1
    queue_megabytes: int = 256
    store_path: Path | str = IN_MEMORY
    lock: int | None = None
    elapsed: float = 0.0
    facts: Mapping[str, Any] = field(default_factory=dict)
    seconds_to_write: float = SECONDS_TO_WRITE

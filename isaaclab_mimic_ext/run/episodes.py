"""Messages between generator and writer: columns of recorded rows, batches of episodes, and options of the output.

Imported by the writer process: no torch here.
"""

# F episodes of one batch, F' of them kept, T steps (of the longest of them), W columns

import os
import pickle
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from isaaclab_mimic_ext.errors import RecorderError
from isaaclab_mimic_ext.run.result import RunResult
from isaaclab_mimic_ext.run.store import IN_MEMORY
from isaaclab_mimic_ext.task.reasons import SUCCEEDED


@dataclass(frozen=True)
class Field:
    """Place of one leaf of a recorded tree in the recorded rows.

    Attributes:
        path: path of the leaf below the demo.
        shape: shape of the leaf in one step.
        rows: name of the rows that contain the leaf, such as `before/torch.float32` (time of recording / dtype).
        start, stop: first column, and the column after the last one.
    """

    path: str
    shape: tuple[int, ...]
    rows: str
    start: int
    stop: int


def stored_fields(facts: Mapping[str, Any]) -> list[Field]:
    """Fields of the episodes of a store, from its facts; empty before its first episode."""
    return [Field(**{**each, "shape": tuple(each["shape"])}) for each in facts.get("fields", [])]


def unpack(fields: Iterable[Field], rows: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Split rows (T, W), given by name, into leaves (T, *shape) by path.

    Raises:
        RecorderError: the rows do not contain all columns of a field.
    """
    return {f.path: _columns(f, rows).reshape(-1, *f.shape) for f in fields}


def _columns(leaf: Field, rows: Mapping[str, np.ndarray]) -> np.ndarray:
    found = rows.get(leaf.rows)
    width = 0 if found is None else found.shape[1]
    if found is None or width < leaf.stop:
        raise RecorderError(
            f"{leaf.path}: columns {leaf.start} to {leaf.stop - 1} must be in the rows {leaf.rows} ({width} columns); "
            "start again with overwrite=true"
        )
    return found[:, leaf.start : leaf.stop]


def send_message(connection: Connection, message: Any) -> None:
    """Send a message for `receive_message`; arrays are sent without copying them into a pickle."""
    arrays: list[pickle.PickleBuffer] = []
    body = pickle.dumps(message, protocol=5, buffer_callback=arrays.append)
    contents = [array.raw() for array in arrays]
    connection.send((body, [content.nbytes for content in contents]))
    for content in contents:
        while content:
            content = content[os.write(connection.fileno(), content) :]


def receive_message(connection: Connection) -> Any:
    """Wait for a complete message and return it. Its arrays are read-only.

    Raises:
        EOFError: the other end of the connection is closed.
    """
    body, sizes = connection.recv()
    return pickle.loads(body, buffers=[_read(connection.fileno(), size) for size in sizes])


def _read(descriptor: int, size: int) -> memoryview:
    """Read `size` bytes. `Connection.recv_bytes` takes six times the CPU time for pictures: it copies them several times."""
    content = np.empty(size, np.uint8).data
    rest = content
    while rest:
        num_read = os.readv(descriptor, [rest])
        if not num_read:
            raise EOFError
        rest = rest[num_read:]
    return content.toreadonly()


SECONDS_TO_WRITE = 15.0
"""Half of the time that clusters usually give a job between the signal and the kill [s]."""


@dataclass
class TrialOutcomes:
    """Outcomes of the trials that ended in one step.

    Attributes:
        trials: (F,), numbers of the trials.
        reason: (F,), code of the reason of failure (index in `reason_names`); `SUCCEEDED` if the trial succeeded.
        lengths: (F,), numbers of steps.
        attributes: name -> (F, ...), attributes of each demo.
        notes: name -> (F, ...), values that the store keeps of every trial, whether its episode is kept or not.
    """

    trials: np.ndarray
    reason: np.ndarray
    lengths: np.ndarray
    attributes: dict[str, np.ndarray] = field(default_factory=dict)
    notes: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def success(self) -> np.ndarray:
        """Success of each trial, (F,) bool."""
        return self.reason == SUCCEEDED


@dataclass
class EpisodeBatch:
    """Trials that ended in one step, with their recorded episodes.

    Attributes:
        outcomes: outcomes of the F trials.
        kept: (F,) bool, episodes that are kept.
        rows: name -> (F', T, W), rows of the F' kept episodes, in the order of `outcomes`.
        initial_rows: name -> (F', 1, W), rows of their initial states.
        committed: trials below this number belong to the result, so they may be written to the dataset.
    """

    outcomes: TrialOutcomes
    kept: np.ndarray
    rows: dict[str, np.ndarray]
    initial_rows: dict[str, np.ndarray]
    committed: int

    def only(self, chosen: np.ndarray) -> "EpisodeBatch":
        """Batch with the trials of a mask (F,) bool."""
        if chosen.all():
            return self
        of = self.outcomes
        outcomes = TrialOutcomes(
            of.trials[chosen], of.reason[chosen], of.lengths[chosen],
            {name: values[chosen] for name, values in of.attributes.items()},
            {name: values[chosen] for name, values in of.notes.items()},
        )  # fmt: skip
        of_kept = chosen[self.kept]
        rows = {name: values[of_kept] for name, values in self.rows.items()}
        initial = {name: values[of_kept] for name, values in self.initial_rows.items()}
        return EpisodeBatch(outcomes, self.kept[chosen], rows, initial, self.committed)

    @property
    def num_bytes(self) -> int:
        """Size of the recorded rows [bytes]."""
        return sum(values.nbytes for values in (*self.rows.values(), *self.initial_rows.values()))


@dataclass
class Saved:
    """Message of the writer: `num_trials` trials have become durable since the writer started."""

    num_trials: int


@dataclass(frozen=True)
class EpisodeFormat:
    """Layout of the recorded episodes of an environment; equal for all processes that send episodes to one writer.

    Attributes:
        env_args: description of the environment, for the dataset.
        fields: columns of the rows that are recorded in every step.
        initial_fields: columns of the rows of the initial state.
    """

    env_args: dict[str, Any]
    fields: tuple[Field, ...]
    initial_fields: tuple[Field, ...] = ()

    @property
    def datasets(self) -> dict[str, tuple[int, ...]]:
        """Path of each dataset of a demo -> shape of one step."""
        return {each.path: each.shape for each in (*self.fields, *self.initial_fields)} | {"dones": ()}


@dataclass(frozen=True)
class Output:
    """Output files of a run and their options.

    Attributes:
        path: dataset of the successful episodes.
        failed_path: dataset of the failed episodes; None: failed episodes are discarded.
        attributes: attributes of the datasets' `data` group.
        overwrite: replace files that exist.
        compression: `none`, `lzf` or `gzip`.
        format_version: 1 (quaternions xyzw) or 0 (wxyz).
        queue_megabytes: size of the episodes that may wait for the writer [MB].
        store_path: path of the store; `IN_MEMORY` for a run that cannot be resumed.
        lock: file descriptor of the run's lock, which the writer process inherits.
        elapsed: time of the earlier sessions of the run [s].
        facts: facts about the run that the store keeps from the start.
        commits_at_once: make each batch durable when it arrives, instead of once per second.
        keeps_empty: write a dataset that has no demos; False: no file is written, and an earlier one stays unchanged.
        seconds_to_write: time for writing the datasets after an interruption [s]; the store contains all episodes.
        first_trial: number of the first trial of the run.
        shard_demos: number of consecutive trials whose demos are in one shard; None: the demos are in the dataset itself.
        num_writers: number of processes that write shards; None: chosen by the number of CPU cores.
        writer: number of this process; process w writes shards w, w + `num_writers`, ..., process 0 also the dataset.
        names_interrupted: give the datasets of an interrupted run their final names; False: they keep the name of an
            unfinished file (`<name>.part`).
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
    commits_at_once: bool = False
    keeps_empty: bool = True
    seconds_to_write: float = SECONDS_TO_WRITE
    shard_demos: int | None = None
    num_writers: int | None = None
    writer: int = 0
    names_interrupted: bool = True
    first_trial: int = 0


class EpisodeSink(Protocol):
    """Receiver of the episodes of a run: a writer, or a connection to the process that has it."""

    @property
    def output(self) -> Output:
        """Output files and their options."""

    @property
    def num_saved(self) -> int:
        """Number of trials of this session that are durable."""

    @property
    def queue_depth(self) -> int:
        """Number of batches that wait."""

    @property
    def seconds_stalled(self) -> float:
        """Time that `put` has waited [s]."""

    def put(self, batch: EpisodeBatch) -> None:
        """Pass a batch; blocks while the receiver is behind."""

    def wait_until_durable(self) -> None:
        """Wait until all passed trials are durable."""

    def close(self, result: RunResult) -> RunResult:
        """Wait until all files are complete, and return `result` with the fields that the writer determines."""

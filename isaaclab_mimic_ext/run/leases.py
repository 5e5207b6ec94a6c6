"""Trials that the owner of a run leases to worker processes: messages, and a worker's ledger and writer."""

# n leased trials, F trials that ended

import time
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from isaaclab_mimic_ext.config import DataGenConfig, GenerateCfg
from isaaclab_mimic_ext.run.episodes import EpisodeBatch, Output, receive_message, send_message
from isaaclab_mimic_ext.run.ledger import TrialLedger
from isaaclab_mimic_ext.run.result import RunResult
from isaaclab_mimic_ext.run.run_output import RunContents

ALIVE_PERIOD = 0.5
"""Time between two signs of life of a worker process [s]."""


@dataclass(frozen=True)
class WorkerJob:
    """First message to a worker process.

    Attributes:
        task_dirs: folders of the user's own tasks.
        config_dirs: folders of `--config-dir`.
    """

    cfg: GenerateCfg
    task_dirs: tuple[Path, ...]
    config_dirs: tuple[Path, ...]


@dataclass(frozen=True)
class Ready:
    """Message of a worker: its envs exist."""

    contents: RunContents
    num_envs: int


@dataclass(frozen=True)
class Ask:
    """Message of a worker: trials can start in `num_free` lanes. Trials still run in other lanes, unless it `is_idle`."""

    num_free: int
    is_idle: bool


@dataclass(frozen=True)
class Alive:
    """Message of a worker: it has made this number of control steps, summed over its envs."""

    env_steps: int


@dataclass(frozen=True)
class Failed:
    """Last message of a worker: an error that the run ends with."""

    error: Exception


class LeasedTrials(TrialLedger):
    """Ledger of a worker process. Its trials are leased by the owner of the run, whose ledger counts them.

    Args:
        connection: connection to the owner.
    """

    def __init__(self, config: DataGenConfig, connection: Connection):
        # The owner watches the time, as it does the other budgets.
        super().__init__(replace(config, max_time=None))
        self._connection = connection
        self._num_running = 0

    def start(self, num_free: int, num_given_up: int = 0) -> np.ndarray:
        """Lease trials (n,) for free lanes. Without running trials, wait until the owner has some."""
        if not num_free:
            return np.zeros(0, dtype=np.int64)
        send_message(self._connection, Ask(num_free, is_idle=not self._num_running))
        trials: np.ndarray = receive_message(self._connection).copy()  # The arrays of messages are read-only.
        self._num_running += len(trials)
        return trials

    def end(self, trials: np.ndarray, reason: np.ndarray) -> None:
        """Note that trials (F,) have ended. Their outcomes follow with their episodes."""
        self._num_running -= len(trials)


class EpisodeSender:
    """Sends the episodes of a worker process to the owner of the run, in place of a writer."""

    num_saved = queue_depth = 0
    seconds_stalled = 0.0

    def __init__(self, connection: Connection, output: Output):
        self.output, self._connection = output, connection
        self._next_alive = 0.0

    def put(self, batch: EpisodeBatch) -> None:
        """Send a batch; blocks while the owner is behind."""
        send_message(self._connection, batch)

    def show_life(self, env_steps: int) -> None:
        """Send a sign of life, if the last one is older than `ALIVE_PERIOD`."""
        if (now := time.monotonic()) >= self._next_alive:
            self._next_alive = now + ALIVE_PERIOD
            send_message(self._connection, Alive(env_steps))

    def wait_until_durable(self) -> None:
        """Not possible in a worker process: the owner of the run makes trials durable, once per second."""
        raise NotImplementedError

    def close(self, result: RunResult) -> RunResult:
        """Return the result: the owner closes the files."""
        return result


Message = Ready | Ask | Alive | Failed | EpisodeBatch
"""Message of a worker to the owner."""

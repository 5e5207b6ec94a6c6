"""The durable memory of a run: what it is, how every trial ended, and the episodes that are not in a finished file yet.

An SQLite database in WAL mode. Whatever was committed survives a kill at any instant; what was not is as if it had never
been, and the trials in question are simply run again. Imported by the writer's process: no torch here.
"""

# F trials, T steps of an episode, W columns

import io
import json
import sqlite3
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from isaaclab_mimic_ext.errors import RecorderError

IN_MEMORY = ":memory:"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS trials (
    trial INTEGER PRIMARY KEY, success INTEGER NOT NULL, stage INTEGER NOT NULL, length INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS episodes (trial INTEGER PRIMARY KEY, attributes TEXT NOT NULL, rows BLOB NOT NULL);
"""


@dataclass(frozen=True)
class Episode:
    """A recorded trial.

    Attributes:
        rows: name -> (T, W), and of the initial state (1, W).
        attributes: facts of the whole demo.
    """

    trial: int
    success: bool
    rows: dict[str, np.ndarray]
    attributes: dict[str, Any]


@dataclass(frozen=True)
class Outcomes:
    """How trials ended, each (F,): their numbers in order, whether they succeeded, and where they failed."""

    trials: np.ndarray
    success: np.ndarray
    stage: np.ndarray


class RunStore:
    """One run's database; `IN_MEMORY` for a run that is not to be continued."""

    def __init__(self, path: Path | str):
        self._database = sqlite3.connect(path)
        self._database.executescript("PRAGMA page_size = 65536; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")
        self._database.executescript(_SCHEMA)

    def add(self, trial: int, success: bool, stage: int, length: int) -> None:
        """Note how a trial ended; durable after `commit`."""
        self._database.execute("INSERT OR REPLACE INTO trials VALUES (?, ?, ?, ?)", (trial, success, stage, length))

    def add_episode(self, trial: int, rows: Mapping[str, np.ndarray], attributes: Mapping[str, Any]) -> None:
        """Keep what a trial recorded; durable after `commit`."""
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **rows)
        values = (trial, json.dumps({name: np.asarray(value).tolist() for name, value in attributes.items()}))
        self._database.execute("INSERT OR REPLACE INTO episodes VALUES (?, ?, ?)", (*values, buffer.getbuffer()))

    def episode(self, trial: int) -> Episode | None:
        """What a trial recorded, if that was kept.

        Raises:
            RecorderError: it is damaged, and was removed with all that is known of the trial, so that it is run again.
        """
        query = "SELECT success, attributes, rows FROM episodes JOIN trials USING (trial) WHERE trial = ?"
        found = self._database.execute(query, (trial,)).fetchone()
        if found is None:
            return None
        success, attributes, blob = found
        try:
            with np.load(io.BytesIO(blob), allow_pickle=False) as rows:
                return Episode(trial, bool(success), dict(rows), json.loads(attributes))
        except (zipfile.BadZipFile, ValueError, LookupError, OSError, EOFError) as error:
            self._forget(trial)
            reason = f"what trial {trial} recorded is damaged ({error}) and was removed"
            raise RecorderError(f"{reason}; go on with resume=true, which runs it again") from error

    def _forget(self, trial: int) -> None:
        for table in ("trials", "episodes"):
            self._database.execute(f"DELETE FROM {table} WHERE trial = ?", (trial,))
        self._database.commit()

    def forget_from(self, trial: int) -> None:
        """Remove all trials from a number on, to be run again; durable after `commit`."""
        for table in ("trials", "episodes"):
            self._database.execute(f"DELETE FROM {table} WHERE trial >= ?", (trial,))

    def is_demo(self, trial: int, keeps_failed: bool) -> bool:
        """Whether a trial has ended so that its episode must have been kept."""
        found = self._database.execute("SELECT success FROM trials WHERE trial = ?", (trial,)).fetchone()
        return found is not None and (bool(found[0]) or keeps_failed)

    def outcomes(self) -> Outcomes:
        """Every trial that has ended."""
        found = self._database.execute("SELECT trial, success, stage FROM trials ORDER BY trial").fetchall()
        trials, success, stage = np.array(found, dtype=np.int64).reshape(-1, 3).T
        return Outcomes(trials, success.astype(bool), stage)

    def facts(self) -> dict[str, Any]:
        """What is noted about the run itself."""
        return {name: json.loads(value) for name, value in self._database.execute("SELECT name, value FROM facts")}

    def set_facts(self, **facts: Any) -> None:
        """Note something about the run itself; durable after `commit`."""
        rows = [(name, json.dumps(value)) for name, value in facts.items()]
        self._database.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", rows)

    def commit(self) -> None:
        """Make everything so far durable."""
        self._database.commit()

    def drop_episodes(self) -> None:
        """Forget the episodes, which are in a finished file now, and give their space back."""
        self._database.execute("DELETE FROM episodes")
        self._database.commit()
        self._database.execute("VACUUM")
        self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Close the database; what was not committed is gone."""
        self._database.close()

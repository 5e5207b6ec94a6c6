"""The durable memory of a run: what it is, how every trial ended, and the episodes that are not in a finished file yet.

An SQLite database in WAL mode. Whatever was committed survives a kill at any instant; what was not is as if it had never
been, and the trials in question are simply run again. Imported by the writer's process: no torch here.
"""

# F trials, T steps of an episode, W columns of a row

import io
import json
import sqlite3
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from isaaclab_mimic_ext.errors import OutputError, RecorderError
from isaaclab_mimic_ext.task.reasons import SUCCEEDED

IN_MEMORY = ":memory:"
LAYOUT = 3
"""Version of the tables."""
_DIGITS = 6
"""Decimals of what is kept of a trial: a micrometre."""
_SCHEMA = f"""
BEGIN;
PRAGMA user_version = {LAYOUT};
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE reasons (code INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE trials (
    trial INTEGER PRIMARY KEY, reason INTEGER NOT NULL, length INTEGER NOT NULL, notes TEXT NOT NULL
);
CREATE TABLE episodes (trial INTEGER PRIMARY KEY, attributes TEXT NOT NULL, rows BLOB NOT NULL);
COMMIT;
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
    """How trials ended, in the order of their numbers.

    Attributes:
        trials: (F,), their numbers.
        reason: (F,), code of the reason why each failed, `SUCCEEDED` where it did not.
    """

    trials: np.ndarray
    reason: np.ndarray

    @property
    def success(self) -> np.ndarray:
        """(F,) bool."""
        return self.reason == SUCCEEDED


@dataclass(frozen=True)
class TrialRecord:
    """A trial that ended: the name of the reason why it failed (empty where it did not), its steps, and its notes."""

    trial: int
    reason: str
    length: int
    notes: dict[str, Any]

    @property
    def success(self) -> bool:
        return not self.reason


class RunStore:
    """One run's database; `IN_MEMORY` for a run that is not to be continued.

    Args:
        read_only: look at it, also while a run writes to it.
    """

    def __init__(self, path: Path | str, read_only: bool = False):
        self._path = path
        if read_only:
            self._database = sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=ro", uri=True)
            return
        self._database = sqlite3.connect(path)
        self._database.executescript("PRAGMA page_size = 65536; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")
        if not self._database.execute("SELECT name FROM sqlite_master").fetchall():
            self._database.executescript(_SCHEMA)

    def set_reasons(self, names: Sequence[str]) -> None:
        """Name the reasons for which trials fail; a reason's code is its place. Durable after `commit`.

        Trials that are there keep their reason; where it has no name any more, they get the last one.
        """
        new_codes = {name: code for code, name in enumerate(names)}
        known = self._database.execute("SELECT code, name FROM reasons").fetchall()
        changed = {code: new_codes.get(name, len(names) - 1) for code, name in known}
        if any(old != new for old, new in changed.items()):
            # One statement: a second one would take a code that the first has given for an old one.
            cases = " ".join(f"WHEN {old} THEN {new}" for old, new in changed.items())
            self._database.execute(f"UPDATE trials SET reason = CASE reason {cases} ELSE reason END")
        self._database.execute("DELETE FROM reasons")
        self._database.executemany("INSERT INTO reasons VALUES (?, ?)", enumerate(names))

    def add(self, trial: int, reason: int, length: int, notes: Mapping[str, Any] | None = None) -> None:
        """Note how a trial ended; durable after `commit`.

        Args:
            reason: code of the reason why it failed, or `SUCCEEDED`.
            notes: name -> number or array.
        """
        plain = {name: _plain(np.asarray(value)) for name, value in (notes or {}).items()}
        values = (trial, reason, length, json.dumps(plain))
        self._database.execute("INSERT OR REPLACE INTO trials VALUES (?, ?, ?, ?)", values)

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
        query = "SELECT reason, attributes, rows FROM episodes JOIN trials USING (trial) WHERE trial = ?"
        found = self._database.execute(query, (trial,)).fetchone()
        if found is None:
            return None
        reason, attributes, blob = found
        try:
            with np.load(io.BytesIO(blob), allow_pickle=False) as rows:
                return Episode(trial, reason == SUCCEEDED, dict(rows), json.loads(attributes))
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
        found = self._database.execute("SELECT reason FROM trials WHERE trial = ?", (trial,)).fetchone()
        return found is not None and (found[0] == SUCCEEDED or keeps_failed)

    def outcomes(self) -> Outcomes:
        """Every trial that has ended.

        Raises:
            OutputError: another version of this package has made the store.
        """
        self.check_layout()
        found = self._database.execute("SELECT trial, reason FROM trials ORDER BY trial").fetchall()
        return Outcomes(*np.array(found, dtype=np.int64).reshape(-1, 2).T)

    def records(self) -> Iterator[TrialRecord]:
        """What is known of every trial that has ended, in the order of their numbers.

        Raises:
            OutputError: as `outcomes`.
        """
        self.check_layout()
        names = dict(self._database.execute("SELECT code, name FROM reasons")) | {SUCCEEDED: ""}
        for trial, reason, length, notes in self._database.execute("SELECT * FROM trials ORDER BY trial"):
            yield TrialRecord(trial, names[reason], length, json.loads(notes))

    def check_layout(self) -> None:
        """Make sure that this version of the package can read the tables.

        Raises:
            OutputError: another version has made them.
        """
        (layout,) = self._database.execute("PRAGMA user_version").fetchone()
        if layout != LAYOUT:
            version = f"{'an older' if layout < LAYOUT else 'a newer'} version (layout {layout}, here {LAYOUT})"
            raise OutputError(
                f"output_dir: {self._path} was made by {version}; resume the run with the version that started it, or start "
                "again with overwrite=true"
            )

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


def _plain(value: np.ndarray) -> Any:
    """A value for JSON; what is not a number (a mean of nothing) becomes null."""
    if value.dtype.kind != "f":
        return value.tolist()
    rounded = np.round(value.astype(np.float64), _DIGITS).astype(object)
    rounded[~np.isfinite(value)] = None
    return rounded.tolist()

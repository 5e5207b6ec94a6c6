"""Store of a run: facts about the run, the outcome of every ended trial, and episodes that are not in a finished dataset.

An SQLite database in WAL mode. Committed data survives a kill at any instant. Trials that were not committed run again.
Large episodes are in files next to it (`run/episode_files.py`), which are durable before the database refers to them.
Imported by the writer process: no torch here.
"""

# F trials that ended, T steps of an episode, W columns of a row

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from isaaclab_mimic_ext.errors import OutputError, RecorderError
from isaaclab_mimic_ext.files.lock_errors import has_locks, has_shared_memory
from isaaclab_mimic_ext.run import episode_files
from isaaclab_mimic_ext.run.episode_files import EpisodeFiles, Place, episodes_folder
from isaaclab_mimic_ext.run.row_bytes import to_bytes, to_rows
from isaaclab_mimic_ext.task.reasons import NOT_HELD, SUCCEEDED

IN_MEMORY = ":memory:"
"""Path of a store that is not written to disk."""
OLDEST_LAYOUT, LAYOUT = 5, 6
"""Versions of the tables and of the rows in them: the oldest one that can be read, and the one that is written.

In version 6, the rows of a large episode are a text with their place in a file."""
_MAX_WAIT_MS = 120_000
"""Time that a process waits for the transaction of another process [ms]."""
_ADD_EPISODE = "INSERT OR REPLACE INTO episodes VALUES (?, ?, ?)"
_NUM_DECIMALS = 6
"""Decimal places of the notes of a trial: 1 micrometer for lengths."""
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
    """Recorded episode of a trial.

    Attributes:
        rows: name -> rows (T, W); (1, W) for the initial state.
        attributes: attributes of the demo.
    """

    trial: int
    success: bool
    rows: dict[str, np.ndarray]
    attributes: dict[str, Any]

    @property
    def num_bytes(self) -> int:
        """Size of the rows [bytes]."""
        return sum(values.nbytes for values in self.rows.values())


@dataclass(frozen=True)
class Outcomes:
    """Outcomes of ended trials, in the order of their numbers.

    Attributes:
        trials: (F,), numbers of the trials.
        reason: (F,), code of the reason of failure; `SUCCEEDED` if the trial succeeded.
    """

    trials: np.ndarray
    reason: np.ndarray

    @property
    def success(self) -> np.ndarray:
        """Success of each trial, (F,) bool."""
        return self.reason == SUCCEEDED


@dataclass(frozen=True)
class TrialRecord:
    """Record of an ended trial.

    Attributes:
        trial: number of the trial.
        reason: name of the reason of failure; empty if the trial succeeded.
        length: number of steps.
        notes: name -> number or list, see `TrialWatch.judge`.
    """

    trial: int
    reason: str
    length: int
    notes: dict[str, Any]

    @property
    def success(self) -> bool:
        """Return whether the trial succeeded."""
        return not self.reason


class RunStore:
    """SQLite database of a run.

    Args:
        path: path of the database; `IN_MEMORY` for a run that cannot be resumed.
        read_only: open for reading only, also while a run writes to it.
        is_shared: other processes write, too. Trials are collected and written by `commit`, so that no process waits long.
        first_trial, trials_per_file: ranges of trials whose large episodes are in one file, see `EpisodeFiles`.
    """

    def __init__(
        self,
        path: Path | str,
        read_only: bool = False,
        is_shared: bool = False,
        first_trial: int = 0,
        trials_per_file: int | None = None,
    ):
        self._path, self._is_read_only, self._is_shared = path, read_only, is_shared
        self._files = EpisodeFiles(episodes_folder(Path(path)), first_trial, trials_per_file)
        self._left_files: set[str] = set()
        """Files from which episodes were deleted since the last `commit`."""
        self._collected: list[tuple[str, tuple[Any, ...]]] = []
        self.num_collected_bytes = 0
        """Size of the episodes that the next `commit` writes [bytes]."""
        if read_only:
            self._database = _connect_to_read(Path(path))
            return
        self._database = _connect(path)
        if is_shared:
            self._database.execute(f"PRAGMA busy_timeout = {_MAX_WAIT_MS}")
        # Debian's SQLite overwrites deleted content with zeros, which takes as long as writing it.
        self._database.executescript("PRAGMA page_size = 65536; PRAGMA journal_mode = WAL; PRAGMA secure_delete = OFF;")
        self._database.execute("PRAGMA synchronous = FULL")
        if not self._database.execute("SELECT name FROM sqlite_master").fetchall():
            self._database.executescript(_SCHEMA)

    def set_reasons(self, names: Sequence[str]) -> None:
        """Set the names of the reasons of failure; the code of a reason is its index. Durable after `commit`.

        Stored trials keep their reason by name. If it is no longer in `names`, they get `NOT_HELD`, or the last reason.
        """
        new_codes = {name: code for code, name in enumerate(names)}
        other = new_codes.get(NOT_HELD, len(names) - 1)
        known = self._database.execute("SELECT code, name FROM reasons").fetchall()
        changed = {code: new_codes.get(name, other) for code, name in known}
        if any(old != new for old, new in changed.items()):
            # A single statement: a second statement would change codes again that the first has just set.
            cases = " ".join(f"WHEN {old} THEN {new}" for old, new in changed.items())
            self._database.execute(f"UPDATE trials SET reason = CASE reason {cases} ELSE reason END")
        self._database.execute("DELETE FROM reasons")
        self._database.executemany("INSERT INTO reasons VALUES (?, ?)", enumerate(names))

    def add(self, trial: int, reason: int, length: int, notes: Mapping[str, Any] | None = None) -> None:
        """Store the outcome of a trial; durable after `commit`.

        Args:
            reason: code of the reason of failure, or `SUCCEEDED`.
            length: number of steps.
            notes: name -> number or array.
        """
        plain = {name: _plain(np.asarray(value)) for name, value in (notes or {}).items()}
        values = (trial, reason, length, json.dumps(plain))
        self._change("INSERT OR REPLACE INTO trials VALUES (?, ?, ?, ?)", values)

    def add_episode(self, trial: int, rows: Mapping[str, np.ndarray], attributes: Mapping[str, Any]) -> None:
        """Store the episode of a trial: rows (T, W) by name, and attributes of the demo; durable after `commit`."""
        plain = json.dumps({name: np.asarray(value).tolist() for name, value in attributes.items()})
        if self._path == IN_MEMORY or sum(values.nbytes for values in rows.values()) < episode_files.MIN_BYTES:
            content = to_bytes(rows)
            self._change(_ADD_EPISODE, (trial, plain, content))
            self.num_collected_bytes += len(content) if self._is_shared else 0
        else:
            place = json.dumps(asdict(self._files.append(trial, rows)))
            self._change(_ADD_EPISODE, (trial, plain, place))
            self._change(f"PRAGMA user_version = {LAYOUT}", ())

    def _change(self, statement: str, values: tuple[Any, ...]) -> None:
        if self._is_shared:
            self._collected.append((statement, values))
        else:
            self._database.execute(statement, values)

    def episode(self, trial: int) -> Episode | None:
        """Read the episode of a trial; None if it is not stored, or its file was deleted.

        Raises:
            RecorderError: the episode is damaged. The trial was deleted, so a resumed run repeats it, unless `read_only`.
        """
        if self._collected:
            self.commit()
        query = "SELECT reason, attributes, rows FROM episodes JOIN trials USING (trial) WHERE trial = ?"
        found = self._database.execute(query, (trial,)).fetchone()
        if found is None:
            return None
        reason, attributes, rows = found
        try:
            content = self._files.read(Place(**json.loads(rows))) if isinstance(rows, str) else rows
            return Episode(trial, reason == SUCCEEDED, to_rows(content), json.loads(attributes))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            reason = f"{self._path}: the episode of trial {trial} is damaged ({error})"
            if self._is_read_only:
                raise RecorderError(f"{reason}; resume the run with resume=true, which runs the trial again") from error
            self._delete(trial)
            raise RecorderError(
                f"{reason} and was deleted; continue with resume=true, which runs the trial again"
            ) from error

    def _delete(self, trial: int) -> None:
        for table in ("trials", "episodes"):
            self._database.execute(f"DELETE FROM {table} WHERE trial = ?", (trial,))
        self.commit()

    def delete_from(self, trial: int) -> None:
        """Delete all trials with numbers >= `trial`, so that they run again; durable after `commit`."""
        for table in ("trials", "episodes"):
            self._database.execute(f"DELETE FROM {table} WHERE trial >= ?", (trial,))

    def requires_episode(self, trial: int, keeps_failed: bool) -> bool:
        """Return whether a trial has ended such that its episode must have been stored.

        A trial without steps, which ended the processes that ran it, has no episode.
        """
        found = self._database.execute("SELECT reason, length FROM trials WHERE trial = ?", (trial,)).fetchone()
        return found is not None and (found[0] == SUCCEEDED or (keeps_failed and found[1] > 0))

    def outcomes(self) -> Outcomes:
        """Read the outcome of every ended trial.

        Raises:
            OutputError: a different version of this package wrote the store.
        """
        self.check_layout()
        found = self._database.execute("SELECT trial, reason FROM trials ORDER BY trial").fetchall()
        with reading():
            return Outcomes(*np.array(found, dtype=np.int64).reshape(-1, 2).T)

    def num_successes(self) -> int:
        """Number of trials that ended with success."""
        query = "SELECT COUNT(*) FROM trials WHERE reason = ?"
        return int(self._database.execute(query, (SUCCEEDED,)).fetchone()[0])

    def records(self) -> Iterator[TrialRecord]:
        """Yield the record of every ended trial, in the order of their numbers.

        Raises:
            OutputError: a different version of this package wrote the store.
        """
        self.check_layout()
        names = dict(self._database.execute("SELECT code, name FROM reasons")) | {SUCCEEDED: ""}
        for trial, reason, length, notes in self._database.execute("SELECT * FROM trials ORDER BY trial"):
            with reading():
                record = TrialRecord(trial, names[reason], length, json.loads(notes))
            yield record

    def reasons(self) -> list[str]:
        """Read the names of the reasons of failure, by code."""
        return [name for (name,) in self._database.execute("SELECT name FROM reasons ORDER BY code")]

    def copy_trials(self, source: "RunStore", end_trial: int) -> None:
        """Add the outcomes of the trials of another store with lower numbers than `end_trial`; durable after `commit`."""
        found = source._database.execute("SELECT * FROM trials WHERE trial < ? ORDER BY trial", (end_trial,))
        self._database.executemany("INSERT INTO trials VALUES (?, ?, ?, ?)", found)

    def check_layout(self, field: str = "output_dir") -> None:
        """Check that this version of the package can read the tables.

        Args:
            field: configuration field that contains the path of the store.

        Raises:
            OutputError: a different version wrote them.
        """
        (layout,) = self._database.execute("PRAGMA user_version").fetchone()
        if not OLDEST_LAYOUT <= layout <= LAYOUT:
            version = f"{'an older' if layout < LAYOUT else 'a newer'} version (layout {layout}, expected {LAYOUT})"
            raise OutputError(
                f"{field}: {self._path} was written by {version}; resume the run with the version that started it, or "
                "start again with overwrite=true"
            )

    def facts(self) -> dict[str, Any]:
        """Read all facts about the run."""
        with reading():
            return {name: json.loads(value) for name, value in self._database.execute("SELECT name, value FROM facts")}

    def set_facts(self, **facts: Any) -> None:
        """Write facts about the run; durable after `commit`."""
        rows = [(name, json.dumps(value)) for name, value in facts.items()]
        for row in rows:
            self._change("INSERT OR REPLACE INTO facts VALUES (?, ?)", row)

    def commit(self) -> None:
        """Make all previous changes durable, and delete the files of episodes that the database does not refer to any more.

        Raises:
            OSError: a file of episodes cannot be written.
        """
        self._files.sync()
        for statement, values in self._collected:
            self._database.execute(statement, values)
        self._database.commit()
        self._collected.clear()
        self.num_collected_bytes = 0
        if self._left_files:
            self._files.remove(self._left_files - self._used_files())
            self._left_files.clear()

    def delete_unused_files(self) -> None:
        """Delete files of episodes that a killed process left. No other process may write to the store."""
        self._files.keep(self._used_files())

    def _used_files(self) -> set[str]:
        return self._files_of("TRUE")

    def _files_of(self, condition: str, *values: int) -> set[str]:
        """Names of the files of the large episodes that meet a condition."""
        query = f"SELECT DISTINCT json_extract(rows, '$.file') FROM episodes WHERE typeof(rows) = 'text' AND {condition}"
        return {name for (name,) in self._database.execute(query, values)}

    def lengths(self) -> dict[int, int]:
        """Read the number of steps of every ended trial, by its number."""
        return dict(self._database.execute("SELECT trial, length FROM trials"))

    def delete_episodes(self, trials: range) -> None:
        """Delete the episodes of consecutive trials, which are in a closed shard now; durable after `commit`."""
        condition, limits = "trial >= ? AND trial < ?", (trials.start, trials.stop)
        self._left_files |= self._files_of(condition, *limits)
        self._database.execute(f"DELETE FROM episodes WHERE {condition}", limits)

    def drop_episodes(self) -> None:
        """Delete all episodes, which are in a finished dataset now, and release their disk space."""
        self._files.clear()  # First: a process that is killed now leaves no files that take as much space as the dataset.
        self._database.execute("DELETE FROM episodes")
        self._database.commit()
        self._database.execute("VACUUM")
        self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Close the database. Changes that were not committed are lost."""
        self._database.close()


@contextmanager
def reading() -> Iterator[None]:
    """Raise errors that stored content causes in the block as errors of the database: the store is damaged.

    Raises:
        sqlite3.DatabaseError: the content has a wrong type, or is incomplete.
    """
    try:
        yield
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        raise sqlite3.DatabaseError(str(error)) from error


def _connect_to_read(path: Path) -> sqlite3.Connection:
    """Open a database for reading. SQLite's journals (`-wal`, `-shm`) do not exist afterwards, unless a process writes."""
    # While no process writes, these files do not exist, and `immutable` does not create them. Otherwise the connection must
    # be able to write: the last connection that is closed transfers them to the database.
    mode = "mode=rw" if Path(f"{path}-wal").exists() else "mode=ro&immutable=1"
    database = _connect(path, mode)
    database.execute("PRAGMA query_only = ON")
    return database


def _connect(path: Path | str, mode: str = "mode=rwc") -> sqlite3.Connection:
    """Connect to a database; on a file system without locks or shared memory, as the only process that uses it."""
    if path == IN_MEMORY:
        return sqlite3.connect(path)
    uri = f"{Path(path).absolute().as_uri()}?{mode}"
    folder = Path(path).absolute().parent
    if "immutable" in mode or ((locks := has_locks(folder)) and has_shared_memory(folder)):
        return sqlite3.connect(uri, uri=True)
    database = sqlite3.connect(uri if locks else f"{uri}&nolock=1", uri=True)
    # The journal of SQLite then requires that no second process reads. Set before WAL, or SQLite shares memory.
    database.execute("PRAGMA locking_mode = EXCLUSIVE")
    return database


def _plain(value: np.ndarray) -> Any:
    """Convert a value to JSON types, rounded; values that are not finite (such as a mean of zero steps) become null."""
    if value.dtype.kind != "f":
        return value.tolist()
    rounded = np.round(value.astype(np.float64), _NUM_DECIMALS).astype(object)
    rounded[~np.isfinite(value)] = None
    return rounded.tolist()

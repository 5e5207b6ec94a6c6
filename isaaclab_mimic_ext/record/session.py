"""Starting a run in its folder, or going on with one: the lock, what the run is, and how far it had come."""

import fcntl
import hashlib
import os
import socket
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isaaclab_mimic_ext.errors import OutputError
from isaaclab_mimic_ext.record.hdf5 import installed_versions
from isaaclab_mimic_ext.record.run_folder import RunFolder
from isaaclab_mimic_ext.record.store import Outcomes, RunStore

_BUDGETS = ("max_num_failures", "max_total_failures", "max_trials", "max_time", "min_success_rate")
FREE_TO_CHANGE = frozenset(
    {
        *("num_envs", "headless", "enable_cameras", "sim.num_threads", "recorder.queue_size"),
        *("input_file", "output_dir", "overwrite", "resume", "progress", "video", "num_video_demos"),
        *(f"datagen_config.{name}" for name in _BUDGETS),
    }
)
"""Fields that do not decide what a trial is: budgets may be raised, machines changed."""


@dataclass(frozen=True)
class RunSession:
    """A run that this process alone may work on.

    Attributes:
        lock: the file descriptor that holds the run's lock.
        outcomes: how the trials of earlier sessions ended.
        elapsed: time of earlier sessions [s].
    """

    folder: RunFolder
    lock: int
    outcomes: Outcomes
    elapsed: float


def identity_of(config: Mapping[str, Any], source: Path) -> dict[str, Any]:
    """All that the trials of a run depend on: field -> value."""
    fields = {name: value for name, value in _flattened(config).items() if name not in FREE_TO_CHANGE}
    versions = {f"version of {name}": value for name, value in installed_versions().items()}
    return {**fields, "content of input_file (sha256)": _sha256(source), **versions}


def finished_demos(folder: RunFolder) -> int | None:
    """How many demos the folder's run has if it reached its target, else None."""
    if not folder.store.exists():
        return None
    with _opened_store(folder) as store:
        facts = store.facts()
    return facts.get("num_demos") if facts.get("complete") and folder.demos.exists() else None


@contextmanager
def open_run(folder: RunFolder, identity: Mapping[str, Any], resume: bool) -> Iterator[RunSession]:
    """Start a run in `folder`, or go on with the one that is there if `resume` is set; locked until the end of the block.

    Raises:
        OutputError: another process works on it, the folder cannot be written to, or the run that is there is another one.
    """
    folder.create()
    lock = _acquire(folder)
    try:
        if not resume:
            folder.clear()
        with _opened_store(folder) as store:
            facts = store.facts()
            _compare(folder, facts.get("identity", identity), identity)
            store.set_facts(identity=dict(identity), complete=False)
            store.commit()
            outcomes = store.outcomes()
        yield RunSession(folder, lock, outcomes, facts.get("elapsed", 0.0))
    finally:
        os.close(lock)


@contextmanager
def _opened_store(folder: RunFolder) -> Iterator[RunStore]:
    try:
        store = RunStore(folder.store)
        try:
            yield store
        finally:
            store.close()
    except sqlite3.OperationalError as error:
        reason = f"output_dir: {folder.store} cannot be written: {error}; free some space, or give another output_dir"
        raise OutputError(reason) from error
    except sqlite3.Error as error:
        raise OutputError(f"output_dir: {folder.store} is damaged ({error}); start anew with overwrite=true") from error


def _acquire(folder: RunFolder) -> int:
    try:
        lock = os.open(folder.lock, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise OutputError(
            f"output_dir: {folder.lock} cannot be opened: {error.strerror}; give another output_dir"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.read(lock, 200).decode(errors="replace").strip() or "another process"
        os.close(lock)
        raise OutputError(
            f"output_dir: {folder.path} is being worked on by {holder}; wait for its end, or give another output_dir"
        ) from error
    os.ftruncate(lock, 0)
    os.write(lock, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
    return lock


def _compare(folder: RunFolder, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    names = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
    if names:
        shown = [f"{name}: {_short(old.get(name))} -> {_short(new.get(name))}" for name in names[:8]]
        more = f" and {len(names) - 8} more" if len(names) > 8 else ""
        raise OutputError(
            f"output_dir: the run in {folder.path} is another one: {'; '.join(shown)}{more}; run it as it was started, or "
            "start a new one in another output_dir"
        )


def _flattened(node: Any, prefix: str = "") -> dict[str, Any]:
    """Dotted name -> value of every leaf of nested dicts and lists."""
    items = node.items() if isinstance(node, Mapping) else enumerate(node)
    leaves: dict[str, Any] = {}
    for key, value in items:
        if isinstance(value, Mapping | list | tuple) and value:
            leaves |= _flattened(value, f"{prefix}{key}.")
        else:
            leaves[f"{prefix}{key}"] = list(value) if isinstance(value, tuple) else value
    return leaves


def _short(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:12]}..."


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

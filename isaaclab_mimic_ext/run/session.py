"""The folder of a generation run: files under the names that MimicGen gives them."""

import hashlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.errors import OutputError
from isaaclab_mimic_ext.files.dataset_file import installed_versions
from isaaclab_mimic_ext.files.folder import OutputFile, OutputFolder
from isaaclab_mimic_ext.files.lock import FolderLock
from isaaclab_mimic_ext.files.writing import unwritable
from isaaclab_mimic_ext.run.result import RunResult
from isaaclab_mimic_ext.run.store import Outcomes, RunStore


class RunFolder(OutputFolder):
    """Paths of a run's files."""

    content = "a run"
    resumes_from = "run.sqlite"

    demos = OutputFile("demo.hdf5")
    failed_demos = OutputFile("demo_failed.hdf5")
    stats = OutputFile("important_stats.json")
    log = OutputFile("log.txt")
    config = OutputFile("config.yaml")
    video = OutputFile("playback.mp4")
    failed_video = OutputFile("playback_failed.mp4")
    picture = OutputFile("scene.png")
    report = OutputFile("report.html")
    store = OutputFile("run.sqlite")
    lock = OutputFile("run.lock", is_kept=True)


_BUDGETS = ("max_num_failures", "max_total_failures", "max_trials", "max_time", "min_success_rate")

FREE_TO_CHANGE = frozenset(
    {
        *("num_envs", "headless", "sim.num_threads", "recorder.queue_megabytes"),
        *("input_file", "output_dir", "overwrite", "resume", "progress", "video", "num_video_demos"),
        *(f"datagen_config.{name}" for name in (*_BUDGETS, "generation_num_trials")),
    }
)

"""Fields that do not decide what a trial is: target and budgets may be raised, machines changed."""

_CONTENT, _VERSION = "content of input_file (sha256)", "version of "


@dataclass(frozen=True)
class RunSession:
    """A run that this process alone may work on.

    Attributes:
        lock: the file descriptor that holds the run's lock.
        elapsed: time of earlier sessions [s].
        finished: result of a run that has reached its target, else None.
    """

    folder: RunFolder
    lock: int
    elapsed: float
    finished: RunResult | None = None

    def outcomes(self, reasons: Sequence[str]) -> Outcomes:
        """How the trials of earlier sessions ended; from now on a reason's code is its place in `reasons`.

        Raises:
            OutputError: the store is damaged, or cannot be written to.
        """
        with _opened_store(self.folder) as store:
            store.set_reasons(reasons)
            store.commit()
            return store.outcomes()


def identity_of(config: Mapping[str, Any], source: Path) -> dict[str, Any]:
    """All that the trials of a run depend on: field -> value."""
    versions = {f"{_VERSION}{name}": value for name, value in installed_versions().items()}
    return {**_settings(config), _CONTENT: _sha256(source), **versions}


def finished_run(folder: RunFolder, config: Mapping[str, Any], source: Path) -> RunResult | None:
    """Result of the folder's run if it has reached the target of `config`, else None. Nothing is touched.

    Raises:
        OutputError: it is another run than `config` and `source` (if that is still there) ask for, or has lost its demos.
    """
    if not folder.store.exists():
        return None
    with _opened_store(folder) as store:
        facts = store.facts()
        reached = _reached(folder, facts)
        if reached is None or config["datagen_config"]["generation_num_trials"] > reached.target:
            return None
        wanted = _settings(config) | ({_CONTENT: _sha256(source)} if source.is_file() else {})
        # Its demos are made: what would make the next ones, and a source that is gone, no longer matter.
        made = {name: value for name, value in facts["identity"].items() if name in wanted or _is_setting(name)}
        _compare(folder, made, wanted)
        _check_demos(folder)
        return reached


@contextmanager
def open_run(
    folder: RunFolder, identity: Mapping[str, Any], resume: bool, overwrite: bool = False, target: int = 0
) -> Iterator[RunSession]:
    """Start a run in `folder`, or go on with the one that is there if `resume` is set; locked until the end of the block.

    Args:
        target: `generation_num_trials`; a finished run goes on if it is above that which the run has reached.

    Raises:
        OutputError: another process works on it, the folder cannot be written to, or the run that is there is another one.
    """
    with locked(folder) as lock:
        # Once more: another process may have been at work, and finished, since the folder was looked at.
        folder.check(overwrite, resume)
        if not resume:
            folder.clear()
        with _opened_store(folder) as store:
            facts = store.facts()
            if "identity" not in facts and folder.demos.exists():
                raise _damaged(folder, ValueError("it does not know the run that made the demos"))
            _compare(folder, facts.get("identity", identity), identity)
            reached = _reached(folder, facts)
            if reached is not None:
                _check_demos(folder)
                if target > reached.target:
                    # Trials that did not count: their episodes were dropped, and no dataset has them.
                    store.forget_from(reached.num_attempts)
                    reached = None
            if reached is None:
                store.set_facts(identity=dict(identity), result=None)
                store.commit()
        yield RunSession(folder, lock, facts.get("elapsed", 0.0), reached)


@contextmanager
def locked(folder: RunFolder) -> Iterator[int]:
    """Be the only process that works on a folder's run within the block; gives the lock's file descriptor.

    Raises:
        OutputError: another process works on it, or the folder cannot be written to.
    """
    folder.create()
    with FolderLock(folder.lock).hold() as lock:
        yield lock


def run_facts(folder: RunFolder, **noted: Any) -> dict[str, Any]:
    """What a run's store says of it, after noting something more there.

    Raises:
        OutputError: the store is damaged, or cannot be written to.
    """
    with _opened_store(folder) as store:
        if noted:
            store.set_facts(**noted)
            store.commit()
        return store.facts()


def check_free(folder: RunFolder) -> None:
    """Make sure that nobody works on the folder's run at this moment, without touching anything.

    Raises:
        OutputError: somebody does.
    """
    FolderLock(folder.lock).check_free()


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    leaves = trees.flatten(config, ".", lambda value: isinstance(value, Mapping | list | tuple) and bool(value))
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in leaves.items()
        if name not in FREE_TO_CHANGE
    }


def _is_setting(name: str) -> bool:
    return name != _CONTENT and not name.startswith(_VERSION)


def stored_result(facts: Mapping[str, Any]) -> RunResult | None:
    """Result of the last session that came to an end, from the facts of a run's store."""
    return None if facts.get("result") is None else RunResult.from_dict(facts["result"] | {"elapsed": facts["elapsed"]})


def _reached(folder: RunFolder, facts: Mapping[str, Any]) -> RunResult | None:
    """Result of a run that has reached its target, else None."""
    result = stored_result(facts)
    if result is None or not result.target_reached:
        return None
    return replace(result, dataset=folder.demos)  # The folder may have been moved.


def _check_demos(folder: RunFolder) -> None:
    """Refuse a run that has lost its demos: its store has forgotten their episodes."""
    if not folder.demos.exists():
        raise OutputError(
            f"output_dir: the run in {folder.path} is finished, but {folder.demos.name} is gone; put it back, or make it "
            "again with overwrite=true"
        )


@contextmanager
def _opened_store(folder: RunFolder) -> Iterator[RunStore]:
    try:
        store = RunStore(folder.store)
        try:
            store.check_layout()
            yield store
        finally:
            store.close()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_ERROR:
            raise _damaged(folder, error) from error
        remedy = "free some space, or give another output_dir"
        raise unwritable(folder.store, error, "output_dir", remedy, OutputError) from error
    except (sqlite3.Error, ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        raise _damaged(folder, error) from error


def _damaged(folder: RunFolder, error: Exception) -> OutputError:
    return OutputError(
        f"output_dir: {folder.store} is damaged ({error}); give another output_dir, or start anew with overwrite=true"
    )


def _compare(folder: RunFolder, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    names = sorted(name for name in {*old, *new} - FREE_TO_CHANGE if old.get(name) != new.get(name))
    if names:
        shown = [f"{name}: {_short(old.get(name))} -> {_short(new.get(name))}" for name in names[:8]]
        more = f" and {len(names) - 8} more" if len(names) > 8 else ""
        raise OutputError(
            f"output_dir: the run in {folder.path} is another one: {'; '.join(shown)}{more}; run it as it was started, or "
            "start a new one in another output_dir"
        )


def _short(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:12]}..."


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

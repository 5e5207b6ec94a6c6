"""Folder of a generation run, and the checks that decide whether a run is started, resumed or already finished."""

import hashlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.config import SimCfg
from isaaclab_mimic_ext.config.cluster import ClusterCfg
from isaaclab_mimic_ext.config.recorded_task import own_dirs
from isaaclab_mimic_ext.config.task import BUDGETS
from isaaclab_mimic_ext.envs.devices import resolve_device
from isaaclab_mimic_ext.envs.factory import choose_engine
from isaaclab_mimic_ext.envs.robots import digest_of_robots
from isaaclab_mimic_ext.errors import OutputError
from isaaclab_mimic_ext.files.dataset_file import installed_versions
from isaaclab_mimic_ext.files.folder import OutputFile, OutputFolder
from isaaclab_mimic_ext.files.hdf5 import open_hdf5
from isaaclab_mimic_ext.files.lock import FolderLock
from isaaclab_mimic_ext.files.shards import shards_of
from isaaclab_mimic_ext.files.writing import remove_folders, unwritable
from isaaclab_mimic_ext.run.result import RunResult
from isaaclab_mimic_ext.run.store import Outcomes, RunStore, reading
from isaaclab_mimic_ext.task.folders import available_tasks
from isaaclab_mimic_ext.task.mesh_shape import digests_of
from isaaclab_mimic_ext.task.meshes import meshes_entry, objects_from
from isaaclab_mimic_ext.task.robot import robot_entry, robot_from


class RunFolder(OutputFolder):
    """Paths of the files of a run, with MimicGen's names where MimicGen has the file."""

    content = "a run"
    resumes_from = "run.sqlite"

    demos = OutputFile("demo.hdf5")
    failed_demos = OutputFile("demo_failed.hdf5")
    shards = OutputFile("demo_shards")
    failed_shards = OutputFile("demo_failed_shards")
    stats = OutputFile("important_stats.json")
    log = OutputFile("log.txt")
    config = OutputFile("config.yaml")
    video = OutputFile("playback.mp4")
    failed_video = OutputFile("playback_failed.mp4")
    picture = OutputFile("scene.png")
    report = OutputFile("report.html")
    progress = OutputFile("progress.json")
    collected = OutputFile("collected.json")
    manifest = OutputFile("manifest.json", is_kept=True)
    cluster = OutputFile("cluster.yaml", is_kept=True)
    cluster_lock = OutputFile("cluster.lock", is_kept=True)
    cluster_logs = OutputFile("slurm", is_kept=True)
    store = OutputFile("run.sqlite")
    socket = OutputFile("watch.sock")
    lock = OutputFile("run.lock", is_kept=True)


WATCH_HINT = "To watch the run in a browser"
"""Start of the line of the log with the command that watches the run."""

FREE_TO_CHANGE = frozenset(
    {
        *(
            "num_envs",
            "num_workers",
            "ray_address",
            "headless",
            "sim.num_threads",
            "recorder.queue_megabytes",
            "recorder.num_writers",
        ),
        *("sim.contacts", "sim.constraints", "sim.convex_contacts"),
        *("sim.robosuite.num_processes", "sim.robosuite.max_wait"),
        *("task.preset", "input_file", "output_dir", "output_file", "overwrite", "resume"),
        *("progress", "video", "num_video_demos", "debug"),
        *(f"cluster.{each.name}" for each in fields(ClusterCfg)),
        *(f"datagen_config.{name}" for name in (*BUDGETS, "generation_num_trials")),
    }
)
"""Fields that trials do not depend on: a resumed run may change targets, budgets and machine settings."""

CONTENT, _VERSION = "content of input_file (sha256)", "version of "


@dataclass(frozen=True)
class RunSession:
    """Run that is locked for this process.

    Attributes:
        folder: folder of the run.
        lock: file descriptor of the run's lock.
        elapsed: time of earlier sessions [s].
        finished: result of the run if it has reached its target, else None.
    """

    folder: RunFolder
    lock: int
    elapsed: float
    finished: RunResult | None = None

    def outcomes(self, reasons: Sequence[str]) -> Outcomes:
        """Return the outcomes of the trials of earlier sessions.

        Args:
            reasons: names of the reasons of failure; from now on, the code of a reason is its index here.

        Raises:
            OutputError: the store is damaged, or cannot be written to.
        """
        with opened_store(self.folder.store) as store:
            store.set_reasons(reasons)
            store.commit()
            return store.outcomes()


def identity_of(config: Mapping[str, Any], source: Path) -> dict[str, Any]:
    """Collect everything that the trials of a run depend on: settings, digest of the source demos, package versions."""
    versions = {f"{_VERSION}{name}": value for name, value in installed_versions().items()}
    return {**_settings(config), CONTENT: content_digest(source), **versions}


def finished_run(folder: RunFolder, config: Mapping[str, Any], source: Path, target: int) -> RunResult | None:
    """Return the result of the folder's run if it has reached `target` (`open_run`), else None. Files do not change.

    Raises:
        OutputError: the run was started with a different configuration or source file (not compared if it no longer
            exists), or its dataset is missing.
    """
    if not folder.store.exists():
        return None
    with opened_store(folder.store) as store:
        facts = store.facts()
        reached = _reached(folder, facts)
        if reached is None or target > reached.target:
            return None
        wanted = _settings(config) | ({CONTENT: content_digest(source)} if source.is_file() else {})
        # No further trials are run, so package versions and a deleted source file do not matter.
        with reading():
            stored = {name: value for name, value in facts["identity"].items() if name in wanted or _is_setting(name)}
        _check_identity(folder, stored, wanted)
        _check_demos(folder)
        return reached


@contextmanager
def open_run(
    folder: RunFolder, identity: Mapping[str, Any], resume: bool, overwrite: bool = False, target: int = 0
) -> Iterator[RunSession]:
    """Start a run in `folder`, or resume the run in it. The folder is locked until the end of the block.

    If the block fails before a trial has ended, all files of the run and folders that were created are removed.

    Args:
        identity: everything that the trials depend on (`identity_of`).
        resume: resume the run in the folder, if there is one.
        overwrite: delete the run in the folder.
        target: `generation_num_trials`, or the number of trials of a block; a finished run continues if this is above the
            target that it has reached.

    Raises:
        OutputError: another process works in the folder, the folder cannot be written to, or its run was started with a
            different configuration.
    """
    created = folder.create()
    with locked(folder) as lock:
        # Check again: another process may have worked in the folder between the first check and the lock.
        folder.check(overwrite, resume)
        if not resume:
            folder.clear()
        with opened_store(folder.store) as store:
            facts = store.facts()
            if "identity" not in facts and folder.demos.exists():
                raise _damaged(folder.store, "output_dir", ValueError("it does not contain the run of the existing demos"))
            with reading():
                stored = dict(facts.get("identity", identity))
            _check_identity(folder, stored, identity)
            reached = _reached(folder, facts)
            if reached is not None:
                _check_demos(folder)
                if target > reached.target:
                    # Trials beyond the old result run again: their episodes are neither in the store nor in the dataset.
                    store.delete_from(reached.end_trial)
                    reached = None
            if reached is None:
                folder.collected.unlink(missing_ok=True)  # `collect` must not replace the trials of this session.
                store.set_facts(identity=dict(identity), result=None, **own_dirs(str(identity.get("task.name"))))
                store.commit()
                store.delete_unused_files()
        try:
            yield RunSession(folder, lock, facts.get("elapsed", 0.0), reached)
        except Exception:
            with suppress(OutputError):  # The store may be the cause of the failure.
                _remove_without_trials(folder, created)
            raise


def _remove_without_trials(folder: RunFolder, created: list[Path]) -> None:
    """Remove the files of a run if none of its trials has ended, and the folders `created` for it if they are empty."""
    with opened_store(folder.store) as store:
        if len(store.outcomes().trials):
            return
    folder.clear()
    folder.lock.unlink(missing_ok=True)
    remove_folders(created)


@contextmanager
def locked(folder: RunFolder) -> Iterator[int]:
    """Create the folder and lock it for this process within the block; yields the file descriptor of the lock.

    Raises:
        OutputError: another process works in the folder, or the folder cannot be written to.
    """
    folder.create()
    with FolderLock(folder.lock).hold() as lock:
        yield lock


def run_facts(folder: RunFolder, **noted: Any) -> dict[str, Any]:
    """Write `noted` to the facts in the store of a run, and return all facts.

    Raises:
        OutputError: the store is damaged, or cannot be written to.
    """
    with opened_store(folder.store) as store:
        if noted:
            store.set_facts(**noted)
            store.commit()
        return store.facts()


def recorded_settings(folder: RunFolder) -> Mapping[str, Any]:
    """Settings with which the run in a folder was started, with its engine and device; empty if they cannot be read."""
    if not folder.store.is_file():
        return {}
    try:
        with opened_store(folder.store, read_only=True) as store, reading():
            return dict(store.facts().get("identity", {}))
    except OutputError:
        return {}  # `open_run` reports the damage.


def check_free(folder: RunFolder) -> None:
    """Check that no process works in the folder at this moment, without changing files.

    Raises:
        OutputError: another process works in the folder.
    """
    FolderLock(folder.lock).check_free()


def is_in_use(folder: RunFolder) -> bool:
    """Return whether a process works in the folder at this moment."""
    return FolderLock(folder.lock).is_held()


def check_settings(folder: RunFolder, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Check that two configurations are the same except for fields that may change (`FREE_TO_CHANGE`).

    Raises:
        OutputError: the configurations differ.
    """
    _check_identity(folder, _settings(old), _settings(new))


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a configuration that the trials depend on: path of the field -> value."""
    leaves = trees.flatten(config, ".", lambda value: isinstance(value, Mapping | list | tuple) and bool(value))
    settings = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in leaves.items()
        if name not in FREE_TO_CHANGE
    }
    return _with_engine(_with_meshes(_with_robot(settings, config.get("robot")), config.get("objects")))


def _with_robot(settings: Mapping[str, Any], values: Mapping[str, Any] | None) -> dict[str, Any]:
    """Settings with one entry for the robot, with the digest of its model, instead of its fields; none for the Panda."""
    others = {name: value for name, value in settings.items() if not name.startswith("robot.")}
    robot = robot_from(values or {})
    return {**others, **robot_entry(robot, digest_of_robots(robot))} if robot.changes else others


def _with_meshes(settings: Mapping[str, Any], values: Mapping[str, Any] | None) -> dict[str, Any]:
    """Settings with one entry for the meshes, with the digests of their files, instead of their fields."""
    others = {name: value for name, value in settings.items() if not name.startswith("objects")}
    objects = objects_from(values or {})
    return {**others, **meshes_entry(objects, {name: digests_of(name, cfg) for name, cfg in objects.items() if cfg.mesh})}


def _with_engine(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with the engine and the device that `auto` selects on this machine."""
    engine = settings.get("sim.engine", "")
    if engine == "auto" and settings["task.name"] in (*available_tasks(), "isaaclab"):
        names = ("physics", "renderer", "presets", "robot_usd")
        sim = SimCfg(**{name: settings[f"sim.{name}"] for name in names if f"sim.{name}" in settings})
        engine = choose_engine(sim, settings["task.name"])[0]
    chosen = {"sim.engine": engine, "device": resolve_device(str(settings.get("device")), engine)[0]}
    return {**settings, **{name: value for name, value in chosen.items() if name in settings}}


def changed_fields(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Names of the entries in which two identities differ, sorted, without those that may change (`FREE_TO_CHANGE`)."""
    old, new = _with_engine(old), _with_engine(new)
    return sorted(name for name in {*old, *new} - FREE_TO_CHANGE if old.get(name) != new.get(name))


def _is_setting(name: str) -> bool:
    return name != CONTENT and not name.startswith(_VERSION)


def stored_result(facts: Mapping[str, Any]) -> RunResult | None:
    """Result of the last session that was closed, from the facts in the store; None if there is none."""
    return None if facts.get("result") is None else RunResult.from_dict(facts["result"] | {"elapsed": facts["elapsed"]})


def _reached(folder: RunFolder, facts: Mapping[str, Any]) -> RunResult | None:
    """Result of a run that has reached its target, else None."""
    with reading():
        result = stored_result(facts)
    if result is None or not result.target_reached:
        return None
    return replace(result, dataset=folder.demos)  # The folder may have been moved.


def _check_demos(folder: RunFolder) -> None:
    """Refuse a finished run without its dataset: the store has deleted the episodes, so they cannot be written again.

    Raises:
        OutputError: the dataset is missing.
        SourceDataError: one of its shards is missing.
    """
    if not folder.demos.exists():
        raise OutputError(
            f"output_dir: the run in {folder.path} is finished, but {folder.demos.name} is missing; restore the file, or "
            "start again with overwrite=true"
        )
    with open_hdf5(folder.demos) as file:
        shards_of(file)


@contextmanager
def opened_store(path: Path, field: str = "output_dir", read_only: bool = False) -> Iterator[RunStore]:
    """Open a store during the block; it is created if it does not exist.

    Args:
        field: configuration field that contains the path.

    Raises:
        OutputError: the store is damaged, or cannot be written to.
    """
    try:
        store = RunStore(path, read_only)
        try:
            store.check_layout(field)
            yield store
        finally:
            store.close()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_ERROR:
            raise _damaged(path, field, error) from error
        remedy = f"free some space, or use another {field}"
        raise unwritable(path, error, field, remedy, OutputError) from error
    except sqlite3.Error as error:
        raise _damaged(path, field, error) from error


def _damaged(path: Path, field: str, error: Exception) -> OutputError:
    return OutputError(f"{field}: {path} is damaged ({error}); use another {field}, or start again with overwrite=true")


def _check_identity(folder: RunFolder, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    if names := changed_fields(old, new):
        raise OutputError(
            f"output_dir: the run in {folder.path} was started with a different configuration "
            f"({values_of(names, old, new)}); use the old values, or another output_dir"
        )


def values_of(names: Sequence[str], old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Return the old and new values of changed fields, for a message."""
    shown = [f"{name}: {_short(old.get(name))}, now {_short(new.get(name))}" for name in names[:8]]
    return "; ".join(shown) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _short(value: Any) -> str:
    text = "not set" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:12]}..."


def content_digest(path: Path) -> str:
    """SHA-256 (hex) of the bytes of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

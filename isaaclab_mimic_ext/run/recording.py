"""Files of a recording, and how an unfinished recording continues.

While a recording runs, its finished demos are in a store next to the dataset, `<name>.hdf5.sqlite`. At its end, the dataset
is written and the store is deleted. A killed recording leaves the store, and `resume=true` continues from it. Without a
store, `resume=true` continues the recording of a dataset that is written.
"""

# F attempts that ended

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.config import DataGenConfig, WriterCfg
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.errors import ConfigError, NotContinuable, OutputError
from isaaclab_mimic_ext.files.attributes import attribute
from isaaclab_mimic_ext.files.hdf5 import datasets_below, format_version, open_hdf5, plain_value, text_of
from isaaclab_mimic_ext.files.lock import FolderLock
from isaaclab_mimic_ext.files.stream import read_facts
from isaaclab_mimic_ext.files.writing import check_output, create_folder, part_path, remove_folders, store_path
from isaaclab_mimic_ext.run.episode_files import EpisodeFiles, episodes_folder
from isaaclab_mimic_ext.run.session import changed_fields, opened_store, values_of
from isaaclab_mimic_ext.run.store import Outcomes
from isaaclab_mimic_ext.task.reasons import SUCCEEDED
from isaaclab_mimic_ext.texts import counted, listed


@dataclass(frozen=True)
class EarlierAttempts:
    """Attempts of the earlier sessions of a recording, F of them.

    Attributes:
        identity: everything that must not change when the recording continues; empty for a new recording.
        outcomes: outcomes of the attempts.
        lengths: (F,), numbers of steps; 0 for failed attempts, whose length a dataset does not contain.
        is_written: whether the dataset contains all demos.
    """

    identity: Mapping[str, Any]
    outcomes: Outcomes
    lengths: np.ndarray
    is_written: bool


@dataclass(frozen=True)
class Recording:
    """Recording that is locked for this process.

    Attributes:
        lock: file descriptor of the lock.
        earlier: attempts of earlier sessions.
    """

    lock: int
    earlier: EarlierAttempts


@dataclass(frozen=True)
class RecordingFiles:
    """Files of a recording.

    Attributes:
        path: path of the dataset.
    """

    path: Path

    @property
    def store(self) -> Path:
        """Path of the store, which exists while the recording is unfinished."""
        return store_path(self.path)

    def check(self, overwrite: bool, resume: bool) -> None:
        """Check that the recording can be started or continued, without changing files.

        Raises:
            ConfigError: both `overwrite` and `resume` are set.
            OutputError: the dataset or an unfinished recording exists and neither is set, or the path cannot be written to.
        """
        if overwrite and resume:
            raise ConfigError("resume, overwrite: must not both be true; set one of them")
        if not overwrite and not resume:
            if self.store.exists():
                raise OutputError(
                    f"output_file: {self.store} contains an unfinished recording with {self._num_stored()}; continue or "
                    "finish it with resume=true, or replace it with overwrite=true"
                )
            if self.path.is_file():
                raise OutputError(
                    f"output_file: {self.path} already exists; continue it with resume=true, use another output_file, or "
                    "overwrite=true"
                )
        check_output(self.path, overwrite or resume)

    def _num_stored(self) -> str:
        with opened_store(self.store, "output_file", read_only=True) as store:
            return counted(int(store.outcomes().success.sum()), "demo")

    @contextmanager
    def opened(
        self,
        identity: Mapping[str, Any],
        datasets: Mapping[str, tuple[int, ...]],
        reasons: Sequence[str],
        overwrite: bool,
        resume: bool,
    ) -> Iterator[Recording]:
        """Start the recording, or continue it. The files are locked until the end of the block.

        Args:
            identity: everything that must not change when the recording continues (`identity_of`).
            datasets: path of each dataset of a recorded demo -> shape of one step.
            reasons: names of the reasons of failure, by code.

        Raises:
            NotContinuable: the recording was started with a different configuration, or the dataset cannot be continued.
            OutputError: another process records to the file, or the files are damaged or cannot be written.
        """
        lock_path = self.path.with_name(f"{self.path.name}.lock")
        with _existing_folder(self.path.parent), FolderLock(lock_path, file=self.path).hold() as lock:
            self.check(overwrite, resume)  # Another process may have recorded in the meantime.
            if overwrite:
                self.delete_store()
                part_path(self.path).unlink(missing_ok=True)
            earlier = self._earlier(resume, datasets)
            self._check_identity(earlier.identity, identity)
            self._start_store(earlier, identity, reasons)
            yield Recording(lock, earlier)

    def _earlier(self, resume: bool, datasets: Mapping[str, tuple[int, ...]]) -> EarlierAttempts:
        if resume and self.store.exists():
            with opened_store(self.store, "output_file") as store:
                facts, outcomes = store.facts(), store.outcomes()
            if "identity" in facts:  # Otherwise, the first session was killed before it began.
                return EarlierAttempts(facts["identity"], outcomes, np.zeros(0), is_written=False)
        if resume and self.path.exists():
            return self._written(datasets)
        none = np.zeros(0, dtype=np.int64)
        return EarlierAttempts({}, Outcomes(none, none), none, is_written=False)

    def _written(self, datasets: Mapping[str, tuple[int, ...]]) -> EarlierAttempts:
        """Read the attempts of a dataset that is written.

        Raises:
            NotContinuable: the dataset cannot be continued.
            SourceDataError: the dataset is damaged.
        """
        with open_hdf5(self.path) as file:
            if obstacle := _obstacle(file, datasets):
                raise NotContinuable(f"output_file: {self.path}", *obstacle)
            attributes = file["data"].attrs
            values = {name: plain_value(attributes[name]) for name in ("seed", "teleop_device")}
            values["recorder.format_version"] = format_version(file)
            identity = _identity(json.loads(text_of(attributes["env_args"])), values)
            lengths = {int(demo.attrs["trial"]): int(demo.attrs["num_samples"]) for demo in file["data"].values()}
            trials = np.union1d(np.arange(int(attributes["num_attempts"])), np.array(list(lengths), dtype=np.int64))
        reason_ids = np.where(np.isin(trials, list(lengths)), SUCCEEDED, 0)
        length = np.array([lengths.get(int(trial), 0) for trial in trials], dtype=np.int64)
        return EarlierAttempts(identity, Outcomes(trials, reason_ids), length, is_written=True)

    def _check_identity(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        """Compare the values of the recording with those of this session; a dataset contains fewer of them than a store."""
        if names := changed_fields(old, {name: new.get(name) for name in old}):
            reason = f"was started with a different configuration ({values_of(names, old, new)})"
            remedy = "use the old values, or another output_file"
            raise NotContinuable(f"output_file: the recording in {self.path}", reason, remedy)

    def _start_store(self, earlier: EarlierAttempts, identity: Mapping[str, Any], reasons: Sequence[str]) -> None:
        """Write what is known before the first attempt, in one transaction: a store with an identity has all outcomes."""
        with opened_store(self.store, "output_file") as store:
            if earlier.is_written:
                outcomes = earlier.outcomes
                for trial, reason, length in zip(outcomes.trials, outcomes.reason, earlier.lengths, strict=True):
                    store.add(int(trial), int(reason), int(length))
            store.set_reasons(reasons)
            store.set_facts(identity=dict(identity))
            store.commit()

    def delete_store(self) -> None:
        """Delete the store, after its demos were written to the dataset."""
        for suffix in ("-wal", "-shm", ""):
            self.store.with_name(self.store.name + suffix).unlink(missing_ok=True)
        EpisodeFiles(episodes_folder(self.store)).clear()


@contextmanager
def _existing_folder(folder: Path) -> Iterator[None]:
    """Create a folder for the block, and remove it if it is empty at the end."""
    created = create_folder(folder)
    try:
        yield
    finally:
        remove_folders(created)


def _obstacle(file: h5py.File, datasets: Mapping[str, tuple[int, ...]]) -> tuple[str, str] | None:
    """Reason and remedy if a dataset cannot be continued: demos or masks would be lost, or demos would differ; else None."""
    if _is_annotated(data := file.get("data")):
        return "is annotated", "continue the file that was annotated"
    if not _is_recording(data):
        reason = "is not a recording of `mimic record`"
        return reason, "use another output_file, or overwrite=true"
    demos = list(data.values())
    if attribute(data, "merged_from") is not None or len({int(demo.attrs["trial"]) for demo in demos}) < len(demos):
        return "is merged", "continue one of the merged files"
    if "mask" in file:
        return "is split", "record to another file, and merge both files"
    for demo in demos:
        found = {path: dataset.shape[1:] for path, dataset in datasets_below(demo)}
        if names := sorted(path for path in {*found, *datasets} if found.get(path) != datasets.get(path)):
            reason = f"contains different datasets than this recording would add ({listed(names)})"
            return reason, "use the task with which it was recorded, or another output_file"
    return None


def _is_annotated(data: Any) -> bool:
    """Return whether a demo in the group `data` of a file, None if there is none, has the poses that `annotate` adds."""
    return isinstance(data, h5py.Group) and any(
        isinstance(demo, h5py.Group) and "obs/datagen_info" in demo for demo in data.values()
    )


def _is_recording(data: Any) -> bool:
    """Return whether the group `data` of a file, None if there is none, and its demos have the attributes of a recording."""
    return (
        isinstance(data, h5py.Group)
        and {"env_args", "seed", "teleop_device", "num_attempts"} <= set(data.attrs)
        and all({"trial", "num_samples"} <= set(demo.attrs) for demo in data.values())
    )


def recorded_facts(path: Path) -> dict[str, Any]:
    """Facts of the recording in a file, unfinished or finished: its env_args, `seed` and `teleop_device`; empty if none.

    Raises:
        MimicError: the files cannot be read.
    """
    if (store_file := RecordingFiles(path).store).exists():
        with opened_store(store_file, "output_file", read_only=True) as store:
            identity = dict(store.facts().get("identity", {}))
        return {name.removeprefix("env_args."): value for name, value in identity.items()}
    if not path.is_file():
        return {}
    facts = read_facts(path)
    values = {name: facts.data_attributes[name] for name in ("seed", "teleop_device") if name in facts.data_attributes}
    return {**facts.env_args, **{name: plain_value(value) for name, value in values.items()}}


def identity_of(env: MimicEnv, operator_name: str, config: DataGenConfig, recorder: WriterCfg) -> dict[str, Any]:
    """Collect everything that must not change when a recording continues: name -> value of JSON.

    Args:
        env: environment after its first reset.
    """
    task = getattr(env, "task", None)
    events = {} if task is None or task.config is None else {name: asdict(e) for name, e in task.config.events.items()}
    values = {
        "seed": config.seed,
        "teleop_device": operator_name,
        "recorder.format_version": recorder.format_version,
        "datagen_config.num_success_steps": config.num_success_steps,
        **trees.flatten(events, ".", prefix="events."),
    }
    return _identity(env.env_args(), values)


def _identity(env_args: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Add the description of the environment, without the number of environments, and convert all values to JSON types."""
    described = {**env_args, "sim_args": {k: v for k, v in env_args.get("sim_args", {}).items() if k != "num_envs"}}
    identity: dict[str, Any] = json.loads(json.dumps({**trees.flatten(described, ".", prefix="env_args."), **values}))
    return identity

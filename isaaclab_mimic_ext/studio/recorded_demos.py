"""Demos of a recording, finished or not: those of its file, and those in its store."""

# T steps of a demo

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import h5py
import numpy as np

from isaaclab_mimic_ext.datasets.marks import actions_digest
from isaaclab_mimic_ext.errors import SourceDataError
from isaaclab_mimic_ext.files.attributes import whole_number
from isaaclab_mimic_ext.files.demo import Demo, read_demo
from isaaclab_mimic_ext.files.hdf5 import demo_names, open_hdf5
from isaaclab_mimic_ext.files.selection import Chosen, check_has_actions, choose_demos, read_masks
from isaaclab_mimic_ext.files.writing import store_path
from isaaclab_mimic_ext.run.episodes import stored_fields, unpack
from isaaclab_mimic_ext.run.session import opened_store
from isaaclab_mimic_ext.run.store import RunStore

_START = re.compile(r"initial_state/rigid_object/([^/]+)/root_pose")


@dataclass(frozen=True)
class RecordedDemo:
    """A demo of a recording.

    Attributes:
        name: name that it has in the file, or gets when the recording ends.
        num_steps: T.
        actions: digest of its actions.
        trial: number of its attempt.
        is_stored: whether it is in the store, and not in the file.
        start: object -> x, y at the start, env frame [m]; objects whose start is not stored are missing.
        fault: reason why it cannot be used; empty if it can.
    """

    name: str
    num_steps: int
    actions: str
    trial: int
    is_stored: bool = False
    start: Mapping[str, list[float]] = field(default_factory=dict)
    fault: str = ""


class RecordedDemos:
    """Demos of a recording, which may grow. Methods may be called from any thread.

    Args:
        path: path of the recording; its store is next to it while it is unfinished.
        chosen: demos to use, see `choose_demos`; None: all.

    Attributes:
        demos: demos to use, by name.
    """

    def __init__(self, path: Path, chosen: Chosen = None):
        self.path, self._chosen = path, chosen
        self._store = store_path(path)
        self._seen: tuple[tuple[int, int], ...] | None = None
        self._lock = threading.Lock()
        self._stored: dict[int, RecordedDemo] = {}
        self.demos: dict[str, RecordedDemo] = {}

    @property
    def is_finished(self) -> bool:
        """Return whether the file contains all demos."""
        return self.path.is_file() and not self._store.exists()

    def update(self) -> bool:
        """Read the list of demos again if the files have changed; return whether they have.

        Raises:
            MimicError: the file or the store is damaged, or a chosen demo is not in the recording.
        """
        seen = tuple(map(version_of, (self.path, self._store, self._store.with_name(f"{self._store.name}-wal"))))
        if seen == self._seen:
            return False
        with self._lock:
            self.demos = self._find()
            self._seen = seen
        return True

    def _find(self) -> dict[str, RecordedDemo]:
        is_unfinished = self._store.exists()
        written, masks = self._written(None if is_unfinished else self._chosen) if self.path.is_file() else ({}, {})
        if not is_unfinished:
            return written
        found = self._unfinished(written)
        return {name: found[name] for name in choose_demos(str(self.path), list(found), masks, self._chosen)}

    def _written(self, chosen: Chosen) -> tuple[dict[str, RecordedDemo], dict[str, list[str]]]:
        """Chosen demos of the file, and its masks."""
        with open_hdf5(self.path) as file:
            names, masks = demo_names(file), read_masks(file)
            wanted = {*choose_demos(str(self.path), names, masks, chosen)}
            return {name: _listed(file, name, index) for index, name in enumerate(names) if name in wanted}, masks

    def _unfinished(self, written: dict[str, RecordedDemo]) -> dict[str, RecordedDemo]:
        """Demos of an unfinished recording. Only the file has the demos that were recorded before it was continued."""
        earlier = {demo.trial: demo for demo in written.values()}
        found: dict[str, RecordedDemo] = {}
        with opened_store(self._store, "output_file", read_only=True) as store:
            if "identity" not in store.facts():  # The session was killed before it began.
                return written
            outcomes = store.outcomes()
            for index, trial in enumerate(outcomes.trials[outcomes.success].tolist()):
                demo = self._stored_demo(store, trial) or earlier.get(trial)
                if demo is not None:
                    found[f"demo_{index}"] = replace(demo, name=f"demo_{index}")
        return found

    def _stored_demo(self, store: RunStore, trial: int) -> RecordedDemo | None:
        if trial not in self._stored and (demo := self._read_stored(store, "", trial)) is not None:
            self._stored[trial] = RecordedDemo("", demo.num_steps, actions_digest(demo), trial, True, _start(demo))
        return self._stored.get(trial)

    def read(self, name: str) -> Demo:
        """Read a demo completely; quaternions are in xyzw order.

        Raises:
            MimicError: the demo, the file or the store is damaged.
        """
        with self._lock:
            if self.demos[name].is_stored and self._store.exists():
                with opened_store(self._store, "output_file", read_only=True) as store:
                    if (demo := self._read_stored(store, name, self.demos[name].trial)) is not None:
                        return demo
        with open_hdf5(self.path) as file:
            return read_demo(file, name, as_xyzw=True)

    def _read_stored(self, store: RunStore, name: str, trial: int) -> Demo | None:
        if (episode := store.episode(trial)) is None:
            return None
        fields = stored_fields(store.facts())
        return Demo(str(self._store), name, unpack(fields, episode.rows), {**episode.attributes, "success": True})


def _listed(file: h5py.File, name: str, index: int) -> RecordedDemo:
    """A demo of a file. A demo that cannot be used is listed with its fault."""
    try:
        check_has_actions(file, name)
        demo = read_demo(file, name, ["actions", "initial_state"], verify=False)
    except SourceDataError as error:
        return RecordedDemo(name, 0, "", index, fault=str(error))
    trial = whole_number(demo.attributes.get("trial"))
    return RecordedDemo(name, demo.num_steps, actions_digest(demo), index if trial is None else trial, start=_start(demo))


def _start(demo: Demo) -> dict[str, list[float]]:
    objects = {found[1]: leaf for path, leaf in demo.leaves.items() if (found := _START.fullmatch(path))}
    poses = {name: leaf for name, leaf in objects.items() if leaf.dtype.kind in "fiu" and leaf.shape == (1, 7)}
    return {
        name: [round(value, 4) for value in pose[0, :2].tolist()] for name, pose in poses.items() if np.isfinite(pose).all()
    }


def version_of(path: Path) -> tuple[int, int]:
    """Time of the last change of a file, and its size; zeros if it does not exist."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size

"""Demos of a recording, finished or not: those of its file, and those in its store."""

# T steps of a demo

import threading
from dataclasses import dataclass
from pathlib import Path

import h5py

from isaaclab_mimic_ext.datasets.marks import actions_digest
from isaaclab_mimic_ext.errors import SourceDataError
from isaaclab_mimic_ext.files.demo import Demo, read_demo
from isaaclab_mimic_ext.files.hdf5 import demo_names, open_hdf5
from isaaclab_mimic_ext.files.selection import Chosen, check_has_actions, choose_demos, read_masks
from isaaclab_mimic_ext.files.writing import store_path
from isaaclab_mimic_ext.run.episodes import stored_fields, unpack
from isaaclab_mimic_ext.run.session import opened_store
from isaaclab_mimic_ext.run.store import RunStore


@dataclass(frozen=True)
class RecordedDemo:
    """A demo of a recording.

    Attributes:
        name: name that it has in the file, or gets when the recording ends.
        num_steps: T.
        actions: digest of its actions.
        trial: number of its attempt, if it is only in the store.
        fault: reason why it cannot be used; empty if it can.
    """

    name: str
    num_steps: int
    actions: str
    trial: int | None = None
    fault: str = ""


class RecordedDemos:
    """Demos of a recording, which may grow. Methods may be called from any thread.

    Args:
        path: path of the recording; its store is next to it while it is unfinished.
        chosen: demos to use, see `choose_demos`; None: all.
    """

    def __init__(self, path: Path, chosen: Chosen = None):
        self.path, self._chosen = path, chosen
        self._store = store_path(path)
        self._seen: tuple[tuple[int, int], ...] | None = None
        self._lock = threading.Lock()
        self.demos: dict[str, RecordedDemo] = {}

    @property
    def is_finished(self) -> bool:
        """Return whether the file contains all demos."""
        return self.path.is_file() and not self._store.exists()

    def update(self) -> bool:
        """Read the list of demos again if the files have changed; return whether they have.

        Raises:
            MimicError: the file or the store is damaged.
        """
        seen = tuple(map(_version, (self.path, self._store, self._store.with_name(f"{self._store.name}-wal"))))
        if seen == self._seen:
            return False
        with self._lock:
            self.demos = self._find()
            self._seen = seen
        return True

    def _find(self) -> dict[str, RecordedDemo]:
        written = self._written() if self.path.is_file() else {}
        if not self._store.exists():
            return written
        found: dict[str, RecordedDemo] = {}
        known = {demo.trial: demo for demo in self.demos.values() if demo.trial is not None}
        with opened_store(self._store, "output_file", read_only=True) as store:
            outcomes = store.outcomes()
            for index, trial in enumerate(outcomes.trials[outcomes.success].tolist()):
                name, demo = f"demo_{index}", known.get(trial)
                if demo is None or demo.name != name:
                    # The store of a continued recording has no episodes of the demos in the file.
                    demo = self._stored(store, name, trial) or written.get(name)
                if demo is not None:
                    found[name] = demo
            return found if len(outcomes.trials) else written

    def _written(self) -> dict[str, RecordedDemo]:
        with open_hdf5(self.path) as file:
            names = choose_demos(str(self.path), demo_names(file), read_masks(file), self._chosen)
            return {name: _listed(file, name) for name in names}

    def _stored(self, store: RunStore, name: str, trial: int) -> RecordedDemo | None:
        demo = self._read_stored(store, name, trial)
        return None if demo is None else RecordedDemo(name, demo.num_steps, actions_digest(demo), trial)

    def read(self, name: str) -> Demo:
        """Read a demo completely; quaternions are in xyzw order.

        Raises:
            MimicError: the demo, the file or the store is damaged.
        """
        with self._lock:
            trial = self.demos[name].trial
            if trial is not None and self._store.exists():
                with opened_store(self._store, "output_file", read_only=True) as store:
                    if (demo := self._read_stored(store, name, trial)) is not None:
                        return demo
        with open_hdf5(self.path) as file:
            return read_demo(file, name, as_xyzw=True)

    def _read_stored(self, store: RunStore, name: str, trial: int) -> Demo | None:
        if (episode := store.episode(trial)) is None:
            return None
        fields = stored_fields(store.facts())
        return Demo(str(self._store), name, unpack(fields, episode.rows), {**episode.attributes, "success": True})


def _listed(file: h5py.File, name: str) -> RecordedDemo:
    """A demo of a file. A demo that cannot be used is listed with its fault."""
    try:
        check_has_actions(file, name)
        demo = read_demo(file, name, ["actions"], verify=False)
    except SourceDataError as error:
        return RecordedDemo(name, 0, "", fault=str(error))
    return RecordedDemo(name, demo.num_steps, actions_digest(demo))


def _version(path: Path) -> tuple[int, int]:
    """Time of the last change of a file, and its size; zeros if it does not exist."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size

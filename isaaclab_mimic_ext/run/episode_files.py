"""Files of the episodes of a run, next to its store, which contains small episodes and the places of all others.

SQLite would write each of them twice: to its journal and to the database. A file is only appended to, and deleted when its
trials are in a closed dataset. Imported by the writer process: no torch here.
"""

import os
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from isaaclab_mimic_ext.files.writing import create_folder, remove_folders, sync, write_at
from isaaclab_mimic_ext.run.row_bytes import checksum_of, to_parts

MIN_BYTES = 2**16
"""Smallest episode that is written to a file; the store contains smaller ones itself [bytes]."""


def episodes_folder(store: Path) -> Path:
    """Folder of the large episodes of a store."""
    return store.with_name(f"{store.name}-episodes")


@dataclass(frozen=True)
class Place:
    """Place of an episode.

    Attributes:
        file: name of the file.
        offset, num_bytes: first byte, and number of bytes.
        checksum: checksum of these bytes, see `to_parts`.
    """

    file: str
    offset: int
    num_bytes: int
    checksum: int


class EpisodeFiles:
    """Files in the folder of the large episodes of a store.

    Args:
        folder: the folder, which is created with the first file.
        first_trial, trials_per_file: trials `first_trial` + i * `trials_per_file` and following are in file i; None: all
            trials are in one file.
    """

    def __init__(self, folder: Path, first_trial: int = 0, trials_per_file: int | None = None):
        self._folder, self._first_trial, self._trials_per_file = folder, first_trial, trials_per_file
        self._open: dict[str, tuple[int, int]] = {}
        """Name of each file that was written to since the last `sync` -> file descriptor, and size of the file."""

    def append(self, trial: int, rows: Mapping[str, np.ndarray]) -> Place:
        """Write the rows of an episode to the end of the file of its trial; durable after `sync`.

        Raises:
            OSError: the file cannot be written.
        """
        name = f"{(trial - self._first_trial) // self._trials_per_file if self._trials_per_file else 0:05d}.rows"
        descriptor, offset = self._open.get(name) or self._opened(name)
        parts = to_parts(rows)
        num_bytes = sum(part.nbytes for part in parts)
        write_at(descriptor, offset, parts)
        self._open[name] = descriptor, offset + num_bytes
        return Place(name, offset, num_bytes, checksum_of(parts[0]))

    def _opened(self, name: str) -> tuple[int, int]:
        create_folder(self._folder)
        # What a killed session wrote after its last commit stays in front of the new episodes.
        descriptor = os.open(self._folder / name, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
        self._open[name] = descriptor, os.fstat(descriptor).st_size
        return self._open[name]

    def sync(self) -> None:
        """Make all episodes durable.

        Raises:
            OSError: a file cannot be written.
        """
        if not self._open:
            return
        for name in [*self._open]:
            descriptor, _ = self._open[name]
            os.fsync(descriptor)
            os.close(descriptor)
            del self._open[name]
        for folder in (self._folder, self._folder.parent):
            sync(folder)

    def read(self, place: Place) -> memoryview:
        """Read the bytes of an episode.

        Raises:
            FileNotFoundError: the file does not exist.
            ValueError: the file is too short, or contains other bytes.
        """
        content = np.empty(place.num_bytes, np.uint8)
        with open(self._folder / place.file, "rb", buffering=0) as file:
            file.seek(place.offset)
            rest = content.data
            while rest and (num_read := file.readinto(rest)):
                rest = rest[num_read:]
        if rest or checksum_of(content.data) != place.checksum:
            raise ValueError(f"{place.file} does not contain it")
        return content.data.toreadonly()

    def keep(self, names: Collection[str]) -> None:
        """Delete all files except `names`, and the folder if it is empty. No other process may write to the folder."""
        if self._folder.is_dir():
            self.remove({path.name for path in self._folder.iterdir()} - {*names})
            remove_folders([self._folder])

    def remove(self, names: Collection[str]) -> None:
        """Delete files. The folder stays: another process may be about to create a file in it."""
        for name in names:
            (self._folder / name).unlink(missing_ok=True)

    def clear(self) -> None:
        """Delete the folder with all files."""
        for descriptor, _ in self._open.values():
            os.close(descriptor)
        self._open.clear()
        if self._folder.is_dir():
            shutil.rmtree(self._folder)

"""Write demos in Isaac Lab's HDF5 layout. Imported by the writer process: NumPy and h5py only, no torch."""

# T steps of one demo

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.command_lines import command_line
from isaaclab_mimic_ext.errors import RecorderError
from isaaclab_mimic_ext.files.attributes import set_attribute
from isaaclab_mimic_ext.files.demo_datasets import METADATA_BLOCK_BYTES, create_demo
from isaaclab_mimic_ext.files.opening import open_file
from isaaclab_mimic_ext.files.quaternions import ENTRY, WIDTH, Columns, first_columns
from isaaclab_mimic_ext.files.writing import (
    check_output,
    create_folder,
    part_path,
    publish,
    remove_folders,
    sync,
    utf8_bytes,
)

DIGEST = "digest"
"""Name of the attribute of a demo that contains `leaves_digest` of its datasets."""
_MAX_SHORT_TEXT = 200
"""Longer attribute texts (configurations) are stored with a fixed length [characters]."""
_XYZW_TO_WXYZ = (3, 0, 1, 2)
WXYZ_TO_XYZW = (1, 2, 3, 0)


class DatasetFile:
    """Dataset that is written demo by demo to `<path>.part` and renamed to `path` when it is complete.

    Args:
        env_args: written to `data.attrs["env_args"]` as JSON; `quaternion_columns` in it lists the quaternion columns.
        attributes: further attributes of the group `data`.
        compression: `none`, `lzf` or `gzip`.
        format_version: 1 (quaternions xyzw) or 0 (wxyz, no attribute).
        overwrite: replace a file that exists.

    Raises:
        OutputError: the file exists (and `overwrite` is not set), or cannot be created.
    """

    def __init__(
        self,
        path: Path,
        env_args: Mapping[str, Any],
        attributes: Mapping[str, Any] | None = None,
        compression: str = "none",
        format_version: int = 1,
        overwrite: bool = False,
    ):
        check_output(path, overwrite)
        self.path, self.compression, self.format_version = path, compression, format_version
        self._quaternions = env_args.get(ENTRY, {})
        self.part_path = part_path(path)
        self.lengths: list[int] = []
        self._finished: tuple[h5py.Group | None, dict[int, str]] | None = None
        self._created = create_folder(path.parent)
        # Objects are never deleted from the file, so HDF5 does not need to keep its list of free space in memory.
        try:
            self._file = open_file(self.part_path, "w", fs_strategy="aggregate", meta_block_size=METADATA_BLOCK_BYTES)
        except OSError:
            self.part_path.unlink(missing_ok=True)
            remove_folders(self._created)
            raise
        if format_version:
            self._file.attrs["format_version"] = format_version
        self._data = self._file.create_group("data")
        set_attribute(self._data, "env_args", fixed(json.dumps(env_args)))
        self._data.attrs["total"] = 0
        self._data.attrs["versions"] = fixed(json.dumps(installed_versions()))
        for name, value in (attributes or {}).items():
            is_long = isinstance(value, str) and len(value) > _MAX_SHORT_TEXT
            set_attribute(self._data, name, fixed(value) if is_long else value)

    def add_demo(self, leaves: Mapping[str, np.ndarray], attributes: Mapping[str, Any]) -> None:
        """Append a demo.

        Args:
            leaves: path below the demo -> dataset (T, ...); (1, ...) below `initial_state`.
            attributes: attributes of the demo; `num_samples` and the digest are added.
        """
        if not self.format_version:
            leaves = reorder_quaternions(leaves, _XYZW_TO_WXYZ, self._quaternions)
        leaves = {path: np.ascontiguousarray(leaf) for path, leaf in leaves.items()}
        num_samples = len(leaves["actions"])
        attributes = {"num_samples": num_samples, **attributes, DIGEST: fixed(leaves_digest(leaves))}
        create_demo(self._data, f"demo_{len(self.lengths)}", leaves, attributes, self.compression)
        self.lengths.append(num_samples)

    def copy_demo(self, trial: int) -> bool:
        """Append the demo of a trial, copied from the finished file that this file will replace.

        Returns:
            Whether the finished file contains the demo.

        Raises:
            RecorderError: the data of the demo does not match its digest.
        """
        finished, names = self._finished_demos()
        if finished is None or trial not in names:
            return False
        name = f"demo_{len(self.lengths)}"
        h5py.h5o.copy(finished.id, names[trial].encode(), self._data.id, name.encode())
        demo = self._data[name]
        if demo.attrs[DIGEST] != fixed(leaves_digest(trees.flatten(demo))):
            raise RecorderError(
                f"{digest_fault(self.path, f'the data of trial {trial}')}, or start again with overwrite=true"
            )
        self.lengths.append(int(demo.attrs["num_samples"]))
        return True

    def copy_from(self, data: h5py.Group, name: str) -> None:
        """Append a demo of another dataset.

        Args:
            data: group `data` of the other dataset.
            name: name of the demo.
        """
        new_name = f"demo_{len(self.lengths)}"
        h5py.h5o.copy(data.id, name.encode(), self._data.id, new_name.encode())
        self.lengths.append(int(self._data[new_name].attrs["num_samples"]))

    def add_link(self, shard: Path, name: str, num_samples: int) -> None:
        """Append a demo as a link to a demo of a shard.

        Args:
            shard: path of the shard; the link contains it relative to this file.
            num_samples: number of steps of the demo.
        """
        place = os.fsencode(shard.relative_to(self.path.parent))
        self._data.id.links.create_external(f"demo_{len(self.lengths)}".encode(), place, f"/data/{name}".encode())
        self.lengths.append(num_samples)

    def _finished_demos(self) -> tuple[h5py.Group | None, dict[int, str]]:
        """Group `data` of the finished file (None if there is none), and the names of its demos by trial."""
        if self._finished is None:
            data = open_file(self.path)["data"] if self.path.exists() else None
            self._finished = data, {int(demo.attrs["trial"]): name for name, demo in (data or {}).items()}
        return self._finished

    def discard(self) -> None:
        """Close and delete the unfinished file, and its folder if it was created. A file at `path` stays unchanged."""
        try:
            self._file.close()
        finally:
            self.part_path.unlink(missing_ok=True)
            remove_folders(self._created)

    def finish(self, attributes: Mapping[str, Any], masks: Mapping[str, Sequence[str]] | None = None) -> None:
        """Write the totals, final attributes and masks, and close the file, which is still `<path>.part`.

        Args:
            masks: name of a mask -> names of its demos.
        """
        self._data.attrs["total"] = sum(self.lengths)
        for name, demos in (masks or {}).items():
            self._file[f"mask/{name}"] = fixed_texts(demos)
        for name, value in attributes.items():
            set_attribute(self._data, name, value)
        self._file.flush()
        self._file.close()
        sync(self.part_path)

    def publish(self) -> None:
        """Rename the finished file to `path`, durably: after that the store deletes the episodes."""
        publish(self.part_path, self.path)


def leaves_digest(leaves: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of path, dtype, shape and bytes of the datasets or arrays of a demo, given by path below the demo."""
    digest = hashlib.sha256()
    for path in sorted(leaves):
        values = np.ascontiguousarray(leaves[path][()])
        digest.update(f"{path}\0{values.dtype.str}\0{values.shape}\0".encode())
        digest.update(values.data if values.dtype.kind in "biuf" and values.size else repr(values.tolist()).encode())
    return digest.hexdigest()


def digest_fault(path: Path, what: str) -> str:
    """Message about data that differ from their digest: the command that accepts the change, or else a new file."""
    accept = command_line("validate", input_file=path, renew_digests=True)
    return (
        f"{path}: {what} does not match its digest, so it has changed since it was written; if you changed it, "
        f"accept the change with: {accept}; otherwise copy or create the file again"
    )


def fixed(text: str) -> np.bytes_:
    """Convert an attribute text to fixed length: HDF5 may hang reading a variable-length text from a damaged heap."""
    return np.bytes_(utf8_bytes(text))


def fixed_texts(texts: Iterable[str]) -> NDArray[np.bytes_]:
    """Convert texts to an array of texts of fixed length, such as the names of demos in a mask."""
    return np.array([utf8_bytes(text) for text in texts], dtype="S")


def installed_versions() -> dict[str, str]:
    """Versions of the packages that the bytes of a dataset can depend on."""
    versions = {}
    for name in ("isaaclab-mimic-ext", "isaaclab", "mujoco", "torch", "warp-lang", "h5py", "numpy"):
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions


def reorder_quaternions(
    leaves: Mapping[str, np.ndarray], order: tuple[int, ...], declared: Columns
) -> dict[str, np.ndarray]:
    """Reorder the quaternions in leaves (T, ...), given by path below the demo.

    Args:
        order: index of the old component at each new place.
        declared: first columns of the quaternions of observations; other leaves follow their names (`first_columns`).
    """
    by_path = {f"{group}/{name}": columns for name, columns in declared.items() for group in ("obs", "next_obs")}

    def reordered(path: str, leaf: np.ndarray) -> np.ndarray:
        starts = first_columns(path, leaf.shape[1:], by_path)
        if not starts:
            return leaf
        columns = np.arange(leaf.shape[1])
        for first in starts:
            columns[first : first + WIDTH] = first + np.array(order)
        return leaf[:, columns]

    return {path: reordered(path, leaf) for path, leaf in leaves.items()}

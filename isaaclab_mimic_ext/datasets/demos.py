"""Recorded demos, read whole."""

# T steps of one demo

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.datasets.digest import check_demo_digest
from isaaclab_mimic_ext.datasets.hdf5 import datasets_below, demo_names, format_version, open_hdf5, quaternion_columns
from isaaclab_mimic_ext.envs.base import NestedTensors
from isaaclab_mimic_ext.errors import SourceDataError
from isaaclab_mimic_ext.record.hdf5 import WXYZ_TO_XYZW, reorder_quaternions


@dataclass(frozen=True)
class RecordedDemo:
    """One demo of a file, quaternions in xyzw order whatever the file's format.

    Attributes:
        leaves: path below the demo -> (T, ...); under `initial_state` (1, ...).
    """

    name: str
    leaves: dict[str, np.ndarray]
    attributes: dict[str, Any]

    @property
    def num_steps(self) -> int:
        return len(self.leaves["actions"])

    def tree(self, group: str, row: int) -> NestedTensors:
        """The leaves below `group` at one row, as a nested dict of tensors without a time axis."""
        leaves = trees.subtree(self.leaves, group)
        return trees.unflatten({path: torch.from_numpy(leaf[row].copy()) for path, leaf in leaves.items()})


def read_demos(
    path: str | Path, names: Sequence[str] | None = None, groups: Sequence[str] | None = None
) -> list[RecordedDemo]:
    """Demos of a dataset.

    Args:
        names: which ones, in this order; None: all, in natural order.
        groups: what to read of them (`actions`, `states`, ...); None: everything.

    Raises:
        SourceDataError: the file is missing or damaged, or a demo has no actions or no initial state.
    """
    with open_hdf5(path) as file:
        is_xyzw = format_version(file) >= 1
        return [_read_demo(file, name, is_xyzw, groups) for name in (demo_names(file) if names is None else names)]


def read_provenance(path: str | Path) -> dict[str, Any]:
    """What a dataset says of its own making: the attributes of `data` without those that every dataset has.

    Raises:
        SourceDataError: the file is missing or damaged.
    """
    with open_hdf5(path) as file:
        attributes = dict(file["data"].attrs)
    return {name: value for name, value in attributes.items() if name not in ("env_args", "total", "versions")}


def _read_demo(file: h5py.File, name: str, is_xyzw: bool, groups: Sequence[str] | None) -> RecordedDemo:
    group = file["data"][name]
    check_demo_digest(group)
    wanted = [(path, leaf) for path, leaf in datasets_below(group) if groups is None or path.split("/")[0] in groups]
    leaves = {path: dataset[()] for path, dataset in wanted}
    place = f"{file.filename}: {name}"
    if "actions" not in leaves or leaves["actions"].ndim != 2 or not len(leaves["actions"]):
        raise SourceDataError(f"{place}: no dataset 'actions' of shape (T, A); record the demo again, or leave it out")
    if not any(path.startswith("initial_state/") for path in leaves):
        raise SourceDataError(f"{place}: no group 'initial_state', so that it cannot be replayed; record the demo again")
    if not is_xyzw:
        leaves = reorder_quaternions(leaves, WXYZ_TO_XYZW, quaternion_columns(file))
    return RecordedDemo(name, leaves, dict(group.attrs))


def observation_reader(path: str | Path) -> Callable[[str, np.ndarray], np.ndarray]:
    """What makes an observation of a file, by name and rows (T, ...), one of our envs', whose quaternions are xyzw.

    Raises:
        SourceDataError: the file cannot be read, or says in a wrong way where its quaternions are.
    """
    with open_hdf5(path) as file:
        if format_version(file) >= 1:
            return lambda name, rows: rows
        declared = quaternion_columns(file)

    def as_xyzw(name: str, rows: np.ndarray) -> np.ndarray:
        return reorder_quaternions({f"obs/{name}": rows}, WXYZ_TO_XYZW, declared)[f"obs/{name}"]

    return as_xyzw

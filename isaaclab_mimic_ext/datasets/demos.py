"""Recorded demos that can be replayed, read whole."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py

from isaaclab_mimic_ext.datasets.hdf5 import demo_names, open_hdf5
from isaaclab_mimic_ext.files.demo import Demo, read_demo


def read_demos(path: str | Path, names: Sequence[str] | None = None, groups: Sequence[str] | None = None) -> list[Demo]:
    """Demos of a dataset, quaternions in xyzw order whatever the file's format.

    Args:
        names: which ones, in this order; None: all, in natural order.
        groups: what to read of them (`actions`, `states`, ...); None: everything.

    Raises:
        SourceDataError: the file is missing or damaged, or a demo has no actions or no initial state.
    """
    with open_hdf5(path) as file:
        return [_read_replayable(file, name, groups) for name in (demo_names(file) if names is None else names)]


def read_provenance(path: str | Path) -> dict[str, Any]:
    """What a dataset says of its own making: the attributes of `data` without those that every dataset has.

    Raises:
        SourceDataError: the file is missing or damaged.
    """
    with open_hdf5(path) as file:
        attributes = dict(file["data"].attrs)
    return {name: value for name, value in attributes.items() if name not in ("env_args", "total", "versions")}


def _read_replayable(file: h5py.File, name: str, groups: Sequence[str] | None) -> Demo:
    demo = read_demo(file, name, groups, as_xyzw=True)
    if "actions" not in demo.leaves or demo.leaves["actions"].ndim != 2 or not demo.num_steps:
        demo.refuse("no dataset 'actions' of shape (T, A); record the demo again, or leave it out")
    if not demo.below("initial_state"):
        demo.refuse("no group 'initial_state', so that it cannot be replayed; record the demo again")
    return demo

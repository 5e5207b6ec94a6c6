"""One demo of an HDF5 file, opened or read in whole or in part."""

# T steps of the demo

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import h5py
import numpy as np

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.errors import SourceDataError
from isaaclab_mimic_ext.files.dataset_file import WXYZ_TO_XYZW, reorder_quaternions
from isaaclab_mimic_ext.files.digest import check_demo_digest
from isaaclab_mimic_ext.files.hdf5 import datasets_below, format_version, quaternion_columns

_ONE_ROW = "initial_state/"
_STEPWISE = ("rewards", "dones", "returns_to_go", "processed_actions")
"""Leaves outside of a group that have one row per action; so have all leaves in groups other than `initial_state`."""


@dataclass(frozen=True)
class Demo:
    """One demo of a file.

    Attributes:
        file: path of the file, for messages.
        name: of the demo in the file.
        leaves: path below the demo -> (T, ...); below `initial_state` (1, ...). Arrays, or datasets of the open file.
        attributes: those of the demo, and of its group `datagen_info` if there is one (robomimic's layout).
    """

    file: str
    name: str
    leaves: dict[str, Any]
    attributes: dict[str, Any]

    @property
    def place(self) -> str:
        """File and demo, as messages begin with."""
        return f"{self.file}: {self.name}"

    @property
    def num_steps(self) -> int:
        """T, the number of actions."""
        return len(self.leaves["actions"])

    @property
    def success(self) -> bool | None:
        """The attribute `success`; None if there is none.

        Raises:
            SourceDataError: it is neither true nor false.
        """
        value = self.attributes.get("success")
        if value is not None and (np.ndim(value) or value not in (0, 1)):
            self.refuse(f"attribute 'success' is {value!r}, expected true or false; write it again")
        return None if value is None else bool(value)

    def below(self, group: str) -> dict[str, Any]:
        """The leaves of a group, by their path in it."""
        return trees.subtree(self.leaves, group)

    def tree(self, group: str, step: int) -> trees.Tree:
        """The leaves of a group at one step as nested dicts of tensors without a time axis."""
        import torch  # Late: reading a file needs NumPy only.

        return trees.unflatten({path: torch.from_numpy(leaf[step].copy()) for path, leaf in self.below(group).items()})

    def read(self, paths: Iterable[str] | None = None) -> "Demo":
        """The demo with arrays instead of datasets; datasets without a value are left out.

        Args:
            paths: leaves, and groups whose leaves are read; None: everything.
        """
        chosen = None if paths is None else tuple(paths)
        leaves = {
            path: np.asarray(leaf[()])
            for path, leaf in self.leaves.items()
            if leaf.shape is not None and (chosen is None or any(_is_at_or_below(path, each) for each in chosen))
        }
        return replace(self, leaves=leaves)

    def check_lengths(self, num_steps: int | None = None) -> None:
        """Make sure that the demo has steps, and one row per step in every leaf that should have.

        Args:
            num_steps: number of steps that is expected; None: the number of actions.

        Raises:
            SourceDataError: a leaf has another number of rows, or there are no steps.
        """
        expected = self.num_steps if num_steps is None else num_steps
        if not expected:
            self.refuse("has no steps (T = 0); record the demo again, or leave it out")
        for path, leaf in self.leaves.items():
            if is_stepwise(path) and leaf.shape[:1] != (expected,):
                reason = f"shape {leaf.shape}, expected {expected} rows, as many as actions"
                self.refuse(f"{path}: {reason}; make the demo again")

    def refuse(self, reason: str, step: int | None = None) -> NoReturn:
        """Raise a `SourceDataError` that names the demo."""
        raise SourceDataError(f"{self.place}: {reason}", step)


def open_demo(file: h5py.File, name: str, verify: bool = True) -> Demo:
    """A demo whose leaves are datasets of the open file, so that their shapes can be checked before they are read.

    Args:
        verify: compare the data with the digest that its writer left, if there is one; this reads everything.

    Raises:
        SourceDataError: the data is not what was written.
    """
    group = file["data"][name]
    if verify:
        check_demo_digest(group)
    info = group.get("datagen_info")
    attributes = checked_attributes(info) if isinstance(info, h5py.Group) else {}
    return Demo(str(file.filename), name, dict(datasets_below(group)), attributes | checked_attributes(group))


def read_demo(
    file: h5py.File, name: str, paths: Iterable[str] | None = None, as_xyzw: bool = False, verify: bool = True
) -> Demo:
    """A demo, or some of its leaves, as arrays.

    Args:
        paths: leaves, and groups whose leaves are read; None: everything.
        as_xyzw: convert the quaternions of files that have them as wxyz; otherwise they are given as they are.
        verify: see `open_demo`.

    Raises:
        SourceDataError: the data is not what was written, or the file's format is not known.
    """
    is_xyzw = format_version(file) >= 1
    demo = open_demo(file, name, verify).read(paths)
    if is_xyzw or not as_xyzw:
        return demo
    return replace(demo, leaves=reorder_quaternions(demo.leaves, WXYZ_TO_XYZW, quaternion_columns(file)))


def is_stepwise(path: str) -> bool:
    """Whether the leaf at a path below a demo must have one row per action."""
    return path in _STEPWISE or ("/" in path and not path.startswith(_ONE_ROW))


def is_image(leaf: np.ndarray) -> bool:
    """Whether a leaf (T, ...) is an RGB or depth image, or a stack of them, rather than a vector."""
    return leaf.ndim >= 3


def is_rgb(leaf: np.ndarray) -> bool:
    """Whether a leaf is (T, H, W, 3) uint8."""
    return leaf.ndim == 4 and leaf.shape[-1] == 3 and leaf.dtype == np.uint8


def _is_at_or_below(path: str, other: str) -> bool:
    return path == other or path.startswith(f"{other}/")


def checked_attributes(item: h5py.Group) -> dict[str, Any]:
    """The attributes of a group.

    Raises:
        UnicodeEncodeError: a text is damaged.
    """
    attributes = dict(item.attrs)
    for value in attributes.values():
        if isinstance(value, str):
            value.encode()  # Raises where the text is damaged, which reading does not.
    return attributes

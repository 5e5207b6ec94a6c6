"""A demo of an HDF5 file, opened without reading it, or read completely or partially."""

# T steps of the demo

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import h5py
import numpy as np

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.errors import SourceDataError
from isaaclab_mimic_ext.files.attributes import attributes_of, truth_value
from isaaclab_mimic_ext.files.dataset_file import WXYZ_TO_XYZW, reorder_quaternions
from isaaclab_mimic_ext.files.digest import check_demo_digest
from isaaclab_mimic_ext.files.faults import link_fault
from isaaclab_mimic_ext.files.hdf5 import datasets_below, format_version, quaternion_columns

_ACTION_TOLERANCE = 1e-6
_ONE_ROW = "initial_state/"
_STEPWISE = ("rewards", "dones", "returns_to_go", "processed_actions", "actions_clean")
"""Leaves outside of groups that have one row per action. All leaves in groups other than `initial_state` have too."""

_MAX_MATRIX_ENTRIES = 64
"""Largest number of entries of a matrix; images have more."""


@dataclass(frozen=True)
class Demo:
    """A demo of a file.

    Attributes:
        file: path of the file, for messages.
        name: name of the demo in the file, such as `demo_0`.
        leaves: path below the demo -> (T, ...); (1, ...) below `initial_state`. Arrays, or datasets of the open file.
        attributes: attributes of the demo and of its group `datagen_info`, if it has one (robomimic's layout).
    """

    file: str
    name: str
    leaves: dict[str, Any]
    attributes: dict[str, Any]

    @property
    def place(self) -> str:
        """File and demo, for the start of a message."""
        return f"{self.file}: {self.name}"

    @property
    def num_steps(self) -> int:
        """T, the number of actions."""
        return len(self.leaves["actions"])

    @property
    def success(self) -> bool | None:
        """The attribute `success`; None if the demo does not have it.

        Raises:
            SourceDataError: the attribute is neither true nor false.
        """
        value = self.attributes.get("success")
        success = truth_value(value)
        if success is None and value is not None:
            self.refuse(f"attribute 'success': must be true or false (got {value!r}); write the attribute again")
        return success

    def below(self, group: str) -> dict[str, Any]:
        """Leaves below a group, by their path relative to the group."""
        return trees.subtree(self.leaves, group)

    def tree(self, group: str, step: int) -> trees.Tree:
        """Leaves of a group at one step, as nested dicts of tensors without a time axis."""
        import torch  # Late import: reading a file needs NumPy only.

        return trees.unflatten({path: torch.from_numpy(leaf[step].copy()) for path, leaf in self.below(group).items()})

    def read(self, paths: Iterable[str] | None = None) -> "Demo":
        """Return the demo with arrays instead of datasets. Empty datasets (without a shape) are left out.

        Args:
            paths: leaves to read, and groups whose leaves are read; None: all leaves.
        """
        chosen = None if paths is None else tuple(paths)
        leaves = {
            path: np.asarray(leaf[()])
            for path, leaf in self.leaves.items()
            if leaf.shape is not None and (chosen is None or any(_is_at_or_below(path, each) for each in chosen))
        }
        return replace(self, leaves=leaves)

    def check_lengths(self, num_steps: int | None = None) -> None:
        """Check that the demo has steps, and that every stepwise leaf (`is_stepwise`) has one row per step.

        Args:
            num_steps: expected number of steps; None: the number of actions.

        Raises:
            SourceDataError: a leaf has a different number of rows, or the demo has no steps.
        """
        expected = self.num_steps if num_steps is None else num_steps
        if not expected:
            self.refuse(f"has no steps (T = 0); record the demo again, or leave it out (demos=-{self.name})")
        for path, leaf in self.leaves.items():
            if is_stepwise(path) and leaf.shape[:1] != (expected,):
                reason = f"must have {expected} rows, one per action (got shape {leaf.shape})"
                self.refuse(f"{path}: {reason}; create the demo again")

    def nonfinite(self) -> Iterator[tuple[str, int]]:
        """Yield the path of each dataset with NaN or infinite values, and the first step with such a value."""
        for path, leaf in self.leaves.items():
            if leaf.dtype.kind == "f" and not (is_finite := np.isfinite(leaf)).all():
                yield path, int(is_finite.reshape(len(leaf), -1).all(1).argmin()) if leaf.ndim else 0

    def refuse(self, reason: str, step: int | None = None) -> NoReturn:
        """Raise a `SourceDataError` whose message begins with the file and the demo."""
        raise SourceDataError(f"{self.place}: {reason}", step)


def open_demo(file: h5py.File, name: str, verify: bool = True) -> Demo:
    """Open a demo. Its leaves are datasets of the open file, so their shapes can be checked before they are read.

    Args:
        verify: compare the data with the digest that its writer stored, if there is one; this reads all data.

    Raises:
        SourceDataError: the data does not match the digest.
    """
    if fault := link_fault(file["data"], name):
        raise SourceDataError(f"{file.filename}: {name}: {fault}")
    group = file["data"][name]
    if verify:
        check_demo_digest(group)
    info = group.get("datagen_info")
    attributes = checked_attributes(info) if isinstance(info, h5py.Group) else {}
    return Demo(str(file.filename), name, dict(datasets_below(group)), attributes | checked_attributes(group))


def read_demo(
    file: h5py.File, name: str, paths: Iterable[str] | None = None, as_xyzw: bool = False, verify: bool = True
) -> Demo:
    """Read a demo, or some of its leaves, as arrays.

    Args:
        paths: leaves to read, and groups whose leaves are read; None: all leaves.
        as_xyzw: convert wxyz quaternions to xyzw; otherwise quaternions keep the order of the file.
        verify: see `open_demo`.

    Raises:
        SourceDataError: the data does not match its digest, or the format version of the file is not known.
    """
    is_xyzw = format_version(file) >= 1
    demo = open_demo(file, name, verify).read(paths)
    if is_xyzw or not as_xyzw:
        return demo
    return replace(demo, leaves=reorder_quaternions(demo.leaves, WXYZ_TO_XYZW, quaternion_columns(file)))


def is_stepwise(path: str) -> bool:
    """Return whether the leaf at a path below a demo must have one row per action."""
    return path in _STEPWISE or ("/" in path and not path.startswith(_ONE_ROW))


def largest_action(actions: np.ndarray) -> tuple[int, float] | None:
    """Step and absolute value of the largest entry of relative actions (T, A); None if all are within [-1, 1]."""
    largest = np.abs(actions).max(initial=0.0)
    return None if largest <= 1.0 + _ACTION_TOLERANCE else (int(np.abs(actions).max(1).argmax()), float(largest))


def check_limits(place: str, actions: np.ndarray) -> None:
    """Check that relative task-space actions (T, A) are within [-1, 1], to which environments clip them.

    Raises:
        SourceDataError: they are not.
    """
    if (found := largest_action(actions)) is not None:
        step, largest = found
        reason = f"actions: must be within -1 and 1 (got {largest:.3g} at step {step})"
        raise SourceDataError(f"{place}: {reason}; clip the actions to this range, as the env does", step)


def has_limits(env_args: Mapping[str, Any]) -> bool:
    """Return whether the actions of a dataset are relative task-space actions, which are within [-1, 1]."""
    action = env_args.get("action")
    return isinstance(action, dict) and action.get("type") in ("ik_rel", "robosuite_osc")


def is_image(leaf: np.ndarray) -> bool:
    """Return whether a leaf (T, ...) is an RGB or depth image, or a stack of images, rather than a vector or a matrix."""
    return leaf.ndim >= 3 and int(np.prod(leaf.shape[1:], dtype=np.int64)) > _MAX_MATRIX_ENTRIES


def _is_at_or_below(path: str, other: str) -> bool:
    return path == other or path.startswith(f"{other}/")


def checked_attributes(item: h5py.Group) -> dict[str, Any]:
    """Attributes of a group.

    Raises:
        UnicodeEncodeError: a text is damaged.
    """
    attributes = attributes_of(item)
    for value in attributes.values():
        if isinstance(value, str):
            value.encode()  # Raises if the text is damaged; reading the attribute does not.
    return attributes

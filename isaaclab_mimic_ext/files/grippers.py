"""Entries of the actions of a dataset that command grippers, and copies of these entries in other datasets of a demo."""

# T steps of one demo, A action entries, G gripper action entries

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from isaaclab_mimic_ext.errors import SourceDataError

ENTRY = "gripper_columns"
"""Key in the env_args of a dataset: end effector -> columns of its gripper in the actions."""
_ENTRIES_PER_ARM = 7
"""Number of action entries of an arm with relative control: pose, then gripper."""

Columns = Mapping[str, Sequence[int]]
CONVENTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "keep": lambda commands: commands >= 0,
    "flip": lambda commands: commands <= 0,
    "zero_one": lambda commands: commands > 0.5 * commands.max(initial=0.0),
    "one_zero": lambda commands: commands <= 0.5 * commands.max(initial=0.0),
    "zero_closes": lambda commands: commands > 0,
}
"""Name of a convention of gripper commands -> function that returns whether commands (T,) open the gripper.

Here and in Isaac Lab (`keep`), 0 and positive commands open. `zero_one` includes widths, from 0 (closed) to any value.
"""


def converter(convention: str) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that converts gripper commands (T, ...) of a convention to -1 (close) and 1 (open)."""
    if convention == "flip":  # The size of a command is kept.
        return lambda commands: 0.0 - commands
    return lambda commands: np.where(CONVENTIONS[convention](commands), 1.0, -1.0)


def gripper_columns(path: str | Path, env_args: Mapping[str, Any], action_dim: int) -> dict[str, tuple[int, ...]]:
    """Return end effector -> columns of its gripper in the actions; empty if the env_args do not determine them.

    The name of the only end effector may be missing; it is then the empty text.

    Args:
        path: the dataset, for messages.

    Raises:
        SourceDataError: the declared columns are not columns of the actions.
    """
    declared = env_args.get(ENTRY)
    if declared is not None:
        return _declared_columns(path, declared, action_dim)
    found = env_args.get("eef_names")
    names = [str(name) for name in found] if isinstance(found, list) and found else [""]
    if len(names) == 1:
        return {names[0]: (action_dim - 1,)} if found or action_dim == _ENTRIES_PER_ARM else {}
    spec = env_args.get("action")
    is_relative = isinstance(spec, Mapping) and spec.get("type") == "ik_rel"
    if not is_relative or action_dim != _ENTRIES_PER_ARM * len(names):
        return {}
    return {name: (_ENTRIES_PER_ARM * (index + 1) - 1,) for index, name in enumerate(names)}


def _declared_columns(path: str | Path, declared: Any, action_dim: int) -> dict[str, tuple[int, ...]]:
    """Check declared columns and return them.

    Raises:
        SourceDataError: they are not a mapping of names to lists of columns, or a column is not in the actions.
    """
    rows = list(declared.values()) if isinstance(declared, Mapping) else [None]
    valid = range(action_dim)
    if not all(isinstance(row, list) and all(type(column) is int and column in valid for column in row) for row in rows):
        rule = f"must map each end effector to a list of columns from 0 to {action_dim - 1} (got {declared!r})"
        raise SourceDataError(f"{path}: data.attrs['env_args'].{ENTRY}: {rule}; correct this entry of the file")
    return {str(name): tuple(columns) for name, columns in declared.items()}


def as_entry(columns: Columns) -> dict[str, Any]:
    """Return the entry for env_args that declares these columns."""
    return {ENTRY: {name: [*each] for name, each in columns.items()}}


def find_columns(actions: np.ndarray, gripper: np.ndarray, taken: Sequence[int] = ()) -> tuple[int, ...] | None:
    """Columns of the actions (T, A) that equal the gripper actions (T, G); the last ones, without those that are `taken`."""
    columns: list[int] = []
    for entry in gripper.T[::-1]:
        free = [each for each in reversed(range(actions.shape[1])) if each not in (*taken, *columns)]
        equal = [each for each in free if np.allclose(actions[:, each], entry)]
        if not equal:
            return None
        columns.append(equal[0])
    return tuple(reversed(columns))


def copies_of_grippers(leaves: Mapping[str, np.ndarray], columns: Columns) -> Iterator[tuple[str, list[int]]]:
    """Yield the path of each dataset that contains gripper commands, and the columns of the commands in its last axis.

    These are `actions`, datasets of the same shape whose name contains `action` (`actions_abs`, `obs/actions`), and the
    grippers in `action_dict` and in `datagen_info/gripper_action`.

    Args:
        leaves: datasets of a demo, path -> (T, ...).
        columns: end effector -> columns of its gripper in `actions`.
    """
    shape, every = leaves["actions"].shape, sorted(column for each in columns.values() for column in each)
    for path, leaf in leaves.items():
        group, _, name = path.rpartition("/")
        is_gripper = "gripper_action" in path.split("/") or (group.startswith("action_dict") and "gripper" in name)
        if is_gripper and leaf.ndim:
            yield path, [*range(leaf.shape[-1] if leaf.ndim > 1 else 1)]
        elif "action" in name and name != "processed_actions" and leaf.shape == shape:
            yield path, every


def change_grippers(leaves: Mapping[str, np.ndarray], columns: Columns, change: Any) -> dict[str, np.ndarray]:
    """Return the datasets with `change` applied to all gripper commands and their copies."""
    changed = dict(leaves)
    for path, places in copies_of_grippers(leaves, columns):
        values = leaves[path].copy()
        if values.ndim == 1:
            values = change(values).astype(values.dtype)
        else:
            values[..., places] = change(values[..., places])
        changed[path] = values
    return changed

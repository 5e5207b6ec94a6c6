"""Quaternion columns of recorded data: found by the name of a dataset, or declared by its task."""

# N envs or T steps, W columns

from collections.abc import Mapping, Sequence
from typing import Any

ENTRY = "quaternion_columns"
"""Key in the env_args of a dataset whose value is the columns that its task declares."""
WIDTH = 4

Columns = Mapping[str, Sequence[int]]
"""Name of an observation -> first columns of its quaternions."""


def first_columns(name: str, shape: Sequence[int], declared: Columns) -> tuple[int, ...]:
    """First columns of the quaternions of a leaf: as declared, else 0 in `*_quat` (W = 4) and 3 in `*_pose` (W = 7).

    Args:
        name: name or path of the leaf, as in the keys of `declared`.
        shape: shape of one row, (W,).

    Raises:
        ValueError: a row does not have the declared columns.
    """
    if name in declared:
        columns = tuple(declared[name])
        if len(shape) != 1 or max(columns, default=0) + WIDTH > shape[0]:
            found = f"got columns {columns} for rows of shape {tuple(shape)}"
            raise ValueError(f"{name}: {ENTRY} must list the first of 4 columns of each quaternion ({found})")
        return columns
    if name.endswith("_quat") and tuple(shape) == (WIDTH,):
        return (0,)
    return (3,) if name.endswith("_pose") and tuple(shape) == (3 + WIDTH,) else ()


def as_entry(declared: Columns) -> dict[str, Any]:
    """Return the entry for env_args that declares these columns; empty if there are none."""
    return {ENTRY: {name: list(columns) for name, columns in declared.items()}} if declared else {}

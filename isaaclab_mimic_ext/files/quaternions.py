"""Where quaternions are among the columns of what is recorded: known by name, or declared by a task."""

# N envs or T steps, W columns

from collections.abc import Mapping, Sequence
from typing import Any

ENTRY = "quaternion_columns"
"""Of a dataset's env_args: what its task declares."""
WIDTH = 4

Columns = Mapping[str, Sequence[int]]
"""Observation -> the first columns of its quaternions."""


def first_columns(name: str, shape: Sequence[int], declared: Columns) -> tuple[int, ...]:
    """Where the quaternions of a leaf begin: as declared, else at 0 in `*_quat` (W = 4) and at 3 in `*_pose` (W = 7).

    Args:
        name: of the leaf, or its path; as `declared` has it.
        shape: of one row, (W,).

    Raises:
        ValueError: rows are no such rows that what is declared could be there.
    """
    if name in declared:
        columns = tuple(declared[name])
        if len(shape) != 1 or max(columns, default=0) + WIDTH > shape[0]:
            where = f"quaternions at columns {columns} of rows of shape {tuple(shape)}"
            raise ValueError(f"{name}: {where}; {ENTRY} must name the first of 4 columns each")
        return columns
    if name.endswith("_quat") and tuple(shape) == (WIDTH,):
        return (0,)
    return (3,) if name.endswith("_pose") and tuple(shape) == (3 + WIDTH,) else ()


def as_entry(declared: Columns) -> dict[str, Any]:
    """What env_args get; nothing where nothing is declared."""
    return {ENTRY: {name: list(columns) for name, columns in declared.items()}} if declared else {}

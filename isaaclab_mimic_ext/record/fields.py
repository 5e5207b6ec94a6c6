"""The columns of recorded rows. Imported by the writer's process: no torch here."""

# T steps, W columns

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Field:
    """One leaf of a recorded tree.

    Attributes:
        path: below the demo.
        shape: of one step.
        rows: the name of the rows that hold it; rows are named after what is recorded when, and their dtype.
        start, stop: its columns in them.
    """

    path: str
    shape: tuple[int, ...]
    rows: str
    start: int
    stop: int


def unpack(fields: Iterable[Field], rows: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Leaves (T, *shape) by path, from rows (T, W) by name."""
    return {f.path: rows[f.rows][:, f.start : f.stop].reshape(-1, *f.shape) for f in fields}

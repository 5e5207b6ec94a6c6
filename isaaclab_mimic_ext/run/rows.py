"""Rows: a tree of tensors packed into one row of numbers per env and dtype, so that recording a step is one copy."""

# N envs, n of them addressed, T steps, W columns

import numpy as np
import torch
from torch import Tensor

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.envs.base import NestedTensors
from isaaclab_mimic_ext.run.episodes import Field


class RowLayout:
    """Columns of every leaf in the rows of its dtype. Leaves are (N, ...); all floating dtypes are stored as float32.

    Args:
        name: name of the rows, unique among the layouts of one demo.
        example: tree with the shapes and dtypes of the trees to pack.
    """

    def __init__(self, name: str, example: NestedTensors):
        self.widths: dict[str, int] = {}
        self.dtypes: dict[str, torch.dtype] = {}
        fields = []
        for path, leaf in trees.flatten(example).items():
            dtype = torch.float32 if leaf.dtype.is_floating_point else leaf.dtype
            rows = f"{name}/{dtype}"
            start = self.widths.get(rows, 0)
            stop = start + int(np.prod(leaf.shape[1:], dtype=int))
            self.widths[rows], self.dtypes[rows] = stop, dtype
            fields.append(Field(path, tuple(leaf.shape[1:]), rows, start, stop))
        self.fields = tuple(fields)

    @property
    def num_bytes(self) -> int:
        """Size of one row of each dtype together [bytes]."""
        return sum(width * self.dtypes[rows].itemsize for rows, width in self.widths.items())

    def pack(self, tree: NestedTensors) -> dict[str, Tensor]:
        """Pack a tree into rows (N, W) by name."""
        parts: dict[str, list[Tensor]] = {rows: [] for rows in self.widths}
        for field, leaf in zip(self.fields, trees.leaf_values(tree), strict=True):
            parts[field.rows].append(leaf if leaf.ndim == 2 else leaf.reshape(leaf.shape[0], -1))
        return {rows: torch.cat(leaves, dim=1).to(self.dtypes[rows]) for rows, leaves in parts.items()}


class RowBuffer:
    """Buffer for the rows of N envs over T steps, (N, T, W) per dtype, allocated once."""

    def __init__(self, layout: RowLayout, num_envs: int, num_steps: int, device: torch.device):
        self.layout = layout
        self._first_rows = torch.arange(num_envs, device=device) * num_steps
        self._rows = {
            name: torch.zeros(num_envs, num_steps, width, dtype=layout.dtypes[name], device=device)
            for name, width in layout.widths.items()
        }

    def write(self, step: Tensor, tree: NestedTensors) -> None:
        """Write the leaves (N, ...) of a tree at `step` (N,) of each env."""
        ids = self._first_rows + step
        for name, rows in self.layout.pack(tree).items():
            self._rows[name].view(-1, rows.shape[1]).index_copy_(0, ids, rows)

    def write_envs(self, env_ids: Tensor, step: int, tree: NestedTensors) -> None:
        """Write the leaves (N, ...) of a tree at one step, only for `env_ids` (n,)."""
        for name, rows in self.layout.pack(tree).items():
            self._rows[name][env_ids, step] = rows[env_ids]

    def select(self, env_ids: Tensor, num_steps: int) -> dict[str, Tensor]:
        """Copy the first `num_steps` rows of `env_ids` (n,) on the device, (n, num_steps, W) by name."""
        return {name: rows[env_ids, :num_steps] for name, rows in self._rows.items()}

    def take(self, env_ids: Tensor, num_steps: int) -> dict[str, np.ndarray]:
        """Copy the first `num_steps` rows of `env_ids` (n,) to the host, (n, num_steps, W) by name."""
        return {name: rows.cpu().numpy() for name, rows in self.select(env_ids, num_steps).items()}

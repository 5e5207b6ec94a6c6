"""Progress of a replay, in control steps."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from torch import Tensor

from isaaclab_mimic_ext.files.hdf5 import open_hdf5
from isaaclab_mimic_ext.progress import phase


class ReplayProgress:
    """Reports the control steps of replayed demos, for a progress bar.

    Args:
        lengths: number of steps of each demo, in the order of the replay.
        num_envs: number of demos that are replayed at a time.
    """

    def __init__(self, lengths: Sequence[int], num_envs: int):
        self._batches = [np.array(lengths[start : start + num_envs]) for start in range(0, len(lengths), num_envs)]
        self._num_demos, self._num_planned = len(lengths), max(sum(int(batch.max()) for batch in self._batches), 1)
        self._batch, self._num_before, self._num_steps = -1, 0, 0
        self._update = phase("replaying")

    def after_step(self, step: int, running: Tensor | None = None) -> None:
        """Report that `step` of the current batch is made; step 0 begins the next batch."""
        if step == 0:
            self._num_before += len(self._batches[self._batch]) if self._batch >= 0 else 0
            self._batch += 1
        self._num_steps += 1
        num_ended = self._num_before + int((self._batches[self._batch] <= step + 1).sum())
        self._update(num_ended, self._num_demos, share=min(self._num_steps / self._num_planned, 1.0))

    def skip(self) -> None:
        """Report that no demo of the next batch can be replayed."""
        self._num_before += len(self._batches[self._batch]) if self._batch >= 0 else 0
        self._batch += 1


def demo_lengths(path: str | Path, names: Sequence[str]) -> list[int]:
    """Number of steps of each demo; 0 if the demo has no actions, and is left out when it is read."""
    with open_hdf5(path) as file:
        return [_num_steps(file["data"].get(name)) for name in names]


def _num_steps(demo: Any) -> int:
    actions = demo.get("actions") if isinstance(demo, h5py.Group) else None
    return len(actions) if isinstance(actions, h5py.Dataset) and actions.shape else 0

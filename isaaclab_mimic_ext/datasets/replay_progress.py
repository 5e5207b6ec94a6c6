"""Progress of a replay, in control steps."""

from collections.abc import Sequence
from pathlib import Path

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


def demo_lengths(path: str | Path, names: Sequence[str]) -> list[int]:
    """Number of steps of each demo; 0 if the demo has no actions, which is refused when the demo is read."""
    with open_hdf5(path) as file:
        return [len(file["data"][name].get("actions", ())) for name in names]

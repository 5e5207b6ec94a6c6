"""Recorded states of some episodes, for their videos."""

# N envs, n of them selected, T steps

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.learn.results import Episode
from isaaclab_mimic_ext.run.episodes import unpack
from isaaclab_mimic_ext.run.rows import RowBuffer, RowLayout
from isaaclab_mimic_ext.texts import counted


class History:
    """Records the states of all envs, and keeps the successes and failures with the lowest episode numbers.

    Args:
        env: environment that has been reset once (the layout of its state is read).
        horizon: largest number of steps of an episode.
        num_kept: number of successes to keep; the same number of failures is kept.
    """

    def __init__(self, env: MimicEnv, horizon: int, num_kept: int):
        self._env = env
        self._num_kept = num_kept
        self._layout = RowLayout("state", {"state": env.get_state()})
        self._buffer = RowBuffer(self._layout, env.num_envs, horizon, env.device)
        self._kept: dict[bool, dict[int, dict[str, np.ndarray]]] = {True: {}, False: {}}
        self._episodes: dict[int, Episode] = {}

    def after_step(self, step: Tensor) -> None:
        """Record the states after a step.

        Args:
            step: number of steps that each env had run in its episode before this step, (N,).
        """
        self._buffer.write(step, {"state": self._env.get_state()})

    def end(self, env_ids: Tensor, episodes: Sequence[Episode]) -> None:
        """Keep the states of the episodes that ended in `env_ids` (n,), if their numbers are among the lowest."""
        for env_id, episode in zip(env_ids, episodes, strict=True):
            kept = self._kept[episode.success]
            if len(kept) >= self._num_kept and episode.episode > max(kept):
                continue
            rows = self._buffer.take(torch.atleast_1d(env_id), episode.length)
            kept[episode.episode] = {name: values[0] for name, values in rows.items()}
            self._episodes[episode.episode] = episode
            if len(kept) > self._num_kept:
                del kept[max(kept)]

    def release(self) -> None:
        """Free the memory of the running episodes after the last step. Kept episodes stay."""
        del self._buffer

    def demos(self, success: bool) -> list[dict[str, Any]]:
        """States of the kept successes or failures, sorted by episode number: trees with the layout of `get_state`.

        Leaves have shape (T, ...), float32.
        """
        return [self._tree(rows) for _, rows in sorted(self._kept[success].items())]

    def captions(self, success: bool) -> list[str]:
        """Caption of each of `demos(success)`."""
        return [_caption(self._episodes[number]) for number in sorted(self._kept[success])]

    def failure_steps(self) -> list[int]:
        """Step of the failure of each of `demos(False)`."""
        failures = (self._episodes[number] for number in sorted(self._kept[False]))
        return [episode.length - 1 if episode.failed_at is None else episode.failed_at for episode in failures]

    def _tree(self, rows: dict[str, np.ndarray]) -> dict[str, Any]:
        return trees.unflatten(unpack(self._layout.fields, rows))["state"]


def _caption(episode: Episode) -> str:
    if episode.reason is None:
        return f"episode {episode.episode}: success, {counted(episode.length, 'step')}"
    return f"episode {episode.episode}: {episode.reason} (step {episode.failed_at})"

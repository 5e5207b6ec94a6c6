"""The states that a replay passes through, kept for a video."""

# K demos that are kept, T steps

from typing import Any

import torch
from torch import Tensor

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.envs.base import MimicEnv, NestedTensors


class StateHistory:
    """Keeps the states of the first `num_demos` envs during the first batch of a replay; `after_step` goes into `replay`."""

    def __init__(self, env: MimicEnv, num_demos: int):
        self._env = env
        self._num_demos = min(num_demos, env.num_envs)
        self._states: list[NestedTensors] = []
        self._running: list[Tensor] = []
        self._is_over = num_demos == 0

    def after_step(self, step: int, running: Tensor) -> None:
        self._is_over |= step < len(self._states)
        if not self._is_over:
            self._states.append(trees.map(lambda leaf: leaf[: self._num_demos].cpu().clone(), self._env.get_state()))
            self._running.append(running[: self._num_demos].cpu())

    def demos(self) -> list[dict[str, Any]]:
        """One tree a demo, leaves (T, ...) float32."""
        lengths = torch.stack(self._running).sum(0).tolist()
        return [
            trees.map(Tensor.numpy, trees.stack([trees.take(state, index) for state in self._states[:length]]))
            for index, length in enumerate(lengths)
        ]

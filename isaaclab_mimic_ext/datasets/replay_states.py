"""The states that a replay passes through, kept for a video."""

# K demos that are kept, T steps

from typing import Any

import torch
from torch import Tensor

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
            self._states.append(_first_rows(self._env.get_state(), self._num_demos))
            self._running.append(running[: self._num_demos].cpu())

    def demos(self) -> list[dict[str, Any]]:
        """One tree a demo, leaves (T, ...) float32."""
        lengths = torch.stack(self._running).sum(0).tolist()
        return [_demo(self._states[:length], index) for index, length in enumerate(lengths)]


def _first_rows(tree: NestedTensors, count: int) -> NestedTensors:
    return {key: _first_rows(v, count) if isinstance(v, dict) else v[:count].cpu().clone() for key, v in tree.items()}


def _demo(states: list[NestedTensors], index: int) -> dict[str, Any]:
    return {
        key: _demo([state[key] for state in states], index)
        if isinstance(value, dict)
        else torch.stack([state[key][index] for state in states]).numpy()
        for key, value in states[0].items()
    }

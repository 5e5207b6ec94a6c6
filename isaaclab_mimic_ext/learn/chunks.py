"""Action chunks of N envs: a policy predicts several actions at once, and executes most of them before it predicts again."""

# N envs, n of them selected, H observations of a history, K actions of a chunk, A action entries

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

Predict = Callable[[dict[str, Tensor]], Tensor]
"""Predicts the next K actions (n, K, A) from histories of observations, term -> (n, H, ...), the newest one last."""


class ActionChunks:
    """Histories of observations and predicted actions of N envs. Envs may begin their episodes in different steps.

    Args:
        num_history: number of observations H that a prediction uses. At the start of an episode, the first one is repeated.
        num_executed: number of actions of a chunk that are executed before the next prediction, at most K.
    """

    def __init__(self, num_history: int, num_executed: int):
        self.num_history, self.num_executed = num_history, num_executed
        self.clear()

    def clear(self) -> None:
        """Forget all envs, e.g. before the number of envs changes."""
        self._history: dict[str, Tensor] = {}
        self._chunks: Tensor | None = None
        self._step: Tensor | None = None

    def reset(self, env_ids: Tensor) -> None:
        """Begin new episodes in the envs `env_ids`, (n,) int64."""
        if self._step is not None:
            self._step[env_ids.to(self._step.device)] = 0

    def due_envs(self) -> Tensor | None:
        """Return whether a prediction is due in the next step of each env, (N,) bool; None before the first step."""
        return None if self._step is None else self._step % self.num_executed == 0

    def act(self, observations: Mapping[str, Tensor], predict: Predict) -> Tensor:
        """Return the next actions (N, A) for observations, term -> (N, ...)."""
        first = next(iter(observations.values()))
        if self._step is None or len(self._step) != len(first):
            self.clear()
            self._step = torch.zeros(len(first), dtype=torch.int64, device=first.device)
        self._remember(observations, self._step == 0)
        place = self._step % self.num_executed
        due = (place == 0).nonzero()[:, 0]
        if len(due):
            predicted = predict({name: values[due] for name, values in self._history.items()})
            if self._chunks is None:
                self._chunks = predicted.new_zeros((len(first), *predicted.shape[1:]))
            self._chunks[due] = predicted
        assert self._chunks is not None, "all envs predict in their first step"
        self._step += 1
        return self._chunks[torch.arange(len(first), device=place.device), place]

    def _remember(self, observations: Mapping[str, Tensor], begins: Tensor) -> None:
        """Append observations to the histories; fill the histories of envs that begin an episode, `begins` (N,) bool."""
        for name, value in observations.items():
            repeated = value[:, None].expand(-1, self.num_history, *value.shape[1:])
            kept = self._history.get(name, repeated)
            shifted = torch.cat((kept[:, 1:], value[:, None]), dim=1)
            self._history[name] = torch.where(begins.view(-1, *[1] * value.dim()), repeated, shifted)

"""What an evaluation needs from a policy: batched observations in, actions out."""

# N envs, n of them addressed, A action entries

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from torch import Tensor, device


@runtime_checkable
class Policy(Protocol):
    """Acts in N environments at once; whatever it remembers has a leading env axis."""

    def reset(self, env_ids: Tensor) -> None:
        """New episodes begin in the envs `env_ids`, (n,) int64: forget what happened there."""

    def act(self, observations: dict[str, Tensor]) -> Tensor:
        """Actions (N, A) for observations, term -> (N, ...). Rows of envs that are idle mean nothing, in or out."""


@dataclass(frozen=True)
class PolicyRequest:
    """What a policy is made for.

    Attributes:
        checkpoint: the file to load it from; None where none was given.
        observation_shapes: term -> shape of one env's observation.
        step_dt: time of one control step [s].
        seed: for whatever the policy draws itself.
    """

    checkpoint: Path | None
    task: str
    num_envs: int
    action_dim: int
    observation_shapes: Mapping[str, tuple[int, ...]]
    step_dt: float
    device: device
    seed: int

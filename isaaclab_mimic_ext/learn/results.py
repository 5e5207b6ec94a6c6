"""How long an episode may take, from how long demonstrations took."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from math import ceil, sqrt
from typing import Any

from isaaclab_mimic_ext.errors import SourceDataError
from isaaclab_mimic_ext.files.hdf5 import demo_names, open_hdf5

_PATIENCE = 1.5

"""A policy hesitates where its teacher did not."""

_STEP = 50


def horizon_of(path: str) -> int:
    """Half as long again as the longest demo of a file, up to the next multiple of 50 [steps].

    Raises:
        SourceDataError: the file is missing, damaged or empty.
    """
    try:
        with open_hdf5(path) as file:
            longest = max((len(file["data"][name]["actions"]) for name in demo_names(file)), default=0)
    except SourceDataError as error:
        raise SourceDataError(f"{error}; or give horizon=<steps>, which needs no demonstrations") from error
    if longest == 0:
        raise SourceDataError(f"{path}: no demonstrations, so that no horizon follows from them; give horizon=<steps>")
    return _STEP * ceil(_PATIENCE * longest / _STEP)


CONFIDENCE = 0.95

_NORMAL_QUANTILE = 1.959963984540054

"""Quantile of the normal distribution at (1 + CONFIDENCE) / 2."""


@dataclass(frozen=True)
class Episode:
    """One attempt of a policy.

    Attributes:
        episode: its number, which with the seed decides the scene, the noise and the pushes.
        success: as `success_rule` counts it.
        held: whether success was true in each of the last `num_success_steps` steps.
        any_step: whether it was true in any step.
        length: steps.
        reason: why it failed; None for a success.
        failed_at: the step at which it failed; None for a success.
        scene: object -> x, y, z [m] and yaw [rad] at the start, env frame.
    """

    episode: int
    success: bool
    held: bool
    any_step: bool
    length: int
    reason: str | None
    failed_at: int | None
    scene: dict[str, list[float]]


@dataclass(frozen=True)
class Rate:
    """A rate and its 95 % confidence interval."""

    rate: float
    low: float
    high: float

    @classmethod
    def of(cls, num_successes: int, num_trials: int) -> "Rate":
        return cls(num_successes / max(num_trials, 1), *wilson_interval(num_successes, num_trials))

    def __str__(self) -> str:
        return f"{100 * self.rate:.1f} % ({100 * self.low:.1f} - {100 * self.high:.1f})"


@dataclass(frozen=True)
class Checkpoint:
    """What is evaluated.

    Attributes:
        name: unique in an evaluation; names its files.
        path: None for a policy without one.
        run: the training run that it is of.
        epoch: of the training; None where nothing says it.
    """

    name: str
    path: str | None = None
    run: str = ""
    epoch: int | None = None


@dataclass
class CheckpointResult:
    """Episodes 0 .. K-1 of one checkpoint.

    Attributes:
        env_steps: control steps of all envs together.
        seconds: from the first reset to the last step.
    """

    checkpoint: Checkpoint
    episodes: Sequence[Episode]
    env_steps: int = 0
    seconds: float = 0.0
    facts: dict[str, Any] = field(default_factory=dict)
    """What the policy says of itself."""

    @property
    def num_episodes(self) -> int:
        return len(self.episodes)

    @property
    def num_successes(self) -> int:
        return sum(episode.success for episode in self.episodes)

    @property
    def success(self) -> Rate:
        return Rate.of(self.num_successes, self.num_episodes)

    @property
    def any_step(self) -> Rate:
        return Rate.of(sum(episode.any_step for episode in self.episodes), self.num_episodes)

    def mean_length(self, of_successes: bool) -> float | None:
        """Of the successes, or of all episodes [steps]; None where there are none."""
        lengths = [episode.length for episode in self.episodes if episode.success or not of_successes]
        return sum(lengths) / len(lengths) if lengths else None

    @property
    def reasons(self) -> dict[str, int]:
        """Reason -> how many episodes failed for it, the most frequent first."""
        counted = Counter(episode.reason for episode in self.episodes if episode.reason is not None)
        return dict(counted.most_common())

    def as_dict(self) -> dict[str, Any]:
        """As JSON knows it."""
        return {
            **asdict(self.checkpoint),
            **self.facts,
            "num_episodes": self.num_episodes,
            "num_successes": self.num_successes,
            "success_rate": self.success.rate,
            "interval": [self.success.low, self.success.high],
            "any_step_rate": self.any_step.rate,
            "any_step_interval": [self.any_step.low, self.any_step.high],
            "mean_length": self.mean_length(of_successes=False),
            "mean_length_of_successes": self.mean_length(of_successes=True),
            "reasons": self.reasons,
            "env_steps": self.env_steps,
            "seconds": self.seconds,
            "episodes": [asdict(episode) for episode in self.episodes],
        }


def best_of(results: Sequence[CheckpointResult]) -> CheckpointResult:
    """The one with the most successes; of equals the one trained longest."""
    return max(results, key=lambda result: (result.success.rate, result.checkpoint.epoch or 0))


def by_epoch(results: Sequence[CheckpointResult]) -> list[dict[str, Any]]:
    """Summary of each epoch at which several training runs were evaluated: mean rate, its interval, lowest and highest run.

    The interval takes the episodes of all runs as independent; their spread shows the effect of the training seed.
    """
    epochs: dict[int, list[CheckpointResult]] = {}
    for result in results:
        if result.checkpoint.epoch is not None:
            epochs.setdefault(result.checkpoint.epoch, []).append(result)
    return [_summary(epoch, group) for epoch, group in sorted(epochs.items()) if len(group) > 1]


def _summary(epoch: int, group: Sequence[CheckpointResult]) -> dict[str, Any]:
    rates = [result.success.rate for result in group]
    num_successes = sum(result.num_successes for result in group)
    num_episodes = sum(result.num_episodes for result in group)
    return {
        "epoch": epoch,
        "runs": [result.checkpoint.run for result in group],
        "mean_success_rate": sum(rates) / len(rates),
        "interval": list(wilson_interval(num_successes, num_episodes)),
        "lowest": min(rates),
        "highest": max(rates),
    }


def wilson_interval(num_successes: int, num_trials: int) -> tuple[float, float]:
    """The 95 % confidence interval of a rate (Wilson, "Probable inference, the law of succession", JASA 22, 1927).

    Unlike the normal interval it stays within [0, 1], and has a width even if every trial succeeded. (0, 1) without trials.
    """
    if num_trials == 0:
        return 0.0, 1.0
    rate, z2 = num_successes / num_trials, _NORMAL_QUANTILE**2
    middle = rate + z2 / (2 * num_trials)
    half = _NORMAL_QUANTILE * sqrt(rate * (1 - rate) / num_trials + z2 / (4 * num_trials**2))
    scale = 1 + z2 / num_trials
    # At 0 and 1 the bound is exact in theory, and must not fall short of it by rounding.
    low = 0.0 if num_successes == 0 else (middle - half) / scale
    high = 1.0 if num_successes == num_trials else (middle + half) / scale
    return low, high

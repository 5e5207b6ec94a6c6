"""Results of an evaluation: episodes, success rates with confidence intervals; the default horizon."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from math import ceil, sqrt
from typing import Any

from isaaclab_mimic_ext.errors import SourceDataError
from isaaclab_mimic_ext.files.hdf5 import open_hdf5
from isaaclab_mimic_ext.files.selection import usable_demos

HORIZON_FACTOR = 1.5
"""Horizon of an episode divided by the length of the longest demo; policies are slower than their demos."""
_HORIZON_MULTIPLE = 50


def horizon_from_demos(path: str) -> int:
    """1.5 times the length of the longest demo in a file, rounded up to a multiple of 50 [steps].

    Raises:
        SourceDataError: the file is missing, damaged or empty.
    """
    try:
        with open_hdf5(path) as file:
            longest = max((len(file["data"][name]["actions"]) for name in usable_demos(file, is_quiet=True)), default=0)
    except SourceDataError as error:
        raise SourceDataError(f"{error}; or set horizon=<steps>, which requires no demos") from error
    if longest == 0:
        raise SourceDataError(f"{path}: contains no demos to compute the horizon from; give horizon=<steps>")
    return _HORIZON_MULTIPLE * ceil(HORIZON_FACTOR * longest / _HORIZON_MULTIPLE)


CONFIDENCE = 0.95
_NORMAL_QUANTILE = 1.959963984540054
"""Quantile of the normal distribution at (1 + CONFIDENCE) / 2."""


@dataclass(frozen=True)
class Episode:
    """One rollout of a policy.

    Attributes:
        episode: number of the episode; with the seed, decides the scene, noise and pushes.
        success: success by the success rule.
        held: success was true in each of the last `num_success_steps` steps.
        any_step: success was true in at least one step.
        length: number of steps.
        reason: reason of failure; None for a success.
        failed_at: step at which the episode failed; None for a success.
        scene: object -> x, y, z [m] and yaw [rad] at the start, env frame.
        still_from: step from which no hand moved until the end; None if the hands moved in the last 20 steps.
    """

    episode: int
    success: bool
    held: bool
    any_step: bool
    length: int
    reason: str | None
    failed_at: int | None
    scene: dict[str, list[float]]
    still_from: int | None = None


@dataclass(frozen=True)
class Rate:
    """A rate and its 95 % confidence interval."""

    rate: float
    low: float
    high: float

    @classmethod
    def of(cls, num_successes: int, num_trials: int) -> "Rate":
        """Rate of successes with its Wilson interval; 0 (0 to 1) without trials."""
        return cls(num_successes / max(num_trials, 1), *wilson_interval(num_successes, num_trials))

    def __str__(self) -> str:
        return f"{100 * self.rate:.1f} % ({100 * self.low:.1f} - {100 * self.high:.1f})"


@dataclass(frozen=True)
class Checkpoint:
    """Identity of an evaluated checkpoint, or of a policy without a checkpoint.

    Attributes:
        name: unique within an evaluation; used in names of files.
        path: file; None for a policy without a checkpoint.
        run: name of the training run.
        epoch: epoch of the training; None if unknown.
    """

    name: str
    path: str | None = None
    run: str = ""
    epoch: int | None = None


@dataclass
class CheckpointResult:
    """Result of the evaluation of one checkpoint.

    Attributes:
        episodes: episodes 0 .. K-1.
        env_steps: control steps of all envs together.
        seconds: time from the first reset to the last step [s].
        facts: metadata of the policy, included in `as_dict`.
        advice: what to change first, if few episodes succeeded; one sentence per line.
    """

    checkpoint: Checkpoint
    episodes: Sequence[Episode]
    env_steps: int = 0
    seconds: float = 0.0
    facts: dict[str, Any] = field(default_factory=dict)
    advice: Sequence[str] = ()

    @property
    def num_episodes(self) -> int:
        return len(self.episodes)

    @property
    def num_successes(self) -> int:
        return sum(episode.success for episode in self.episodes)

    @property
    def success(self) -> Rate:
        """Success rate by the success rule."""
        return Rate.of(self.num_successes, self.num_episodes)

    @property
    def any_step(self) -> Rate:
        """Rate of episodes with success in at least one step."""
        return Rate.of(sum(episode.any_step for episode in self.episodes), self.num_episodes)

    def mean_length(self, of_successes: bool) -> float | None:
        """Mean length of the successes, or of all episodes [steps]; None without episodes."""
        lengths = [episode.length for episode in self.episodes if episode.success or not of_successes]
        return sum(lengths) / len(lengths) if lengths else None

    @property
    def reasons(self) -> dict[str, int]:
        """Reason of failure -> number of episodes, the most frequent reason first."""
        counted = Counter(episode.reason for episode in self.episodes if episode.reason is not None)
        return dict(counted.most_common())

    def as_dict(self) -> dict[str, Any]:
        """Result as nested dicts and lists of JSON values."""
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
            "advice": list(self.advice),
            "env_steps": self.env_steps,
            "seconds": self.seconds,
            "episodes": [asdict(episode) for episode in self.episodes],
        }


def best_of(results: Sequence[CheckpointResult]) -> CheckpointResult:
    """Result with the highest success rate; among equal rates, of the latest epoch."""
    return max(results, key=lambda result: (result.success.rate, result.checkpoint.epoch or 0))


def by_epoch(results: Sequence[CheckpointResult]) -> list[dict[str, Any]]:
    """Summarize each epoch with checkpoints of several training runs: mean rate, its interval, lowest and highest rate.

    The interval treats the episodes of all runs as independent. The range from lowest to highest shows the effect of the
    training seed.
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
    """95 % confidence interval of a rate (Wilson, "Probable inference, the law of succession", JASA 22, 1927).

    Unlike the normal interval, it stays within [0, 1], and has a width > 0 if all trials succeeded. Without trials it is
    (0, 1).
    """
    if num_trials == 0:
        return 0.0, 1.0
    rate, z2 = num_successes / num_trials, _NORMAL_QUANTILE**2
    middle = rate + z2 / (2 * num_trials)
    half = _NORMAL_QUANTILE * sqrt(rate * (1 - rate) / num_trials + z2 / (4 * num_trials**2))
    scale = 1 + z2 / num_trials
    # These bounds are exactly 0 and 1 in theory; the formula would round.
    low = 0.0 if num_successes == 0 else (middle - half) / scale
    high = 1.0 if num_successes == num_trials else (middle + half) / scale
    return low, high

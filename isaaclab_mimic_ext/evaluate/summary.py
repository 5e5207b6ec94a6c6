"""Several training runs together: what an epoch gives, whatever the seed of the training."""

from collections.abc import Sequence
from typing import Any

from isaaclab_mimic_ext.evaluate.intervals import wilson_interval
from isaaclab_mimic_ext.evaluate.results import CheckpointResult


def by_epoch(results: Sequence[CheckpointResult]) -> list[dict[str, Any]]:
    """Of each epoch that several runs were evaluated at: mean rate, its interval over all episodes, lowest and highest run.

    The interval takes the episodes of all runs as independent; how far runs lie apart says what the training's seed does.
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

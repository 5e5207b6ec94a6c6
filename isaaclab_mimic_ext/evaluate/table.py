"""Evaluations and sweeps as tables on the terminal."""

from collections.abc import Sequence

from rich.table import Table

from isaaclab_mimic_ext.evaluate.results import CheckpointResult
from isaaclab_mimic_ext.evaluate.sweep import Outcome, Parameter

_NUM_REASONS = 2
"""The most frequent ones, so that a row stays a row."""


def result_table(results: Sequence[CheckpointResult], title: str) -> Table:
    """A row for each checkpoint."""
    table = Table(title=title, title_justify="left")
    table.add_column("checkpoint", overflow="fold")
    table.add_column("epoch", justify="right")
    table.add_column("episodes", justify="right")
    table.add_column("success (95 %)", no_wrap=True)
    table.add_column("any step", justify="right")
    table.add_column("steps", justify="right")
    table.add_column("fails for", overflow="fold")
    for result in results:
        epoch, length = result.checkpoint.epoch, result.mean_length(of_successes=True)
        table.add_row(
            result.checkpoint.name,
            "-" if epoch is None else str(epoch),
            str(result.num_episodes),
            str(result.success),
            f"{100 * result.any_step.rate:.1f} %",
            "-" if length is None else f"{length:.0f}",
            _reasons(result),
        )
    return table


def _reasons(result: CheckpointResult) -> str:
    reasons = list(result.reasons.items())
    named = [f"{count} {reason}" for reason, count in reasons[:_NUM_REASONS]]
    others = sum(count for _, count in reasons[_NUM_REASONS:])
    return ", ".join([*named, f"{others} other"] if others else named)


def sweep_table(outcomes: Sequence[Outcome], parameters: Sequence[Parameter], title: str) -> Table:
    """A row for each combination of values."""
    table = Table(title=title, title_justify="left")
    for parameter in parameters:
        table.add_column(parameter.name, overflow="fold")
    table.add_column("jobs", justify="right")
    table.add_column("generation (95 %)", no_wrap=True)
    table.add_column("policy (95 %)", no_wrap=True)
    table.add_column("the policy fails for" if any(o.policy for o in outcomes) else "trials fail for", overflow="fold")
    for outcome in outcomes:
        values = [str(outcome.values[parameter.name]) for parameter in parameters]
        rates = ["-" if rate is None else str(rate) for rate in (outcome.generation, outcome.policy)]
        table.add_row(*values, str(len(outcome.jobs)), *rates, _outcome_reasons(outcome))
    return table


def _outcome_reasons(outcome: Outcome) -> str:
    reasons = outcome.reasons.get("policy", outcome.reasons.get("generation", {}))
    return ", ".join(f"{count} {reason}" for reason, count in list(reasons.items())[:2])

"""Results of a policy in scenes that look different from its training data."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from isaaclab_mimic_ext.learn.results import CheckpointResult


@dataclass(frozen=True)
class LookResult:
    """Result of a checkpoint in episodes with random looks.

    Attributes:
        appearance: kind of the looks.
    """

    appearance: str
    result: CheckpointResult

    def as_dict(self) -> dict[str, Any]:
        """Result as in `evaluation.json`."""
        result = self.result
        return {
            "checkpoint": result.checkpoint.name,
            "appearance": self.appearance,
            "num_episodes": result.num_episodes,
            "num_successes": result.num_successes,
            "success_rate": result.success.rate,
            "interval": [result.success.low, result.success.high],
            "reasons": dict(result.reasons),
        }


def look_table(looks: Sequence[LookResult], results: Sequence[CheckpointResult]) -> Table:
    """Table of success rates with 95 % intervals: one row per checkpoint, one column per appearance."""
    kinds = list(dict.fromkeys(each.appearance for each in looks))
    table = Table(title="success with a random appearance in each episode (95 %)")
    for name in ("checkpoint", "own look", *kinds):
        table.add_column(name)
    found = {(each.result.checkpoint.name, each.appearance): each.result for each in looks}
    for result in results:
        row = [found.get((result.checkpoint.name, kind)) for kind in kinds]
        cells = [str(result.success), *("-" if each is None else str(each.success) for each in row)]
        table.add_row(result.checkpoint.name, *cells)
    return table

"""State of a run, from its folder: in progress, finished, or the reason for which it ended."""

from collections.abc import Mapping
from typing import Any

from isaaclab_mimic_ext.run.result import INTERRUPTED
from isaaclab_mimic_ext.run.session import RunFolder, is_in_use, stored_result
from isaaclab_mimic_ext.run.trial_records import RunRecords

IN_PROGRESS, WRITING, UNFINISHED, FINISHED = "in progress", "writing", "unfinished", "finished"
"""`WRITING`: the trials have ended and the dataset is written; statistics, pictures and videos follow. `UNFINISHED`: the
process of the run has ended without a result."""
STATES_WITHOUT_RESULT = (IN_PROGRESS, UNFINISHED, INTERRUPTED)
"""States in which the trials of the result are not known yet."""


def state_of(folder: RunFolder, facts: Mapping[str, Any]) -> str:
    """State of a run: one of `STATES_WITHOUT_RESULT`, `WRITING`, `FINISHED`, or the budget that ended the run.

    Args:
        facts: facts in the store of the run.
    """
    result = stored_result(facts)
    if is_in_use(folder):
        return IN_PROGRESS if result is None else WRITING
    if result is None:
        return UNFINISHED
    return FINISHED if result.target_reached else result.stop_reason


def counted_records(records: RunRecords, state: str) -> RunRecords:
    """Records of the trials of the result; of all ended trials while the result is not known."""
    if state in STATES_WITHOUT_RESULT:
        return records
    result = records.facts["result"]
    return records.only(records.trials < result.get("first_trial", 0) + result["num_attempts"])

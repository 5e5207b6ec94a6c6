"""Results of the blocks of a run: which blocks are complete, which belong to the same run, and which are still needed."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from isaaclab_mimic_ext.command_lines import command_line
from isaaclab_mimic_ext.config import DataGenConfig
from isaaclab_mimic_ext.errors import MoreBlocksNeeded, OutputError
from isaaclab_mimic_ext.run.block import check_identity, find_blocks
from isaaclab_mimic_ext.run.ledger import TrialLedger
from isaaclab_mimic_ext.run.result import RunResult
from isaaclab_mimic_ext.run.session import RunFolder, is_in_use, opened_store, stored_result
from isaaclab_mimic_ext.run.store import Outcomes, reading
from isaaclab_mimic_ext.texts import counted

_NUM_ASSUMED = 5
"""Number of successes that are added to the trials in an estimate of the success rate, as in `TrialLedger`."""
_CONFIDENCE = 2.0
"""Number of standard deviations by which the estimated number of further trials exceeds the mean."""


@dataclass(frozen=True)
class BlockResult:
    """A block that has been started.

    Attributes:
        facts: facts about the block from its store.
        reasons: names of the reasons of failure, by code.
        outcomes: outcomes of the trials that its datasets contain; no trials before the datasets are written.
        result: result of the block; None before its datasets are written.
    """

    index: int
    folder: RunFolder
    facts: dict[str, Any]
    reasons: tuple[str, ...]
    outcomes: Outcomes
    result: RunResult | None

    @property
    def size(self) -> int:
        """Number of trials of a block."""
        return int(self.facts["identity"]["block_size"])

    @property
    def is_complete(self) -> bool:
        """Return whether all trials of the block have ended."""
        return self.result is not None and self.result.end_trial == (self.index + 1) * self.size


def check_has_blocks(folder: Path) -> None:
    """Check that blocks have been started in the folder of a run.

    Raises:
        OutputError: there are none.
    """
    if not find_blocks(folder):
        example = command_line("generate", block=0, output_dir=folder)
        raise OutputError(f"output_dir: {folder} contains no blocks; generate them, the first one with: {example}")


def read_blocks(folder: Path) -> list[BlockResult]:
    """Read the blocks in the folder of a run, in the order of their indices.

    Raises:
        OutputError: a store is damaged, or a block belongs to a different run than the first one.
    """
    found = [_read(index, each) for index, each in find_blocks(folder).items()]
    for block in found[1:]:
        _check_same(found[0], block)
    return found


def _read(index: int, folder: RunFolder) -> BlockResult:
    is_running = is_in_use(folder)
    with opened_store(folder.store, read_only=True) as store, reading():
        facts, outcomes, reasons = store.facts(), store.outcomes(), tuple(store.reasons())
        result = None if is_running else stored_result(facts)
    if result is None or result.is_interrupted or not folder.demos.exists():
        return BlockResult(index, folder, facts, reasons, _first(outcomes, 0), None)
    return BlockResult(index, folder, facts, reasons, _first(outcomes, result.end_trial), result)


def _first(outcomes: Outcomes, end_trial: int) -> Outcomes:
    counts = outcomes.trials < end_trial
    return Outcomes(outcomes.trials[counts], outcomes.reason[counts])


def _check_same(first: BlockResult, other: BlockResult) -> None:
    remedy = f"generate block {other.index} again with overwrite=true and the values of block {first.index}"
    check_identity(other.folder.path, other.facts["identity"], first.facts["identity"], remedy)
    digests, expected = other.facts.get("provenance"), first.facts.get("provenance")
    if digests is not None and expected is not None and digests != expected:
        names = sorted(name for name in {*digests, *expected} if digests.get(name) != expected.get(name))
        raise OutputError(
            f"output_dir: {other.folder.path} was generated with different files than block {first.index} "
            f"({', '.join(names)}); generate block {other.index} again with overwrite=true"
        )
    if first.reasons and other.reasons and first.reasons != other.reasons:
        raise OutputError(f"output_dir: {other.folder.path} has different reasons of failure; {remedy}")


def common_rules(blocks: Sequence[BlockResult], num_trials: int | None) -> dict[str, Any]:
    """Target and budgets of a run: the largest with which one of its blocks was started; None: no limit.

    Args:
        num_trials: target that replaces that of the blocks; None: it is theirs.
    """
    started = [block.facts["limits"] for block in blocks if "limits" in block.facts]
    rules = {name: _loosest(name, [limits[name] for limits in started]) for name in started[0]} if started else {}
    return rules if num_trials is None else {**rules, "generation_num_trials": num_trials}


def _loosest(name: str, values: Sequence[Any]) -> Any:
    if None in values:
        return None
    return min(values) if name == "min_success_rate" else max(values)


def replay(blocks: Sequence[BlockResult], rules: DataGenConfig) -> TrialLedger:
    """Return the ledger of a run of one process whose trials ended as those of the blocks, up to the first missing trial."""
    counted_outcomes = [Outcomes(np.zeros(0, np.int64), np.zeros(0, np.int64))]
    for index, block in enumerate(blocks):
        if block.index != index:
            break
        counted_outcomes.append(block.outcomes)
        if not block.is_complete:
            break
    ledger = TrialLedger(replace(rules, max_time=None))
    ledger.restore(*(np.concatenate(arrays) for arrays in zip(*map(_arrays, counted_outcomes), strict=True)))
    return ledger


def _arrays(outcomes: Outcomes) -> tuple[np.ndarray, np.ndarray]:
    return outcomes.trials, outcomes.reason


def needed_blocks(blocks: Sequence[BlockResult], rules: DataGenConfig) -> list[int]:
    """Indices of the blocks that have to run before the run ends, as far as their number can be estimated."""
    complete = {block.index: block for block in blocks if block.is_complete}
    gaps = [index for index in range(max(complete, default=-1)) if index not in complete]
    num_needed = max(len(gaps), math.ceil(_further_trials(list(complete.values()), rules) / blocks[0].size))
    candidates = (index for index in range(len(complete) + num_needed) if index not in complete)
    return [*candidates][:num_needed]


def _further_trials(complete: Sequence[BlockResult], rules: DataGenConfig) -> float:
    """Number of trials in addition to those of complete blocks after which the target is reached, very probably."""
    trials = sum(len(block.outcomes.trials) for block in complete)
    successes = sum(int(block.outcomes.success.sum()) for block in complete)
    wanted = float(rules.generation_num_trials - trials)
    if rules.generation_guarantee:
        rate = (successes + _NUM_ASSUMED) / (trials + _NUM_ASSUMED)
        spread = _CONFIDENCE / 2 * math.sqrt(1 - rate)
        wanted = max(rules.generation_num_trials - successes, 0)
        wanted = (spread + math.sqrt(spread**2 + wanted)) ** 2 / rate if wanted else 0.0
    return max(wanted if rules.max_trials is None else min(wanted, rules.max_trials - trials), 1)


def more_needed(folder: Path, blocks: Sequence[BlockResult], rules: DataGenConfig) -> MoreBlocksNeeded:
    """Build the error for a run whose blocks do not reach its target or a budget."""
    started, complete = {block.index for block in blocks}, {block.index for block in blocks if block.is_complete}
    needed = needed_blocks(blocks, rules)
    highest = max(complete, default=-1)
    states = {
        "missing": [index for index in range(highest) if index not in started],
        "unfinished": sorted(started - complete),
    }
    listed = "".join(f"; {state}: {ranges(indices)}" for state, indices in states.items() if indices)
    successes = sum(int(block.outcomes.success.sum()) for block in blocks if block.is_complete)
    trials = sum(len(block.outcomes.trials) for block in blocks if block.is_complete)
    done, unit = (successes, "demo") if rules.generation_guarantee else (trials, "trial")
    is_changed = common_rules(blocks, None).get("generation_num_trials") != rules.generation_num_trials
    target = {"num_trials": rules.generation_num_trials} if is_changed else {}
    command = command_line("generate", resume=True, output_dir=folder, **target, block=needed[0])
    return MoreBlocksNeeded(
        f"output_dir: {counted(len(complete), 'complete block')} of {folder} with {done} of "
        f"{counted(rules.generation_num_trials, unit)}{listed}; run blocks {ranges(needed)}, the first one with: {command}",
        needed,
    )


def ranges(indices: Iterable[int]) -> str:
    """Return sorted indices in the notation of job arrays: `0,2-5`."""
    found: list[list[int]] = []
    for index in indices:
        if found and index == found[-1][1] + 1:
            found[-1][1] = index
        else:
            found.append([index, index])
    return ",".join(f"{first}" if first == last else f"{first}-{last}" for first, last in found)


def summary_of(blocks: Sequence[BlockResult]) -> list[Mapping[str, Any]]:
    """One row per block that has a result, with what changes when the block is generated again."""
    return [
        {
            "block": block.index,
            "trials": len(block.outcomes.trials),
            "successes": int(block.outcomes.success.sum()),
            "failures": block.result.failures,
            "elapsed_s": round(block.result.elapsed, 3),
            "bytes": block.folder.demos.stat().st_size,
        }
        for block in blocks
        if block.result is not None
    ]

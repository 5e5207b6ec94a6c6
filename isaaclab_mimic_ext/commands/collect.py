"""`mimic collect`: collect the blocks of a run into one dataset."""

import json

from isaaclab_mimic_ext.command_lines import command_line
from isaaclab_mimic_ext.config import CollectCfg
from isaaclab_mimic_ext.config.commands import BLOCKS
from isaaclab_mimic_ext.errors import BudgetExhausted
from isaaclab_mimic_ext.run.collect import Collected, collect
from isaaclab_mimic_ext.run.collected_files import LINKS, MANIFEST, SHARDS
from isaaclab_mimic_ext.run.result import RunResult
from isaaclab_mimic_ext.texts import counted

_BLOCK_FILES = f"files of the blocks, in {BLOCKS}"
_PLACES = {LINKS: _BLOCK_FILES, MANIFEST: _BLOCK_FILES, SHARDS: "copies of the files of the blocks, in demo_shards"}
"""Mode -> place of the demos, if they are not in the dataset."""


def main(cfg: CollectCfg) -> Collected:
    """Collect blocks as configured, and report the result.

    Raises:
        UsageError: the folder has no blocks, or blocks of different runs.
        FolderInUse: another process works in the folder.
        MoreBlocksNeeded: the target needs further blocks.
        BudgetExhausted: a budget ends the run before its target; the demos are in the output folder.
    """
    done = collect(cfg.output_dir, cfg.datagen_config.generation_num_trials, cfg.overwrite, mode=cfg.mode)
    result = done.result
    trials = f"{counted(result.num_attempts, 'trial')} ({100 * result.success_rate:.1f}% success rate)"
    verb = "Collected" if done.is_new else "Already collected"
    demos = f"{counted(result.num_successes, 'demo')} of {trials}"
    lines = [f"{verb} {counted(done.num_blocks, 'block')}: {demos} in {result.dataset}"]
    if cfg.mode in _PLACES:
        lines.append(
            f"  The demos are in the {_PLACES[cfg.mode]}: keep the folder, and move it together with {result.dataset.name}"
        )
    lines += [f"  {count} failed: {reason}" for reason, count in result.failures.items()]
    figures = {"output_dir": cfg.output_dir, "dataset": str(result.dataset), "num_demos": result.num_successes}
    figures |= {"num_blocks": done.num_blocks, "is_new": done.is_new}
    if cfg.mode == MANIFEST:
        figures |= {**result.dataset_attributes(), "failures": result.failures}
    else:
        lines += _next_commands(result)
        figures |= result.stats()
    print(json.dumps(figures, indent=2) if cfg.json else "\n".join(lines))
    if not result.target_reached:
        demos = counted(result.num_successes, "demo is", "demos are")
        raise BudgetExhausted(
            f"{result.stop_reason}; {demos} in {result.dataset}; to continue, "
            "generate one of the blocks again with a larger budget"
        )
    return done


def _next_commands(result: RunResult) -> list[str]:
    lines = [f"To see success by subtask and reasons of failure: {command_line('report', input_dir=result.output_dir)}"]
    if result.num_demos >= 2:
        lines.append(f"Next, split the demos for training: {command_line('split', input_file=result.dataset)}")
    return lines

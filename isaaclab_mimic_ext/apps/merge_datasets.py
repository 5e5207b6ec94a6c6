"""`scripts/merge_datasets.py`: several datasets into one."""

from isaaclab_mimic_ext.commands.progress import ProgressBar
from isaaclab_mimic_ext.config import MergeDatasetsCfg
from isaaclab_mimic_ext.datasets.merge import Merged, merge_datasets


def main(cfg: MergeDatasetsCfg) -> Merged:
    """Merge datasets as configured and say what was written.

    Raises:
        UsageError: the files do not fit together, or the output cannot be written; nothing was written.
    """
    with ProgressBar("merging", cfg.progress, log_period=None) as bar:
        merged = merge_datasets(cfg.input_file, cfg.output_file, cfg.overwrite, bar.update)
    print(f"Merged {len(cfg.input_file)} files: {merged.num_demos} demos, {merged.num_steps} steps in {cfg.output_file}")
    for name, count in merged.masks.items():
        print(f"  mask/{name}: {count} demos")
    for name in merged.dropped_masks:
        print(f"  mask/{name}: left out, not every file has it")
    return merged

"""`scripts/split_dataset.py`: `mask/train` and `mask/valid` into a dataset."""

from isaaclab_mimic_ext.config import SplitDatasetCfg
from isaaclab_mimic_ext.datasets.split import Split, split_dataset


def main(cfg: SplitDatasetCfg) -> Split:
    """Split a dataset as configured and say what was written.

    Raises:
        UsageError: the file or the ratio is no use; the file was not changed.
    """
    split = split_dataset(cfg.input_file, cfg.ratio, cfg.seed, cfg.by_source_demo)
    verb = "Replaced the split of" if split.replaced else "Split"
    print(f"{verb} {cfg.input_file}: {len(split.train)} demos in mask/train, {len(split.valid)} in mask/valid")
    if split.held_out:
        print(f"Held out: {', '.join(split.held_out)}; no demo of mask/train was made from them")
    return split

"""`scripts/prepare_dataset.py`: what training of large models wants changed in a dataset."""

from isaaclab_mimic_ext.config import PrepareDatasetCfg
from isaaclab_mimic_ext.datasets.prepare import Prepared, PrepareOptions, prepare_dataset


def main(cfg: PrepareDatasetCfg) -> Prepared:
    """Prepare a dataset as configured and say what was written.

    Raises:
        UsageError: something asked for is wrong; nothing was written.
    """
    options = PrepareOptions(cfg.add_rtgs, cfg.low_dim_keys, cfg.sparse_reward, cfg.img_key, cfg.crop_dim)
    done = prepare_dataset(cfg.input_file, cfg.output_file, options, cfg.compress, cfg.overwrite)
    print(f"Prepared {done.num_demos} demos, {done.num_steps} steps; saved to {cfg.output_file}")
    print("Observations: " + ", ".join(done.obs_keys))
    return done

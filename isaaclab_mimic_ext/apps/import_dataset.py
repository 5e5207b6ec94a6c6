"""`scripts/import_dataset.py`: MimicGen's source files to Isaac Lab's annotated layout."""

from isaaclab_mimic_ext.config import ImportDatasetCfg
from isaaclab_mimic_ext.datasets.import_mimicgen import Imported, ImportOptions, import_mimicgen


def main(cfg: ImportDatasetCfg) -> Imported:
    """Import a file as configured and say what was written.

    Raises:
        UsageError: something asked for is wrong; nothing was written.
    """
    options = ImportOptions(cfg.eef_name, cfg.rename.objects, cfg.rename.signals, cfg.gripper_sign)
    done = import_mimicgen(cfg.input_file, cfg.output_file, options, cfg.compress, cfg.overwrite)
    print(f"Imported {done.num_demos} demos, {done.num_steps} steps; saved to {cfg.output_file}")
    print(f"Objects: {', '.join(done.object_names)}; signals: {', '.join(done.signal_names)}")
    if done.gripper_flipped:
        print("The gripper's actions changed sign: robosuite closes at +1, Isaac Lab opens (gripper_sign=keep leaves them)")
    return done

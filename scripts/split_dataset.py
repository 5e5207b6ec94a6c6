"""Split a dataset into train and valid, as robomimic reads it: `mask/train` and `mask/valid` are written into the file.

    python scripts/split_dataset.py input_file=generated.hdf5 ratio=0.8
    python scripts/split_dataset.py input_file=generated.hdf5 ratio=0.8 by_source_demo=true

`--help` shows every field.
"""

if __name__ == "__main__":
    from isaaclab_mimic_ext.commands.main import run_script

    run_script("split_dataset")

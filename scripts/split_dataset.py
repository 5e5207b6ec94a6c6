"""Split a dataset into training and validation demos: write robomimic's `mask/train` and `mask/valid` into the file.

    python scripts/split_dataset.py input_file=generated.hdf5 ratio=0.8
    python scripts/split_dataset.py input_file=generated.hdf5 ratio=0.8 by_source_demo=true

`--help` shows all fields. The same as `mimic split`.
"""

if __name__ == "__main__":
    from isaaclab_mimic_ext.commands.main import run_script

    run_script("split_dataset")

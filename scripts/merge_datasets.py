"""Merge datasets of the same task into one; their demos are renumbered in the order of the files.

    python scripts/merge_datasets.py "input_file=[a.hdf5,b.hdf5]" output_file=merged.hdf5

`--help` shows every field.
"""

if __name__ == "__main__":
    from isaaclab_mimic_ext.commands.main import run_script

    run_script("merge_datasets")

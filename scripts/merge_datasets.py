"""Merge datasets of the same task into one. The demos are renumbered in the order of the files.

    python scripts/merge_datasets.py "input_file=[a.hdf5,b.hdf5]" output_file=merged.hdf5
    python scripts/merge_datasets.py "input_file=[a.hdf5,b.hdf5]" output_file=merged.hdf5 overwrite=true

`--help` shows all fields. The same as `mimic merge`.
"""

if __name__ == "__main__":
    from isaaclab_mimic_ext.commands.main import run_script

    run_script("merge_datasets")

"""Show what is in a dataset: its tree, counts, lengths, ranges of the objects' poses.

    python scripts/inspect_dataset.py input_file=generated.hdf5
    python scripts/inspect_dataset.py input_file=generated.hdf5 --json
    python scripts/inspect_dataset.py input_file=generated.hdf5 --digest

`--help` shows every field.
"""

if __name__ == "__main__":
    from isaaclab_mimic_ext.commands.main import run_script

    run_script("inspect_dataset")

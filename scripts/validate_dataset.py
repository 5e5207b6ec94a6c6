"""Check whether a dataset can be trusted: structure, values, counts, and whether demos succeed when they are replayed.

    python scripts/validate_dataset.py input_file=generated.hdf5
    python scripts/validate_dataset.py input_file=generated.hdf5 num_replays=20 --strict --json

The exit code is 0 for a valid file, 1 for one with faults (`--strict`: warnings too), 2 for one that cannot be read.
`--help` shows every field.
"""

if __name__ == "__main__":
    from isaaclab_mimic_ext.commands.main import run_script

    run_script("validate_dataset")

"""Check the structure and values of a dataset, and replay some of its demos.

    python scripts/validate_dataset.py input_file=generated.hdf5
    python scripts/validate_dataset.py input_file=generated.hdf5 num_replays=20 strict=true json=true

Exit code: 0 for a valid file, 1 with errors (`strict=true`: also warnings), 2 if the file cannot be read.
`--help` shows all fields. The same as `mimic validate`.
"""

if __name__ == "__main__":
    from isaaclab_mimic_ext.commands.main import run_script

    run_script("validate_dataset")

"""Show the contents of a dataset: groups, number and lengths of demos, ranges of object poses.

    python scripts/inspect_dataset.py input_file=generated.hdf5
    python scripts/inspect_dataset.py input_file=generated.hdf5 json=true
    python scripts/inspect_dataset.py input_file=generated.hdf5 digest=true

`--help` shows all fields. The same as `mimic inspect`.
"""

if __name__ == "__main__":
    from isaaclab_mimic_ext.commands.main import run_script

    run_script("inspect_dataset")

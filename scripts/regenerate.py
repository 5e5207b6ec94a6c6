"""Generate a dataset again from the configuration, source demos and seed that it records, and compare the digests.

    python scripts/regenerate.py datasets/run/demo.hdf5
    python scripts/regenerate.py input_file=demo.hdf5 source_file=moved/annotated.hdf5 output_dir=again

`--help` shows all fields. The same as `mimic regenerate`.
"""

if __name__ == "__main__":
    from isaaclab_mimic_ext.commands.main import run_script

    run_script("regenerate")

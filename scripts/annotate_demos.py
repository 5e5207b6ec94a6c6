"""Write subtask boundaries into recorded demonstrations, by replaying them.

    python scripts/annotate_demos.py auto=true input_file=raw.hdf5 output_file=annotated.hdf5

`--help` shows every field.
"""

if __name__ == "__main__":
    from isaaclab_mimic_ext.commands.main import run_script

    run_script("annotate_demos")

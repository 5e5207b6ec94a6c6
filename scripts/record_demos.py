"""Record source demonstrations by an operator.

    python scripts/record_demos.py task=desktop_organizer teleop_device=scripted num_demos=10 output_file=raw.hdf5

`--help` shows every field.
"""

if __name__ == "__main__":
    from isaaclab_mimic_ext.commands.main import run_script

    run_script("record_demos")

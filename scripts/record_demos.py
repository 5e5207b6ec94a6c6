"""Record source demos of an operator.

    python scripts/record_demos.py task=desktop_organizer teleop_device=scripted num_demos=10 output_file=raw.hdf5
    python scripts/record_demos.py sim=isaaclab teleop_device=keyboard num_demos=10 output_file=raw.hdf5

`--help` shows all fields. The same as `mimic record`.
"""

if __name__ == "__main__":
    from isaaclab_mimic_ext.commands.main import run_script

    run_script("record_demos")

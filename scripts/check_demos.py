"""Check annotated source demos for faults before generation; report demo, step and remedy of each fault.

    python scripts/check_demos.py task=desktop_organizer input_file=annotated.hdf5
    python scripts/check_demos.py input_file=annotated.hdf5 output_file=demos.png
    python scripts/check_demos.py input_file=annotated.hdf5 json=true

Exit code: 0 without errors, 1 with errors, 2 if the file cannot be read.
`--help` shows all fields. The same as `mimic check`.
"""

if __name__ == "__main__":
    from isaaclab_mimic_ext.commands.main import run_script

    run_script("check_demos")

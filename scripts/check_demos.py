"""Find out before any generation what would make it fail: each fault with the demo, the step and the remedy.

    python scripts/check_demos.py task=desktop_organizer input_file=annotated.hdf5
    python scripts/check_demos.py input_file=annotated.hdf5 picture_file=demos.png
    python scripts/check_demos.py input_file=annotated.hdf5 --json

The exit code is 0 for demos that can be generated from, 1 if there are errors, 2 for a file that cannot be read.
`--help` shows every field.
"""

if __name__ == "__main__":
    from isaaclab_mimic_ext.commands.main import run_script

    run_script("check_demos")

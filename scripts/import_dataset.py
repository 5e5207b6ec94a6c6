"""Import source demonstrations of MimicGen (robomimic files with `datagen_info`) as an annotated source file.

    python scripts/import_dataset.py input_file=square.hdf5 output_file=datasets/square.hdf5 \\
        'rename.objects={square_nut: nut}' 'rename.signals={grasp: grasped}'

`--help` shows every field; docs/interchange.md says what becomes of what.
"""

if __name__ == "__main__":
    from isaaclab_mimic_ext.commands.main import run_script

    run_script("import_dataset")

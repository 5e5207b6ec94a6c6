"""Import source demos of MimicGen (robomimic layout with `datagen_info`) as annotated source demos.

    python scripts/import_dataset.py input_file=square.hdf5 output_file=datasets/square.hdf5
    python scripts/import_dataset.py input_file=square.hdf5 output_file=datasets/square.hdf5 rename.objects.square_nut=nut

`--help` shows all fields; docs/interchange.md describes the conversion. The same as `mimic import`.
"""

if __name__ == "__main__":
    from isaaclab_mimic_ext.commands.main import run_script

    run_script("import_dataset")

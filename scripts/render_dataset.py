"""Add pictures to a dataset: draw its recorded states again, with any cameras and sizes.

    python scripts/render_dataset.py input_file=run/demo.hdf5 output_file=run/demo_pictures.hdf5
    python scripts/render_dataset.py input_file=run/demo.hdf5 output_file=front.hdf5 cameras=[front] size=[240,320]

`--help` shows all fields. The same as `mimic render`.
"""

if __name__ == "__main__":
    from isaaclab_mimic_ext.commands.main import run_script

    run_script("render_dataset")

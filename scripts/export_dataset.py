"""Export a dataset to robomimic's (MimicGen's) layout or as a LeRobot dataset.

    python scripts/export_dataset.py format=robomimic input_file=demo.hdf5 output_file=demo_robomimic.hdf5 next_obs=true
    python scripts/export_dataset.py format=lerobot input_file=demo.hdf5 output_dir=demo_lerobot

`--help` shows all fields; docs/interchange.md describes the conversion. The same as `mimic export`.
"""

if __name__ == "__main__":
    from isaaclab_mimic_ext.commands.main import run_script

    run_script("export_dataset")

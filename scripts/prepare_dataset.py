"""Prepare a dataset for the training of large models: add returns-to-go or sparse rewards, drop or crop images.

    python scripts/prepare_dataset.py input_file=demo.hdf5 output_file=sparse.hdf5 --add_rtgs --low_dim_keys --sparse_reward
    python scripts/prepare_dataset.py input_file=demo.hdf5 output_file=image.hdf5 img_key=agentview_image crop_dim=64

`--help` shows all fields. The same as `mimic prepare`.
"""

if __name__ == "__main__":
    from isaaclab_mimic_ext.commands.main import run_script

    run_script("prepare_dataset")

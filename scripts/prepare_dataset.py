"""Prepare a dataset for training: returns-to-go, sparse rewards, without images or with one that is cropped, compressed.

    python scripts/prepare_dataset.py input_file=demo.hdf5 output_file=sparse.hdf5 --add_rtgs --low_dim_keys --sparse_reward
    python scripts/prepare_dataset.py input_file=demo.hdf5 output_file=image.hdf5 img_key=agentview_image crop_dim=64

`--help` shows every field.
"""

if __name__ == "__main__":
    from isaaclab_mimic_ext.commands.main import run_script

    run_script("prepare_dataset")

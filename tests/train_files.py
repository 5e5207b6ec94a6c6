"""Small datasets for tests of training."""

from pathlib import Path

import h5py
import numpy as np

from isaaclab_mimic_ext.datasets.split import split_dataset
from isaaclab_mimic_ext.learn.agents import load_agent, low_dim_keys
from tests.builders import make_source_file

_WIDTHS = {"eef_quat": 4, "gripper_pos": 2}


def make_train_file(path: Path, num_demos: int = 5) -> Path:
    """Write a split dataset of `desktop_organizer` with the observations of its agents (smooth random numbers)."""
    make_source_file(path, num_demos=num_demos)
    rng = np.random.default_rng(0)
    with h5py.File(path, "r+") as file:
        for demo in file["data"].values():
            for key in low_dim_keys(load_agent("desktop_organizer", "bc"), "bc"):
                if key not in demo["obs"]:
                    steps = rng.normal(size=(len(demo["actions"]), _WIDTHS.get(key, 3)))
                    demo["obs"][key] = (0.01 * steps.cumsum(0)).astype(np.float32)
    split_dataset(path, 0.6, seed=1)
    return path

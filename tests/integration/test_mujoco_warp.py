"""Whole runs on MuJoCo Warp, on its CPU device."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from isaaclab_mimic_ext.config.compose import load_config
from isaaclab_mimic_ext.files.digest import dataset_digest
from isaaclab_mimic_ext.run.generate import generate_run
from tests import requires

pytestmark = pytest.mark.slow


def run(output: Path, num_envs: int) -> Path:
    settings = [
        "sim=mujoco_warp",
        f"num_envs={num_envs}",
        "datagen_config.generation_num_trials=3",
        "video=false",
        "progress=false",
        "enable_cameras=true",
        "cameras.size=[8,12]",
        "cameras.modalities=[rgb,depth,segmentation]",
    ]
    result = generate_run(load_config("generate", [*settings, f"output_dir={output}"]))
    assert result.success_rate == 1.0
    return result.dataset


def test_dataset_does_not_depend_on_the_number_of_envs(tmp_path: Path) -> None:
    requires.module("mujoco_warp", "mujoco_warp")
    one = run(tmp_path / "one", 3)
    assert dataset_digest(one) == dataset_digest(run(tmp_path / "other", 2))
    with h5py.File(one) as file:
        demo = file["data/demo_0"]
        for camera in ("agentview", "wrist"):
            pictures = demo[f"obs/{camera}"]
            assert (pictures.shape, pictures.dtype) == ((len(demo["actions"]), 8, 12, 3), np.uint8)
            assert len(np.unique(pictures[:], axis=0)) > 50
            for modality, dtype in (("depth", np.float32), ("segmentation", np.uint8)):
                measured = demo[f"obs/{camera}_{modality}"]
                assert (measured.shape, measured.dtype) == ((len(demo["actions"]), 8, 12, 1), dtype)
                assert len(np.unique(measured[:], axis=0)) > 20

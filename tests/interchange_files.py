"""Small files in MimicGen's layout, and datasets with images, for tests of import, export and preparation."""

# T steps of one demo, H x W pixels

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tests.builders import EEF_NAME, make_demo, make_source_file

CAMERAS = ("agentview_image", "robot0_eye_in_hand_image")
SRC_DEMO_INDS = np.array([3, 1, 4])
ROBOSUITE_ARGS = {"env_name": "Square_D0", "type": 1, "env_version": "1.4.1", "env_kwargs": {"control_freq": 20}}
_LENGTHS = (60, 63)


def make_mimicgen_file(path: Path, env_args: dict[str, Any] | None = None, annotated: bool = True) -> Path:
    """Write two demos as MimicGen's `prepare_src_dataset.py` writes them; with `annotated=False`, as it reads them."""
    rng = np.random.default_rng(5)
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        data.attrs.update({"env_args": json.dumps(env_args or ROBOSUITE_ARGS), "total": sum(_LENGTHS), "env": "Square_D0"})
        for index, num_steps in enumerate(_LENGTHS):
            demo = data.create_group(f"demo_{index}")
            demo.attrs.update({"num_samples": num_steps, "model_file": "<mujoco/>" * 20_000})
            _write_robosuite_demo(demo, make_demo(rng, num_steps), rng, annotated)
        file["mask/train"] = np.array(["demo_1"], dtype="S")
    return path


def _write_robosuite_demo(demo: h5py.Group, made: dict[str, Any], rng: np.random.Generator, annotated: bool) -> None:
    num_steps = len(made["actions"])
    demo["actions"] = made["actions"]
    demo["states"] = rng.normal(size=(num_steps, 11))
    demo["obs/robot0_eef_pos"] = made["obs"]["eef_pos"]
    demo["obs/agentview_image"] = random_images(rng, num_steps, 12, 16)
    demo["rewards"] = (np.arange(num_steps) > num_steps - 4).astype(np.float64)
    demo["dones"] = (np.arange(num_steps) == num_steps - 1).astype(np.int64)
    demo["src_demo_inds"] = SRC_DEMO_INDS
    if not annotated:
        return
    info = made["obs"]["datagen_info"]
    demo["datagen_info/eef_pose"] = info["eef_pose"][EEF_NAME]
    demo["datagen_info/target_pose"] = info["target_eef_pose"][EEF_NAME]
    demo["datagen_info/gripper_action"] = made["actions"][:, -1:]
    for name, pose in info["object_pose"].items():
        demo[f"datagen_info/object_poses/{name}"] = pose
    for name, signal in info["subtask_term_signals"].items():
        demo[f"datagen_info/subtask_term_signals/{name}"] = signal.astype(np.int64)
    demo["datagen_info"].attrs.update({"env_interface_name": "MG_Square", "env_interface_type": "robosuite"})


def make_image_dataset(path: Path, num_demos: int = 3, size: tuple[int, int] = (20, 24)) -> Path:
    """Write an annotated dataset with two cameras and without rewards, in Isaac Lab's layout; the last demo failed."""
    make_source_file(path, num_demos)
    rng = np.random.default_rng(1)
    with h5py.File(path, "r+") as file:
        for name in CAMERAS:
            for demo in file["data"].values():
                demo[f"obs/{name}"] = random_images(rng, len(demo["actions"]), *size)
        file[f"data/demo_{num_demos - 1}"].attrs["success"] = False
        file["mask/train"] = np.array(["demo_0", "demo_2"], dtype="S")
    return path


def random_images(rng: np.random.Generator, num_steps: int, height: int, width: int) -> np.ndarray:
    """Random gradients, which a video encoder can represent, shape (T, H, W, 3) uint8."""
    ends = rng.integers(0, 255, (num_steps, 2, 3))
    fraction = np.linspace(0.0, 1.0, height * width).reshape(1, height, width, 1)
    return (ends[:, None, None, 0] * (1 - fraction) + ends[:, None, None, 1] * fraction).astype(np.uint8)

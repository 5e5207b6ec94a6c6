"""Typical faults of human demos, planted into a copy of a source file."""

# T steps of a demo

import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import torch

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.math import matrix_from_quat_xyzw, quat_xyzw_from_matrix

EEF = "franka"
INFO = "obs/datagen_info"
TARGET, ACHIEVED = f"{INFO}/target_eef_pose/{EEF}", f"{INFO}/eef_pose/{EEF}"
OBJECTS = f"{INFO}/object_pose"
SIGNALS = f"{INFO}/subtask_term_signals"
_MISREAD_AXES = [3, 0, 1, 2]
"""Entries of a quaternion xyzw as wxyz takes them."""

PlantInDemo = Callable[[h5py.Group], None]


def planted_file(clean: Path, path: Path, plant: PlantInDemo, names: list[str] | None = None) -> Path:
    """A copy of `clean` with the fault in the demos `names` (None: all), and without digests, which would detect it."""
    shutil.copyfile(clean, path)
    with h5py.File(path, "r+") as file:
        for name, demo in file["data"].items():
            demo.attrs.pop("digest", None)
            if names is None or name in names:
                plant(demo)
    return path


def rewrite(demo: h5py.Group, path: str, values: np.ndarray) -> None:
    """Replace a dataset by values of any length."""
    dtype = demo[path].dtype
    del demo[path]
    demo[path] = values.astype(dtype)


def scale_targets(factor: float) -> PlantInDemo:
    """Targets `factor` times as far from the arm as they were: meters for normalized actions, or the reverse."""

    def plant(demo: h5py.Group) -> None:
        target, achieved = demo[TARGET][()], demo[ACHIEVED][()]
        target[:, :3, 3] = achieved[:, :3, 3] + factor * (target - achieved)[:, :3, 3]
        rewrite(demo, TARGET, target)

    return plant


def turn_targets(angle: float) -> PlantInDemo:
    """Motions turned by an angle [rad] about z: another frame of reference."""

    def plant(demo: h5py.Group) -> None:
        target, achieved = demo[TARGET][()], demo[ACHIEVED][()]
        cos, sin = np.cos(angle), np.sin(angle)
        turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
        target[:, :3, 3] = achieved[:, :3, 3] + (target - achieved)[:, :3, 3] @ turn.T
        rewrite(demo, TARGET, target)

    return plant


def shift_targets(offset: tuple[float, float, float]) -> PlantInDemo:
    """Targets in a frame whose origin is elsewhere [m]."""

    def plant(demo: h5py.Group) -> None:
        target = demo[TARGET][()]
        target[:, :3, 3] += offset
        rewrite(demo, TARGET, target)

    return plant


def read_actions_as_positions(demo: h5py.Group) -> None:
    """Relative actions read as absolute: every target is near the env's origin."""
    target = demo[TARGET][()]
    target[:, :3, 3] = demo["actions"][:, :3]
    rewrite(demo, TARGET, target)


def misread_quaternions(demo: h5py.Group) -> None:
    """Targets' quaternions written as xyzw and read as wxyz."""
    target = demo[TARGET][()]
    target[:, :3, :3] = _rotation(_quaternion(target[:, :3, :3])[:, _MISREAD_AXES])
    rewrite(demo, TARGET, target)


def move_gripper(num_steps: int) -> PlantInDemo:
    """Shift the gripper commands by a number of steps; negative: earlier."""

    def plant(demo: h5py.Group) -> None:
        actions = demo["actions"][()]
        gripper = actions[:, -1]
        padded = np.pad(gripper, abs(num_steps), mode="edge")
        start = abs(num_steps) - num_steps
        actions[:, -1] = padded[start : start + len(gripper)]
        rewrite(demo, "actions", actions)

    return plant


def keep_steps(first: int, last: int | None) -> PlantInDemo:
    """Only the steps from `first` to `last` (exclusive), as if recorded too late or stopped too early."""

    def plant(demo: h5py.Group) -> None:
        paths = list(trees.flatten(demo))
        if first:
            for path in [path for path in paths if path.startswith("initial_state/")]:
                rewrite(demo, path, demo[path.replace("initial_state", "states", 1)][first - 1 : first])
        for path in paths:
            if not path.startswith("initial_state/"):
                rewrite(demo, path, demo[path][first:last])
        demo.attrs["num_samples"] = len(demo["actions"])

    return plant


def shift_signal(name: str, rise: Callable[[h5py.Group], int]) -> PlantInDemo:
    """The signal rises at another step."""

    def plant(demo: h5py.Group) -> None:
        step = rise(demo)
        rewrite(demo, f"{SIGNALS}/{name}", np.arange(len(demo["actions"])) >= step)

    return plant


def rise_of(name: str) -> Callable[[h5py.Group], int]:
    return lambda demo: int(np.argmax(demo[f"{SIGNALS}/{name}"][()]))


def move_everything(offset: tuple[float, float, float]) -> PlantInDemo:
    """The whole scene somewhere else [m]: hand, targets and objects."""

    def plant(demo: h5py.Group) -> None:
        for path in [TARGET, ACHIEVED, *(f"{OBJECTS}/{name}" for name in demo[OBJECTS])]:
            poses = demo[path][()]
            poses[:, :3, 3] += offset
            rewrite(demo, path, poses)

    return plant


def move_from(paths: tuple[str, ...], step: int, offset: tuple[float, float, float]) -> PlantInDemo:
    """Poses that are elsewhere from a step on [m]."""

    def plant(demo: h5py.Group) -> None:
        for path in paths:
            poses = demo[path][()]
            poses[step:, :3, 3] += offset
            rewrite(demo, path, poses)

    return plant


def stand_still(step: int, num_steps: int) -> PlantInDemo:
    """Repeat a step several times, without motion."""

    def plant(demo: h5py.Group) -> None:
        paths = list(trees.flatten(demo))
        for path in [path for path in paths if not path.startswith("initial_state/")]:
            rewrite(demo, path, np.insert(demo[path][()], [step] * num_steps, demo[path][step], axis=0))
        target = demo[TARGET][()]
        target[step : step + num_steps] = demo[ACHIEVED][step]
        rewrite(demo, TARGET, target)
        demo.attrs["num_samples"] = len(demo["actions"])

    return plant


def _quaternion(rot: np.ndarray) -> np.ndarray:
    """Quaternions xyzw (T, 4) of rotations (T, 3, 3)."""
    return quat_xyzw_from_matrix(torch.from_numpy(rot)).numpy()


def _rotation(quat_xyzw: np.ndarray) -> np.ndarray:
    return matrix_from_quat_xyzw(torch.from_numpy(quat_xyzw.copy())).numpy()

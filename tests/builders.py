"""Small synthetic HDF5 files in Isaac Lab's layout, for tests that need data but no simulator."""

# T time steps of a demo, D demos

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from isaaclab_mimic_ext import trees

EEF_NAME = "franka"
OBJECT_NAMES = ("ketchup", "basket", "orange_juice", "cream_cheese")
SIGNAL_NAMES = ("reach", "grasp", "lift", "place")
SIGNAL_FRACTIONS = (0.30, 0.45, 0.65, 0.90)
"""Fraction of a demo at which each signal rises; far enough apart for offsets of (3, 8) from 60 steps on."""
ACTION_DIM = 7
ACTION_SPEC = {"type": "ik_rel", "pos_scale": 0.05, "rot_scale": 0.25, "dim": ACTION_DIM}
ENV_ARGS = {
    "env_name": "desktop_organizer",
    "type": 2,
    "engine": "synthetic",
    "sim_args": {"dt": 0.05, "decimation": 1, "render_interval": 1, "num_envs": 1},
    "action": ACTION_SPEC,
    "eef_names": [EEF_NAME],
    "object_names": list(OBJECT_NAMES),
}
_DEFAULT_POS = {
    "ketchup": (0.48, 0.15, 0.075),
    "basket": (0.50, -0.20, 0.0),
    "orange_juice": (0.55, 0.05, 0.065),
    "cream_cheese": (0.45, 0.05, 0.015),
}


def make_source_file(
    path: str | Path,
    num_demos: int = 3,
    length: int = 60,
    seed: int = 0,
    format_version: int = 1,
    env_args: dict[str, Any] | None = None,
) -> Path:
    """Write an annotated source file for `desktop_organizer`, as `annotate_demos.py` would, and return its path.

    Each demo is a smooth made-up pick and place: the eef goes to the ketchup, carries it to the basket, and the signals
    reach, grasp, lift and place rise once, in this order, at `SIGNAL_FRACTIONS` of its length. The ketchup's pose, the
    speed profile and the length (up to +5 steps) differ from demo to demo. The same arguments give the same file.
    To make a broken file, open the result with `h5py.File(path, "r+")` and break it.

    Args:
        path: file to write; its folder must exist.
        num_demos: demos `demo_0` ... .
        length: steps of the shortest demo; at least 60 leaves room for offsets of (3, 8).
        seed: of everything random.
        format_version: 1 (quaternions xyzw) or 0 (wxyz, no attribute).
        env_args: entries that replace those of `ENV_ARGS`.
    """
    rng = np.random.default_rng(seed)
    with h5py.File(path, "w") as file:
        if format_version:
            file.attrs["format_version"] = format_version
        data = file.create_group("data")
        data.attrs["env_args"] = json.dumps({**ENV_ARGS, **(env_args or {})})
        lengths = [length + int(rng.integers(0, 6)) for _ in range(num_demos)]
        data.attrs["total"] = sum(lengths)
        for index, num_steps in enumerate(lengths):
            demo = data.create_group(f"demo_{index}")
            demo.attrs.update({"num_samples": num_steps, "success": True, "seed": index})
            for name, leaf in trees.flatten(make_demo(rng, num_steps, format_version)).items():
                demo[name] = leaf if leaf.dtype == bool else leaf.astype(np.float32)
    return Path(path)


def make_demo(rng: np.random.Generator, num_steps: int, format_version: int = 1) -> dict[str, Any]:
    """The datasets of one annotated demo as a tree of arrays with T rows each; `initial_state` has one."""
    yaw = {name: rng.uniform(-np.pi, np.pi) if name == "ketchup" else 0.0 for name in OBJECT_NAMES}
    object_pose = {name: _standing_pose(rng, name, num_steps, yaw[name]) for name in OBJECT_NAMES}
    eef_pose = _pick_and_place(rng, object_pose["ketchup"][0], object_pose["basket"][0], num_steps)
    rises = [int(fraction * num_steps) for fraction in SIGNAL_FRACTIONS]
    carried = slice(rises[1], rises[3])
    grip = np.linalg.inv(eef_pose[rises[1]]) @ object_pose["ketchup"][0]
    object_pose["ketchup"][carried] = eef_pose[carried] @ grip
    object_pose["ketchup"][rises[3] :] = object_pose["ketchup"][rises[3] - 1]
    target_pose = np.concatenate((eef_pose[1:], eef_pose[-1:]))

    actions = np.zeros((num_steps, ACTION_DIM))
    actions[:, :3] = np.clip((target_pose - eef_pose)[:, :3, 3] / 0.05, -1.0, 1.0)
    actions[:, 6] = np.where((np.arange(num_steps) >= rises[0]) & (np.arange(num_steps) < rises[3]), -1.0, 1.0)
    datagen_info = {
        "eef_pose": {EEF_NAME: eef_pose},
        "target_eef_pose": {EEF_NAME: target_pose},
        "object_pose": object_pose,
        "subtask_term_signals": {name: np.arange(num_steps) >= rise for name, rise in zip(SIGNAL_NAMES, rises, strict=True)},
    }
    states = _states(object_pose, num_steps, format_version)
    obs = {"actions": actions, "eef_pos": eef_pose[:, :3, 3], "datagen_info": datagen_info}
    return {"actions": actions, "obs": obs, "states": states, "initial_state": trees.take(states, slice(1))}


def _standing_pose(rng: np.random.Generator, name: str, num_steps: int, yaw: float) -> NDArray[np.float64]:
    """An object that does not move, (T, 4, 4) [m]."""
    pose = np.eye(4)
    pose[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
    pose[:3, 3] = _DEFAULT_POS[name]
    pose[:2, 3] += rng.uniform(-0.02, 0.02, 2)
    return np.tile(pose, (num_steps, 1, 1))


def _pick_and_place(
    rng: np.random.Generator, ketchup: NDArray[np.float64], basket: NDArray[np.float64], num_steps: int
) -> NDArray[np.float64]:
    """A gripper that points down and moves between waypoints with a smooth speed profile, (T, 4, 4) [m]."""
    home = np.array([0.45, 0.0, 0.45]) + rng.uniform(-0.02, 0.02, 3)
    up = np.array([0.0, 0.0, 0.15])
    grasp, drop = ketchup[:3, 3], basket[:3, 3] + up
    way_points = np.stack((home, grasp, grasp, grasp + up, drop, drop + up))
    knots = np.array([0.0, SIGNAL_FRACTIONS[0], SIGNAL_FRACTIONS[1], SIGNAL_FRACTIONS[2], SIGNAL_FRACTIONS[3], 1.0])
    time = np.linspace(0.0, 1.0, num_steps) ** rng.uniform(0.95, 1.05)
    span = np.clip(np.searchsorted(knots, time, side="right") - 1, 0, len(knots) - 2)
    fraction = (time - knots[span]) / (knots[span + 1] - knots[span])
    smooth = (fraction**2 * (3.0 - 2.0 * fraction))[:, None]
    pose = np.tile(np.diag([1.0, -1.0, -1.0, 1.0]), (num_steps, 1, 1))
    pose[:, :3, 3] = way_points[span] + smooth * (way_points[span + 1] - way_points[span])
    tilt = 0.2 * np.sin(np.pi * time * rng.uniform(0.5, 1.5))
    zero, one = np.zeros_like(tilt), np.ones_like(tilt)
    rows = [[one, zero, zero], [zero, np.cos(tilt), -np.sin(tilt)], [zero, np.sin(tilt), np.cos(tilt)]]
    turn = np.stack([np.stack(row, -1) for row in rows], -2)
    pose[:, :3, :3] = turn @ pose[:, :3, :3]
    return pose


def _states(object_pose: dict[str, NDArray[np.float64]], num_steps: int, format_version: int) -> dict[str, Any]:
    """States of the robot (at rest) and the objects in Isaac Lab's `scene.get_state` layout, leaves (T, ...)."""
    home = np.array([0.0, -0.57, 0.0, -2.81, 0.0, 3.04, 0.741, 0.04, 0.04])
    robot = {
        "joint_position": np.tile(home, (num_steps, 1)),
        "joint_velocity": np.zeros((num_steps, 9)),
        "root_pose": np.tile(_root_pose(np.eye(4)[None], format_version), (num_steps, 1)),
        "root_velocity": np.zeros((num_steps, 6)),
    }
    objects = {
        name: {"root_pose": _root_pose(pose, format_version), "root_velocity": np.zeros((num_steps, 6))}
        for name, pose in object_pose.items()
    }
    return {"articulation": {"robot": robot}, "rigid_object": objects}


def _root_pose(pose: NDArray[np.float64], format_version: int) -> NDArray[np.float64]:
    """Position and the quaternion of the yaw, (T, 7)."""
    half = 0.5 * np.arctan2(pose[:, 1, 0], pose[:, 0, 0])
    zero = np.zeros_like(half)
    xyzw = np.stack((zero, zero, np.sin(half), np.cos(half)), -1)
    return np.concatenate((pose[:, :3, 3], xyzw if format_version else np.roll(xyzw, 1, axis=-1)), -1)

"""Contents of a demo for the page: poses of its scene, camera images, motion of its hands."""

# T steps of the demo, B bodies that move, E end effectors

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.datasets.annotate import INFO
from isaaclab_mimic_ext.demos.pauses import gripper_transitions
from isaaclab_mimic_ext.envs.base import MimicEnv, by_name
from isaaclab_mimic_ext.envs.posed_scene import PosedScene
from isaaclab_mimic_ext.files.demo import Demo, is_image

_JPEG_QUALITY = 85
NOTHING_TO_SEE = (
    "contains neither states of a scene that can be drawn nor camera images; mark by the speed of the hand, the gripper and "
    "the signals of the task"
)


@dataclass(frozen=True)
class DemoView:
    """A demo as the page shows it. Frame 0 is the initial state, frame k the state after step k - 1, before step k.

    Attributes:
        poses: poses of all bodies in all frames, (T + 1, B, 7) float32; None without states of the scene.
        images: name of a camera -> RGB images before each step, (T, H, W, 3) uint8.
        reason: reason why the demo cannot be shown; empty if it can.
    """

    poses: NDArray[np.float32] | None = None
    images: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)
    reason: str = ""


def view_demo(demo: Demo, scene: PosedScene | None) -> DemoView:
    """Poses of the scene in all frames of a demo; without states, its camera images.

    Args:
        scene: scene of the task; None if it cannot be drawn.
    """
    poses = None if scene is None else _poses(demo, scene)
    if poses is not None:
        return DemoView(poses)
    images = {path.rpartition("/")[2]: leaf for path, leaf in demo.leaves.items() if _is_picture(path, leaf)}
    return DemoView(images=images, reason="" if images else f"{demo.place}: {NOTHING_TO_SEE}")


def _is_picture(path: str, leaf: NDArray[Any]) -> bool:
    return path.startswith("obs/") and is_image(leaf) and leaf.dtype == np.uint8 and leaf.ndim == 4 and leaf.shape[-1] == 3


def _poses(demo: Demo, scene: PosedScene) -> NDArray[np.float32] | None:
    initial, states = demo.below("initial_state"), demo.below("states")
    if not states or any(len(leaf) != demo.num_steps for leaf in states.values()):
        return None
    rows = [{path: leaf[0] for path, leaf in initial.items()}]
    rows += [{path: leaf[step] for path, leaf in states.items()} for step in range(demo.num_steps)]
    poses = []
    for row in rows:
        try:
            scene.set_state(trees.unflatten(row))
        except (KeyError, ValueError, TypeError):  # The states are those of a different scene.
            return None
        poses.append(scene.body_poses())
    return np.stack(poses)


def encode_image(image: NDArray[np.uint8]) -> bytes:
    """Encode an RGB image (H, W, 3) as JPEG."""
    from PIL import Image

    target = io.BytesIO()
    Image.fromarray(image).save(target, "JPEG", quality=_JPEG_QUALITY)
    return target.getvalue()


def gripper_spans(env: MimicEnv, demo: Demo) -> dict[str, list[list[int]]]:
    """Steps in which the gripper command of each end effector closes: first step, and the step after the last."""
    actions = torch.from_numpy(np.asarray(demo.leaves["actions"], np.float32)).to(env.device)
    if actions.shape[1] != env.action_dim:
        return {}
    commands = by_name(env.eef_names, env.actions_to_gripper_actions(actions))
    spans = {}
    for (name, command), width in zip(commands.items(), env.gripper_dims, strict=True):
        changes = [*gripper_transitions(command[:, :width].cpu().numpy()), demo.num_steps] if width else []
        spans[name] = [list(pair) for pair in zip(changes[::2], changes[1::2], strict=False)]
    return spans


def hand_speeds(info: Mapping[str, NDArray[Any]], step_dt: float) -> dict[str, list[float]]:
    """Speed of each end effector before each step but the first [m/s].

    Args:
        info: arrays of `obs/datagen_info` of a demo.
    """
    poses = trees.subtree(info, f"{INFO}/eef_pose")
    moved = {name: np.linalg.norm(np.diff(pose[:, :3, 3], axis=0), axis=-1) for name, pose in poses.items()}
    return {name: [round(float(speed), 4) for speed in distance / step_dt] for name, distance in moved.items()}

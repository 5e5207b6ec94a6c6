"""Scenes from the recorded states of a demo: all that signals, captions and views need to know about its motion."""

# T steps of the demo, E end effectors, O objects

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from isaaclab_mimic_ext.envs.articulations import Articulations
from isaaclab_mimic_ext.envs.object_meshes import recorded_meshes
from isaaclab_mimic_ext.envs.object_sizes import recorded_scales
from isaaclab_mimic_ext.envs.panda.kinematics import base_poses
from isaaclab_mimic_ext.envs.robots import arms_of
from isaaclab_mimic_ext.math import pose_from_pos_quat
from isaaclab_mimic_ext.task.definition import SceneState, Task

_HELD_STEPS = 4
"""Number of steps in which an object must stay in a gripper to count as grasped."""


@dataclass(frozen=True)
class Moment:
    """A step of a demo with its name: "start", the name of a term signal, "grasp", or "end"."""

    step: int
    name: str


def recorded_scene(task: Task, states: dict[str, Any]) -> SceneState:
    """Scenes of the T steps of a demo, in the place of N scenes.

    Args:
        states: recorded states, leaves (T, ...), quaternions xyzw.
    """
    arms = [states["articulation"][arm.name] for arm in task.arms]
    robots = arms_of(task)

    def padded(leaves: list[Any]) -> torch.Tensor:
        own = zip(leaves, robots.robots, strict=True)
        return torch.stack([robots.padded(_tensor(each), robot) for each, robot in own], dim=1)

    joint_pos = padded([arm["joint_position"] for arm in arms])
    eef_pose = base_poses(task.arms) @ robots.forward_kinematics(joint_pos)
    if all("eef_pose" in arm for arm in arms):  # The kinematic engine records end effectors, but no matching joints.
        pose = torch.stack([_tensor(arm["eef_pose"]) for arm in arms], dim=1)
        eef_pose = pose_from_pos_quat(pose[..., :3], pose[..., 3:])
    objects = [states["rigid_object"][name] for name in task.object_names]
    root_pose = torch.stack([_tensor(each["root_pose"]) for each in objects], dim=1)
    velocity = [_tensor(each.get("root_velocity", np.zeros((len(root_pose), 6)))) for each in objects]
    joint_vel = padded([arm.get("joint_velocity", np.zeros_like(arm["joint_position"])) for arm in arms])
    object_joint_pos, object_joint_vel = Articulations(task).joints_of(states, len(root_pose))
    return SceneState(
        joint_pos=joint_pos,
        joint_vel=joint_vel,
        eef_pose=eef_pose,
        object_pose=pose_from_pos_quat(root_pose[..., :3], root_pose[..., 3:]),
        root_pose=root_pose,
        root_velocity=torch.stack(velocity, dim=1),
        object_joint_pos=object_joint_pos,
        object_joint_vel=object_joint_vel,
        object_scale=recorded_scales(states["rigid_object"], task.object_names, len(root_pose)),
        object_mesh=recorded_meshes(states["rigid_object"], task.object_names, len(root_pose)),
    )


def _tensor(values: Any) -> torch.Tensor:
    return torch.as_tensor(np.asarray(values), dtype=torch.float32)


def take_steps(scene: SceneState, stride: int) -> SceneState:
    """Select every `stride`-th step."""
    return SceneState(**{field.name: getattr(scene, field.name)[::stride] for field in fields(scene)})


def computed_signals(task: Task, scene: SceneState) -> dict[str, NDArray[np.bool_]]:
    """Term signals of the task in all steps, name -> (T,), computed from the recorded states."""
    return {name: values.bool().numpy() for name, values in task.signals(scene).items()}


def moments(num_steps: int, signals: Mapping[str, NDArray[np.bool_]]) -> list[Moment]:
    """Start, first rises of the signals in the order of their steps, and end of a demo."""
    rises = []
    for name, values in signals.items():
        steps = np.flatnonzero(values[1:] & ~values[:-1]) + 1
        if len(steps):
            rises.append(Moment(int(steps[0]), name))
    rises.sort(key=lambda moment: moment.step)
    return [Moment(0, "start"), *rises, Moment(num_steps - 1, "end")]


def grasp_step(task: Task, scene: SceneState) -> int | None:
    """First step from which a gripper holds an object for some steps; None if it never does."""
    held = (task.attached_objects(scene) >= 0).any(-1).numpy()
    runs = np.lib.stride_tricks.sliding_window_view(held, min(_HELD_STEPS, len(held))).all(-1)
    return int(runs.argmax()) if runs.any() else None


def eef_paths(scene: SceneState) -> NDArray[np.float64]:
    """Positions of the end effectors in all steps, (E, T, 3), env frame [m]."""
    return scene.eef_pose[..., :3, 3].transpose(0, 1).double().numpy()

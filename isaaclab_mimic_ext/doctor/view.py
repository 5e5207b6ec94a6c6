"""A demo as the checks look at it."""

# T steps of the demo, G gripper entries

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from isaaclab_mimic_ext.config import SubTaskDemoCfg
from isaaclab_mimic_ext.demos.skills import Span
from isaaclab_mimic_ext.demos.source import SourceDemo
from isaaclab_mimic_ext.math import rotation_angle

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class EefView:
    """One end effector of one demo.

    Attributes:
        eef_pose, target_eef_pose: (T, 4, 4), env frame [m].
        gripper_action: (T, G).
        subtasks: its subtasks, as the task configures them.
        spans: [start, end) of its subtasks [steps]; None where the marks do not say them.
        step_dt: [s].
    """

    name: str
    eef_pose: Floats
    target_eef_pose: Floats
    gripper_action: Floats
    subtasks: Sequence[SubTaskDemoCfg]
    spans: list[Span] | None
    step_dt: float

    @property
    def num_steps(self) -> int:
        return len(self.eef_pose)

    @cached_property
    def speed(self) -> Floats:
        """Of the step that begins at t, (T - 1,) [m/s]."""
        return step_sizes(self.eef_pose) / self.step_dt

    @cached_property
    def turning_speed(self) -> Floats:
        """Of the step that begins at t, (T - 1,) [rad/s]."""
        return angles(self.eef_pose[1:], self.eef_pose[:-1]) / self.step_dt

    @cached_property
    def gripper_transitions(self) -> list[int]:
        """The steps whose gripper command is another than that of the step before."""
        low, high = self.gripper_action.min(0), self.gripper_action.max(0)
        is_high = self.gripper_action > 0.5 * (low + high)
        return (np.flatnonzero((is_high[1:] != is_high[:-1]).any(-1)) + 1).tolist()

    def is_closed(self, frame: int) -> bool:
        """Whether the gripper's command at a step is another than it was at first, which is taken for open."""
        return sum(transition <= frame for transition in self.gripper_transitions) % 2 == 1

    def subtask_at(self, frame: int) -> int | None:
        """Index of the subtask that a step belongs to, where the marks say it."""
        if self.spans is None:
            return None
        ends = [end for _, end in self.spans]
        return min(int(np.searchsorted(ends, frame, side="right")), len(ends) - 1)


@dataclass(frozen=True)
class DemoView:
    """A demo that could be read.

    Attributes:
        eefs: by name, in the task's order.
        joint_position: arm -> (T, J) joints before each step, fingers last; None where the file does not have them.
    """

    demo: SourceDemo
    eefs: dict[str, EefView]
    joint_position: dict[str, NDArray[np.float32]] | None
    step_dt: float

    @property
    def name(self) -> str:
        return self.demo.name

    @property
    def num_steps(self) -> int:
        return self.demo.num_steps

    @cached_property
    def object_pose(self) -> Mapping[str, Floats]:
        """Object -> (T, 4, 4), env frame [m]."""
        return {name: pose.astype(np.float64) for name, pose in self.demo.object_pose.items()}


def step_sizes(pose: Floats) -> Floats:
    """Distances (T - 1,) from each of the poses (T, 4, 4) to the next [m]."""
    return np.linalg.norm(np.diff(pose[:, :3, 3], axis=0), axis=1)


def angles(pose_a: Floats, pose_b: Floats) -> Floats:
    """Angles between the rotations of poses (..., 4, 4) [rad]."""
    rotations = (torch.from_numpy(np.ascontiguousarray(pose[..., :3, :3])) for pose in (pose_a, pose_b))
    return rotation_angle(*rotations).numpy()


def stretches(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last index of every run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], mask, [False])).astype(np.int8)))
    return [(int(first), int(end) - 1) for first, end in zip(edges[::2], edges[1::2], strict=True)]

"""A demo as the checks look at it."""

# T steps of the demo, G gripper entries
# T steps of the demo

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from isaaclab_mimic_ext.checks.findings import NOTE, DemoFindings
from isaaclab_mimic_ext.config import SubTaskDemoCfg
from isaaclab_mimic_ext.datasets.findings import ERROR, WARNING
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


MAX_SPEED_AT_ENDS = 0.05

"""Of the hand in the first and last steps [m/s]: a sixth of what it reaches on its way (0.23 to 0.32 in the shipped demos,
0.007 at their ends). Faster, and the demo began or ended in the middle of a motion."""

MAX_SPEED_AT_GRIPPER = 0.05

"""[m/s]. In the 0.2 s that a Panda's fingers take to close, the hand goes 1 cm, as far as makes one grasp in seven fail
(see `action_space`); 0.022 at most in the shipped demos."""

MAX_IDLE = 2.0

"""[s]. The shipped demos stand still for 1.6 s at most, waiting for fingers included."""

MAX_SPEED = 3.0

"""Of a hand and its target [m/s]; a Panda's own limit is 1.7, 0.32 in the shipped demos."""

MAX_TURNING_SPEED = 10.0

"""Of a hand and its target [rad/s]; a Panda's own limit is 2.5."""

SATURATED = 0.99

"""An entry of a relative action that is as large was clipped, or nearly."""

MAX_SATURATED = 0.2

"""Part of the moving steps; none in the shipped demos, whose largest entry is 0.48."""

_IDLE_SPEED, _IDLE_TURNING = 0.005, 0.05

"""Slower is standing still [m/s, rad/s]; a steady hand's tremor is below."""

_END_STEPS = 2

_FINGER_TIME = 1.0

"""For which standing still after a gripper's command is not idle [s]."""


def check_ends(findings: DemoFindings, view: EefView) -> None:
    """The hand stands still at the first and the last step."""
    expected = f"at most {MAX_SPEED_AT_ENDS} m/s"
    if view.num_steps <= 2 * _END_STEPS:
        return
    start, end = view.speed[:_END_STEPS].max(), view.speed[-_END_STEPS:].max()
    if start > MAX_SPEED_AT_ENDS:
        remedy = "record from before the hand moves, or trim to where it rests"
        findings.add(
            WARNING, "cropped start", f"the hand moves at {start:.2f} m/s", expected, remedy, eef=view.name, frame=0
        )
    if end > MAX_SPEED_AT_ENDS:
        remedy = "record until the hand rests"
        last = view.num_steps - 1
        findings.add(WARNING, "cropped end", f"the hand moves at {end:.2f} m/s", expected, remedy, eef=view.name, frame=last)


def check_gripper(findings: DemoFindings, view: EefView) -> None:
    """The hand stands still when the gripper's command changes, or the task lets it settle."""
    for frame in view.gripper_transitions:
        speed = view.speed[max(0, frame - 1) : frame + 1].max(initial=0.0)
        if speed <= MAX_SPEED_AT_GRIPPER:
            continue
        index = view.subtask_at(frame)
        num_steps = 0 if index is None else view.subtasks[index].num_settle_steps_before_gripper
        place = f"subtask_configs.{view.name}.{'<subtask>' if index is None else index}"
        remedy = f"set {place}.num_settle_steps_before_gripper=6, or stand still before the gripper acts"
        found = f"the gripper {'closes' if view.is_closed(frame) else 'opens'} at {speed:.2f} m/s"
        if num_steps:
            found += f" (num_settle_steps_before_gripper is {num_steps})"
        findings.add(
            NOTE if num_steps else WARNING, "gripper moving", found, f"at most {MAX_SPEED_AT_GRIPPER} m/s", remedy,
            eef=view.name, frame=frame,
        )  # fmt: skip


def check_idle(findings: DemoFindings, view: DemoView) -> None:
    """No long standing still of all hands together, but for a gripper; one hand may wait for another."""
    still = np.ones(view.num_steps - 1, dtype=bool)
    num_finger_steps = round(_FINGER_TIME / view.step_dt)
    for eef in view.eefs.values():
        still &= (eef.speed < _IDLE_SPEED) & (eef.turning_speed < _IDLE_TURNING)
        for frame in eef.gripper_transitions:
            still[frame : frame + num_finger_steps] = False
    for first, last in stretches(still):
        duration = (last - first + 1) * view.step_dt
        if duration > MAX_IDLE:
            found = f"{'the hand stands' if len(view.eefs) == 1 else 'all hands stand'} still for {duration:.1f} s"
            remedy = "cut the stretch out, or record without it: every trial stands there too"
            findings.add(NOTE, "idle", found, f"at most {MAX_IDLE:g} s", remedy, frame=first, last_frame=last)


def check_jumps(findings: DemoFindings, view: EefView) -> None:
    """Neither the hand nor its target moves or turns faster than an arm can."""
    for subject, pose in (("hand", view.eef_pose), ("target", view.target_eef_pose)):
        speed = step_sizes(pose) / view.step_dt
        turning = angles(pose[1:], pose[:-1]) / view.step_dt
        jumps = np.flatnonzero((speed > MAX_SPEED) | (turning > MAX_TURNING_SPEED))
        if len(jumps):
            frame = int(jumps[0])
            found = f"the {subject} jumps by {speed[frame] * view.step_dt:.2f} m and {turning[frame] * view.step_dt:.2f} rad"
            found += f", and {len(jumps) - 1} times more" if len(jumps) > 1 else ""
            expected = f"at most {MAX_SPEED * view.step_dt:.2g} m and {MAX_TURNING_SPEED * view.step_dt:.2g} rad a step"
            remedy = "leave the demo out, or cut it before the jump; look at the tracking and at dropped frames"
            findings.add(ERROR, "jump", found, expected, remedy, eef=view.name, frame=frame + 1)


def check_saturation(findings: DemoFindings, view: EefView, pose_action: NDArray[np.float32]) -> None:
    """The entries of relative actions (T, P) are seldom at their limit of 1."""
    is_moving = np.abs(pose_action).max(1) > 1e-3
    saturated: NDArray[np.bool_] = np.abs(pose_action).max(1) >= SATURATED
    part = saturated[is_moving].mean() if is_moving.any() else 0.0
    if part > MAX_SATURATED:
        found = f"actions are at their limit in {part:.0%} of the moving steps"
        remedy = "record slower, or with larger action scales: trials that have farther to go cannot keep up"
        findings.add(
            WARNING, "saturated", found, f"at most {MAX_SATURATED:.0%}", remedy, eef=view.name,
            frame=int(saturated.argmax()),
        )  # fmt: skip

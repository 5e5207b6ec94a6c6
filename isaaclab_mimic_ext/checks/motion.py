"""Views of a demo for the checks, and checks of the motion of each hand."""

# T steps of the demo, J joints of an arm, G gripper entries, P pose entries of an action

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from isaaclab_mimic_ext.checks.findings import NOTE, DemoFindings
from isaaclab_mimic_ext.config import SubTaskDemoCfg
from isaaclab_mimic_ext.datasets.findings import ERROR, WARNING
from isaaclab_mimic_ext.demos.ends import MAX_SPEED_AT_ENDS, NUM_STEPS_AT_ENDS
from isaaclab_mimic_ext.demos.pauses import gripper_transitions
from isaaclab_mimic_ext.demos.skills import Span
from isaaclab_mimic_ext.demos.source import SourceDemo
from isaaclab_mimic_ext.math import rotation_angle
from isaaclab_mimic_ext.texts import counted

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class EefView:
    """One end effector of one demo.

    Attributes:
        name: name of the end effector.
        eef_pose, target_eef_pose: (T, 4, 4), env frame [m].
        gripper_action: (T, G).
        subtasks: configuration of its subtasks, in order.
        spans: span of each subtask [steps]; None if the signals are wrong.
        step_dt: duration of a step [s].
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
        """Speed of the hand between consecutive steps, (T - 1,) [m/s]."""
        return step_sizes(self.eef_pose) / self.step_dt

    @cached_property
    def turning_speed(self) -> Floats:
        """Angular speed of the hand between consecutive steps, (T - 1,) [rad/s]."""
        return angles(self.eef_pose[1:], self.eef_pose[:-1]) / self.step_dt

    @cached_property
    def gripper_transitions(self) -> list[int]:
        """Steps in which the gripper command differs from that of the previous step, ascending."""
        return gripper_transitions(self.gripper_action)

    def is_closed(self, frame: int) -> bool:
        """Return whether the gripper command closes at a step; the command of the first step counts as open."""
        return sum(transition <= frame for transition in self.gripper_transitions) % 2 == 1

    def subtask_at(self, frame: int) -> int | None:
        """Index of the subtask that a step belongs to; None if the signals are wrong."""
        if self.spans is None:
            return None
        ends = [end for _, end in self.spans]
        return min(int(np.searchsorted(ends, frame, side="right")), len(ends) - 1)


@dataclass(frozen=True)
class DemoView:
    """A readable demo.

    Attributes:
        demo: data of the demo.
        eefs: name -> view of the end effector, in the order of the task.
        joint_position: arm -> (T, J), joint positions before each step, fingers last [rad, m], and object that carries
            joints -> (T, K), those of the objects on joints; None if not in the file.
        step_dt: duration of a step [s].
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
        """Object -> pose (T, 4, 4), env frame [m]."""
        return {name: pose.astype(np.float64) for name, pose in self.demo.object_pose.items()}


def step_sizes(pose: Floats) -> Floats:
    """Distance between consecutive poses (T, 4, 4), (T - 1,) [m]."""
    return np.linalg.norm(np.diff(pose[:, :3, 3], axis=0), axis=1)


def angles(pose_a: Floats, pose_b: Floats) -> Floats:
    """Angle between the rotations of poses (..., 4, 4), shape (...) [rad]."""
    rotations = (torch.from_numpy(np.ascontiguousarray(pose[..., :3, :3])) for pose in (pose_a, pose_b))
    return rotation_angle(*rotations).numpy()


def true_intervals(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last index of each interval of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], mask, [False])).astype(np.int8)))
    return [(int(first), int(end) - 1) for first, end in zip(edges[::2], edges[1::2], strict=True)]


MAX_SPEED_AT_GRIPPER = 0.05
"""Largest speed of the hand when the gripper command changes [m/s]. At this speed, the hand moves 1 cm in the 0.2 s that a
Panda's fingers need to close, with which 1 in 7 grasps fails (see `action_space`). At most 0.022 in the included demos."""
MAX_IDLE = 2.0
"""Longest time in which no hand moves [s]; at most 1.6 in the included demos, including the motion of fingers."""
MAX_SPEED = 3.0
"""Largest speed of a hand and its target [m/s]; the limit of a Panda is 1.7, the largest in the included demos 0.32."""
MAX_TURNING_SPEED = 10.0
"""Largest angular speed of a hand and its target [rad/s]; the limit of a Panda is 2.5."""
SATURATED = 0.99
"""Absolute value from which an entry of a relative action counts as clipped."""
MAX_SATURATED = 0.2
"""Largest fraction of clipped steps among the moving steps; 0 in the included demos, whose largest entry is 0.48."""
_IDLE_SPEED, _IDLE_TURNING = 0.005, 0.05
"""Speeds below which a hand is idle [m/s, rad/s]; the tremor of a resting hand is slower."""
_FINGER_TIME = 1.0
"""Time after a gripper command in which a resting hand is not idle [s]."""


def check_ends(findings: DemoFindings, view: EefView) -> None:
    """Check that the hand rests at the first and the last step."""
    expected = f"at most {MAX_SPEED_AT_ENDS} m/s"
    if view.num_steps <= 2 * NUM_STEPS_AT_ENDS:
        return
    start, end = view.speed[:NUM_STEPS_AT_ENDS].max(), view.speed[-NUM_STEPS_AT_ENDS:].max()
    if start > MAX_SPEED_AT_ENDS:
        remedy = "begin the recording before the hand moves, or trim the demo to a step where the hand rests"
        findings.add(
            WARNING, "cropped start", f"the hand moves at {start:.3f} m/s", expected, remedy, eef=view.name, frame=0
        )
    if end > MAX_SPEED_AT_ENDS:
        remedy = "record until the hand rests"
        last = view.num_steps - 1
        findings.add(WARNING, "cropped end", f"the hand moves at {end:.3f} m/s", expected, remedy, eef=view.name, frame=last)


def check_gripper(findings: DemoFindings, view: EefView) -> None:
    """Check that the hand rests when the gripper command changes, or that the task lets the hand settle."""
    for frame in view.gripper_transitions:
        speed = view.speed[max(0, frame - 1) : frame + 1].max(initial=0.0)
        if speed <= MAX_SPEED_AT_GRIPPER:
            continue
        index = view.subtask_at(frame)
        num_steps = 0 if index is None else view.subtasks[index].num_settle_steps_before_gripper
        place = f"subtask_configs.{view.name}.{'<subtask>' if index is None else index}"
        setting = f"{place}.num_settle_steps_before_gripper=6"
        remedy = (
            f"record with a resting hand when the gripper acts, or add {setting} to the command line of `mimic generate`"
        )
        found = f"the gripper {'closes' if view.is_closed(frame) else 'opens'} at {speed:.3f} m/s"
        if num_steps:
            found += f" (num_settle_steps_before_gripper is {num_steps})"
        findings.add(
            NOTE if num_steps else WARNING, "gripper moving", found, f"at most {MAX_SPEED_AT_GRIPPER} m/s", remedy,
            eef=view.name, frame=frame,
        )  # fmt: skip


def check_idle(findings: DemoFindings, view: DemoView) -> None:
    """Check that no interval is idle: all hands rest, and no gripper acts. One hand may wait for another."""
    idle = np.ones(view.num_steps - 1, dtype=bool)
    num_finger_steps = round(_FINGER_TIME / view.step_dt)
    for eef in view.eefs.values():
        idle &= (eef.speed < _IDLE_SPEED) & (eef.turning_speed < _IDLE_TURNING)
        for frame in eef.gripper_transitions:
            idle[frame : frame + num_finger_steps] = False
    for first, last in true_intervals(idle):
        duration = (last - first + 1) * view.step_dt
        if duration > MAX_IDLE:
            found = f"{'the hand does' if len(view.eefs) == 1 else 'all hands do'} not move for {duration:.1f} s"
            remedy = "remove these steps, or record without the pause; otherwise all trials repeat the pause"
            findings.add(NOTE, "idle", found, f"at most {MAX_IDLE:g} s", remedy, frame=first, last_frame=last)


def check_jumps(findings: DemoFindings, view: EefView) -> None:
    """Check that neither the hand nor its target moves or rotates faster than an arm can."""
    for subject, pose in (("hand", view.eef_pose), ("target", view.target_eef_pose)):
        speed = step_sizes(pose) / view.step_dt
        turning = angles(pose[1:], pose[:-1]) / view.step_dt
        jumps = np.flatnonzero((speed > MAX_SPEED) | (turning > MAX_TURNING_SPEED))
        if len(jumps):
            frame = int(jumps[0])
            found = f"the {subject} jumps by {speed[frame] * view.step_dt:.2f} m and {turning[frame] * view.step_dt:.2f} rad"
            found += f", and in {counted(len(jumps) - 1, 'more step')}" if len(jumps) > 1 else ""
            expected = f"at most {MAX_SPEED * view.step_dt:.2g} m and {MAX_TURNING_SPEED * view.step_dt:.2g} rad per step"
            remedy = "leave out the demo, or cut it before the jump; check the tracking and dropped frames of the recording"
            findings.add(ERROR, "jump", found, expected, remedy, eef=view.name, frame=frame + 1)


def check_saturation(findings: DemoFindings, view: EefView, pose_action: NDArray[np.float32]) -> None:
    """Check that at most 20 % of the moving steps have an entry of the relative action (T, P) at its limit of 1."""
    is_moving = np.abs(pose_action).max(1) > 1e-3
    saturated: NDArray[np.bool_] = np.abs(pose_action).max(1) >= SATURATED
    fraction = saturated[is_moving].mean() if is_moving.any() else 0.0
    if fraction > MAX_SATURATED:
        found = f"actions are at their limit in {fraction:.0%} of the moving steps"
        remedy = "move more slowly, or record with larger action scales; trials with longer motions cannot follow"
        findings.add(
            WARNING, "saturated", found, f"at most {MAX_SATURATED:.0%}", remedy, eef=view.name,
            frame=int(saturated.argmax()),
        )  # fmt: skip

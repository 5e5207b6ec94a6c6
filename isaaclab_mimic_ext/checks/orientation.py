"""Check of the order of quaternions: objects must stand upright at the start, as tasks place them."""

import numpy as np

from isaaclab_mimic_ext.checks.findings import DemoFindings
from isaaclab_mimic_ext.checks.motion import DemoView
from isaaclab_mimic_ext.datasets.findings import ERROR
from isaaclab_mimic_ext.demos.grippers import conversion_command
from isaaclab_mimic_ext.files.demo import Demo
from isaaclab_mimic_ext.task.definition import Task

MAX_TILT = 0.5
"""Largest angle between the vertical axes of an object and of the scene at the start [rad]; 0.01 in the included demos."""


def check_upright(findings: DemoFindings, view: DemoView, recorded: Demo, task: Task) -> None:
    """Check that no object is tilted at the first step, except on joints. Adds at most one finding.

    Args:
        recorded: the demo as in the file, with quaternions in the order of the file.
    """
    for name, pose in view.object_pose.items():
        tilt = float(np.arccos(np.clip(pose[0, 2, 2], -1.0, 1.0)))
        if tilt <= MAX_TILT or name in task.jointed_names:
            continue
        found = f"{name} starts tilted by {np.degrees(tilt):.0f} degrees"
        remedy = "record with upright objects, or annotate again with an env that returns homogeneous matrices"
        if (order := _other_order(recorded, name)) is not None:
            found += f", but stands upright if its quaternions are {order}"
            remedy = f"state the order of quaternions: `{conversion_command(view.demo.file, quaternions=order)}`"
        findings.add(ERROR, "orientation", found, f"at most {np.degrees(MAX_TILT):.0f} degrees", remedy, frame=0)
        return


def _other_order(recorded: Demo, name: str) -> str | None:
    """Order of quaternions in which an object stands upright; None if it does not, or the file has no initial states."""
    pose = recorded.leaves.get(f"initial_state/rigid_object/{name}/root_pose")
    if pose is None or pose.shape != (1, 7):
        return None
    first, second, third, _ = np.asarray(pose[0][3:], np.float64)
    for order, (x, y) in (("wxyz", (second, third)), ("xyzw", (first, second))):
        if 1.0 - 2.0 * (x**2 + y**2) > np.cos(MAX_TILT):
            return order
    return None

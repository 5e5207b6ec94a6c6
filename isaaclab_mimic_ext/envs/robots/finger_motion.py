"""Tables of the motion of a gripper's fingers and joints."""

# G joints of the gripper

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def ascending_widths(width: Floats, num_rows: int = 33) -> tuple[Floats, NDArray[np.int64]]:
    """Widths of a closing gripper, ascending and without repetition, and their steps."""
    steps = np.arange(len(width))
    decreasing = np.concatenate(([True], width[1:] < np.minimum.accumulate(width)[:-1] - 1e-5))
    kept = steps[decreasing]
    targets = np.linspace(width[kept[0]], width[kept[-1]], num_rows)
    chosen = np.unique([kept[int(np.abs(width[kept] - target).argmin())] for target in targets])[::-1]
    return width[chosen], chosen


def finger_ratio(finger: Floats, joint_pos: Floats) -> Floats:
    """Mean velocity of each finger per velocity of the joint that moves most in its pace, (2, G)."""
    change, joint_change = finger[-1] - finger[0], joint_pos[-1] - joint_pos[0]
    ratio = np.zeros((2, joint_pos.shape[1]))
    for index in range(2):
        misfit = [_misfit(finger[:, index], joint_pos[:, joint]) for joint in range(joint_pos.shape[1])]
        joint = int(np.argmin(misfit))
        if abs(joint_change[joint]) > 1e-6:
            ratio[index, joint] = change[index] / joint_change[joint]
    return ratio


def _misfit(finger: Floats, joint: Floats) -> float:
    """Largest difference of the normalized motions of a finger and a joint."""
    if abs(joint[-1] - joint[0]) < 1e-4 or abs(finger[-1] - finger[0]) < 1e-6:
        return float("inf")
    return float(np.abs((finger - finger[0]) / (finger[-1] - finger[0]) - (joint - joint[0]) / (joint[-1] - joint[0])).max())

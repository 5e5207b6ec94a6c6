"""Force of the fingers of a gripper. Requires MuJoCo at import."""

from collections.abc import Sequence
from typing import Any

import mujoco

from isaaclab_mimic_ext.task.robot import RobotCfg


def limit_grip(spec: Any, cfg: RobotCfg, actuators: Sequence[str], leverage: float) -> None:
    """Limit the force of the actuators of a gripper so that its fingers press with at most `robot.grip_force`.

    Args:
        leverage: force of each actuator per force of each finger [N/N, N m/N].
    """
    if cfg.grip_force is None:
        return
    for name in actuators:
        actuator = spec.actuator(name)
        largest = cfg.grip_force * leverage
        if actuator.forcerange[1] > actuator.forcerange[0]:
            largest = min(largest, max(map(abs, actuator.forcerange)))
        actuator.forcerange, actuator.forcelimited = (-largest, largest), mujoco.mjtLimited.mjLIMITED_TRUE

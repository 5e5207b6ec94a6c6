"""The Franka Emika Panda, built from primitives: the default robot, without files to download."""

from typing import Any

from torch import Tensor

from isaaclab_mimic_ext.envs.panda import kinematics
from isaaclab_mimic_ext.envs.robots.robot import InverseKinematicsCfg, Robot
from isaaclab_mimic_ext.task.definition import Arm

_JOINTS = tuple(f"joint{index + 1}" for index in range(kinematics.NUM_ARM_JOINTS))
_FINGERS = ("finger1", "finger2")


class Panda(Robot):
    """The Panda of `envs/panda/`, whose finger joints are the finger positions."""

    def forward_kinematics(self, joint_pos: Tensor) -> Tensor:
        return kinematics.forward_kinematics(joint_pos)

    def add_to(self, spec: Any, arm: Arm) -> None:
        from isaaclab_mimic_ext.envs.panda.mjcf import add_panda

        add_panda(spec, arm)


def make_panda() -> Panda:
    """Create the Panda."""
    return Panda(
        name="panda",
        joint_names=_JOINTS,
        joint_limits=kinematics.JOINT_LIMITS,
        home=kinematics.HOME,
        gripper_joint_names=_FINGERS,
        actuator_names=(*_JOINTS, *_FINGERS),
        open_command=(kinematics.FINGER_OPEN,) * 2,
        closed_command=(0.0, 0.0),
        finger_sites=(),
        finger_bodies=_FINGERS,
        base_body="link0",
        ik=InverseKinematicsCfg(kinematics.IK_DAMPING, kinematics.POSTURE_GAIN),
    )

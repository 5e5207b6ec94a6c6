"""Interface of a robot: what engines, observations and resets need to know about an arm with its gripper."""

# n envs, E arms, A arm joints, J = A + 2 entries of a joint state (the two fingers last), G joints and K actuators of the
# gripper in MuJoCo

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from isaaclab_mimic_ext.task.definition import Arm


@dataclass(frozen=True)
class InverseKinematicsCfg:
    """Settings of the inverse kinematics that runs in each control step.

    Attributes:
        damping: damping of the least squares [m, rad]: bounds the joint steps near singular postures.
        posture_gain: fraction of the distance to the home posture that redundant joints move per control step.
        rot_weight: weight of the rotation [m/rad]; below 1 if the arm has fewer than six joints.
        max_joint_step: largest motion of a joint command per control step [rad]; infinite: not limited.
    """

    damping: float = 0.05
    posture_gain: float = 0.05
    rot_weight: float = 1.0
    max_joint_step: float = float("inf")


def finger_positions(surface_pos: Tensor, eef_pose: Tensor) -> Tensor:
    """Positions (N, E, 2) of the fingers [m] from points on their inner surfaces.

    Args:
        surface_pos: (N, E, 2, 3), any frame [m].
        eef_pose: (N, E, 4, 4), same frame [m].
    """
    offset = surface_pos - eef_pose[..., None, :3, 3]
    place = (offset * eef_pose[..., None, :3, 1]).sum(-1)
    return torch.stack((place[..., 0], -place[..., 1]), dim=-1)


@dataclass(frozen=True)
class Robot(ABC):
    """An arm with a gripper of two fingers.

    Joint states have J entries: the arm joints [rad], then the position of each finger, measured from the middle [m]. The
    gripper of a MuJoCo model may have any joints and actuators.

    The end effector is between the finger tips. Its z axis points out of the hand (approach), the fingers slide along its
    y axis (closing).

    Attributes:
        name: name of the robot.
        joint_names: names of the A arm joints in the MuJoCo model, without the prefix of the arm.
        joint_limits: lower and upper limit of each arm joint [rad].
        home: start posture: A joint angles [rad], two finger positions of the open gripper [m].
        gripper_joint_names: names of the G joints of the gripper.
        actuator_names: names of the actuators: those of the A arm joints, then the K of the gripper.
        open_command, closed_command: commands of the K actuators of the gripper.
        finger_sites: names of two sites on the inner surfaces of the fingers, whose positions along the y axis of the end
            effector are the finger positions; empty: the G joints are the finger positions.
        finger_bodies: names of the bodies of the two fingers.
        digest: SHA-256 of the model; empty for the Panda, whose model is a part of this package.
        finger_ratio: velocity of each finger per velocity of each of the G joints; empty without finger sites.
        base_body: name of the body that is fixed to the table.
        ik: settings of the inverse kinematics.
    """

    name: str
    joint_names: tuple[str, ...]
    joint_limits: tuple[tuple[float, float], ...]
    home: tuple[float, ...]
    gripper_joint_names: tuple[str, ...]
    actuator_names: tuple[str, ...]
    open_command: tuple[float, ...]
    closed_command: tuple[float, ...]
    finger_sites: tuple[str, ...]
    finger_bodies: tuple[str, str]
    base_body: str
    ik: InverseKinematicsCfg = field(default_factory=InverseKinematicsCfg)
    digest: str = ""
    finger_ratio: tuple[tuple[float, ...], ...] = ()

    @property
    def num_joints(self) -> int:
        """Number of arm joints A."""
        return len(self.joint_names)

    @property
    def finger_open(self) -> float:
        """Position of the fingers of the open gripper, measured from the middle [m]."""
        return self.home[-1]

    @abstractmethod
    def forward_kinematics(self, joint_pos: Tensor) -> Tensor:
        """End effector poses (..., 4, 4), base frame [m], from arm joint angles (..., A) [rad]."""

    def distances(self, eef_pose: Tensor) -> Tensor:
        """Distances (T,) of the hand from the poses (T, 4, 4) of a path, base frame, that the arm follows [m].

        The included source demos are within the reach of the Panda.
        """
        return torch.zeros(len(eef_pose))

    @abstractmethod
    def add_to(self, spec: Any, arm: Arm) -> None:
        """Add the robot to a `mujoco.MjSpec` as an arm of a task, with names that begin with `<arm.name>/`.

        Adds the site `eef` for the end effector.
        """

    def model_joint_pos(self, joint_pos: Tensor) -> Tensor:
        """Positions (n, E, A + G) of the joints of the MuJoCo model for joint states (n, E, J)."""
        return joint_pos

    def model_joint_vel(self, joint_pos: Tensor, joint_vel: Tensor) -> Tensor:
        """Velocities (n, E, A + G) of the joints of the MuJoCo model for joint states and velocities (n, E, J)."""
        return joint_vel

    def holding_command(self, joint_pos: Tensor) -> Tensor:
        """Commands (n, E, A + K) that hold joint states (n, E, J)."""
        return joint_pos

"""Robots of all arms of a task, with an axis of arms: arms of one kind, or of several kinds whose joints are padded."""

# n envs, E arms, A joints of the arm with the most joints, J = A + 2 entries of a joint state (fingers last), G joints and K
# actuators of the gripper with the most of them

import hashlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from isaaclab_mimic_ext.envs.robots.robot import Robot

FINGER_SITES = ("finger1_surface", "finger2_surface")
"""Names of the sites of the fingers of all robots that have them."""


class Arms:
    """Robots of the arms of a task.

    If arms differ, the joints of an arm with fewer joints are padded, before the fingers: with zeros in joint states, and in
    MuJoCo's arrays with its own first joint, so that all arms are read and written by one operation.

    Attributes:
        robots: robot of each arm.
        is_mixed: whether the arms differ.
        num_joints: A.
        home: (E, J), start postures [rad], and positions of the open fingers [m].
        limits: (E, A, 2) [rad].
        open_command, closed_command: (E, K), commands of the actuators of the grippers.
        has_finger_sites: whether finger positions are those of sites.
        finger_sites: names of the sites of the fingers; empty: the joints of the grippers are the finger positions.
        finger_ratio: (E, 2, G), velocity of each finger per velocity of each joint of the gripper.
        finger_open: (E,), position of the fingers of the open grippers [m].
        mask: (E, A) bool, whether an entry is a joint, not padding.
        source: (E, A) int64, index of the joint whose command an entry has: its own, 0 for padding.
    """

    def __init__(self, robots: Sequence[Robot]):
        self.robots = tuple(robots)
        self.is_mixed = any(robot is not self.robots[0] for robot in self.robots)
        self.num_joints = max(robot.num_joints for robot in self.robots)
        num_arms, one = len(self.robots), self.robots[0]
        self.has_finger_sites = self.is_mixed or bool(one.finger_sites)
        self.finger_sites = FINGER_SITES if self.has_finger_sites else ()
        self.home = torch.stack([self.padded(torch.tensor(robot.home), robot) for robot in self.robots])
        limits = [[*robot.joint_limits, *[(0.0, 0.0)] * (self.num_joints - robot.num_joints)] for robot in self.robots]
        self.limits = torch.tensor(limits, dtype=torch.float64)
        self.open_command = torch.tensor(_filled([robot.open_command for robot in self.robots]))
        self.closed_command = torch.tensor(_filled([robot.closed_command for robot in self.robots]))
        self.finger_open = torch.tensor([robot.finger_open for robot in self.robots])
        self.mask = torch.tensor([[joint < robot.num_joints for joint in range(self.num_joints)] for robot in self.robots])
        self.source = torch.arange(self.num_joints).expand(num_arms, -1).masked_fill(~self.mask, 0)
        size = max(len(robot.gripper_joint_names) for robot in self.robots)
        self.finger_ratio = torch.zeros(num_arms, 2, size, dtype=torch.float64)
        for index, robot in enumerate(self.robots):
            ratio = torch.tensor(robot.finger_ratio or _IDENTITY_RATIO, dtype=torch.float64)
            if self.has_finger_sites:
                self.finger_ratio[index, :, : ratio.shape[1]] = ratio

    @property
    def name(self) -> str:
        """Names of the robots."""
        return "+".join(robot.name for robot in self.robots) if self.is_mixed else self.robots[0].name

    @property
    def digest(self) -> str:
        """SHA-256 of the models; empty if all are Pandas."""
        return digest_of([robot.digest for robot in self.robots])

    @property
    def joint_names(self) -> list[list[str]]:
        """Names of the joints of each arm and its gripper in MuJoCo's model, E x (A + G)."""
        grippers = _filled([robot.gripper_joint_names for robot in self.robots])
        arms = [self._repeated(robot.joint_names) for robot in self.robots]
        return [[*arm, *gripper] for arm, gripper in zip(arms, grippers, strict=True)]

    @property
    def actuator_names(self) -> list[list[str]]:
        """Names of the actuators of each arm and its gripper, E x (A + K)."""
        grippers = _filled([robot.actuator_names[robot.num_joints :] for robot in self.robots])
        arms = [self._repeated(robot.actuator_names[: robot.num_joints]) for robot in self.robots]
        return [[*arm, *gripper] for arm, gripper in zip(arms, grippers, strict=True)]

    def _repeated(self, names: Sequence[str]) -> list[str]:
        return [*names, *[names[0]] * (self.num_joints - len(names))]

    def padded(self, joint_state: Tensor, robot: Robot) -> Tensor:
        """Joint state (..., J) of a robot, from its own one (..., its joints + 2)."""
        missing = self.num_joints - robot.num_joints
        if not missing:
            return joint_state
        zeros = joint_state.new_zeros(*joint_state.shape[:-1], missing)
        return torch.cat((joint_state[..., :-2], zeros, joint_state[..., -2:]), dim=-1)

    def own(self, index: int, joint_state: Tensor) -> Tensor:
        """Joint state of an arm without padding, (..., its joints + 2), from (..., J)."""
        num_joints = self.robots[index].num_joints
        if num_joints == self.num_joints:
            return joint_state
        return torch.cat((joint_state[..., :num_joints], joint_state[..., -2:]), dim=-1)

    def forward_kinematics(self, joint_pos: Tensor) -> Tensor:
        """End effector poses (..., E, 4, 4), base frames [m], from joint states (..., E, J)."""
        if not self.is_mixed:
            return self.robots[0].forward_kinematics(joint_pos[..., :-2])
        return torch.stack([robot.forward_kinematics(own[..., :-2]) for robot, own in self._each(joint_pos)], dim=-3)

    def model_joint_pos(self, joint_pos: Tensor) -> Tensor:
        """Positions (n, E, A + G) of the joints of the MuJoCo model for joint states (n, E, J)."""
        if not self.is_mixed:
            return self.robots[0].model_joint_pos(joint_pos)
        return self._joined([robot.model_joint_pos(own) for robot, own in self._each(joint_pos)])

    def model_joint_vel(self, joint_pos: Tensor, joint_vel: Tensor) -> Tensor:
        """Velocities (n, E, A + G) of the joints of the MuJoCo model for joint states and velocities (n, E, J)."""
        if not self.is_mixed:
            return self.robots[0].model_joint_vel(joint_pos, joint_vel)
        both = zip(self._each(joint_pos), self._each(joint_vel), strict=True)
        return self._joined([robot.model_joint_vel(pos, vel) for (robot, pos), (_, vel) in both])

    def holding_command(self, joint_pos: Tensor) -> Tensor:
        """Commands (n, E, A + K) that hold joint states (n, E, J)."""
        if not self.is_mixed:
            return self.robots[0].holding_command(joint_pos)
        return self._joined([robot.holding_command(own) for robot, own in self._each(joint_pos)])

    def own_commands(self, commands: Tensor) -> Tensor:
        """Commands (n, ...) of all arm joints and of one actuator of each gripper, without padding, from (n, E, A + 1)."""
        if not self.is_mixed:
            return commands.flatten(1)
        arms = zip(self.robots, commands.unbind(1), strict=True)
        return torch.cat([part for robot, own in arms for part in (own[:, : robot.num_joints], own[:, -1:])], dim=1)

    def _each(self, joint_state: Tensor) -> list[tuple[Robot, Tensor]]:
        arms = enumerate(joint_state.unbind(-2))
        return [(self.robots[index], self.own(index, own)) for index, own in arms]

    def _joined(self, values: Sequence[Tensor]) -> Tensor:
        """Values (n, E, A + ...) of all arms: entries of the joints, padded with the first, and of the grippers."""
        arms = [
            torch.cat(
                (own[..., : robot.num_joints], own[..., :1].expand(*own.shape[:-1], self.num_joints - robot.num_joints)), -1
            )
            for robot, own in zip(self.robots, values, strict=True)
        ]
        grippers = [own[..., robot.num_joints :] for robot, own in zip(self.robots, values, strict=True)]
        size = max(own.shape[-1] for own in grippers)
        grippers = [torch.cat((own, own[..., -1:].expand(*own.shape[:-1], size - own.shape[-1])), -1) for own in grippers]
        return torch.stack([torch.cat(both, -1) for both in zip(arms, grippers, strict=True)], dim=-2)


_IDENTITY_RATIO = ((1.0, 0.0), (0.0, 1.0))
"""Ratio of fingers that are the two joints of their gripper."""


def _filled(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Rows of equal length; the last entry of a shorter row is repeated."""
    size = max(len(row) for row in rows)
    return [[*row, *[row[-1]] * (size - len(row))] for row in rows]


def digest_of(digests: Sequence[str]) -> str:
    """Digest of the robots of all arms: that of the only one, or of all of them."""
    if len({*digests}) == 1:
        return digests[0]
    return hashlib.sha256("+".join(digests).encode()).hexdigest()

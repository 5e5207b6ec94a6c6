"""Robots of the embedded engines: the Panda of primitives, and any arm with a gripper that is described by an MJCF file."""

from isaaclab_mimic_ext.envs.robots.load import load_robot, robot_of
from isaaclab_mimic_ext.envs.robots.robot import InverseKinematicsCfg, Robot

__all__ = ["InverseKinematicsCfg", "Robot", "load_robot", "robot_of"]

"""Robots of the embedded engines: the Panda of primitives, and any arm with a gripper that is described by an MJCF file."""

from isaaclab_mimic_ext.envs.robots.arms import Arms
from isaaclab_mimic_ext.envs.robots.load import arms_of, digest_of_robots, load_robot, robot_of, robot_of_arm
from isaaclab_mimic_ext.envs.robots.robot import InverseKinematicsCfg, Robot

__all__ = ["Arms", "InverseKinematicsCfg", "Robot", "arms_of", "digest_of_robots", "load_robot", "robot_of", "robot_of_arm"]

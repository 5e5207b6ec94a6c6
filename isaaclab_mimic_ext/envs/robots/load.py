"""The robot of a task, from its description."""

from functools import cache

from isaaclab_mimic_ext.envs.robots.panda import make_panda
from isaaclab_mimic_ext.envs.robots.robot import Robot
from isaaclab_mimic_ext.task.definition import Task


def robot_of(task: Task) -> Robot:
    """Robot of all arms of a task."""
    return _panda()


@cache
def _panda() -> Robot:
    return make_panda()

"""The robot of a task, from its description."""

import json
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path

from isaaclab_mimic_ext.envs.robots.arms import Arms, digest_of
from isaaclab_mimic_ext.envs.robots.panda import make_panda
from isaaclab_mimic_ext.envs.robots.robot import Robot
from isaaclab_mimic_ext.errors import ConfigError
from isaaclab_mimic_ext.task.definition import Task
from isaaclab_mimic_ext.task.robot import PANDA, RobotCfg, check_description, robot_from


def arms_of(task: Task) -> Arms:
    """Robots of the arms of a task; errors as `robot_of`."""
    return Arms([robot_of_arm(task, name) for name in task.eef_names])


def robot_of_arm(task: Task, eef_name: str) -> Robot:
    """Robot of one arm of a task; errors as `robot_of`."""
    # The base does not change the robot, and arms of one kind share their robot.
    cfg = replace(task.robot.of_arm(eef_name), base_pos=None, base_yaw=None)
    try:
        return load_robot(cfg)
    except ConfigError as error:
        if eef_name in task.robot.arms and str(error).startswith("robot."):
            raise ConfigError(f"robot.{eef_name}.{str(error).removeprefix('robot.')}") from error
        raise


def digest_of_robots(cfg: RobotCfg) -> str:
    """Digest of the models of a description; errors as `robot_of`."""
    # The other fields are the robot of arms without an entry.
    return digest_of([load_robot(each).digest for each in (replace(cfg, arms={}), *map(cfg.of_arm, cfg.arms))])


def robot_of(task: Task) -> Robot:
    """Robot of all arms of a task.

    Raises:
        ConfigError: the description of the robot does not fit its file, or the arms have different robots.
        SimulatorUnavailable: MuJoCo is not installed, or a model of MuJoCo Menagerie cannot be had.
    """
    arms = arms_of(task)
    if arms.is_mixed:
        raise ConfigError(f"robot: must be the same for all arms here (got {arms.name})")
    return arms.robots[0]


def load_robot(cfg: RobotCfg) -> Robot:
    """Robot with a description; errors as `robot_of`. A robot is read and measured once, and again if a file was changed."""
    return _loaded(json.dumps(asdict(cfg)), _version(cfg.mjcf), _version(cfg.hand))


def _version(path: str | None) -> tuple[int, int] | None:
    """Time of the last change and size of a file; None if it cannot be read here."""
    try:
        found = Path(path or "").expanduser().stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


@cache
def _loaded(description: str, *_versions: tuple[int, int] | None) -> Robot:
    cfg = robot_from(json.loads(description))
    check_description(cfg)
    if cfg.mjcf is None:
        given = [name for name in cfg.changes if name not in ("base_pos", "base_yaw")]
        if given:
            fault = f"robot.{given[0]}: has no effect without robot.mjcf; set robot.mjcf to the MJCF file of the arm"
            raise ConfigError(fault if cfg.name == PANDA else f"robot.mjcf: must be set for robot '{cfg.name}' (got null)")
        return make_panda()
    from isaaclab_mimic_ext.envs.mujoco_model import import_mujoco

    import_mujoco()
    from isaaclab_mimic_ext.envs.robots.arm import load_arm

    return load_arm(cfg)

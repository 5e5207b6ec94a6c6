"""Share of the targets of the source demos that a robot does not reach, for the log and the statistics of a run."""

# T steps of a demo

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isaaclab_mimic_ext.config import GenerateCfg
from isaaclab_mimic_ext.demos.source import SourceDemo
from isaaclab_mimic_ext.envs.robots.reach import MAX_DISTANCE, distances_of_hand, opening_fault
from isaaclab_mimic_ext.errors import ConfigError
from isaaclab_mimic_ext.files.demo import open_demo
from isaaclab_mimic_ext.files.hdf5 import open_hdf5
from isaaclab_mimic_ext.files.selection import usable_demos
from isaaclab_mimic_ext.task.definition import Task, load_task

log = logging.getLogger(__name__)

_TARGETS = "obs/datagen_info/target_eef_pose"


def report_reach(task: Task, demos: Sequence[SourceDemo]) -> None:
    """Log the share of the targets of the source demos that each arm of a task does not reach; nothing for the Panda.

    Raises:
        ConfigError: the gripper of the robot never counts as open, so that no trial can succeed.
    """
    if task.robot.changes and (fault := opening_fault(task)):
        raise ConfigError(f"robot.gripper_open: {fault}; correct the control range in the file, or use a wider gripper")
    targets = {eef: [demo.target_eef_pose[eef] for demo in demos] for eef in task.eef_names}
    for eef, part in _unreached(task, targets).items():
        if part == 0.0:
            log.info("%s: %s reaches all targets of the source demos", eef, task.robot.of_arm(eef).label)
        else:
            remedy = "move the base (robot.base_pos), or narrow the pose_range of the objects in events"
            found = (
                f"{eef}: {task.robot.of_arm(eef).label} does not reach {100 * part:.1f} % of the targets of the source demos"
            )
            log.warning("%s; %s", found, remedy)


def reach_stats(cfg: GenerateCfg) -> dict[str, dict[str, float]]:
    """Entry of the statistics of a run: end effector -> share of the targets of its source demos out of reach.

    Empty for the Panda, and for tasks of Isaac Lab, whose robots are not known.
    """
    if cfg.task.is_registered or not cfg.robot.changes:
        return {}
    task = load_task(cfg.task.name, cfg.robot, cfg.objects)
    with open_hdf5(cfg.input_file) as file:
        demos = [open_demo(file, name) for name in usable_demos(file, cfg.demos, is_quiet=True)]
        targets = {eef: [demo.leaves[f"{_TARGETS}/{eef}"][()] for demo in demos] for eef in task.eef_names}
    return {"unreachable_targets": _unreached(task, targets)}


def _unreached(task: Task, targets: Mapping[str, Sequence[NDArray[Any]]]) -> dict[str, float]:
    """Share of targets out of reach by end effector, empty for the Panda.

    Args:
        targets: end effector -> (T, 4, 4) of each demo, env frame [m].
    """
    if not task.robot.changes:
        return {}
    distances = {eef: np.concatenate(distances_of_hand(task, eef, poses)) for eef, poses in targets.items()}
    return {eef: float(np.mean(each > MAX_DISTANCE)) for eef, each in distances.items()}

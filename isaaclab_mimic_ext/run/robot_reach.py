"""Report of the share of targets that a robot does not reach, at the start of a run."""

import logging
from collections.abc import Sequence

import numpy as np

from isaaclab_mimic_ext.demos.source import SourceDemo
from isaaclab_mimic_ext.envs.robots.reach import MAX_DISTANCE, distances_of_hand
from isaaclab_mimic_ext.task.definition import Task

log = logging.getLogger(__name__)


def report_reach(task: Task, demos: Sequence[SourceDemo]) -> None:
    """Log the share of the targets of the source demos that each arm of a task does not reach; nothing for the Panda."""
    if not task.robot.changes:
        return
    for eef in task.eef_names:
        every = np.concatenate(distances_of_hand(task, eef, [demo.target_eef_pose[eef] for demo in demos]))
        share = 100 * float(np.mean(every > MAX_DISTANCE))
        if share == 0.0:
            log.info("%s: %s reaches all targets of the source demos", eef, task.robot.label)
        else:
            remedy = "move the base (robot.base_pos), or narrow the pose_range of the objects in events"
            found = f"{eef}: {task.robot.label} does not reach {share:.1f} % of the targets of the source demos"
            log.warning("%s; %s", found, remedy)

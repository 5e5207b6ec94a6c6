"""What runs with SkillGen or a driving base need beside the others: a motion planner that knows arms and objects."""

import torch

from isaaclab_mimic_ext.config import DataGenConfig, SubTaskConfig
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.panda import HAND_BOXES, MAX_REACH, SHOULDER_HEIGHT, WRIST
from isaaclab_mimic_ext.errors import ConfigError, TaskSpecError
from isaaclab_mimic_ext.plan.motion import BoxPlanner, Workspace, hand_boxes
from isaaclab_mimic_ext.plan.motion_boxes import Boxes
from isaaclab_mimic_ext.plan.motion_paths import Speed
from isaaclab_mimic_ext.task import Task

MAX_HEIGHT = 0.60
"""Of an end effector on its way, above the table [m]."""


def build_motion_planner(task: Task, device: torch.device, ramp_steps: int = 8) -> BoxPlanner:
    """The planner of ways between the objects of a task, for its arms; `ramp_steps`: `transit_ramp_steps`.

    Raises:
        TaskSpecError: an object has no bounding box.
    """
    for obj in task.objects:
        if not all(half > 0 for half in obj.box_half_size):
            raise TaskSpecError(
                f"task '{task.name}': object '{obj.name}' has no height that ways could pass over: its box is "
                f"{obj.box_half_size}; give its SceneObject a half_size and a box_centre, or set use_skillgen=false"
            )
    centre, half_size = zip(*((obj.box_centre, obj.box_half_size) for obj in task.objects), strict=True)
    objects = Boxes(torch.tensor(centre, device=device), torch.tensor(half_size, device=device))
    base = torch.tensor([arm.base_pos for arm in task.arms], device=device)
    shoulder = base + torch.tensor([0.0, 0.0, SHOULDER_HEIGHT], device=device)
    workspace = Workspace(shoulder, WRIST, MAX_REACH, MAX_HEIGHT)
    return BoxPlanner(objects, hand_boxes(device, HAND_BOXES), workspace, speed=Speed(window=ramp_steps))


def start_signal_names(config: DataGenConfig, subtasks: dict[str, list[SubTaskConfig]]) -> list[str]:
    """The start signals that source demos must have."""
    if not config.use_skillgen:
        return []
    return [c.subtask_term_signal for configs in subtasks.values() for c in configs if c.subtask_term_signal is not None]


def check_navigation(config: DataGenConfig, env: MimicEnv) -> None:
    """Refuse to wait for a base that the env says nothing of.

    Raises:
        ConfigError: it has no navigation state.
    """
    if config.use_navigation_controller and env.get_navigation_state() is None:
        raise ConfigError(
            "datagen_config.use_navigation_controller: true, but this env has no navigation state "
            "(get_navigation_state() is None); set it to false, or use an env whose base is driven by a controller"
        )

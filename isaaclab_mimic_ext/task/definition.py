"""A task: the objects of a scene, what its signals mean, when it is solved. Written once, used by every engine."""

# N envs, E end effectors (one an arm), O objects, J joints of an arm

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from isaaclab_mimic_ext.errors import ConfigError, choices
from isaaclab_mimic_ext.task.reasons import FailureReason, never_reached

_GRIP_MARGIN = 0.01
"""How far outside of an object's box an end effector may be that holds it [m]."""
_FINGERS_AT_WORK = 0.038
"""A finger farther from the middle than this is open [m]."""


@dataclass(frozen=True)
class Arm:
    """A Franka Panda of the scene: its names as Isaac Lab has them, and where its base stands in the env frame."""

    name: str = "robot"
    eef_name: str = "franka"
    base_pos: tuple[float, float, float] = (0.0, 0.0, 0.0)
    base_yaw: float = 0.0


@dataclass(frozen=True)
class SceneObject:
    """An object that can move.

    Attributes:
        footprint_radius: of a circle about its frame's z axis that holds the whole object when it stands upright [m].
        rest_height: of its frame above the table when it stands upright [m].
        default_pos: (x, y) of its frame before randomization, env frame [m].
        half_size: of its bounding box along the axes of its frame [m]; None: as footprint and rest height have it.
        box_center: of that box, in its frame [m].
    """

    name: str
    footprint_radius: float
    rest_height: float
    default_pos: tuple[float, float]
    half_size: tuple[float, float, float] | None = None
    box_center: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def box_half_size(self) -> tuple[float, float, float]:
        """`half_size`, or a box about the footprint, as high above the frame as below."""
        return self.half_size or (self.footprint_radius, self.footprint_radius, self.rest_height)


@dataclass(frozen=True)
class Graspable:
    """An object that a gripper can hold.

    Attributes:
        half_width: how far each finger is from the middle when it holds the object [m].
        grip_pos: where the end effector is then, in the object's frame [m].
    """

    object_name: str
    half_width: float
    grip_pos: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass
class SceneState:
    """One instant of N scenes, env frame, metres and radians.

    Attributes:
        joint_pos, joint_vel: (N, E, J), arm joints first, then the two fingers.
        eef_pose: (N, E, 4, 4).
        object_pose: (N, O, 4, 4).
        root_pose: (N, O, 7), position and quaternion xyzw of each object.
        root_velocity: (N, O, 6), linear and angular.
    """

    joint_pos: Tensor
    joint_vel: Tensor
    eef_pose: Tensor
    object_pose: Tensor
    root_pose: Tensor
    root_velocity: Tensor

    @property
    def finger_pos(self) -> Tensor:
        """(N, E, 2), the way of each finger from the middle [m]: 0 closed, 0.04 open."""
        return self.joint_pos[..., -2:]


class Task(ABC):
    """Base of all tasks on a table top. The table's surface is z = 0 of the env frame."""

    name: str
    arms: tuple[Arm, ...] = (Arm(),)
    objects: tuple[SceneObject, ...]
    signal_names: tuple[str, ...]
    """The keys of `signals`, in the order of the subtasks."""
    table_bounds: tuple[tuple[float, float], tuple[float, float]]
    """x and y range in which objects may stand [m]."""
    quaternion_columns: Mapping[str, tuple[int, ...]] = {}
    """Where quaternions (xyzw) begin in `observations`, name -> first columns: files for Isaac Lab 2.3 have them as wxyz.

    Those called `*_quat` (N, 4) and `*_pose` (N, 7) are known without it.
    """
    config: Any = None
    """The task's `MimicEnvCfg` (subtasks, constraints, generation settings, randomization); set by `mimic.load_task`."""

    @cached_property
    def eef_names(self) -> tuple[str, ...]:
        return tuple(arm.eef_name for arm in self.arms)

    @cached_property
    def object_names(self) -> tuple[str, ...]:
        return tuple(obj.name for obj in self.objects)

    def object_id(self, name: str) -> int:
        """Index of an object in every (N, O, ...) tensor.

        Raises:
            ConfigError: there is no such object.
        """
        if name not in self.object_names:
            raise ConfigError(f"task '{self.name}': no object '{name}' in the scene; {choices(name, self.object_names)}")
        return self.object_names.index(name)

    @abstractmethod
    def signals(self, scene: SceneState) -> dict[str, Tensor]:
        """Subtask termination signals, name -> (N,) bool."""

    def start_signals(self, scene: SceneState) -> dict[str, Tensor]:
        """Where SkillGen's skills start, under the names of `signals`, name -> (N,) bool; empty: they are marked by hand."""
        return {}

    def attached_objects(self, scene: SceneState) -> Tensor:
        """What each gripper holds, (N, E) int64, an index into `objects`, -1 for nothing.

        Here: the object with its box's center nearest to the end effector, if that is within the box and the fingers are not
        open.
        """
        center, half_size = _object_boxes(self.objects, scene.object_pose.device)
        pose = scene.object_pose[:, None]
        offset = (pose[..., :3, :3] * (scene.eef_pose[:, :, None, :3, 3] - pose[..., :3, 3])[..., None]).sum(-2) - center
        within = (offset.abs() <= half_size + _GRIP_MARGIN).all(-1)
        distance = (offset * offset).sum(-1).masked_fill(~within, torch.inf)
        holds = within.any(-1) & (scene.finger_pos.amax(-1) < _FINGERS_AT_WORK)
        return distance.argmin(-1).masked_fill(~holds, -1)

    @abstractmethod
    def success(self, scene: SceneState) -> Tensor:
        """Whether the task is solved at this instant, (N,) bool."""

    def violates(self, scene: SceneState) -> Tensor | None:
        """What must not happen at any step, such as spilling, (N,) bool: where it did, a trial cannot succeed any more.

        None where a task has nothing of the kind.
        """
        return None

    @cached_property
    def failure_reasons(self) -> tuple[FailureReason, ...]:
        """Why trials fail, in the order in which it is looked for: the first that holds is the trial's."""
        return never_reached(self.signal_names)

    def conditions(self, scene: SceneState) -> dict[str, Tensor]:
        """What `failure_reasons` speaks of, name -> (N,) bool; watched at every step, so it should be cheap."""
        return self.signals(scene)

    def hopeless(self, scene: SceneState, over: Mapping[str, Tensor]) -> Tensor | None:
        """Whether a trial that goes on as planned cannot succeed any more, (N,) bool; None where that is never known.

        Only asked with `stop_hopeless_trials`. It must be certain: what it stops would otherwise have failed, so that the
        demonstrations that are kept are the same.

        Args:
            over: term signal -> (N,) bool, whether the end effector has gone on from the subtask that the signal ends;
                the signals are those that the subtasks of the configuration name.
        """
        return None

    @abstractmethod
    def graspable(self) -> dict[str, tuple[Graspable, ...]]:
        """End effector -> what it can hold, one thing at a time: the kinematic engine's whole notion of contact."""

    def observations(self, scene: SceneState) -> dict[str, Tensor]:
        """What a policy sees beside the robot's and the objects' own terms, name -> (N, ...)."""
        return {}

    def support_height(self, object_name: str, scene: SceneState) -> Tensor:
        """Height (N,) of what an object would land on if it were let go now, env frame [m]; the table's is 0."""
        return torch.zeros_like(scene.object_pose[:, self.object_id(object_name), 2, 3])


def task_dirs() -> list[Path]:
    """Where tasks are: `tasks/`, then the folders given by `--config-dir`."""
    import isaaclab_mimic_ext.tasks as package

    return [Path(folder) for folder in package.__path__]


def task_dir(name: str) -> Path:
    """The folder of a task, whether it is there or not."""
    folders = [folder / name for folder in task_dirs()]
    return next((folder for folder in folders if (folder / "task.py").is_file()), folders[0])


def available_tasks() -> list[str]:
    """Names of the tasks: folders with a `task.py`."""
    return sorted({path.parent.name for folder in task_dirs() for path in folder.glob("*/task.py")})


def load_task(name: str) -> Task:
    """The task of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in available_tasks():
        own = "; for one of your own give its folder, --config-dir <folder>"
        raise ConfigError(f"task: there is no task '{name}'; {choices(name, available_tasks())}{own}")
    return import_module(f"isaaclab_mimic_ext.tasks.{name}.task").make_task()


@cache
def _object_boxes(objects: tuple[SceneObject, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    """Centres and half sizes of the objects' boxes in their own frames, (O, 3) each [m]."""
    center = torch.tensor([obj.box_center for obj in objects], device=device)
    return center, torch.tensor([obj.box_half_size for obj in objects], device=device)

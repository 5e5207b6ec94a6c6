"""Definition of a task: arms, objects, signals and success, in torch. All engines use the same definition."""

# N envs, E end effectors (one per arm), O objects, Q of them on joints, J joints of an arm, V meshes of an object

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, wraps
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

from isaaclab_mimic_ext.errors import ConfigError, choices
from isaaclab_mimic_ext.task.cameras import CameraCfg
from isaaclab_mimic_ext.task.contract import check_definition, guard_functions
from isaaclab_mimic_ext.task.folders import available_tasks, own_task_hint
from isaaclab_mimic_ext.task.mesh_objects import graspable_of, mesh_digests, set_objects
from isaaclab_mimic_ext.task.meshes import ObjectCfg
from isaaclab_mimic_ext.task.objects import Graspable, JointedObject, SceneObject, jointed_objects, num_variants
from isaaclab_mimic_ext.task.reasons import FailureReason, never_reached
from isaaclab_mimic_ext.task.robot import RobotCfg, check_description
from isaaclab_mimic_ext.task.user_code import call_task_code, find_task_module, task_function, wrong_result

__all__ = [
    "MAX_HOLDING_FINGER_POS", "Arm", "Graspable", "JointedObject", "SceneObject", "SceneState", "Task",
    "graspable_of", "graspable_radii", "load_task", "mesh_digests", "once_per_scene", "set_objects", "set_robot",
]  # fmt: skip

Quantity = TypeVar("Quantity", bound=Callable[..., Any])

_GRIP_MARGIN = 0.01
"""Largest distance between an object's box and the end effector that holds the object [m]."""
_NOT_GIVEN = torch.zeros(0)
"""Joint state or sizes of objects, replaced by those with the right number of scenes."""
MAX_HOLDING_FINGER_POS = 0.038
"""Largest finger position while holding an object [m]; a gripper with a larger one is open."""


@dataclass(frozen=True)
class Arm:
    """An arm of the scene, by default a Franka Panda; see `Task.robot`.

    Attributes:
        name: name of the articulation in Isaac Lab's scene.
        eef_name: name of its end effector.
        base_pos: position of the base, env frame [m].
        base_yaw: rotation of the base about z [rad].
    """

    name: str = "robot"
    eef_name: str = "franka"
    base_pos: tuple[float, float, float] = (0.0, 0.0, 0.0)
    base_yaw: float = 0.0


@dataclass
class SceneState:
    """State of N scenes at one instant, env frame. Its tensors do not change, see `once_per_scene`.

    Attributes:
        joint_pos, joint_vel: (N, E, J), arm joints first, then the two fingers [rad, rad/s; fingers m, m/s].
        eef_pose: (N, E, 4, 4) [m].
        object_pose: (N, O, 4, 4) [m].
        root_pose: (N, O, 7), position [m] and quaternion xyzw of each object.
        root_velocity: (N, O, 6), linear [m/s] and angular [rad/s].
        object_joint_pos, object_joint_vel: (N, Q), of the objects on joints, in their order [m, m/s; hinges rad, rad/s].
        object_scale: (N, O), factors of the sizes of the objects; (N, 0): all have their own size. See `Task.scale_of`.
        object_mesh: (N, O) int64, numbers of the meshes of the objects in their lists; (N, 0): no object has several.
    """

    joint_pos: Tensor
    joint_vel: Tensor
    eef_pose: Tensor
    object_pose: Tensor
    root_pose: Tensor
    root_velocity: Tensor
    object_joint_pos: Tensor = field(default_factory=lambda: _NOT_GIVEN)
    object_joint_vel: Tensor = field(default_factory=lambda: _NOT_GIVEN)
    object_scale: Tensor = field(default_factory=lambda: _NOT_GIVEN)
    object_mesh: Tensor = field(default_factory=lambda: _NOT_GIVEN)

    def __post_init__(self) -> None:
        if self.object_joint_pos is _NOT_GIVEN:
            self.object_joint_pos = self.joint_pos.new_zeros(len(self.joint_pos), 0)
        if self.object_joint_vel is _NOT_GIVEN:
            self.object_joint_vel = torch.zeros_like(self.object_joint_pos)
        if self.object_scale is _NOT_GIVEN:
            self.object_scale = self.joint_pos.new_zeros(len(self.joint_pos), 0)
        if self.object_mesh is _NOT_GIVEN:
            self.object_mesh = self.joint_pos.new_zeros(len(self.joint_pos), 0, dtype=torch.int64)

    @property
    def finger_pos(self) -> Tensor:
        """Position of each finger, measured from the middle, (N, E, 2) [m]: 0 closed, 0.04 open."""
        return self.joint_pos[..., -2:]


def once_per_scene(quantity: Quantity) -> Quantity:
    """Decorator of a method of a task, `(scene, *names) -> value`: compute the value once per scene and names.

    Signals, conditions and success are evaluated in each step. They share the quantities that have this decorator.
    """

    @wraps(quantity)
    def once(task: "Task", scene: SceneState, *names: Hashable) -> Any:
        values: dict[Hashable, Any] = vars(scene).setdefault("_quantities", {})
        key = (task, quantity, names)
        if key not in values:
            values[key] = quantity(task, scene, *names)
        return values[key]

    return cast(Quantity, once)


class Task(ABC):
    """Base class of tabletop tasks. The table's surface is z = 0 of the env frame."""

    name: str
    arms: tuple[Arm, ...] = (Arm(),)
    objects: tuple[SceneObject, ...]
    signal_names: tuple[str, ...]
    """The keys of `signals`, in the order of the subtasks."""
    table_bounds: tuple[tuple[float, float], tuple[float, float]]
    """Range of x and of y in which objects may be placed, env frame [m]."""
    cameras: Mapping[str, CameraCfg] = {"agentview": CameraCfg(pos=[1.15, 0.0, 0.75], target=[0.45, 0.0, 0.08], fovy=48.0)}
    """Cameras in addition to those of the scene: name -> pose and field of view. `agentview` frames the work space."""
    quaternion_columns: Mapping[str, tuple[int, ...]] = {}
    """First columns of the quaternions (xyzw) in `observations`, by name; files for Isaac Lab 2.3 need them to write wxyz.

    Not needed for names that end in `_quat` (N, 4) or `_pose` (N, 7).
    """
    robot_observations: tuple[str, ...] = ()
    """Names of `observations` that describe the robot itself, not the objects: they are in LeRobot's `observation.state`."""
    config: Any = None
    """The task's `MimicEnvCfg` (subtasks, constraints, generation settings, randomization); set by `mimic.load_task`."""

    open_finger_pos: float | None = None
    """Finger position above which `signals` or `success` count a gripper as open [m]; robots must exceed it. None: any."""
    object_cfgs: Mapping[str, ObjectCfg] = {}
    """Meshes that replace the shapes of objects, by object; set by `set_objects`."""
    own_objects: Mapping[str, SceneObject] = {}
    """Objects that meshes replace, by name; set by `set_objects`."""
    robot: RobotCfg = RobotCfg()
    """Robot of all arms; by default the Panda."""

    engine: str | None = None
    """Only engine that has the scene of this task; None: all engines in which the task has a scene."""

    preset: str | None = None
    """Name of the task file with this configuration, `conf/task/<preset>.yaml`; set by `mimic.load_task`."""

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        guard_functions(cls)

    @cached_property
    def eef_names(self) -> tuple[str, ...]:
        return tuple(arm.eef_name for arm in self.arms)

    @cached_property
    def object_names(self) -> tuple[str, ...]:
        return tuple(obj.name for obj in self.objects)

    def object_id(self, name: str) -> int:
        """Index of an object in every (N, O, ...) tensor.

        Raises:
            ConfigError: the scene does not contain the object.
        """
        if name not in self.object_names:
            raise ConfigError(f"task '{self.name}': object '{name}' is not in the scene; {choices(name, self.object_names)}")
        return self.object_names.index(name)

    @cached_property
    def jointed_names(self) -> tuple[str, ...]:
        """Names of the objects on joints, in the order of `SceneState.object_joint_pos`."""
        return tuple(obj.name for obj in jointed_objects(self.objects))

    def joint_position(self, scene: SceneState, name: str) -> Tensor:
        """Joint position of an object on a joint, (N,) [m, rad].

        Raises:
            ConfigError: no such object is on a joint.
        """
        if name not in self.jointed_names:
            names = choices(name, self.jointed_names)
            raise ConfigError(f"task '{self.name}': object '{name}' is not on a joint; {names}")
        return scene.object_joint_pos[:, self.jointed_names.index(name)]

    def scale_of(self, scene: SceneState, name: str) -> Tensor | float:
        """Factor of the size of an object, (N,), which `events.<name>.scale_range` draws; 1.0 if all have their own size."""
        return scene.object_scale[:, self.object_id(name)] if scene.object_scale.shape[1] else 1.0

    @cached_property
    def half_widths(self) -> dict[str, float]:
        """Object -> position of each finger, measured from the middle, while a gripper holds it [m]; that of its mesh."""
        return self._half_widths(0)

    def _half_widths(self, mesh: int) -> dict[str, float]:
        held = [item for items in graspable_of(self, mesh).values() for item in items]
        return {item.object_name: item.half_width for item in reversed(held)}

    @cached_property
    def _mesh_half_widths(self) -> Tensor:
        """Half widths by mesh, (V, O) [m]; 0 for objects that no gripper can hold."""
        by_mesh = [self._half_widths(mesh) for mesh in range(num_variants(self.objects))]
        return torch.tensor([[widths.get(name, 0.0) for name in self.object_names] for widths in by_mesh])

    def half_width_of(self, scene: SceneState, name: str) -> Tensor | float:
        """Position of each finger, measured from the middle, while a gripper holds an object, (N,) or for all scenes [m].

        It is that of the mesh and of the size that the object has in the scene.
        """
        if not scene.object_mesh.shape[1]:
            return self.half_widths[name] * self.scale_of(scene, name)
        column = self.object_id(name)
        widths = self._mesh_half_widths[:, column].to(scene.object_mesh.device)
        return widths[scene.object_mesh[:, column]] * self.scale_of(scene, name)

    @abstractmethod
    def signals(self, scene: SceneState) -> dict[str, Tensor]:
        """Term signals, name -> (N,) bool."""

    def start_signals(self, scene: SceneState) -> dict[str, Tensor]:
        """Start signals of skills (SkillGen), with the names of `signals`, (N,) bool; empty: starts are marked by hand."""
        return {}

    def attached_objects(self, scene: SceneState) -> Tensor:
        """Index of the object in each gripper, (N, E) int64; -1 if empty.

        Default: the object with the box center nearest to the end effector, if the end effector is within the box and the
        fingers are not open.
        """
        center, half_size = _object_boxes(self.objects, scene.object_pose.device)
        if scene.object_mesh.shape[1]:
            columns = torch.arange(len(self.objects), device=center.device)
            center, half_size = (values[scene.object_mesh, columns][:, None] for values in (center, half_size))
        else:
            center, half_size = center[0], half_size[0]
        if scene.object_scale.shape[1]:
            scale = scene.object_scale[:, None, :, None]
            center, half_size = center * scale, half_size * scale
        pose = scene.object_pose[:, None]
        offset = (pose[..., :3, :3] * (scene.eef_pose[:, :, None, :3, 3] - pose[..., :3, 3])[..., None]).sum(-2) - center
        within = (offset.abs() <= half_size + _GRIP_MARGIN).all(-1)
        distance = (offset * offset).sum(-1).masked_fill(~within, torch.inf)
        holds = within.any(-1) & (scene.finger_pos.amax(-1) < MAX_HOLDING_FINGER_POS)
        return distance.argmin(-1).masked_fill(~holds, -1)

    @abstractmethod
    def success(self, scene: SceneState) -> Tensor:
        """Return whether the task is solved at this instant, (N,) bool."""

    def violates(self, scene: SceneState) -> Tensor | None:
        """Return whether a rule that holds for the whole trial is violated, such as "do not spill", (N,) bool.

        A trial with a violation in any step cannot succeed. None: the task has no such rule.
        """
        return None

    @cached_property
    def failure_reasons(self) -> tuple[FailureReason, ...]:
        """Reasons of failure, in the order in which they are checked; a failed trial gets the first one that holds."""
        return never_reached(self.signal_names)

    def conditions(self, scene: SceneState) -> dict[str, Tensor]:
        """Conditions used by `failure_reasons`, name -> (N,) bool; evaluated in each step, so they should be cheap."""
        return self.signals(scene)

    def hopeless(self, scene: SceneState, over: Mapping[str, Tensor]) -> Tensor | None:
        """Return which trials can no longer succeed if they continue as planned, (N,) bool; None: never known.

        Evaluated only with `stop_hopeless_trials`. The result must be certain: a stopped trial would have failed anyway, so
        that the generated demos are the same with and without this option.

        Args:
            over: term signal of a configured subtask -> (N,) bool, whether the end effector has completed that subtask.
        """
        return None

    @abstractmethod
    def graspable(self) -> dict[str, tuple[Graspable, ...]]:
        """Objects that each end effector can hold, one at a time. The kinematic engine has no other model of contact."""

    def observations(self, scene: SceneState) -> dict[str, Tensor]:
        """Observations of the task, in addition to the terms of robots and objects, name -> (N, ...)."""
        return {}

    def support_height(self, object_name: str, scene: SceneState) -> Tensor:
        """Height of the surface on which a released object would land, (N,), env frame [m]; that of the table is 0."""
        return torch.zeros_like(scene.object_pose[:, self.object_id(object_name), 2, 3])


def load_task(name: str, robot: RobotCfg | None = None, objects: Mapping[str, ObjectCfg] | None = None) -> Task:
    """Create the task with this name.

    Args:
        robot: robot of its arms; None: that of the task, by default the Panda.
        objects: meshes that replace the shapes of objects, by object.

    Raises:
        ConfigError: the task is not found.
        TaskCodeError: the code of the task has an error.
    """
    if name not in available_tasks():
        raise ConfigError(f"task: '{name}' not found; {choices(name, available_tasks())}{own_task_hint()}")
    module = find_task_module(name, "task")
    assert module is not None
    make_task = task_function(module, "make_task", "")
    task = call_task_code(make_task)
    if not isinstance(task, Task):
        raise wrong_result(make_task, f"must return an instance of a subclass of Task (got {task!r})")
    check_definition(task)
    if task.name != name:
        raise wrong_result(make_task, f"the task must have the name of its folder, '{name}' (got '{task.name}')")
    if robot is not None:
        set_robot(task, robot)
    if objects:
        set_objects(task, objects)
    return task


def set_robot(task: Task, robot: RobotCfg) -> None:
    """Set the robot of a task's arms. The Panda keeps the robot that the task defines.

    Raises:
        ConfigError: a value of the description is not valid.
    """
    check_description(robot)
    if not robot.changes:
        return
    task.robot = robot
    if robot.base_pos is not None:
        x, y, z = robot.base_pos
        task.arms = tuple(replace(arm, base_pos=(x, y, z)) for arm in task.arms)
    if robot.base_yaw is not None:
        task.arms = tuple(replace(arm, base_yaw=robot.base_yaw) for arm in task.arms)
    for name in robot.arms:
        if name not in task.eef_names:
            raise ConfigError(
                f"robot.arms: '{name}' is not an end effector of '{task.name}'; {choices(name, task.eef_names)}"
            )
    task.arms = tuple(_at_own_base(arm, robot) for arm in task.arms)


def _at_own_base(arm: Arm, robot: RobotCfg) -> Arm:
    if arm.eef_name not in robot.arms:
        return arm
    own = robot.of_arm(arm.eef_name)
    x, y, z = arm.base_pos if own.base_pos is None else own.base_pos
    return replace(arm, base_pos=(x, y, z), base_yaw=arm.base_yaw if own.base_yaw is None else own.base_yaw)


def graspable_radii(task: Task) -> dict[str, dict[str, float]]:
    """End effector -> object that its gripper can lift -> radius of the object's footprint [m].

    Objects on joints do not count: an open gripper can move them, too.
    """
    graspable = graspable_of(task)
    names = {eef: {item.object_name for item in graspable.get(eef, ())} - {*task.jointed_names} for eef in task.eef_names}
    return {eef: {each.name: each.footprint_radius for each in task.objects if each.name in names[eef]} for eef in names}


@cache
def _object_boxes(objects: tuple[SceneObject, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    """Centers and half sizes of the objects' boxes in their own frames, by number of the mesh, (V, O, 3) each [m]."""
    shapes = [[obj.variant(mesh) for obj in objects] for mesh in range(num_variants(objects))]
    center = torch.tensor([[obj.box_center for obj in each] for each in shapes], device=device)
    return center, torch.tensor([[obj.box_half_size for obj in each] for each in shapes], device=device)

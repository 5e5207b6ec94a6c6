"""Stack cube: cubes, signals, success and reasons of failure. Names and geometry are those of Isaac Lab's task."""

# N envs

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from isaaclab_mimic_ext.task.cameras import CameraCfg
from isaaclab_mimic_ext.task.definition import Graspable, SceneObject, SceneState, Task, once_per_scene
from isaaclab_mimic_ext.task.reasons import FailureReason

CUBE_SIZE = 0.0468
"""Edge length of a cube [m]."""
CUBE_MASS = 0.02
"""Mass of a cube [kg]."""

# Thresholds of signals, conditions and success
GRASP_DISTANCE = 0.06
"""Largest distance of the end effector from a held cube [m]."""
GRIP_TOLERANCE = 0.004
"""Largest difference between the gap of the fingers and the edge length while they hold a cube [m]."""
STACK_DISTANCE = 0.04
"""Largest horizontal distance between the centers of two stacked cubes [m]."""
STACK_TOLERANCE = 0.005
"""Tolerance of the height of a stacked cube above the lower cube [m]."""
OPEN_FINGERS = 0.035
"""Distance of each finger from the middle above which the gripper is open [m]."""
CLEAR_DISTANCE = 0.06
"""Distance of the end effector from cube_3 from which the hand is clear of the stack [m]."""
HOVER_DISTANCE = 0.09
"""Distance of the end effector from a cube at which a skill `grasp_*` starts [m]."""
LOWERING_HEIGHT = 0.05
"""Height of a cube above its place on the stack below which a skill `stack_*` starts [m]."""
CLOSE_UP = 0.03
"""Distance up to which the observation `close_up` is about linear; it saturates for larger distances [m]."""
OFF_TABLE = 0.015
"""Height above the rest position from which a cube is off the table [m]. Tilted over its edge, a cube is 0.0097 higher."""


class StackCube(Task):
    """A Franka puts the red cube_2 onto the blue cube_1, then the green cube_3 onto both."""

    name = "stack_cube"
    objects = tuple(
        SceneObject(name, CUBE_SIZE / math.sqrt(2), CUBE_SIZE / 2, pos, half_size=(CUBE_SIZE / 2,) * 3)
        for name, pos in (("cube_1", (0.40, 0.0)), ("cube_2", (0.55, 0.05)), ("cube_3", (0.60, -0.10)))
    )
    open_finger_pos = OPEN_FINGERS
    signal_names = ("grasp_1", "stack_1", "grasp_2", "stack_2")
    table_bounds = ((0.20, 0.85), (-0.50, 0.50))
    cameras: Mapping[str, CameraCfg] = {"agentview": CameraCfg(pos=[1.0, 0.0, 0.6], target=[0.45, 0.0, 0.13], fovy=46.0)}
    quaternion_columns: Mapping[str, tuple[int, ...]] = {"object": (3, 10, 17), "cube_orientations": (0, 4, 8)}
    failure_reasons = (
        FailureReason("cube_2 was never grasped", "grasp_1"),
        FailureReason("cube_2 was never lifted", "cube_2_lifted"),
        FailureReason("cube_2 was knocked off cube_1", "cube_2_down", "ever", after="stack_1"),
        FailureReason("cube_2 was dropped", "cube_2_down", "ever", after="cube_2_lifted"),
        FailureReason("cube_2 was not put on cube_1", "stack_1"),
        FailureReason("cube_3 was never grasped", "grasp_2"),
        FailureReason("cube_3 was never lifted", "cube_3_lifted"),
        FailureReason("cube_3 fell off cube_2", "cube_3_down", "ever", after="stack_2"),
        FailureReason("cube_3 was dropped", "cube_3_down", "ever", after="cube_3_lifted"),
        FailureReason("cube_3 was not put on cube_2", "stack_2"),
    )

    def signals(self, scene: SceneState) -> dict[str, Tensor]:
        """Term signals, name -> (N,) bool.

        `grasp_1`: the gripper holds cube_2. `stack_1`: cube_2 is on cube_1 and the gripper is open. `grasp_2` and `stack_2`:
        the same for cube_3 on cube_2.
        """
        return {
            "grasp_1": self._is_held(scene, "cube_2"),
            "stack_1": self._is_on(scene, "cube_2", "cube_1") & self._is_open(scene),
            "grasp_2": self._is_held(scene, "cube_3"),
            "stack_2": self._is_on(scene, "cube_3", "cube_2") & self._is_open(scene),
        }

    def start_signals(self, scene: SceneState) -> dict[str, Tensor]:
        """Start signals of the skills, name -> (N,) bool.

        `grasp_1`, `grasp_2`: the hand is near the cube. `stack_1`, `stack_2`: the cube is low over the cube below.
        """
        return {
            "grasp_1": self._eef_distance(scene, "cube_2") < HOVER_DISTANCE,
            "stack_1": self._is_lowered(scene, "cube_2", "cube_1"),
            "grasp_2": self._eef_distance(scene, "cube_3") < HOVER_DISTANCE,
            "stack_2": self._is_lowered(scene, "cube_3", "cube_2"),
        }

    def success(self, scene: SceneState) -> Tensor:
        """Return whether cube_3 is on cube_2, cube_2 on cube_1, and the gripper open and clear of them, (N,) bool."""
        stacked = self._is_on(scene, "cube_2", "cube_1") & self._is_on(scene, "cube_3", "cube_2")
        clear = self._eef_distance(scene, "cube_3") > CLEAR_DISTANCE
        return stacked & self._is_open(scene) & clear

    def conditions(self, scene: SceneState) -> dict[str, Tensor]:
        """Term signals, and for cube_2 and cube_3: `<cube>_lifted` (held off the table), `<cube>_down` (on the table).

        Name -> (N,) bool.
        """
        down = {name: self._is_down(scene, name) for name in ("cube_2", "cube_3")}
        return {
            **self.signals(scene),
            **{f"{name}_lifted": self._is_held(scene, name) & ~down[name] for name in down},
            **{f"{name}_down": down[name] for name in down},
        }

    def hopeless(self, scene: SceneState, over: Mapping[str, Tensor]) -> Tensor | None:
        """Return whether grasp or stack of a cube is over while the cube is on the table and away from the hand, (N,)."""
        lost = torch.zeros_like(scene.object_pose[:, 0, 0, 0], dtype=torch.bool)
        for signal, name in (("grasp_1", "cube_2"), ("stack_1", "cube_2"), ("grasp_2", "cube_3")):
            if signal in over:
                away = self._eef_distance(scene, name) > GRASP_DISTANCE
                lost = lost | (over[signal] & away & self._is_down(scene, name))
        return lost

    def observations(self, scene: SceneState) -> dict[str, Tensor]:
        """Observations of the cubes, name -> (N, ...).

        Isaac Lab's terms: `object` (N, 39), `cube_positions` (N, 9) [m], `cube_orientations` (N, 12), quaternions xyzw.

        In addition, in the env frame: `<to>_from_<from>` (N, 3) [m], vectors from the hand to cube_2 and cube_3, and from
        each of these cubes to the cube that it is placed on. `close_up` (N, 12), no unit: these four vectors, with short
        distances enlarged by tanh; normalized over the width of a table, a centimeter would be less than 2 % of the range.
        `cube_turns` (N, 3): sine of the angle from the yaw of the hand to the yaw of each cube.
        """
        root = scene.root_pose
        pos = root[..., :3]
        from_eef = pos - scene.eef_pose[:, :1, :3, 3]
        vectors = {
            "cube_2_from_eef": from_eef[:, 1],
            "cube_3_from_eef": from_eef[:, 2],
            "cube_1_from_cube_2": pos[:, 0] - pos[:, 1],
            "cube_2_from_cube_3": pos[:, 1] - pos[:, 2],
        }
        hand_x, hand_y = scene.eef_pose[:, 0, :2, 0, None].unbind(1)
        cube_x, cube_y = scene.object_pose[:, :, :2, 0].unbind(-1)
        between = [pos[:, upper] - pos[:, lower] for upper, lower in ((0, 1), (1, 2), (0, 2))]
        return {
            "object": torch.cat((root.flatten(1), from_eef.flatten(1), *between), dim=-1),
            "cube_positions": pos.flatten(1),
            "cube_orientations": root[..., 3:].flatten(1),
            **vectors,
            "close_up": torch.tanh(torch.cat(list(vectors.values()), dim=-1) / CLOSE_UP),
            "cube_turns": hand_x * cube_y - hand_y * cube_x,
        }

    def graspable(self) -> dict[str, tuple[Graspable, ...]]:
        return {"franka": tuple(Graspable(obj.name, half_width=CUBE_SIZE / 2) for obj in self.objects)}

    def support_height(self, object_name: str, scene: SceneState) -> Tensor:
        """Height of the support below an object, (N,) [m]: top of the highest cube under its center, or the table."""
        height = super().support_height(object_name, scene)
        for obj in self.objects:
            if obj.name == object_name:
                continue
            lower, offset = self._pose(scene, obj.name), self._offset(scene, object_name, obj.name)
            # Along the x and y axes of the lower cube.
            sideways = (offset[:, None] * lower[:, :3, :2].transpose(1, 2)).sum(-1).abs()
            below = (sideways < CUBE_SIZE / 2).all(-1) & (offset[:, 2] > 0)
            height = torch.where(below, torch.maximum(height, lower[:, 2, 3] + CUBE_SIZE / 2), height)
        return height

    def _pose(self, scene: SceneState, name: str) -> Tensor:
        return scene.object_pose[:, self.object_id(name)]

    def _offset(self, scene: SceneState, upper: str, lower: str) -> Tensor:
        return self._pose(scene, upper)[:, :3, 3] - self._pose(scene, lower)[:, :3, 3]

    @once_per_scene
    def _eef_distance(self, scene: SceneState, name: str) -> Tensor:
        return _norm(scene.eef_pose[:, 0, :3, 3] - self._pose(scene, name)[:, :3, 3])

    @once_per_scene
    def _is_held(self, scene: SceneState, name: str) -> Tensor:
        gap = scene.finger_pos[:, 0].sum(-1)
        # A gripper that missed the cube closes further.
        on_it = (gap - 2 * self.half_width_of(scene, name)).abs() < GRIP_TOLERANCE
        return on_it & (self._eef_distance(scene, name) < GRASP_DISTANCE)

    def _is_lowered(self, scene: SceneState, upper: str, lower: str) -> Tensor:
        offset = self._offset(scene, upper, lower)
        low = (offset[:, 2] > 0) & (offset[:, 2] < CUBE_SIZE + LOWERING_HEIGHT)
        return low & (_norm(offset[:, :2]) < STACK_DISTANCE)

    @once_per_scene
    def _is_down(self, scene: SceneState, name: str) -> Tensor:
        return self._pose(scene, name)[:, 2, 3] < CUBE_SIZE / 2 + OFF_TABLE

    @once_per_scene
    def _is_open(self, scene: SceneState) -> Tensor:
        return (scene.finger_pos[:, 0] > OPEN_FINGERS).all(-1)

    @once_per_scene
    def _is_on(self, scene: SceneState, upper: str, lower: str) -> Tensor:
        offset = self._offset(scene, upper, lower)
        return (_norm(offset[:, :2]) < STACK_DISTANCE) & ((offset[:, 2] - CUBE_SIZE).abs() < STACK_TOLERANCE)


def _norm(vec: Tensor) -> Tensor:
    return (vec * vec).sum(-1).sqrt()


def make_task() -> StackCube:
    return StackCube()

"""Stack cube: the cubes, what the task's signals mean, when it is solved. Names and geometry are Isaac Lab's."""

# N envs

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from isaaclab_mimic_ext.task.definition import Graspable, SceneObject, SceneState, Task
from isaaclab_mimic_ext.task.reasons import FailureReason

CUBE_SIZE = 0.0468
"""Edge [m]."""
CUBE_MASS = 0.02
"""Of each cube [kg]."""

GRASP_DISTANCE = 0.06
GRIP_TOLERANCE = 0.004
"""Of the gap between the fingers about a cube's edge when they hold it [m]."""
STACK_DISTANCE = 0.04
"""Sideways between the middles of two stacked cubes [m]."""
STACK_TOLERANCE = 0.005
"""Of the height of one cube above the other [m]."""
OPEN_FINGERS = 0.035
CLEAR_DISTANCE = 0.06
HOVER_DISTANCE = 0.09
"""From the end effector to a cube, where a grasp begins [m]."""
LOWERING_HEIGHT = 0.05
"""Of a cube above where it will lie, where its placement begins [m]."""
CLOSE_UP = 0.03
"""How far the close-up of a way shows it in detail [m]."""
OFF_TABLE = 0.015
"""A cube's frame higher than at rest by this much is not on the table; tilted over an edge it is higher by 0.0097 [m]."""


class StackCube(Task):
    """A Franka puts the red cube_2 onto the blue cube_1, then the green cube_3 onto both."""

    name = "stack_cube"
    objects = tuple(
        SceneObject(name, CUBE_SIZE / math.sqrt(2), CUBE_SIZE / 2, pos, half_size=(CUBE_SIZE / 2,) * 3)
        for name, pos in (("cube_1", (0.40, 0.0)), ("cube_2", (0.55, 0.05)), ("cube_3", (0.60, -0.10)))
    )
    signal_names = ("grasp_1", "stack_1", "grasp_2", "stack_2")
    table_bounds = ((0.20, 0.85), (-0.50, 0.50))
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
        """`grasp_1`: the gripper holds cube_2. `stack_1`: it let go of it upon cube_1. `grasp_2`, `stack_2`: cube_3."""
        return {
            "grasp_1": self._is_held(scene, "cube_2"),
            "stack_1": self._is_on(scene, "cube_2", "cube_1") & _is_open(scene),
            "grasp_2": self._is_held(scene, "cube_3"),
            "stack_2": self._is_on(scene, "cube_3", "cube_2") & _is_open(scene),
        }

    def start_signals(self, scene: SceneState) -> dict[str, Tensor]:
        """`grasp_1`, `grasp_2`: the hand comes near the cube. `stack_1`, `stack_2`: the cube comes down upon the other."""
        return {
            "grasp_1": self._eef_distance(scene, "cube_2") < HOVER_DISTANCE,
            "stack_1": self._is_lowered(scene, "cube_2", "cube_1"),
            "grasp_2": self._eef_distance(scene, "cube_3") < HOVER_DISTANCE,
            "stack_2": self._is_lowered(scene, "cube_3", "cube_2"),
        }

    def success(self, scene: SceneState) -> Tensor:
        """cube_3 is on cube_2 on cube_1, the gripper open and clear of them."""
        stacked = self._is_on(scene, "cube_2", "cube_1") & self._is_on(scene, "cube_3", "cube_2")
        clear = self._eef_distance(scene, "cube_3") > CLEAR_DISTANCE
        return stacked & _is_open(scene) & clear

    def conditions(self, scene: SceneState) -> dict[str, Tensor]:
        """The signals; which of the two cubes that are moved are lifted, and which are down."""
        down = {name: self._is_down(scene, name) for name in ("cube_2", "cube_3")}
        return {
            **self.signals(scene),
            **{f"{name}_lifted": self._is_held(scene, name) & ~down[name] for name in down},
            **{f"{name}_down": down[name] for name in down},
        }

    def hopeless(self, scene: SceneState, over: Mapping[str, Tensor]) -> Tensor | None:
        """The hand has gone on from grasping or stacking a cube, and the cube is on the table out of its reach."""
        lost = torch.zeros_like(scene.object_pose[:, 0, 0, 0], dtype=torch.bool)
        for signal, name in (("grasp_1", "cube_2"), ("stack_1", "cube_2"), ("grasp_2", "cube_3")):
            if signal in over:
                away = self._eef_distance(scene, name) > GRASP_DISTANCE
                lost = lost | (over[signal] & away & self._is_down(scene, name))
        return lost

    def observations(self, scene: SceneState) -> dict[str, Tensor]:
        """Isaac Lab's terms of the cubes: `object` (N, 39), `cube_positions` (N, 9), `cube_orientations` (N, 12), xyzw.

        And which way it is, (N, 3), env frame [m]: from the hand to the cubes that it moves, from each of these to the one
        that it goes on. `close_up` (N, 12): these four, stretched where they are short, without a unit: normalized over a
        table's width, a centimetre would hardly show. `cube_turns` (N, 3): the sines of the angles from the hand's yaw to
        that of each cube.
        """
        root = scene.root_pose
        pos = root[..., :3]
        from_eef = pos - scene.eef_pose[:, :1, :3, 3]
        ways = {
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
            **ways,
            "close_up": torch.tanh(torch.cat(list(ways.values()), dim=-1) / CLOSE_UP),
            "cube_turns": hand_x * cube_y - hand_y * cube_x,
        }

    def graspable(self) -> dict[str, tuple[Graspable, ...]]:
        return {"franka": tuple(Graspable(obj.name, half_width=CUBE_SIZE / 2) for obj in self.objects)}

    def support_height(self, object_name: str, scene: SceneState) -> Tensor:
        """The top of the highest cube under the middle of this one."""
        height = super().support_height(object_name, scene)
        for obj in self.objects:
            if obj.name == object_name:
                continue
            lower, offset = self._pose(scene, obj.name), self._offset(scene, object_name, obj.name)
            # In the lower cube's own axes: x, then y.
            sideways = (offset[:, None] * lower[:, :3, :2].transpose(1, 2)).sum(-1).abs()
            below = (sideways < CUBE_SIZE / 2).all(-1) & (offset[:, 2] > 0)
            height = torch.where(below, torch.maximum(height, lower[:, 2, 3] + CUBE_SIZE / 2), height)
        return height

    def _pose(self, scene: SceneState, name: str) -> Tensor:
        return scene.object_pose[:, self.object_id(name)]

    def _offset(self, scene: SceneState, upper: str, lower: str) -> Tensor:
        return self._pose(scene, upper)[:, :3, 3] - self._pose(scene, lower)[:, :3, 3]

    def _eef_distance(self, scene: SceneState, name: str) -> Tensor:
        return _norm(scene.eef_pose[:, 0, :3, 3] - self._pose(scene, name)[:, :3, 3])

    def _is_held(self, scene: SceneState, name: str) -> Tensor:
        gap = scene.finger_pos[:, 0].sum(-1)
        # Empty fingers close further: a gripper that missed the cube does not hold it.
        on_it = (gap - CUBE_SIZE).abs() < GRIP_TOLERANCE
        return on_it & (self._eef_distance(scene, name) < GRASP_DISTANCE)

    def _is_lowered(self, scene: SceneState, upper: str, lower: str) -> Tensor:
        offset = self._offset(scene, upper, lower)
        low = (offset[:, 2] > 0) & (offset[:, 2] < CUBE_SIZE + LOWERING_HEIGHT)
        return low & (_norm(offset[:, :2]) < STACK_DISTANCE)

    def _is_down(self, scene: SceneState, name: str) -> Tensor:
        return self._pose(scene, name)[:, 2, 3] < CUBE_SIZE / 2 + OFF_TABLE

    def _is_on(self, scene: SceneState, upper: str, lower: str) -> Tensor:
        offset = self._offset(scene, upper, lower)
        return (_norm(offset[:, :2]) < STACK_DISTANCE) & ((offset[:, 2] - CUBE_SIZE).abs() < STACK_TOLERANCE)


def _is_open(scene: SceneState) -> Tensor:
    return (scene.finger_pos[:, 0] > OPEN_FINGERS).all(-1)


def _norm(vec: Tensor) -> Tensor:
    return (vec * vec).sum(-1).sqrt()


def make_task() -> StackCube:
    return StackCube()

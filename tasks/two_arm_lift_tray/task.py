"""Two-arm tray lift: objects, signals, success and reasons of failure."""

# N envs

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from isaaclab_mimic_ext.task.cameras import CameraCfg
from isaaclab_mimic_ext.task.definition import Arm, Graspable, SceneObject, SceneState, Task, once_per_scene
from isaaclab_mimic_ext.task.reasons import FailureReason

TRAY_SIZE = (0.24, 0.30)
"""Outer length along x and width along y of the tray [m]. Its frame is at the bottom, below the center of the tray."""
TRAY_FLOOR, TRAY_WALL, TRAY_RIM = 0.008, 0.008, 0.026
HANDLE_Y, HANDLE_HEIGHT, HANDLE_RADIUS = 0.142, 0.070, 0.008
"""Position and radius of the handles [m]: bars along x, high enough that fingers can close above the rim of the tray."""
STAND_SIZE = (0.18, 0.22, 0.05)
PART_RADIUS, PART_HEIGHT = 0.02, 0.06
BIN_INNER, BIN_WALL, BIN_HEIGHT, BIN_FLOOR = 0.11, 0.006, 0.05, 0.006

# Thresholds of signals, conditions and success
GRASP_DISTANCE = 0.03
"""Largest distance of an end effector from a handle or part that it holds [m]."""
LIFT_HEIGHT = 0.10
"""Height above its support at which tray or part is lifted [m]."""
LEVEL_ANGLE = 0.15
"""Largest tilt of a level tray [rad]. Beyond, objects on the tray would slide."""
CLEAR_DISTANCE = 0.05
"""Distance of an end effector from handle or part from which the hand is clear of it [m]."""
OPEN_FINGERS = 0.035
"""Distance of each finger from the middle above which a gripper is open [m]."""
_STAND_TOLERANCE, _HEIGHT_TOLERANCE = 0.04, 0.01
_LEFT, _RIGHT = 0, 1


class TwoArmLiftTray(Task):
    """Two Frankas, left and right, face each other. Both lift a tray and place it on a stand.

    Then left lays a part on the tray, and right moves the part to a bin. Subtasks of both: grasp, lift, place. Then left:
    pick, hand_over; right: take, put into the bin.
    """

    name = "two_arm_lift_tray"
    arms = (
        Arm("robot_left", "left", base_pos=(0.42, -0.56, 0.0), base_yaw=math.pi / 2),
        Arm("robot_right", "right", base_pos=(0.42, 0.56, 0.0), base_yaw=-math.pi / 2),
    )
    objects = (
        SceneObject(
            "tray",
            footprint_radius=0.19,
            rest_height=0.0,
            default_pos=(0.66, 0.0),
            half_size=(TRAY_SIZE[0] / 2, TRAY_SIZE[1] / 2, (HANDLE_HEIGHT + HANDLE_RADIUS) / 2),
            box_center=(0.0, 0.0, (HANDLE_HEIGHT + HANDLE_RADIUS) / 2),
        ),
        SceneObject(
            "stand",
            footprint_radius=0.143,
            rest_height=0.0,
            default_pos=(0.20, 0.0),
            half_size=(STAND_SIZE[0] / 2, STAND_SIZE[1] / 2, STAND_SIZE[2] / 2),
            box_center=(0.0, 0.0, STAND_SIZE[2] / 2),
        ),
        SceneObject("part", footprint_radius=PART_RADIUS, rest_height=PART_HEIGHT / 2, default_pos=(0.43, -0.20)),
        SceneObject(
            "bin",
            footprint_radius=0.087,
            rest_height=0.0,
            default_pos=(0.43, 0.21),
            half_size=(BIN_INNER / 2 + BIN_WALL, BIN_INNER / 2 + BIN_WALL, BIN_HEIGHT / 2),
            box_center=(0.0, 0.0, BIN_HEIGHT / 2),
        ),
    )
    open_finger_pos = OPEN_FINGERS
    signal_names = ("left_grasp", "right_grasp", "lift", "place", "pick", "hand_over", "take")
    table_bounds = ((-0.15, 0.95), (-0.45, 0.45))
    cameras: Mapping[str, CameraCfg] = {"agentview": CameraCfg(pos=[1.15, 0.0, 0.85], target=[0.42, 0.0, 0.12], fovy=50.0)}
    failure_reasons = (
        FailureReason("left never grasped the tray", "left_grasp"),
        FailureReason("right never grasped the tray", "right_grasp"),
        FailureReason("the tray was tilted", "tilted", "ever"),
        FailureReason("the tray was never lifted", "lift"),
        FailureReason("the tray was not placed on the stand", "place"),
        FailureReason("the tray was pushed off its place", "on_stand", "lost"),
        FailureReason("left never picked up the part", "pick"),
        FailureReason("the part was not laid on the tray", "hand_over"),
        FailureReason("right never took the part", "take"),
        FailureReason("the part did not get into the bin", "in_bin"),
    )

    def signals(self, scene: SceneState) -> dict[str, Tensor]:
        """Term signals, name -> (N,) bool.

        `left_grasp`, `right_grasp`: the hand holds its handle. `lift`: both hands hold the tray, lifted and level. `place`:
        the tray is on the stand, both hands are open and clear of it. `pick`: left holds the part, lifted. `hand_over`: the
        part stands on the tray, left is open and clear of it. `take`: right holds the part, lifted.
        """
        left, right = self._holds_handle(scene, _LEFT), self._holds_handle(scene, _RIGHT)
        up = self._pos(scene, "tray")[:, 2] > LIFT_HEIGHT
        return {
            "left_grasp": left,
            "right_grasp": right,
            "lift": left & right & up & self._is_level(scene),
            "place": self._on_stand(scene) & self._is_off_tray(scene, _LEFT) & self._is_off_tray(scene, _RIGHT),
            "pick": self._has_part_up(scene, _LEFT),
            "hand_over": self._on_stand(scene) & self._part_on_tray(scene) & self._is_off_part(scene, _LEFT),
            "take": self._has_part_up(scene, _RIGHT),
        }

    def success(self, scene: SceneState) -> Tensor:
        """Return whether the tray is level on the stand, the part in the bin, and both hands open, (N,) bool.

        The right hand must also be clear of the part.
        """
        clear = self._is_off_part(scene, _RIGHT) & self._is_open(scene, _LEFT)
        return self._on_stand(scene) & self._in_bin(scene) & clear

    def violates(self, scene: SceneState) -> Tensor:
        """Return whether the tray is tilted so far that objects on it would slide, (N,) bool."""
        return ~self._is_level(scene)

    def conditions(self, scene: SceneState) -> dict[str, Tensor]:
        """Term signals and further conditions of the failure reasons, name -> (N,) bool.

        `tilted`: see `violates`. `on_stand`: the tray is level on the stand. `in_bin`: the part is in the bin.
        """
        conditions = {"tilted": self.violates(scene), "on_stand": self._on_stand(scene), "in_bin": self._in_bin(scene)}
        return self.signals(scene) | conditions

    def hopeless(self, scene: SceneState, over: Mapping[str, Tensor]) -> Tensor:
        """Return whether the tray is tilted, (N,) bool: a violation makes success impossible."""
        return self.violates(scene)

    def graspable(self) -> dict[str, tuple[Graspable, ...]]:
        part = Graspable("part", half_width=PART_RADIUS)
        return {
            name: (Graspable("tray", HANDLE_RADIUS, grip_pos=(0.0, side, HANDLE_HEIGHT)), part)
            for name, side in (("left", -HANDLE_Y), ("right", HANDLE_Y))
        }

    def support_height(self, object_name: str, scene: SceneState) -> Tensor:
        if object_name == "tray":
            on_stand = self._is_over(scene, "tray", "stand", (STAND_SIZE[0] / 2, STAND_SIZE[1] / 2))
            return torch.zeros_like(scene.object_pose[:, 0, 0, 0]).masked_fill_(on_stand, STAND_SIZE[2])
        if object_name != "part":
            return super().support_height(object_name, scene)
        tray_floor = self._pos(scene, "tray")[:, 2] + TRAY_FLOOR
        over_tray = self._is_over(scene, "part", "tray", (TRAY_SIZE[0] / 2, TRAY_SIZE[1] / 2))
        over_bin = self._is_over(scene, "part", "bin", (BIN_INNER / 2, BIN_INNER / 2))
        elsewhere = torch.zeros_like(tray_floor).masked_fill_(over_bin, BIN_FLOOR)
        return torch.where(over_tray, tray_floor, elsewhere)

    def _pos(self, scene: SceneState, name: str) -> Tensor:
        return scene.object_pose[:, self.object_id(name), :3, 3]

    @once_per_scene
    def _handle(self, scene: SceneState, eef: int) -> Tensor:
        """Center of the handle of a hand, (N, 3), env frame [m]."""
        tray = scene.object_pose[:, self.object_id("tray")]
        side = -HANDLE_Y if eef == _LEFT else HANDLE_Y
        return tray[:, :3, 3] + side * tray[:, :3, 1] + HANDLE_HEIGHT * tray[:, :3, 2]

    def _holds(self, scene: SceneState, eef: int, pos: Tensor, radius: float) -> Tensor:
        distance = _norm(scene.eef_pose[:, eef, :3, 3] - pos)
        return (distance < GRASP_DISTANCE) & (scene.finger_pos[:, eef].sum(-1) < 2 * radius + 0.004)

    def _holds_handle(self, scene: SceneState, eef: int) -> Tensor:
        return self._holds(scene, eef, self._handle(scene, eef), HANDLE_RADIUS)

    def _has_part_up(self, scene: SceneState, eef: int) -> Tensor:
        """Return whether a hand holds the part so high that it may move sideways, (N,) bool."""
        part = self._pos(scene, "part")
        base = STAND_SIZE[2] if eef == _RIGHT else 0.0
        return self._holds(scene, eef, part, PART_RADIUS) & (part[:, 2] > base + PART_HEIGHT / 2 + LIFT_HEIGHT)

    @once_per_scene
    def _is_open(self, scene: SceneState, eef: int) -> Tensor:
        return (scene.finger_pos[:, eef] > OPEN_FINGERS).all(-1)

    def _is_off_tray(self, scene: SceneState, eef: int) -> Tensor:
        distance = _norm(scene.eef_pose[:, eef, :3, 3] - self._handle(scene, eef))
        return self._is_open(scene, eef) & (distance > CLEAR_DISTANCE)

    @once_per_scene
    def _is_off_part(self, scene: SceneState, eef: int) -> Tensor:
        distance = _norm(scene.eef_pose[:, eef, :3, 3] - self._pos(scene, "part"))
        return self._is_open(scene, eef) & (distance > CLEAR_DISTANCE)

    @once_per_scene
    def _is_level(self, scene: SceneState) -> Tensor:
        return scene.object_pose[:, self.object_id("tray"), 2, 2] > math.cos(LEVEL_ANGLE)

    @once_per_scene
    def _on_stand(self, scene: SceneState) -> Tensor:
        tray, stand = self._pos(scene, "tray"), self._pos(scene, "stand")
        near = self._is_over(scene, "tray", "stand", (_STAND_TOLERANCE, _STAND_TOLERANCE))
        height = tray[:, 2] - stand[:, 2] - STAND_SIZE[2]
        return near & (height.abs() < _HEIGHT_TOLERANCE) & self._is_level(scene)

    def _part_on_tray(self, scene: SceneState) -> Tensor:
        height = self._pos(scene, "part")[:, 2] - self._pos(scene, "tray")[:, 2] - TRAY_FLOOR - PART_HEIGHT / 2
        over = self._is_over(scene, "part", "tray", (TRAY_SIZE[0] / 2 - TRAY_WALL, TRAY_SIZE[1] / 2 - TRAY_WALL))
        upright = scene.object_pose[:, self.object_id("part"), 2, 2] > 0.95
        return over & upright & (height.abs() < _HEIGHT_TOLERANCE)

    @once_per_scene
    def _in_bin(self, scene: SceneState) -> Tensor:
        height = self._pos(scene, "part")[:, 2] - self._pos(scene, "bin")[:, 2]
        # The center of a standing part is PART_HEIGHT / 2 above the floor; of a leaning or lying part, less.
        resting = (height > BIN_FLOOR) & (height < BIN_FLOOR + PART_HEIGHT / 2 + 0.01)
        return resting & self._is_over(scene, "part", "bin", (BIN_INNER / 2, BIN_INNER / 2))

    def _is_over(self, scene: SceneState, name: str, base_name: str, half_size: tuple[float, float]) -> Tensor:
        """Return whether an object's frame is within `half_size` [m] of a base object's frame, along its x and y, (N,)."""
        base = scene.object_pose[:, self.object_id(base_name)]
        offset = self._pos(scene, name) - base[:, :3, 3]
        along_x = (offset * base[:, :3, 0]).sum(-1).abs()
        along_y = (offset * base[:, :3, 1]).sum(-1).abs()
        return (along_x < half_size[0]) & (along_y < half_size[1])


def _norm(vec: Tensor) -> Tensor:
    return (vec * vec).sum(-1).sqrt()


def make_task() -> TwoArmLiftTray:
    return TwoArmLiftTray()

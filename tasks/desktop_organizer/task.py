"""Desktop organizer: objects, signals, success and reasons of failure."""

# N envs

from collections.abc import Mapping

import torch
from torch import Tensor

from isaaclab_mimic_ext.task.definition import Graspable, SceneObject, SceneState, Task, once_per_scene
from isaaclab_mimic_ext.task.reasons import FailureReason

# Sizes of the objects [m]
KETCHUP_RADIUS = 0.025
KETCHUP_HEIGHT = 0.10
"""Height of the bottle [m]. The fingers extend 5 cm beyond the palm: the palm would touch the cap of a taller bottle."""
BASKET_INNER = (0.20, 0.20)
"""Inner length and width of the basket [m]. Its frame is on the table, below the center of the basket."""
BASKET_WALL = 0.008
BASKET_HEIGHT = 0.07
BASKET_FLOOR = 0.008
ORANGE_JUICE_SIZE = (0.055, 0.055, 0.10)
CREAM_CHEESE_SIZE = (0.09, 0.06, 0.03)

# Thresholds of signals, conditions and success
REACH_DISTANCE = 0.05
"""Largest distance of the eef from the ketchup at which it is reached [m]."""
GRASP_DISTANCE = 0.04
"""Largest distance of the eef from the ketchup at which closed fingers hold it [m]."""
LIFT_HEIGHT = 0.12
"""Height above the table at which the ketchup is lifted [m]. It clears the carton, so that the hand may move sideways."""
CLEAR_DISTANCE = 0.06
"""Distance of the eef from the ketchup from which the hand is clear of it [m]."""
OPEN_FINGERS = 0.035
"""Distance of each finger from the middle above which the gripper is open [m]."""
OFF_TABLE = 0.01
"""Height above the table at which a bottle near the hand counts as held [m]."""
LOST_DISTANCE = 0.10
"""Distance from the eef above which a bottle cannot be in the gripper, in any orientation [m]."""

HOVER_DISTANCE = 0.09
"""Distance of the eef from the ketchup at which its skill `reach` starts [m]."""
CLOSING_FINGERS = 0.038
"""Distance of each finger from the middle below which the gripper is closing [m]."""
LOWERING_HEIGHT = 0.10
"""Height of the ketchup's center above the basket's rim below which the skill `place` starts [m]."""


def _half(size: tuple[float, float, float]) -> tuple[float, float, float]:
    """Half sizes of a box."""
    return size[0] / 2, size[1] / 2, size[2] / 2


class DesktopOrganizer(Task):
    """A Franka puts a ketchup bottle into a basket among distractors. Subtasks: reach, grasp, lift, place."""

    name = "desktop_organizer"
    objects = (
        SceneObject("ketchup", footprint_radius=KETCHUP_RADIUS, rest_height=KETCHUP_HEIGHT / 2, default_pos=(0.48, 0.15)),
        SceneObject(
            "basket",
            footprint_radius=0.15,
            rest_height=0.0,
            default_pos=(0.50, -0.20),
            half_size=(BASKET_INNER[0] / 2 + BASKET_WALL, BASKET_INNER[1] / 2 + BASKET_WALL, BASKET_HEIGHT / 2),
            box_center=(0.0, 0.0, BASKET_HEIGHT / 2),
        ),
        SceneObject(
            "orange_juice",
            footprint_radius=0.040,
            rest_height=0.050,
            default_pos=(0.60, 0.02),
            half_size=_half(ORANGE_JUICE_SIZE),
        ),
        SceneObject(
            "cream_cheese",
            footprint_radius=0.055,
            rest_height=0.015,
            default_pos=(0.38, 0.00),
            half_size=_half(CREAM_CHEESE_SIZE),
        ),
    )
    open_finger_pos = OPEN_FINGERS
    signal_names = ("reach", "grasp", "lift", "place")
    table_bounds = ((0.20, 0.85), (-0.50, 0.50))
    failure_reasons = (
        FailureReason("never reached", "reach"),
        FailureReason("never grasped", "held"),
        FailureReason("dropped", "slipped", "ever", after="held"),
        FailureReason("not in the basket", "place"),
        FailureReason("did not stay in the basket", "place", "lost"),
        FailureReason("did not let go", "released"),
        FailureReason("did not retreat", "retreated"),
    )

    def signals(self, scene: SceneState) -> dict[str, Tensor]:
        """Term signals, name -> (N,) bool.

        `reach`: the eef is at the ketchup. `grasp`: the fingers hold it. `lift`: it is held above `LIFT_HEIGHT`. `place`: it
        is in the basket.
        """
        distance = self._hand_distance(scene)
        gap = self._fingers(scene).sum(-1)
        grasped = (distance < GRASP_DISTANCE) & (gap < 2 * self.half_width_of(scene, "ketchup") + 0.004)
        return {
            "reach": distance < REACH_DISTANCE,
            "grasp": grasped,
            "lift": grasped & (self._ketchup(scene)[:, 2] > self._half_height(scene) + LIFT_HEIGHT),
            "place": self._in_basket(scene),
        }

    def start_signals(self, scene: SceneState) -> dict[str, Tensor]:
        """Start signals of the skills, name -> (N,) bool.

        `reach`: the eef is near the ketchup. `grasp`: the fingers close around it. `lift`: it leaves the table. `place`: it
        is low over the basket.
        """
        distance = self._hand_distance(scene)
        closing = (scene.finger_pos[:, 0] < CLOSING_FINGERS).all(-1)
        low = self._offset(scene)[:, 2] < BASKET_HEIGHT + LOWERING_HEIGHT
        return {
            "reach": distance < HOVER_DISTANCE,
            "grasp": (distance < GRASP_DISTANCE) & closing,
            "lift": (distance < GRASP_DISTANCE) & (self._ketchup(scene)[:, 2] > self._half_height(scene) + 0.5 * OFF_TABLE),
            "place": self._is_ketchup_over_basket(scene) & low,
        }

    def success(self, scene: SceneState) -> Tensor:
        """Return whether the ketchup is in the basket, and the gripper open and clear of it, (N,) bool."""
        return self._retreated(scene)

    def conditions(self, scene: SceneState) -> dict[str, Tensor]:
        """Term signals and further conditions of the failure reasons, name -> (N,) bool.

        `held`: the ketchup is near the hand and off the table. `slipped`: the hand is closed and far from the ketchup, which
        is not in the basket. `released`: it is in the basket and the hand is open. `retreated`: in addition, the hand is
        clear of it.
        """
        signals = self.signals(scene)
        distance = self._hand_distance(scene)
        off_table = self._ketchup(scene)[:, 2] > self._half_height(scene) + OFF_TABLE
        return {
            **signals,
            "held": (distance < CLEAR_DISTANCE) & off_table,
            "slipped": (distance > LOST_DISTANCE) & ~(self._is_open(scene) | signals["place"]),
            "released": self._released(scene),
            "retreated": self._retreated(scene),
        }

    def hopeless(self, scene: SceneState, over: Mapping[str, Tensor]) -> Tensor | None:
        """Return whether grasp or lift is over while the ketchup is on the table and away from the hand, (N,) bool."""
        has_left = over.get("grasp", over.get("lift"))
        if has_left is None:
            return None
        away = self._hand_distance(scene) > LOST_DISTANCE
        # A lying bottle is lower than a standing one. In the basket it is higher than on the table.
        on_table = self._ketchup(scene)[:, 2] < self._half_height(scene) + 0.5 * BASKET_FLOOR
        return has_left & away & on_table & ~self._is_ketchup_over_basket(scene)

    @once_per_scene
    def _ketchup(self, scene: SceneState) -> Tensor:
        """Position of the center of the ketchup, (N, 3), env frame [m]."""
        return scene.object_pose[:, self.object_id("ketchup"), :3, 3]

    def _half_height(self, scene: SceneState) -> Tensor | float:
        """Half the height of the ketchup [m]."""
        return KETCHUP_HEIGHT / 2 * self.scale_of(scene, "ketchup")

    @once_per_scene
    def _hand_distance(self, scene: SceneState) -> Tensor:
        """Distance of the eef from the ketchup, (N,) [m]."""
        return _norm(scene.eef_pose[:, 0, :3, 3] - self._ketchup(scene))

    @once_per_scene
    def _is_open(self, scene: SceneState) -> Tensor:
        return (self._fingers(scene) > OPEN_FINGERS).all(-1)

    @once_per_scene
    def _fingers(self, scene: SceneState) -> Tensor:
        """Distance of each finger from the middle, (N, 2) [m]."""
        return scene.finger_pos[:, 0]

    @once_per_scene
    def _released(self, scene: SceneState) -> Tensor:
        """Return whether the ketchup is in the basket and the gripper open, (N,) bool."""
        return self._in_basket(scene) & self._is_open(scene)

    @once_per_scene
    def _retreated(self, scene: SceneState) -> Tensor:
        """Return whether the ketchup is in the basket, and the gripper open and clear of it, (N,) bool."""
        return self._released(scene) & (self._hand_distance(scene) > CLEAR_DISTANCE)

    @once_per_scene
    def _in_basket(self, scene: SceneState) -> Tensor:
        height = self._offset(scene)[:, 2]
        # The center of a standing bottle is KETCHUP_HEIGHT / 2 above the floor; of a leaning or lying bottle, less.
        resting = (height > BASKET_FLOOR) & (height < BASKET_FLOOR + self._half_height(scene) + 0.01)
        return self._is_ketchup_over_basket(scene) & resting

    @once_per_scene
    def _offset(self, scene: SceneState) -> Tensor:
        """Position of the ketchup, measured from the basket, (N, 3), env frame [m]."""
        return self._offset_from_basket(scene, self.object_id("ketchup"))

    @once_per_scene
    def _is_ketchup_over_basket(self, scene: SceneState) -> Tensor:
        return self._is_over_basket(scene, self._offset(scene))

    def _offset_from_basket(self, scene: SceneState, object_id: int) -> Tensor:
        return scene.object_pose[:, object_id, :3, 3] - scene.object_pose[:, self.object_id("basket"), :3, 3]

    def _is_over_basket(self, scene: SceneState, offset: Tensor) -> Tensor:
        axes = scene.object_pose[:, self.object_id("basket"), :3, :2].transpose(1, 2)
        along_x, along_y = (offset[:, None] * axes).sum(-1).abs().unbind(-1)
        return (along_x < BASKET_INNER[0] / 2) & (along_y < BASKET_INNER[1] / 2)

    def observations(self, scene: SceneState) -> dict[str, Tensor]:
        """Vectors from the hand to the ketchup, and from the ketchup to the basket, (N, 3) each, env frame [m].

        A policy resolves a millimeter in such a vector, but not in the difference of two positions.
        """
        ketchup, basket = (scene.root_pose[:, self.object_id(name), :3] for name in ("ketchup", "basket"))
        return {"ketchup_from_eef": ketchup - scene.eef_pose[:, 0, :3, 3], "basket_from_ketchup": basket - ketchup}

    def graspable(self) -> dict[str, tuple[Graspable, ...]]:
        return {"franka": (Graspable("ketchup", half_width=KETCHUP_RADIUS),)}

    def support_height(self, object_name: str, scene: SceneState) -> Tensor:
        floor = scene.object_pose[:, self.object_id("basket"), 2, 3] + BASKET_FLOOR
        offset = self._offset_from_basket(scene, self.object_id(object_name))
        return torch.where(self._is_over_basket(scene, offset), floor, torch.zeros_like(floor))


def _norm(vec: Tensor) -> Tensor:
    return (vec * vec).sum(-1).sqrt()


def make_task() -> DesktopOrganizer:
    return DesktopOrganizer()

"""Square peg: nut, peg, signals, success and reasons of failure. Sizes, ranges and thresholds are those of MimicGen."""

# N envs

from collections.abc import Mapping

import torch
from torch import Tensor

from isaaclab_mimic_ext.task.cameras import CameraCfg
from isaaclab_mimic_ext.task.definition import Graspable, SceneObject, SceneState, Task, once_per_scene
from isaaclab_mimic_ext.task.reasons import FailureReason

# Sizes [m]. Frame of the nut: in the middle of its hole, x along its handle. Frame of the peg: in its middle
OUTER_HALF = 0.04375
"""Half the edge length of the nut."""
BAR_HALF = 0.0105
"""Half the width of the four bars around the hole."""
THICKNESS = 0.02
"""Thickness of the nut."""
HANDLE_HALF, HANDLE_CENTER = (0.02525, 0.015875), 0.054
"""Half the length and the width of the handle, and its center along x."""
HANDLE_END = HANDLE_CENTER + HANDLE_HALF[0]
PEG_HALF, PEG_HEIGHT = 0.016, 0.13
"""Half the edge length of the peg, and its height above the table. The hole is 45.5 mm wide, the peg 32 mm."""
GRIP = (0.0635, 0.0, 0.002)
"""Position of the end effector in the frame of the nut while it holds the handle."""

# Thresholds of signals, conditions and success
GRIP_DISTANCE = 0.035
"""Largest distance of the end effector from the grip of a held nut [m]."""
GAP_TOLERANCE = 0.004
"""Largest difference between the gap of the fingers and the width of the handle while they hold it [m]."""
AROUND_DISTANCE = 0.03
"""Largest distance of the nut from the peg, along x and along y, while it is around the peg [m]."""
ON_PEG_HEIGHT = 0.05
"""Height of the nut above the table below which it is on the peg [m]."""
CLEAR_DISTANCE = 0.0424
"""Least distance of the end effector from the middle of the nut at the end [m]. MimicGen: 1 - tanh(10 d) < 0.6."""
OPEN_FINGERS = 0.035
"""Distance of each finger from the middle above which the gripper is open [m]."""
LIFTED_HEIGHT = 0.04
"""Height of the nut from which it is off the table [m]."""
CLOSE_UP = 0.03
"""Distance up to which the observation `close_up` is about linear; it saturates for larger distances [m]."""


class SquarePeg(Task):
    """A Franka grasps a square nut by its handle and puts it on a square peg."""

    name = "square_peg"
    objects = (
        SceneObject(
            "square_nut", 0.081, THICKNESS / 2, (0.4475, 0.1675),
            half_size=((OUTER_HALF + HANDLE_END) / 2, OUTER_HALF, THICKNESS / 2),
            box_center=((HANDLE_END - OUTER_HALF) / 2, 0.0, 0.0),
        ),
        SceneObject(
            "square_peg", 0.0227, PEG_HEIGHT / 2, (0.79, 0.10), half_size=(PEG_HALF, PEG_HALF, PEG_HEIGHT / 2), fixed=True
        ),
    )  # fmt: skip
    open_finger_pos = OPEN_FINGERS
    signal_names = ("grasp",)
    table_bounds = ((0.20, 0.90), (-0.50, 0.50))
    cameras: Mapping[str, CameraCfg] = {"agentview": CameraCfg(pos=[1.25, -0.35, 0.65], target=[0.58, 0.08, 0.05], fovy=46)}
    table_height = 0.0
    """Height of the table, env frame [m]."""
    failure_reasons = (
        FailureReason("the nut was never grasped", "grasp"),
        FailureReason("the nut was never lifted", "lifted"),
        FailureReason("the nut was put down next to the peg", "beside", "ever", after="lifted"),
        FailureReason("the nut was never over the peg", "around"),
        FailureReason("the nut is stuck on the peg, above the table", "on_peg"),
    )

    def signals(self, scene: SceneState) -> dict[str, Tensor]:
        """Term signal `grasp`: the gripper holds the handle of the nut, (N,) bool."""
        gap = scene.finger_pos[:, 0].sum(-1)
        # A gripper that missed the handle closes further.
        on_it = (gap - 2 * HANDLE_HALF[1]).abs() < GAP_TOLERANCE
        return {"grasp": on_it & (_norm(self._to_grip(scene)) < GRIP_DISTANCE)}

    def success(self, scene: SceneState) -> Tensor:
        """Return whether the nut is on the peg, and the gripper open and clear of it, (N,) bool."""
        clear = _norm(scene.eef_pose[:, 0, :3, 3] - self._nut_pos(scene)) > CLEAR_DISTANCE
        is_open = (scene.finger_pos[:, 0] > OPEN_FINGERS).all(-1)
        return self._is_around(scene) & (self._nut_height(scene) < ON_PEG_HEIGHT) & is_open & clear

    def conditions(self, scene: SceneState) -> dict[str, Tensor]:
        """Conditions, name -> (N,) bool.

        `grasp`; `lifted`: the nut is held off the table; `around`: the peg is in the hole; `on_peg`: also near the table;
        `beside`: the nut is on the table and not around the peg.
        """
        signals, height, around = self.signals(scene), self._nut_height(scene), self._is_around(scene)
        return {
            **signals,
            "lifted": signals["grasp"] & (height > LIFTED_HEIGHT),
            "around": around & (height < PEG_HEIGHT),
            "on_peg": around & (height < ON_PEG_HEIGHT),
            "beside": ~around & (height < LIFTED_HEIGHT / 2),
        }

    def observations(self, scene: SceneState) -> dict[str, Tensor]:
        """Observations of nut and peg, name -> (N, ...), env frame.

        `grip_from_eef`, `peg_from_nut` (N, 3) [m]: vectors from the hand to the grip on the handle, and from the nut to the
        peg. `close_up` (N, 6), no unit: both, with short distances enlarged by tanh. `nut_turn` (N, 2): sine and cosine of
        the angle from the yaw of the hand to that of the nut.
        """
        to_grip, to_peg = self._to_grip(scene), scene.object_pose[:, 1, :3, 3] - self._nut_pos(scene)
        hand, nut = scene.eef_pose[:, 0, :2, 0], scene.object_pose[:, 0, :2, 0]
        sine = hand[:, 0] * nut[:, 1] - hand[:, 1] * nut[:, 0]
        return {
            "grip_from_eef": to_grip,
            "peg_from_nut": to_peg,
            "close_up": torch.tanh(torch.cat((to_grip, to_peg), dim=-1) / CLOSE_UP),
            "nut_turn": torch.stack((sine, (hand * nut).sum(-1)), dim=-1),
        }

    def graspable(self) -> dict[str, tuple[Graspable, ...]]:
        return {self.eef_names[0]: (Graspable("square_nut", half_width=HANDLE_HALF[1], grip_pos=GRIP),)}

    def _nut_pos(self, scene: SceneState) -> Tensor:
        return scene.object_pose[:, 0, :3, 3]

    def _nut_height(self, scene: SceneState) -> Tensor:
        return self._nut_pos(scene)[:, 2] - self.table_height

    @once_per_scene
    def _to_grip(self, scene: SceneState) -> Tensor:
        """Vector from the end effector to the grip on the handle, (N, 3), env frame [m]."""
        pose = scene.object_pose[:, 0]
        grip = pose[:, :3, 3] + (pose[:, :3, :3] * pose.new_tensor(GRIP)).sum(-1)
        return grip - scene.eef_pose[:, 0, :3, 3]

    @once_per_scene
    def _is_around(self, scene: SceneState) -> Tensor:
        offset = scene.object_pose[:, 0, :2, 3] - scene.object_pose[:, 1, :2, 3]
        return (offset.abs() < AROUND_DISTANCE).all(-1)


def _norm(vec: Tensor) -> Tensor:
    return (vec * vec).sum(-1).sqrt()


def make_task() -> SquarePeg:
    return SquarePeg()

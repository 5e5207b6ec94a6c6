"""Mug cleanup: a Franka opens a drawer, puts a mug into it, and closes the drawer."""

# N envs

from collections.abc import Mapping

import torch
from torch import Tensor

from isaaclab_mimic_ext.task.cameras import CameraCfg
from isaaclab_mimic_ext.task.definition import Graspable, JointedObject, SceneObject, SceneState, Task, once_per_scene
from isaaclab_mimic_ext.task.reasons import FailureReason

# Geometry [m]. Frame of the cabinet: on the table, below the middle of its casing; the drawer opens along -y
MUG_RADIUS, MUG_HEIGHT = 0.030, 0.064
"""Outer radius and height of the mug."""
MUG_REACH = 0.054
"""Distance of the outer side of the mug's handle from the axis of the mug."""
CASING_HALF = (0.118, 0.112, 0.067)
"""Half size of the casing."""
DRAWER_POS = (0.0, -0.01, 0.081)
"""Origin of the closed drawer, in the frame of the cabinet."""
HANDLE_POS, HANDLE_RADIUS = (0.0, -0.16, 0.04), 0.009
"""Middle of the drawer's handle, in the frame of the drawer, and its radius."""
FLOOR = -0.032
"""Height of the drawer's floor, in the frame of the drawer."""
INSIDE_LOW, INSIDE_HIGH = (-0.064, -0.085), (0.064, 0.057)
"""Range of x and y inside the drawer, in the frame of the drawer."""
LONGEST_PULL = 0.20
"""Largest joint position of the drawer."""

# Thresholds of signals, conditions and success
OPEN = 0.10
"""Joint position from which the drawer is open [m]."""
CLEAR_DISTANCE = 0.24
"""Distance of the end effector from the drawer's frame from which the hand has left the handle [m]."""
CLOSED = 0.01
"""Joint position below which the drawer is closed [m]."""
UPRIGHT = 1e-3
"""Largest 1 - cos of the mug's tilt."""
ON_FLOOR = 0.003
"""Largest height of the mug above the floor of the drawer [m]."""
GRASP_DISTANCE, GRIP_TOLERANCE = 0.05, 0.004
"""Largest distance of the end effector from a held mug, and difference of the gap of the fingers from its diameter [m]."""
OFF_TABLE = 0.02
"""Height above the rest position from which the mug is off the table [m]."""


class MugCleanup(Task):
    """A Franka pulls a drawer open by its handle, puts the mug into it, and pushes it shut."""

    name = "mug_cleanup"
    objects = (
        SceneObject("cabinet", 0.22, 0.0, (0.56, 0.30), CASING_HALF, box_center=(0.0, 0.0, CASING_HALF[2]), fixed=True),
        JointedObject(
            "drawer",
            half_size=(0.095, 0.1295, 0.0505),
            box_center=(0.0, -0.0395, 0.0025),
            base="cabinet",
            axis=(0.0, -1.0, 0.0),
            limits=(0.0, LONGEST_PULL),
            pos=DRAWER_POS,
            damping=100.0,
        ),
        SceneObject(
            "mug",
            MUG_REACH,
            MUG_HEIGHT / 2,
            (0.56, -0.175),
            half_size=((MUG_REACH + MUG_RADIUS) / 2, MUG_RADIUS, MUG_HEIGHT / 2),
            box_center=((MUG_REACH - MUG_RADIUS) / 2, 0.0, 0.0),
        ),
    )
    signal_names = ("open", "grasp")
    table_bounds = ((0.15, 0.95), (-0.60, 0.62))
    cameras: Mapping[str, CameraCfg] = {"agentview": CameraCfg(pos=[1.25, 0.0, 0.75], target=[0.5, 0.05, 0.08], fovy=50.0)}
    failure_reasons = (
        FailureReason("the drawer was not opened", "open"),
        FailureReason("the mug was never grasped", "grasp"),
        FailureReason("the mug was never lifted", "mug_lifted"),
        FailureReason("the mug was dropped on the table", "mug_down", "ever", after="mug_lifted"),
        FailureReason("the mug was not put into the drawer", "mug_inside"),
        FailureReason("the mug fell over in the drawer", "mug_upright", "lost", after="mug_inside"),
        FailureReason("the drawer was not closed", "drawer_closed", "lost"),
    )

    def signals(self, scene: SceneState) -> dict[str, Tensor]:
        """Term signals, name -> (N,) bool.

        `open`: the drawer is open and the hand has left its handle. `grasp`: the gripper holds the mug.
        """
        away = _norm(scene.eef_pose[:, 0, :3, 3] - self._pose(scene, "drawer")[:, :3, 3]) > CLEAR_DISTANCE
        return {"open": (self.joint_position(scene, "drawer") > OPEN) & away, "grasp": self._is_held(scene)}

    def success(self, scene: SceneState) -> Tensor:
        """Return whether the mug stands upright on the floor of the closed drawer, (N,) bool."""
        return self._is_inside(scene) & self._is_upright(scene) & self._is_closed(scene)

    def conditions(self, scene: SceneState) -> dict[str, Tensor]:
        """Term signals, and: `mug_lifted` (held off the table), `mug_down` (on the table), `mug_inside` (on the floor of the
        drawer), `mug_upright`, `drawer_closed`. Name -> (N,) bool.
        """
        height = self._pose(scene, "mug")[:, 2, 3] - MUG_HEIGHT / 2
        return {
            **self.signals(scene),
            "mug_lifted": self._is_held(scene) & (height > OFF_TABLE),
            "mug_down": height < OFF_TABLE,
            "mug_inside": self._is_inside(scene),
            "mug_upright": self._is_upright(scene),
            "drawer_closed": self._is_closed(scene),
        }

    def observations(self, scene: SceneState) -> dict[str, Tensor]:
        """Vectors in the env frame, name -> (N, 3) [m]: from the hand to mug and handle, and from the mug to the drawer."""
        mug, drawer = self._pose(scene, "mug"), self._pose(scene, "drawer")
        handle = drawer[:, :3, 3] + (drawer[:, :3, :3] * torch.tensor(HANDLE_POS, device=drawer.device)).sum(-1)
        eef = scene.eef_pose[:, 0, :3, 3]
        return {
            "mug_from_eef": mug[:, :3, 3] - eef,
            "handle_from_eef": handle - eef,
            "drawer_from_mug": drawer[:, :3, 3] - mug[:, :3, 3],
        }

    def graspable(self) -> dict[str, tuple[Graspable, ...]]:
        mug = Graspable("mug", half_width=MUG_RADIUS, grip_pos=(0.0, 0.0, 0.02))
        return {"franka": (Graspable("drawer", half_width=HANDLE_RADIUS, grip_pos=HANDLE_POS), mug)}

    def support_height(self, object_name: str, scene: SceneState) -> Tensor:
        """Height of the support below an object, (N,) [m]: the floor of the drawer, or the table."""
        floor = self._pose(scene, "drawer")[:, 2, 3] + FLOOR
        return torch.where(self._is_over_floor(scene), floor, torch.zeros_like(floor))

    def _pose(self, scene: SceneState, name: str) -> Tensor:
        return scene.object_pose[:, self.object_id(name)]

    @once_per_scene
    def _in_drawer(self, scene: SceneState) -> Tensor:
        """Position of the mug in the frame of the drawer, (N, 3) [m]."""
        drawer = self._pose(scene, "drawer")
        return (drawer[:, :3, :3] * (self._pose(scene, "mug")[:, :3, 3] - drawer[:, :3, 3])[..., None]).sum(-2)

    @once_per_scene
    def _is_over_floor(self, scene: SceneState) -> Tensor:
        place = self._in_drawer(scene)[:, :2]
        low, high = (torch.tensor(bound, device=place.device) for bound in (INSIDE_LOW, INSIDE_HIGH))
        return ((place > low) & (place < high)).all(-1)

    @once_per_scene
    def _is_inside(self, scene: SceneState) -> Tensor:
        height = self._in_drawer(scene)[:, 2] - MUG_HEIGHT / 2 - FLOOR
        return self._is_over_floor(scene) & (height.abs() < ON_FLOOR)

    @once_per_scene
    def _is_upright(self, scene: SceneState) -> Tensor:
        return 1.0 - self._pose(scene, "mug")[:, 2, 2] < UPRIGHT

    @once_per_scene
    def _is_closed(self, scene: SceneState) -> Tensor:
        return self.joint_position(scene, "drawer") < CLOSED

    @once_per_scene
    def _is_held(self, scene: SceneState) -> Tensor:
        gap = scene.finger_pos[:, 0].sum(-1)
        near = _norm(scene.eef_pose[:, 0, :3, 3] - self._pose(scene, "mug")[:, :3, 3]) < GRASP_DISTANCE
        return near & ((gap - 2 * self.half_width_of(scene, "mug")).abs() < GRIP_TOLERANCE)


def _norm(vec: Tensor) -> Tensor:
    return (vec * vec).sum(-1).sqrt()


def make_task() -> MugCleanup:
    return MugCleanup()

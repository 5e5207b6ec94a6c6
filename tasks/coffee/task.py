"""Coffee: a Franka puts a pod into the holder of a coffee machine, and closes the lid."""

# N envs

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from isaaclab_mimic_ext.task.cameras import CameraCfg
from isaaclab_mimic_ext.task.definition import Graspable, JointedObject, SceneObject, SceneState, Task, once_per_scene
from isaaclab_mimic_ext.task.objects import HINGE
from isaaclab_mimic_ext.task.reasons import FailureReason

# Geometry [m]. Frame of the machine: on the table, in the middle of its bounding box; the holder is in front, at +y
MACHINE_HALF = (0.0865, 0.1505, 0.1105)
"""Half size of the machine without its lid."""
HOLDER_POS, HOLDER_RADIUS, HOLDER_HALF_HEIGHT = (0.0, 0.1061, 0.174), 0.0295, 0.028
"""Middle of the holder in the frame of the machine, its outer radius, and half its height."""
HOLE_RADIUS = 0.025
"""Inner radius of the holder."""
SEAT = 0.158
"""Height of the floor of the holder above the table."""
RIM = HOLDER_POS[2] + HOLDER_HALF_HEIGHT
"""Height of the rim of the holder above the table."""
POD_RADIUS, POD_HALF_HEIGHT = 0.0243, 0.0231
"""Radius of the flange of the pod, and half the height of the pod."""
HINGE_POS = (0.0, 0.0605, 0.2165)
"""Hinge of the lid, in the frame of the machine."""
LID_HALF = (0.0295, 0.044, 0.0095)
"""Half size of the lid. Frame of the lid: on the hinge; the closed lid extends along +y."""
OPEN_ANGLE = 2 * math.pi / 3
"""Largest joint position of the lid, and the one at a reset [rad]."""
GRIP = (0.0, 0.0, 0.020)
"""Position of the end effector in the frame of a held pod."""
PUSH = (0.0, 0.044, 0.020)
"""Position of the end effector that pushes the lid, in the frame of the lid."""

# Thresholds of signals, conditions and success
CLOSED = math.radians(15.0)
"""Joint position below which the lid is closed [rad]."""
IN_HOLDER = HOLDER_RADIUS - POD_RADIUS
"""Largest horizontal distance of the pod from the middle of the holder [m]."""
GRASP_DISTANCE, GRIP_TOLERANCE = 0.05, 0.004
"""Largest distance of the end effector from a held pod, and difference of the gap of the fingers from its diameter [m]."""
OFF_TABLE = 0.02
"""Height above the rest position from which the pod is off the table [m]."""


class Coffee(Task):
    """A Franka grasps a pod, puts it into the holder of a coffee machine, and closes the lid."""

    name = "coffee"
    objects = (
        SceneObject(
            "coffee_machine",
            math.hypot(*MACHINE_HALF[:2]),
            0.0,
            (0.56, -0.10),
            MACHINE_HALF,
            box_center=(0.0, 0.0, MACHINE_HALF[2]),
            fixed=True,
        ),
        JointedObject(
            "lid",
            half_size=LID_HALF,
            box_center=(0.0, LID_HALF[1], 0.0),
            base="coffee_machine",
            kind=HINGE,
            axis=(1.0, 0.0, 0.0),
            limits=(0.0, OPEN_ANGLE),
            default_joint_pos=OPEN_ANGLE,
            pos=HINGE_POS,
            damping=0.005,
        ),
        SceneObject("coffee_pod", POD_RADIUS, POD_HALF_HEIGHT, (0.46, 0.20)),
    )
    signal_names = ("grasp",)
    table_bounds = ((0.15, 0.95), (-0.60, 0.62))
    cameras: Mapping[str, CameraCfg] = {"agentview": CameraCfg(pos=[1.25, 0.0, 0.75], target=[0.5, 0.0, 0.12], fovy=50.0)}
    failure_reasons = (
        FailureReason("the pod was never grasped", "grasp"),
        FailureReason("the pod was never lifted", "pod_lifted"),
        FailureReason("the pod was dropped on the table", "pod_down", "ever", after="pod_lifted"),
        FailureReason("the pod was not put into the holder", "pod_inside"),
        FailureReason("the pod did not stay in the holder", "pod_inside", "lost"),
        FailureReason("the lid was not closed", "lid_closed"),
        FailureReason("the lid did not stay closed", "lid_closed", "lost"),
    )

    def signals(self, scene: SceneState) -> dict[str, Tensor]:
        """Term signals, name -> (N,) bool.

        `grasp`: the gripper holds the pod.
        """
        return {"grasp": self._is_held(scene)}

    def success(self, scene: SceneState) -> Tensor:
        """Return whether the pod is in the holder, below the closed lid, (N,) bool."""
        return self._is_inside(scene) & self._is_closed(scene)

    def conditions(self, scene: SceneState) -> dict[str, Tensor]:
        """Term signals, and: `pod_lifted` (held off the table), `pod_down` (on the table), `pod_inside` (in the holder),
        `lid_closed`. Name -> (N,) bool.
        """
        height = self._pose(scene, "coffee_pod")[:, 2, 3] - POD_HALF_HEIGHT
        return {
            **self.signals(scene),
            "pod_lifted": self._is_held(scene) & (height > OFF_TABLE),
            "pod_down": height < OFF_TABLE,
            "pod_inside": self._is_inside(scene),
            "lid_closed": self._is_closed(scene),
        }

    def observations(self, scene: SceneState) -> dict[str, Tensor]:
        """Vectors in the env frame, name -> (N, 3) [m]: from the hand to pod and lid, and from the pod to the holder."""
        pod, eef = self._pose(scene, "coffee_pod")[:, :3, 3], scene.eef_pose[:, 0, :3, 3]
        return {
            "pod_from_eef": pod - eef,
            "lid_from_eef": self._point(scene, "lid", (0.0, LID_HALF[1], 0.0)) - eef,
            "holder_from_pod": self._point(scene, "coffee_machine", HOLDER_POS) - pod,
        }

    def graspable(self) -> dict[str, tuple[Graspable, ...]]:
        pod = Graspable("coffee_pod", half_width=POD_RADIUS, grip_pos=GRIP)
        return {"franka": (pod, Graspable("lid", half_width=0.0, grip_pos=PUSH))}

    def support_height(self, object_name: str, scene: SceneState) -> Tensor:
        """Height of the support below an object, (N,) [m]: the floor of the holder, or the table."""
        return torch.where(self._is_over_hole(scene), SEAT, 0.0)

    def _pose(self, scene: SceneState, name: str) -> Tensor:
        return scene.object_pose[:, self.object_id(name)]

    def _point(self, scene: SceneState, name: str, point: tuple[float, float, float]) -> Tensor:
        """Point of the frame of an object, in the env frame, (N, 3) [m]."""
        pose = self._pose(scene, name)
        return pose[:, :3, 3] + (pose[:, :3, :3] * pose.new_tensor(point)).sum(-1)

    @once_per_scene
    def _is_over_hole(self, scene: SceneState) -> Tensor:
        offset = self._pose(scene, "coffee_pod")[:, :3, 3] - self._point(scene, "coffee_machine", HOLDER_POS)
        return _norm(offset[:, :2]) < IN_HOLDER

    @once_per_scene
    def _is_inside(self, scene: SceneState) -> Tensor:
        """Whether the pod is over the hole, above the bottom of the holder, and below the middle of the lid's lower side."""
        height = self._pose(scene, "coffee_pod")[:, 2, 3]
        lid = self._point(scene, "lid", (0.0, LID_HALF[1], 0.0))[:, 2] - LID_HALF[2]
        bottom = HOLDER_POS[2] - HOLDER_HALF_HEIGHT
        return self._is_over_hole(scene) & (height - POD_HALF_HEIGHT > bottom) & (height + POD_HALF_HEIGHT < lid)

    @once_per_scene
    def _is_closed(self, scene: SceneState) -> Tensor:
        return self.joint_position(scene, "lid") < CLOSED

    @once_per_scene
    def _is_held(self, scene: SceneState) -> Tensor:
        gap = scene.finger_pos[:, 0].sum(-1)
        near = _norm(scene.eef_pose[:, 0, :3, 3] - self._pose(scene, "coffee_pod")[:, :3, 3]) < GRASP_DISTANCE
        return near & ((gap - 2 * POD_RADIUS).abs() < GRIP_TOLERANCE)


def _norm(vec: Tensor) -> Tensor:
    return (vec * vec).sum(-1).sqrt()


def make_task() -> Coffee:
    return Coffee()

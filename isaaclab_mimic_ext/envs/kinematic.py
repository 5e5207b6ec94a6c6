"""Kinematic engine for tests, dry runs and machines without a simulator. Without physics: end effectors jump to targets."""

# N envs, n of them addressed, E arms (one end effector each), O objects, K grips (objects that an arm can hold, padded),
# J entries of an arm's joint state (fingers last), V meshes of an object

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from isaaclab_mimic_ext.config import EventCfg
from isaaclab_mimic_ext.envs.base import NestedTensors
from isaaclab_mimic_ext.envs.embedded import STEP_DT, EmbeddedEnv
from isaaclab_mimic_ext.envs.kinematic_joints import BoundMotion
from isaaclab_mimic_ext.envs.panda.kinematics import base_poses
from isaaclab_mimic_ext.math import (
    invert_pose,
    pose_from_pos_quat,
    pose_from_pos_rot,
    quat_xyzw_from_matrix,
)
from isaaclab_mimic_ext.task.definition import SceneState, Task, graspable_of
from isaaclab_mimic_ext.task.objects import num_variants

FINGER_STEP = 0.01
"""Motion of a finger per control step [m]."""
HOLD_DISTANCE = 0.04
"""Largest distance from an end effector to a grip point at which its gripper can grasp [m]."""
_FINGER_TOLERANCE = 1e-4


class KinematicEnv(EmbeddedEnv):
    """`EmbeddedEnv` in which end effectors reach their targets exactly and in one step.

    A gripper that closes within 4 cm of the grip point of an object of `Task.graspable` grasps the object; of several, the
    nearest. The object then moves with the end effector; if several hold it, with the first arm. When the last gripper
    opens, the object drops upright, with its yaw, onto the support below it. There are no collisions.
    A held object on a joint follows the hand as far as its joint allows, and takes along the free objects in it.

    Arm joints keep the values of the reset, and velocities of objects and their joints are zero. `get_state` therefore
    contains `eef_pose` (N, 7), position and quaternion xyzw, for each arm. `reset_to` uses it, or computes it from the
    joints if it is missing.
    """

    engine = "kinematic"
    has_mesh_lists = True

    def __init__(self, task: Task, events: Mapping[str, EventCfg], num_envs: int, device: str | torch.device = "cpu"):
        super().__init__(task, events, num_envs, device)
        self._grips = _Grips.from_task(task, self.device)
        self._bound = BoundMotion(task, self._joints, self.device)
        self._base_pose = base_poses(task.arms, self.device)
        self._finger_open = self.robots.finger_open.to(self.device)
        self._holding = torch.zeros(num_envs, self.num_arms, dtype=torch.bool, device=self.device)
        self._held = torch.zeros(num_envs, self.num_arms, dtype=torch.int64, device=self.device)
        self._eef_to_held = torch.eye(4, device=self.device).repeat(num_envs, self.num_arms, 1, 1)
        self.scene = self._default_scene()

    def _default_scene(self) -> SceneState:
        """State with all arms in the home posture and all objects at their default poses."""
        root_pose = torch.zeros(self.num_envs, len(self.object_names), 7, device=self.device)
        root_pose[..., :2] = torch.tensor([obj.default_pos for obj in self.task.objects], device=self.device)
        root_pose[..., 2] = self._rest_height
        root_pose[..., 6] = 1.0
        joint_pos = self._home.repeat(self.num_envs, 1, 1)
        object_joint_pos = self._joints.start_pos.repeat(self.num_envs, 1)
        object_pose = self._joints.place(pose_from_pos_quat(root_pose[..., :3], root_pose[..., 3:]), object_joint_pos)
        return SceneState(
            joint_pos=joint_pos,
            joint_vel=torch.zeros_like(joint_pos),
            eef_pose=self._base_pose @ self.robots.forward_kinematics(joint_pos),
            object_pose=object_pose,
            root_pose=self._joints.place_roots(root_pose, object_pose),
            root_velocity=torch.zeros_like(root_pose[..., :6]),
            object_joint_pos=object_joint_pos,
            **({} if self.object_mesh is None else {"object_mesh": self.object_mesh}),
        )

    def get_state(self) -> NestedTensors:
        state = super().get_state()
        quat = quat_xyzw_from_matrix(self.scene.eef_pose[..., :3, :3])
        pose = torch.cat((self.scene.eef_pose[..., :3, 3], quat), dim=-1)
        for index, arm in enumerate(self.task.arms):
            state["articulation"][arm.name]["eef_pose"] = pose[:, index]
        return state

    def reset_to(self, state: NestedTensors, env_ids: Tensor) -> None:
        super().reset_to(state, env_ids)
        arms = [state["articulation"][arm.name] for arm in self.task.arms]
        if all("eef_pose" in arm for arm in arms):
            pose = torch.stack([arm["eef_pose"] for arm in arms], dim=1).to(self.device, torch.float32)
            self._set_eef_pose(env_ids, pose_from_pos_quat(pose[..., :3], pose[..., 3:]))

    def _write_state(
        self,
        env_ids: Tensor,
        joint_pos: Tensor,
        joint_vel: Tensor,
        root_pose: Tensor,
        root_velocity: Tensor,
        object_joint_pos: Tensor,
        object_joint_vel: Tensor,
    ) -> None:
        written = SceneState(
            joint_pos=joint_pos,
            joint_vel=joint_vel,
            eef_pose=self._base_pose @ self.robots.forward_kinematics(joint_pos),
            object_pose=pose_from_pos_quat(root_pose[..., :3], root_pose[..., 3:]),
            root_pose=root_pose,
            root_velocity=root_velocity,
            object_joint_pos=object_joint_pos,
            object_joint_vel=object_joint_vel,
        )
        if self.object_mesh is not None:
            written.object_mesh = self.object_mesh[env_ids]
        self.scene = _replace_rows(self.scene, written, env_ids)
        self._set_eef_pose(env_ids, written.eef_pose)

    def _set_eef_pose(self, env_ids: Tensor, eef_pose: Tensor) -> None:
        """Set end effector poses (n, E, 4, 4), env frame [m]. Objects between fingers of their width count as held."""
        all_eef_poses = self.scene.eef_pose.clone()
        all_eef_poses[env_ids] = eef_pose
        self.scene.eef_pose = all_eef_poses
        object_pose = self.scene.object_pose[env_ids]
        finger = self.scene.finger_pos[env_ids, :, 0]
        grips = self._grips.of(self.scene.object_mesh[env_ids])
        at_width = (finger[..., None] - grips.half_width).abs() < _FINGER_TOLERANCE
        grip, holds = grips.nearest(eef_pose, object_pose, at_width)
        self._holding[env_ids], self._held[env_ids] = holds, grip
        self._eef_to_held[env_ids] = invert_pose(eef_pose) @ _select_poses(object_pose, self._grips.object_ids(grip))

    def _advance(self, target_eef_pose: Tensor, open_gripper: Tensor, env_ids: Tensor | None) -> None:
        scene, holding, held, eef_to_held = self.scene, self._holding, self._held, self._eef_to_held
        if env_ids is not None:
            scene = SceneState(*(getattr(scene, field.name)[env_ids] for field in fields(scene)))
            holding, held, eef_to_held = holding[env_ids], held[env_ids], eef_to_held[env_ids]
            target_eef_pose, open_gripper = target_eef_pose[env_ids], open_gripper[env_ids]
        finger, takes, held = self._move_fingers(scene, target_eef_pose, open_gripper, holding, held)
        object_ids = self._grips.object_ids(held)
        held_pose = _select_poses(scene.object_pose, object_ids)
        eef_to_held = torch.where(takes[..., None, None], invert_pose(target_eef_pose) @ held_pose, eef_to_held)
        drops = holding & open_gripper
        moves = (holding & ~open_gripper) | takes
        held_pose = target_eef_pose @ eef_to_held
        advanced = _with_moved_arms(scene, target_eef_pose, finger)
        for arm in reversed(range(self.num_arms)):  # If several arms hold an object, the first arm overwrites the others.
            _place(advanced, object_ids[:, arm], held_pose[:, arm], moves[:, arm])
        if self._joints:
            self._bound.move(scene, advanced, object_ids, moves, eef_to_held)
        self._drop(advanced, object_ids, drops, moves)
        if self._joints:
            self._bound.follow_bases(advanced)
        if env_ids is None:
            self.scene, self._holding, self._held, self._eef_to_held = advanced, moves, held, eef_to_held
        else:
            self.scene = _replace_rows(self.scene, advanced, env_ids)
            self._holding[env_ids], self._held[env_ids] = moves, held
            self._eef_to_held[env_ids] = eef_to_held

    def _move_fingers(
        self, scene: SceneState, eef_pose: Tensor, open_gripper: Tensor, holding: Tensor, held: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Move the fingers by one step.

        Returns:
            Finger positions (n, E) [m]; which grippers grasp an object in this step, (n, E) bool; grip of each arm, (n, E).
        """
        finger = scene.finger_pos[..., 0]
        closed = (finger - FINGER_STEP).clamp(min=0.0)
        grips = self._grips.of(scene.object_mesh)
        half_width = grips.half_width
        passes = (finger[..., None] >= half_width) & (closed[..., None] <= half_width)
        grip, near = grips.nearest(eef_pose, scene.object_pose, passes)
        takes = near & ~open_gripper & ~holding
        held = torch.where(takes, grip, held)
        closed = torch.where(holding | takes, grips.half_widths(held), closed)
        opened = torch.minimum(finger + FINGER_STEP, self._finger_open)
        return torch.where(open_gripper, opened, closed), takes, held

    def _drop(self, scene: SceneState, object_ids: Tensor, drops: Tensor, moves: Tensor) -> None:
        """Drop, in place, objects of the opening grippers `drops` (n, E) that no gripper of `moves` (n, E) holds."""
        for object_id in self._grips.all_object_ids:
            if object_id in self._joints.ids:  # A released drawer stays where it is.
                continue
            is_object = object_ids == object_id
            falls = (drops & is_object).any(-1) & ~(moves & is_object).any(-1)
            landed = _turn_upright(scene.object_pose[:, object_id])
            # A copy, because the scene changes in this loop: `once_per_scene` must not keep its quantities.
            height = self.task.support_height(self.object_names[object_id], replace(scene))
            landed[:, 2, 3] = height + self._rest_height[object_id]
            _place(scene, object_id, landed, falls)


@dataclass(frozen=True)
class _Grips:
    """Grips of each arm: objects that it can hold. Arms with fewer grips are padded with grips of infinite width.

    Attributes:
        object_id: (E, K) int64.
        half_width: (V, E, K), distance of each finger from the middle while the object is held [m], by number of its mesh;
            (n, E, K) of n scenes, see `of`.
        pos: (V, E, K, 3) or (n, E, K, 3), position of the end effector while the object is held, in the object's frame [m].
        all_object_ids: ids of all objects with a grip, without repetition.
    """

    object_id: Tensor
    half_width: Tensor
    pos: Tensor
    all_object_ids: tuple[int, ...]

    @classmethod
    def from_task(cls, task: Task, device: torch.device) -> "_Grips":
        by_mesh = [graspable_of(task, mesh) for mesh in range(num_variants(task.objects))]
        per_arm = [[graspable.get(name, ()) for name in task.eef_names] for graspable in by_mesh]
        size = (len(task.eef_names), max(1, *(len(grips) for grips in per_arm[0])))
        object_id = torch.zeros(size, dtype=torch.int64)
        half_width, pos = torch.full((len(by_mesh), *size), torch.inf), torch.zeros(len(by_mesh), *size, 3)
        for mesh, arms in enumerate(per_arm):
            for arm, grips in enumerate(arms):
                for index, grip in enumerate(grips):
                    object_id[arm, index] = task.object_id(grip.object_name)
                    half_width[mesh, arm, index], pos[mesh, arm, index] = grip.half_width, torch.tensor(grip.grip_pos)
        every_id = tuple(sorted({task.object_id(grip.object_name) for grips in per_arm[0] for grip in grips}))
        return cls(object_id.to(device), half_width.to(device), pos.to(device), every_id)

    def of(self, object_mesh: Tensor) -> "_Grips":
        """Grips of n scenes in which the objects have the meshes `object_mesh` (n, O), or (n, 0)."""
        if not object_mesh.shape[1]:
            return replace(self, half_width=self.half_width[:1], pos=self.pos[:1])
        mesh = object_mesh[:, self.object_id]
        arm, index = (torch.arange(size, device=mesh.device) for size in self.object_id.shape)
        arm = arm[:, None]
        return replace(self, half_width=self.half_width[mesh, arm, index], pos=self.pos[mesh, arm, index])

    def object_ids(self, grip: Tensor) -> Tensor:
        """Object ids (n, E) of grips (n, E) in 0 ... K - 1."""
        return self.object_id[torch.arange(len(self.object_id), device=grip.device), grip]

    def half_widths(self, grip: Tensor) -> Tensor:
        """Finger positions (n, E) [m] while grips (n, E) are held."""
        return self.half_width.expand(len(grip), -1, -1).gather(-1, grip[..., None])[..., 0]

    def nearest(self, eef_pose: Tensor, object_pose: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
        """Nearest of the `allowed` (n, E, K) grips to each end effector, (n, E), and whether it is in reach, (n, E) bool."""
        pose = object_pose[:, self.object_id]
        point = pose[..., :3, 3] + (pose[..., :3, :3] * self.pos[..., None, :]).sum(-1)
        offset = eef_pose[:, :, None, :3, 3] - point
        distance = (offset * offset).sum(-1).masked_fill_(~allowed, torch.inf)
        nearest = distance.min(-1)
        return nearest.indices, nearest.values < HOLD_DISTANCE**2


def _with_moved_arms(scene: SceneState, eef_pose: Tensor, finger: Tensor) -> SceneState:
    """Copy of the scene (n) with new end effector poses (n, E, 4, 4) and finger positions (n, E) [m]."""
    joint_pos, joint_vel = scene.joint_pos.clone(), torch.zeros_like(scene.joint_vel)
    joint_pos[..., -2:] = finger[..., None]
    joint_vel[..., -2:] = ((finger - scene.finger_pos[..., 0]) / STEP_DT)[..., None]
    object_pose, root_pose = scene.object_pose.clone(), scene.root_pose.clone()
    return SceneState(
        joint_pos, joint_vel, eef_pose, object_pose, root_pose, torch.zeros_like(scene.root_velocity),
        scene.object_joint_pos.clone(), torch.zeros_like(scene.object_joint_vel),
        object_mesh=scene.object_mesh,
    )  # fmt: skip


def _select_poses(object_pose: Tensor, object_ids: Tensor) -> Tensor:
    """Poses (n, E, 4, 4) of the objects `object_ids` (n, E), from the poses of all objects (n, O, 4, 4)."""
    return object_pose[torch.arange(len(object_pose), device=object_pose.device)[:, None], object_ids]


def _place(scene: SceneState, object_ids: Tensor | int, pose: Tensor, mask: Tensor) -> None:
    """Move one object per scene to poses (n, 4, 4) in the scenes `mask` (n,), in place. `object_ids`: (n,) or one id."""
    rows = torch.arange(len(pose), device=pose.device)
    root = torch.cat((pose[:, :3, 3], quat_xyzw_from_matrix(pose[:, :3, :3])), dim=-1)
    at = (slice(None), object_ids) if isinstance(object_ids, int) else (rows, object_ids)
    scene.object_pose[at] = torch.where(mask[:, None, None], pose, scene.object_pose[at])
    scene.root_pose[at] = torch.where(mask[:, None], root, scene.root_pose[at])


def _turn_upright(pose: Tensor) -> Tensor:
    """Poses (n, 4, 4) turned upright: z points up, the direction of x in the horizontal plane (yaw) stays."""
    cos, sin = pose[:, 0, 0], pose[:, 1, 0]
    norm = (cos * cos + sin * sin).sqrt()
    defined = norm > 1e-6
    cos = torch.where(defined, cos / norm, torch.ones_like(cos))
    sin = torch.where(defined, sin / norm, torch.zeros_like(sin))
    zero, one = torch.zeros_like(cos), torch.ones_like(cos)
    rot = torch.stack((cos, -sin, zero, sin, cos, zero, zero, zero, one), dim=-1).unflatten(-1, (3, 3))
    return pose_from_pos_rot(pose[:, :3, 3], rot)


def _replace_rows(scene: SceneState, rows: SceneState, env_ids: Tensor) -> SceneState:
    """Copy of the scene with the envs `env_ids` replaced by `rows`. Tensors returned to callers earlier do not change."""
    replaced = {}
    for field in fields(scene):
        tensor = getattr(scene, field.name).clone()
        tensor[env_ids] = getattr(rows, field.name)
        replaced[field.name] = tensor
    return SceneState(**replaced)

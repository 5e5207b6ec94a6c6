"""An engine without physics, for tests, dry runs and machines without a simulator: end effectors obey at once."""

# N envs, n of them addressed, E arms (one end effector each), O objects, J = 9 joints of an arm (7 and two fingers)

from collections.abc import Mapping
from dataclasses import fields

import torch
from torch import Tensor

from isaaclab_mimic_ext.config import EventCfg
from isaaclab_mimic_ext.envs.base import NestedTensors
from isaaclab_mimic_ext.envs.embedded import STEP_DT, EmbeddedEnv
from isaaclab_mimic_ext.envs.panda import FINGER_OPEN, NUM_ARM_JOINTS, base_poses, forward_kinematics
from isaaclab_mimic_ext.math import (
    invert_pose,
    pose_from_pos_quat,
    pose_from_pos_rot,
    quat_xyzw_from_matrix,
)
from isaaclab_mimic_ext.task import SceneState, Task

FINGER_STEP = 0.01
"""Way of a finger in one control step [m]."""
HOLD_DISTANCE = 0.04
"""From the end effector to the frame of what it can take hold of [m]."""
_FINGER_TOLERANCE = 1e-4


class KinematicEnv(EmbeddedEnv):
    """`EmbeddedEnv` in which targets are reached exactly and at once.

    A gripper that closes within 4 cm of the frame of its `Task.graspable` object holds it; the object then moves with the
    end effector. When the gripper opens, the object drops upright, its yaw kept, onto what is below it. Nothing collides.

    There is no arm: its joints stay where the reset put them, and object velocities are zero. `get_state` therefore carries
    `eef_pose` (N, 7), position and quaternion xyzw, for each arm; `reset_to` follows it, or the joints where it is missing.
    """

    engine = "kinematic"

    def __init__(self, task: Task, events: Mapping[str, EventCfg], num_envs: int, device: str | torch.device = "cpu"):
        super().__init__(task, events, num_envs, device)
        graspable = task.graspable()
        self._held_ids = [task.object_id(graspable[name].object_name) for name in self.eef_names]
        self._held_names = [graspable[name].object_name for name in self.eef_names]
        self._half_width = torch.tensor([graspable[name].half_width for name in self.eef_names], device=self.device)
        self._base_pose = base_poses(task.arms, self.device)
        self._holding = torch.zeros(num_envs, self.num_arms, dtype=torch.bool, device=self.device)
        self._eef_to_held = torch.eye(4, device=self.device).repeat(num_envs, self.num_arms, 1, 1)
        self.scene = self._default_scene()

    def _default_scene(self) -> SceneState:
        """Every arm at home, every object at its default pose."""
        root_pose = torch.zeros(self.num_envs, len(self.object_names), 7, device=self.device)
        root_pose[..., :2] = torch.tensor([obj.default_pos for obj in self.task.objects], device=self.device)
        root_pose[..., 2] = self._rest_height
        root_pose[..., 6] = 1.0
        joint_pos = self._home.repeat(self.num_envs, self.num_arms, 1)
        return SceneState(
            joint_pos=joint_pos,
            joint_vel=torch.zeros_like(joint_pos),
            eef_pose=self._base_pose @ forward_kinematics(joint_pos[..., :NUM_ARM_JOINTS]),
            object_pose=pose_from_pos_quat(root_pose[..., :3], root_pose[..., 3:]),
            root_pose=root_pose,
            root_velocity=torch.zeros_like(root_pose[..., :6]),
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
            self._take_eef_pose(env_ids, pose_from_pos_quat(pose[..., :3], pose[..., 3:]))

    def _write_state(
        self, env_ids: Tensor, joint_pos: Tensor, joint_vel: Tensor, root_pose: Tensor, root_velocity: Tensor
    ) -> None:
        written = SceneState(
            joint_pos=joint_pos,
            joint_vel=joint_vel,
            eef_pose=self._base_pose @ forward_kinematics(joint_pos[..., :NUM_ARM_JOINTS]),
            object_pose=pose_from_pos_quat(root_pose[..., :3], root_pose[..., 3:]),
            root_pose=root_pose,
            root_velocity=root_velocity,
        )
        self.scene = _replace_rows(self.scene, written, env_ids)
        self._take_eef_pose(env_ids, written.eef_pose)

    def _take_eef_pose(self, env_ids: Tensor, eef_pose: Tensor) -> None:
        """Place end effectors (n, E, 4, 4) and find out which of them hold their object there."""
        all_eef_poses = self.scene.eef_pose.clone()
        all_eef_poses[env_ids] = eef_pose
        self.scene.eef_pose = all_eef_poses
        held_pose = self.scene.object_pose[env_ids][:, self._held_ids]
        finger = self.scene.finger_pos[env_ids, :, 0]
        at_width = (finger - self._half_width).abs() < _FINGER_TOLERANCE
        self._holding[env_ids] = at_width & _is_near(eef_pose, held_pose)
        self._eef_to_held[env_ids] = invert_pose(eef_pose) @ held_pose

    def _advance(self, target_eef_pose: Tensor, open_gripper: Tensor, env_ids: Tensor | None) -> None:
        scene, holding, eef_to_held = self.scene, self._holding, self._eef_to_held
        if env_ids is not None:
            scene = SceneState(*(getattr(scene, field.name)[env_ids] for field in fields(scene)))
            holding, eef_to_held = holding[env_ids], eef_to_held[env_ids]
            target_eef_pose, open_gripper = target_eef_pose[env_ids], open_gripper[env_ids]
        held_pose = scene.object_pose[:, self._held_ids]
        near = _is_near(target_eef_pose, held_pose)
        finger, takes = self._move_fingers(scene.finger_pos[..., 0], open_gripper, holding, near)
        eef_to_held = torch.where(takes[..., None, None], invert_pose(target_eef_pose) @ held_pose, eef_to_held)
        drops = holding & open_gripper
        moves = (holding & ~open_gripper) | takes
        held_pose = torch.where(moves[..., None, None], target_eef_pose @ eef_to_held, held_pose)
        advanced = self._with_moved(scene, target_eef_pose, finger, held_pose, moves | drops)
        self._drop(advanced, drops)
        if env_ids is None:
            self.scene, self._holding, self._eef_to_held = advanced, moves, eef_to_held
        else:
            self.scene = _replace_rows(self.scene, advanced, env_ids)
            self._holding[env_ids] = moves
            self._eef_to_held[env_ids] = eef_to_held

    def _move_fingers(self, finger: Tensor, open_gripper: Tensor, holding: Tensor, near: Tensor) -> tuple[Tensor, Tensor]:
        """Where the fingers (n, E) [m] are one step later, and which grippers take hold on the way."""
        closed = (finger - FINGER_STEP).clamp(min=0.0)
        takes = near & ~open_gripper & ~holding & (finger >= self._half_width) & (closed <= self._half_width)
        closed = torch.where(holding | takes, self._half_width, closed)
        return torch.where(open_gripper, (finger + FINGER_STEP).clamp(max=FINGER_OPEN), closed), takes

    def _with_moved(
        self, scene: SceneState, eef_pose: Tensor, finger: Tensor, held_pose: Tensor, moved: Tensor
    ) -> SceneState:
        """The scene (n) with end effectors, fingers (n, E) and what they hold (n, E, 4, 4) in new places."""
        joint_pos, joint_vel = scene.joint_pos.clone(), torch.zeros_like(scene.joint_vel)
        joint_pos[..., NUM_ARM_JOINTS:] = finger[..., None]
        joint_vel[..., NUM_ARM_JOINTS:] = ((finger - scene.finger_pos[..., 0]) / STEP_DT)[..., None]
        object_pose = scene.object_pose.clone()
        object_pose[:, self._held_ids] = held_pose
        root_pose = scene.root_pose.clone()
        held_root = torch.cat((held_pose[..., :3, 3], quat_xyzw_from_matrix(held_pose[..., :3, :3])), dim=-1)
        root_pose[:, self._held_ids] = torch.where(moved[..., None], held_root, root_pose[:, self._held_ids])
        return SceneState(joint_pos, joint_vel, eef_pose, object_pose, root_pose, torch.zeros_like(scene.root_velocity))

    def _drop(self, scene: SceneState, drops: Tensor) -> None:
        """Let the objects of the grippers `drops` (n, E) fall, in place."""
        for index, (object_id, name) in enumerate(zip(self._held_ids, self._held_names, strict=True)):
            mask = drops[:, index]
            landed = _upright(scene.object_pose[:, object_id])
            landed[:, 2, 3] = self.task.support_height(name, scene) + self._rest_height[object_id]
            quat = quat_xyzw_from_matrix(landed[:, :3, :3])
            root = torch.cat((landed[:, :3, 3], quat), dim=-1)
            scene.object_pose[:, object_id] = torch.where(mask[:, None, None], landed, scene.object_pose[:, object_id])
            scene.root_pose[:, object_id] = torch.where(mask[:, None], root, scene.root_pose[:, object_id])


def _is_near(eef_pose: Tensor, object_pose: Tensor) -> Tensor:
    offset = eef_pose[..., :3, 3] - object_pose[..., :3, 3]
    return (offset * offset).sum(-1) < HOLD_DISTANCE**2


def _upright(pose: Tensor) -> Tensor:
    """Poses (n, 4, 4) with z up and the x axis in the vertical plane where it was."""
    cos, sin = pose[:, 0, 0], pose[:, 1, 0]
    norm = (cos * cos + sin * sin).sqrt()
    defined = norm > 1e-6
    cos = torch.where(defined, cos / norm, torch.ones_like(cos))
    sin = torch.where(defined, sin / norm, torch.zeros_like(sin))
    zero, one = torch.zeros_like(cos), torch.ones_like(cos)
    rot = torch.stack((cos, -sin, zero, sin, cos, zero, zero, zero, one), dim=-1).unflatten(-1, (3, 3))
    return pose_from_pos_rot(pose[:, :3, 3], rot)


def _replace_rows(scene: SceneState, rows: SceneState, env_ids: Tensor) -> SceneState:
    """The scene with the envs `env_ids` replaced; what earlier callers were given stays as it was."""
    replaced = {}
    for field in fields(scene):
        tensor = getattr(scene, field.name).clone()
        tensor[env_ids] = getattr(rows, field.name)
        replaced[field.name] = tensor
    return SceneState(**replaced)

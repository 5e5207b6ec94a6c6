"""What all engines with Panda arms on a table share: how actions, observations and resets are meant."""

# N envs, n of them addressed, E arms (one end effector each), O objects, J = 9 joints of an arm (7 and two fingers)

from collections.abc import Mapping

import torch
from torch import Tensor

from isaaclab_mimic_ext.config import EventCfg
from isaaclab_mimic_ext.envs.events import PlacementSampler, joint_noise_std
from isaaclab_mimic_ext.envs.panda.kinematics import HOME, JOINT_LIMITS, NUM_ARM_JOINTS, base_poses, forward_kinematics
from isaaclab_mimic_ext.math import (
    axis_angle_from_matrix,
    matrix_from_axis_angle,
    pose_from_pos_rot,
    quat_xyzw_from_matrix,
)
from isaaclab_mimic_ext.rng import Draws, Stream
from isaaclab_mimic_ext.task.definition import SceneState, Task

POS_SCALE = 0.05
"""An action of 1 moves the end effector's target by this much [m]."""
ROT_SCALE = 0.25
"""An action of 1 turns it by this much [rad]."""
STEP_DT = 0.05
ACTION_DIM = 7
"""Of one arm."""
POSE_ACTION_DIM = 6


class RelativeActions:
    """Relative task-space control (IK-Rel) of E arms.

    An arm's action is (dx, dy, dz) / 0.05 m, a rotation vector / 0.25 rad, both in the env frame and relative to where the
    end effector is, each entry clipped to [-1, 1]; then the gripper: positive opens, negative closes.
    """

    def __init__(self, num_arms: int, device: torch.device):
        self._num_arms = num_arms
        self.spec = {"type": "ik_rel", "pos_scale": POS_SCALE, "rot_scale": ROT_SCALE, "dim": ACTION_DIM * num_arms}
        """What a dataset says of the actions."""
        self._scale = torch.tensor([POS_SCALE] * 3 + [ROT_SCALE] * 3, device=device)

    def to_targets(self, actions: Tensor, eef_pose: Tensor) -> Tensor:
        """Target poses (N, E, 4, 4) of actions (N, A), from where the end effectors are."""
        delta = self._per_arm(actions)[..., :POSE_ACTION_DIM].clamp(-1.0, 1.0) * self._scale
        rot = matrix_from_axis_angle(delta[..., 3:]) @ eef_pose[..., :3, :3]
        return pose_from_pos_rot(eef_pose[..., :3, 3] + delta[..., :3], rot)

    def from_targets(self, target_pose: Tensor, eef_pose: Tensor, gripper: Tensor, noise: Tensor | None) -> Tensor:
        """Actions (N, A) for target poses (N, E, 4, 4), grippers (N, E, 1) and noise (N, E, 6), which is added."""
        delta_pos = target_pose[..., :3, 3] - eef_pose[..., :3, 3]
        delta_rot = axis_angle_from_matrix(target_pose[..., :3, :3] @ eef_pose[..., :3, :3].transpose(-1, -2))
        pose_action = torch.cat((delta_pos, delta_rot), dim=-1) / self._scale
        if noise is not None:
            pose_action = pose_action + noise
        return torch.cat((pose_action.clamp(-1.0, 1.0), gripper), dim=-1).flatten(1)

    def grippers(self, actions: Tensor) -> Tensor:
        """The gripper part (..., E, 1) of actions (..., A)."""
        return self._per_arm(actions)[..., POSE_ACTION_DIM:]

    def _per_arm(self, actions: Tensor) -> Tensor:
        return actions.unflatten(-1, (self._num_arms, ACTION_DIM))


class Observer:
    """What a policy sees of a scene, in the order in which it is recorded."""

    def __init__(self, task: Task, device: torch.device):
        self._task = task
        self._home = torch.tensor(HOME, device=device)
        home_pose = base_poses(task.arms, device) @ forward_kinematics(self._home[:NUM_ARM_JOINTS])
        self._home_eef_quat = quat_xyzw_from_matrix(home_pose[..., :3, :3])

    def __call__(self, scene: SceneState, last_action: Tensor) -> dict[str, Tensor]:
        """Term -> (N, ...); quaternions are xyzw."""
        terms = {"actions": last_action}
        joint_pos_rel = scene.joint_pos - self._home
        eef_quat = quat_xyzw_from_matrix(scene.eef_pose[..., :3, :3])
        # A hand that points down has w near 0: w >= 0 would flip the sign at every tremor, and a policy sees another number.
        is_far = (eef_quat * self._home_eef_quat).sum(-1, keepdim=True) < 0
        eef_quat = torch.where(is_far, -eef_quat, eef_quat)
        for index, arm in enumerate(self._task.arms):
            prefix = "" if len(self._task.arms) == 1 else f"{arm.name}_"
            fingers = scene.finger_pos[:, index]
            terms[f"{prefix}joint_pos"] = joint_pos_rel[:, index]
            terms[f"{prefix}joint_vel"] = scene.joint_vel[:, index]
            terms[f"{prefix}eef_pos"] = scene.eef_pose[:, index, :3, 3]
            terms[f"{prefix}eef_quat"] = eef_quat[:, index]
            terms[f"{prefix}gripper_pos"] = torch.stack((fingers[:, 0], -fingers[:, 1]), dim=-1)
        for name, root_pose in zip(self._task.object_names, scene.root_pose.unbind(1), strict=True):
            terms[f"{name}_pos"] = root_pose[:, :3]
            terms[f"{name}_quat"] = root_pose[:, 3:]
        return {**terms, **self._task.observations(scene)}


class ResetSampler:
    """Draws how trials begin: where the objects stand, and the arms' joints about home."""

    def __init__(self, task: Task, events: Mapping[str, EventCfg], device: torch.device):
        self._placement = PlacementSampler(task, events, device)
        self._joint_std = joint_noise_std(task, events).to(device)
        self._rest_height = torch.tensor([obj.rest_height for obj in task.objects], device=device)
        self._home = torch.tensor(HOME, device=device)
        self._limits = torch.tensor(JOINT_LIMITS, device=device).unbind(-1)

    def sample(self, draws: Draws) -> tuple[Tensor, Tensor]:
        """Joint positions (n, E, J) and the objects' poses (n, O, 7), position and quaternion xyzw, env frame."""
        placements = self._placement.sample(draws)
        root_pose = torch.zeros(*placements.shape[:2], 7, device=placements.device)
        root_pose[..., :2] = placements[..., :2]
        root_pose[..., 2] = self._rest_height
        root_pose[..., 5] = torch.sin(0.5 * placements[..., 2])
        root_pose[..., 6] = torch.cos(0.5 * placements[..., 2])
        num_arms = len(self._joint_std)
        joint_pos = self._home.expand(len(placements), num_arms, -1).clone()
        noise = draws.normal(Stream.JOINT_POSITION, (num_arms, NUM_ARM_JOINTS))
        joint_pos[..., :NUM_ARM_JOINTS] += self._joint_std[:, None] * noise
        joint_pos[..., :NUM_ARM_JOINTS].clamp_(*self._limits)
        return joint_pos, root_pose

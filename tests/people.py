"""People at a live device, as scripts."""

# N = 1 env, E end effectors

from importlib import import_module

import torch
from torch import Tensor

from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.factory import env_task
from isaaclab_mimic_ext.math import axis_angle_from_matrix
from isaaclab_mimic_ext.rng import Draws
from tests.named_poses import object_poses


class Person:
    """Moves the hands along the plan of the task's scripted operator, by the motion from each frame to the next.

    Args:
        discards: attempts that the person discards at the second command.

    Attributes:
        attempt: number of attempts that have begun, minus 1.
        frame: number of commands of the attempt.
        num_frames: number of frames of the plan.
    """

    def __init__(self, env: MimicEnv, discards: tuple[int, ...] = ()):
        self.env = env
        self._discards = discards
        self._plan_demos = import_module(f"isaaclab_mimic_ext.tasks.{env_task(env).name}.operator").plan_demos
        self.attempt, self.frame, self.num_frames = -1, 0, 0

    def reset(self) -> None:
        self.attempt, self.frame = self.attempt + 1, 0
        pose = self.env.eef_pose
        is_single = pose.shape[1] == 1
        draws = Draws(5, torch.tensor([self.attempt]))
        plan = self._plan_demos(object_poses(self.env), pose[:, 0] if is_single else pose, draws)
        targets, grippers = plan.target_eef_pose[0], plan.gripper_action[0]
        if is_single:
            targets, grippers = targets[:, None], grippers[:, None]
        self._targets, self._grippers = torch.cat((pose, targets)), grippers
        self.num_frames = len(grippers)

    def command(self) -> Tensor:
        frame = min(self.frame, self.num_frames - 1)
        old, new = self._targets[frame], self._targets[frame + 1]
        motion = torch.cat((new[:, :3, 3] - old[:, :3, 3], _rotation(old, new)), dim=-1)
        motion *= self.frame < self.num_frames
        self.frame += 1
        return torch.cat((motion, self._grippers[frame]), dim=-1)

    def wants_reset(self) -> bool:
        return self.attempt in self._discards and self.frame == 2


def _rotation(old: Tensor, new: Tensor) -> Tensor:
    """Rotation vectors (E, 3) between poses (E, 4, 4)."""
    return axis_angle_from_matrix(new[:, :3, :3] @ old[:, :3, :3].transpose(-1, -2))

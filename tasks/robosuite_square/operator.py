"""Scripted operator that puts the nut on the peg: the one of `square_peg`, in the frames of robosuite."""

# D demos

import math
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from isaaclab_mimic_ext.math import yaw_matrix
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.task.strokes import HandPlan
from isaaclab_mimic_ext.tasks.robosuite_square.task import TABLE_HEIGHT
from isaaclab_mimic_ext.tasks.square_peg import operator as square_peg
from isaaclab_mimic_ext.tasks.square_peg.task import THICKNESS

# Its fingers take longer to close.
_HABITS = {**square_peg.HABITS, "close_wait": (9, 11)}
_ORIGIN = (-0.56, 0.0, TABLE_HEIGHT)
"""Origin of the frame of `square_peg` in robosuite's world frame [m]: on the table, below the base of the arm."""


def plan_demos(object_poses: Mapping[str, Tensor], eef_pose: Tensor, draws: Draws) -> HandPlan:
    """Plan one demo for each of D initial scenes.

    Args:
        object_poses: initial poses, name -> (D, 4, 4), robosuite's world frame [m].
        eef_pose: initial poses of the grip site, (D, 4, 4), robosuite's world frame [m]. Its fingers close along x; those
            of `square_peg` close along y.
        draws: random numbers of the D trials. Their stream `Stream.OPERATOR` selects the habits of the operator.
    """
    origin = eef_pose.new_tensor(_ORIGIN)
    poses = {name: _moved(pose, -origin) for name, pose in object_poses.items()}
    # robosuite drops the nut from above the table.
    poses["square_nut"][:, 2, 3] = THICKNESS / 2
    turn = yaw_matrix(eef_pose.new_tensor(0.5 * math.pi))
    plan = square_peg.plan_with(_HABITS, poses, _turned(_moved(eef_pose, -origin), turn), draws)
    return replace(plan, target_eef_pose=_moved(_turned(plan.target_eef_pose, turn.mT), origin))


def _moved(pose: Tensor, offset: Tensor) -> Tensor:
    moved = pose.clone()
    moved[..., :3, 3] += offset
    return moved


def _turned(pose: Tensor, turn: Tensor) -> Tensor:
    """Poses whose axes are turned in their own frames by a rotation (3, 3)."""
    turned = pose.clone()
    turned[..., :3, :3] = torch.matmul(pose[..., :3, :3], turn)
    return turned

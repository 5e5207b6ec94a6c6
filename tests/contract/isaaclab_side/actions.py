"""Actions of the Mimic envs in Isaac Lab, by their one-env methods and by `ActionConverter`."""

# N envs, A action entries

from importlib import import_module
from types import SimpleNamespace
from typing import Any

import torch
from isaaclab.utils.math import quat_from_matrix
from isaaclab_mimic.envs.franka_stack_ik_rel_mimic_env import FrankaCubeStackIKRelMimicEnv
from torch import Tensor

from isaaclab_mimic_ext.envs.isaaclab.actions import ActionConverter
from isaaclab_mimic_ext.math import matrix_from_axis_angle, pose_from_pos_rot
from tests.contract.isaaclab_side.messages import ConversionResult

NUM_ENVS = 3


def converted(argument: tuple[str, tuple[str, ...], int]) -> ConversionResult:
    """Compare the actions of `ActionConverter` with those of an env class.

    Args:
        argument: `module:class` in `isaaclab_mimic.envs` or a name in `TEST_ENVS`; its end effectors; A.
    """
    place, eef_names, action_dim = argument
    module, _, name = place.partition(":")
    cls = getattr(import_module(f"isaaclab_mimic.envs.{module}"), name) if name else TEST_ENVS[place]
    generator = torch.Generator().manual_seed(5)
    env = _stub(cls, eef_names, generator)
    eef_poses = {eef: env.get_robot_eef_pose(eef) for eef in eef_names}
    grippers = env.actions_to_gripper_actions(torch.zeros(NUM_ENVS, action_dim))
    converter = ActionConverter(env, eef_names, eef_poses, {eef: value.shape[-1] for eef, value in grippers.items()})
    error = 0.0
    for _ in range(50):
        targets = {eef: _poses(generator) @ pose for eef, pose in eef_poses.items()}
        gripper_actions = {eef: torch.rand(value.shape, generator=generator) for eef, value in grippers.items()}
        actions = converter.actions(targets, eef_poses, gripper_actions, None)
        own = [_own_action(env, targets, gripper_actions, index) for index in range(NUM_ENVS)]
        error = max(error, (actions - torch.stack(own)).abs().max().item())
    quarters = {eef: torch.full((NUM_ENVS, dim), 0.25) for eef, dim in zip(eef_names, converter.pose_dims, strict=True)}
    still = converter.actions(eef_poses, eef_poses, grippers, None)
    moved = converter.actions(eef_poses, eef_poses, grippers, quarters)
    return ConversionResult(converter.method, converter.pose_dims, error, (moved - still).abs().sum(-1).max().item())


class UnknownForm(FrankaCubeStackIKRelMimicEnv):
    """Env with actions of no known form: the third power of the usual actions."""

    def target_eef_pose_to_action(self, *args: Any, **kwargs: Any) -> Tensor:
        return super().target_eef_pose_to_action(*args, **kwargs) ** 3


class WrongBatchedMethod(UnknownForm):
    """Env with a batched method that does not agree with its one-env method."""

    def target_eef_poses_to_actions(self, targets: dict[str, Tensor], grippers: dict[str, Tensor], noise: Any) -> Tensor:
        return torch.zeros(NUM_ENVS, 7)


class OwnBatchedMethod(UnknownForm):
    """Env with a batched method that agrees with its one-env method and adds the noise."""

    def target_eef_poses_to_actions(self, targets: dict[str, Tensor], grippers: dict[str, Tensor], noise: Any) -> Tensor:
        actions = torch.stack([_own_action(self, targets, grippers, index) for index in range(NUM_ENVS)])
        if noise is not None:
            actions[:, :6] += noise["franka"]
        return actions


TEST_ENVS = {"unknown": UnknownForm, "wrong_batched": WrongBatchedMethod, "own_batched": OwnBatchedMethod}


def _own_action(env: Any, targets: dict[str, Tensor], grippers: dict[str, Tensor], env_id: int) -> Tensor:
    rows = [{eef: value[env_id].clone() for eef, value in part.items()} for part in (targets, grippers)]
    try:
        return env.target_eef_pose_to_action(*rows, dict.fromkeys(targets, 0.0), env_id=env_id).reshape(-1)
    except TypeError:  # The older signature takes one number.
        return env.target_eef_pose_to_action(*rows, noise=0.0, env_id=env_id).reshape(-1)


def _stub(cls: type, eef_names: tuple[str, ...], generator: torch.Generator) -> Any:
    """Make an env of that class without a simulation: its methods, and observations of random end effector poses."""
    observations = {}
    for eef in eef_names:
        prefix = f"{eef}_" if len(eef_names) > 1 else ""
        pose = _poses(generator)
        observations[f"{prefix}eef_pos"] = pose[:, :3, 3]
        observations[f"{prefix}eef_quat"] = quat_from_matrix(pose[:, :3, :3])
    attributes = {
        "obs_buf": {"policy": observations},
        "cfg": SimpleNamespace(subtask_configs=dict.fromkeys(eef_names)),
        "num_envs": NUM_ENVS,
        "device": torch.device("cpu"),
    }
    without_simulation = type(
        cls.__name__, (cls,), {"__init__": lambda self: None, "__del__": lambda self: None, **attributes}
    )
    return without_simulation()


def _poses(generator: torch.Generator) -> Tensor:
    """Random poses (N, 4, 4), rotated by less than 180 degrees."""
    coordinates = torch.rand(NUM_ENVS, 6, generator=generator) - 0.5
    return pose_from_pos_rot(coordinates[:, :3], matrix_from_axis_angle(2.0 * coordinates[:, 3:]))

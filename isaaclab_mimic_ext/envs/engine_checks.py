"""Basic checks of an environment: shapes, poses, and the placement of its objects."""

# N envs, E end effectors, O objects

from typing import Any

import torch
from torch import Tensor

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.math import matrix_from_quat_xyzw
from isaaclab_mimic_ext.task.definition import JointedObject, Task

POSE_TOLERANCE, PLACE_TOLERANCE = 1e-4, 0.005
"""Largest errors of the entries of a pose, and of the position of an object after a reset [m]."""


class RuleViolation(Exception):
    """An engine does not keep a rule. The message states the quantity and its value."""


def require(holds: Any, fault: str) -> None:
    """Raise `RuleViolation` with the text `fault` unless a condition holds."""
    if not bool(holds):
        raise RuleViolation(fault)


def outputs_of(env: MimicEnv) -> dict[str, Tensor]:
    """Copies of all outputs of an env, by name."""
    shown = {
        "get_state": env.get_state(),
        "observations": env.observations(),
        "get_subtask_term_signals": env.get_subtask_term_signals(),
        "object_pose": env.object_pose,
        "eef_pose": env.eef_pose,
        "success": env.success(),
    }
    return {name: leaf.clone() for name, leaf in trees.flatten(shown).items()}


def check_shapes(env: MimicEnv) -> None:
    """Check shapes and types of the outputs of an env that was reset.

    Raises:
        RuleViolation: one is wrong.
    """
    num_envs = env.num_envs
    for name, count in (("eef_pose", len(env.eef_names)), ("object_pose", len(env.object_names))):
        require_tensor(name, getattr(env, name), (num_envs, count, 4, 4), torch.float32)
    require_tensor("success()", env.success(), (num_envs,), torch.bool)
    for name, signal in env.get_subtask_term_signals().items():
        require_tensor(f"signal '{name}'", signal, (num_envs,), torch.bool)
    for name, leaf in outputs_of(env).items():
        require(len(leaf) == num_envs, f"{name} must have one row per env, {num_envs} (got {len(leaf)})")
        require(leaf.dtype in (torch.float32, torch.bool), f"{name} must be float32 or bool (got {leaf.dtype})")


def require_tensor(name: str, value: Any, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    """Require that a value is a tensor of a shape and a type."""
    require(isinstance(value, Tensor), f"{name} must be a tensor (got {type(value).__name__})")
    found = (tuple(value.shape), value.dtype)
    require(found == (shape, dtype), f"{name} must be {shape} {_short(dtype)} (got {found[0]} {_short(value.dtype)})")


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def check_poses(env: MimicEnv) -> None:
    """Check that poses are homogeneous matrices, and that the recorded state agrees with them.

    Raises:
        RuleViolation: one is not, or is in another unit, frame or order.
    """
    for name in ("eef_pose", "object_pose"):
        pose = getattr(env, name)
        require(torch.isfinite(pose).all(), f"{name} must be finite")
        rot = pose[..., :3, :3]
        is_rotation = (rot.mT @ rot - torch.eye(3, device=env.device)).abs().amax() < POSE_TOLERANCE
        require(is_rotation, f"the upper left 3 x 3 part of {name} must be a rotation matrix")
        last = torch.tensor([0.0, 0.0, 0.0, 1.0], device=env.device)
        require((pose[..., 3, :] == last).all(), f"the last row of {name} must be 0, 0, 0, 1")
    objects = env.get_state().get("rigid_object", {})
    for index, name in enumerate(env.object_names):
        if name in objects:
            _require_root_pose(name, objects[name]["root_pose"], env.object_pose[:, index])


def _require_root_pose(name: str, root: Tensor, pose: Tensor) -> None:
    place = f"get_state(): root_pose of '{name}'"
    require(root.shape[1:] == (7,), f"{place} must be (N, 7), position and quaternion xyzw (got {tuple(root.shape)})")
    offset = (root[:, :3] - pose[:, :3, 3]).abs().amax()
    require(offset < POSE_TOLERANCE, f"{place} is {float(offset):.3g} m away from object_pose; use meters, env frame")

    def differs(quat: Tensor) -> bool:
        return bool((matrix_from_quat_xyzw(quat) - pose[:, :3, :3]).abs().amax() > 10 * POSE_TOLERANCE)

    if differs(root[:, 3:]):
        hint = "" if differs(root[:, [4, 5, 6, 3]]) else "; its order is wxyz"
        raise RuleViolation(f"{place} must contain the rotation of object_pose as quaternion xyzw{hint}")


def check_placement(env: MimicEnv, task: Task) -> None:
    """Check that the objects of envs that were reset stand on the table, in meters and in the env frame.

    Raises:
        RuleViolation: one does not.
    """
    (low_x, high_x), (low_y, high_y) = task.table_bounds
    for index, obj in enumerate(task.objects):
        if isinstance(obj, JointedObject):  # Its place follows from that of its base.
            continue
        x, y, z = env.object_pose[:, index, :3, 3].unbind(-1)
        outside = ((z - obj.rest_height).abs() > PLACE_TOLERANCE) | (x < low_x) | (x > high_x) | (y < low_y) | (y > high_y)
        if bool(outside.any()):
            row = int(outside.nonzero()[0])
            found = ", ".join(f"{float(each[row]):.4g}" for each in (x, y, z))
            raise RuleViolation(
                f"reset: '{obj.name}' must be on the table at height {obj.rest_height:.4g} m, in meters and in the frame of "
                f"its env (got {found} in env {row})"
            )

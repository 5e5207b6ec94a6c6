"""Differences between Isaac Lab 2.3 and 3.0. The functions import Isaac Lab when they are called."""

# N envs, n of them addressed

from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from functools import cache
from importlib.util import find_spec
from io import StringIO
from typing import Any

import torch
from torch import Tensor

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.files.quaternions import WIDTH, Columns, first_columns

NEWTON_PRESET = "newton_mjwarp"
"""Name of the preset with the settings for Newton in the tasks of Isaac Lab 3."""


@cache
def quat_is_xyzw() -> bool:
    """Return whether Isaac Lab's quaternions are xyzw (3.0; wxyz in 2.3), by a call of its `matrix_from_quat`."""
    from isaaclab.utils.math import matrix_from_quat

    return bool(torch.allclose(matrix_from_quat(torch.tensor([0.0, 0.0, 0.0, 1.0])), torch.eye(3)))


def quat_to_isaaclab(quat_xyzw: Tensor) -> Tensor:
    """Quaternions (..., 4) in Isaac Lab's order."""
    return quat_xyzw if quat_is_xyzw() else quat_xyzw.roll(1, dims=-1)


def quat_from_isaaclab(quat: Tensor) -> Tensor:
    """Quaternions xyzw (..., 4) of quaternions in Isaac Lab's order."""
    return quat if quat_is_xyzw() else quat.roll(-1, dims=-1)


def tree_from_isaaclab(tree: Mapping[str, Any], declared: Columns | None = None) -> dict[str, Any]:
    """Observations or states, leaves (N, ...), with quaternions converted to xyzw, the recorded order.

    Args:
        declared: `quaternion_columns` of the task; other quaternions are recognized by name (`first_columns`).
    """
    return dict(tree) if quat_is_xyzw() else _reordered(tree, quat_from_isaaclab, declared or {})


def tree_to_isaaclab(tree: Mapping[str, Any], declared: Columns | None = None) -> dict[str, Any]:
    """Inverse of `tree_from_isaaclab`."""
    return dict(tree) if quat_is_xyzw() else _reordered(tree, quat_to_isaaclab, declared or {})


def _reordered(tree: Mapping[str, Any], convert: Callable[[Tensor], Tensor], declared: Columns) -> dict[str, Any]:
    def reordered(path: str, leaf: Tensor) -> Tensor:
        columns = first_columns(path, leaf.shape[1:], declared)
        leaf = leaf.clone() if columns else leaf
        for first in columns:
            leaf[:, first : first + WIDTH] = convert(leaf[:, first : first + WIDTH])
        return leaf

    return trees.map_with_path(reordered, tree)


def isaaclab_quat_from_matrix(rot: Tensor, unique: bool) -> Tensor:
    """Quaternions (..., 4) in Isaac Lab's order and with its choice of sign; `unique`: w >= 0."""
    from isaaclab.utils.math import quat_from_matrix, quat_unique

    quat = quat_from_matrix(rot)
    return quat_unique(quat) if unique else quat


def tensor(data: Any) -> Tensor:
    """Tensor of a data field; 3.0 wraps it into a proxy."""
    return data if isinstance(data, Tensor) else data.torch


def env_indices(env_ids: Tensor) -> Tensor:
    """Indices of envs (n,) in the integer type that Isaac Lab uses: int64 in 2.3, int32 in 3.0."""
    return env_ids.to(torch.int32 if quat_is_xyzw() else torch.int64)


def import_tasks() -> None:
    """Import Isaac Lab's modules that register tasks with gymnasium."""
    import isaaclab_tasks  # noqa: F401

    if find_spec("isaaclab_mimic") is not None:
        import isaaclab_mimic.envs  # noqa: F401


def load_env_cfg(task_id: str, physics: str) -> Any:
    """Registered configuration of a task, with presets resolved for `physics` (`default` or `newton`)."""
    from isaaclab_tasks.utils.parse_cfg import load_cfg_from_registry

    with redirect_stdout(StringIO()):  # It prints the entry point that it reads.
        env_cfg = load_cfg_from_registry(task_id, "env_cfg_entry_point")
    if not quat_is_xyzw():
        return env_cfg
    from isaaclab_tasks.utils.hydra import resolve_presets

    return resolve_presets(env_cfg, (NEWTON_PRESET,) if physics == "newton" else ())


def refresh_sensors(env: Any) -> None:
    """Update frame sensors and observations after a reset.

    Newton updates its sensors only in a step. Without this function, an end effector keeps its pose of the previous trial.
    """
    manager = env.sim.physics_manager if quat_is_xyzw() else None
    frames = getattr(manager, "_newton_frame_transform_sensors", None)
    if manager is None or not frames:
        return
    for frame in frames:
        frame.update(manager.get_state_0())
    for sensor in env.scene.sensors.values():
        sensor.update(0.0, force_recompute=True)
    env.obs_buf = env.observation_manager.compute()


def success_rule(term: Any, env: Any) -> tuple[Callable[[], Tensor], Callable[[Tensor], None]]:
    """Functions that evaluate a termination term without its manager, () -> (N,) bool, and reset its state, (n,) -> None.

    A term that is a class (Isaac Lab's `ManagerTermBase`) keeps its own state.
    """
    params: Mapping[str, Any] = term.params
    for value in params.values():
        if hasattr(value, "resolve"):
            value.resolve(env.scene)
    make: Callable[..., Any] = term.func
    rule = make(cfg=term, env=env) if isinstance(term.func, type) else term.func

    def evaluate() -> Tensor:
        return rule(env, **params).reshape(-1).bool()

    def reset(env_ids: Tensor) -> None:
        if hasattr(rule, "reset"):
            rule.reset(env_ids)

    return evaluate, reset


def write_joints(arm: Any, position: Tensor, velocity: Tensor, joint_ids: list[int], env_ids: Tensor) -> None:
    """Write positions [rad or m] and velocities of joints, (n, J); the positions become the targets of the controllers."""
    if hasattr(arm, "write_joint_state_to_sim_index"):
        ids = {"joint_ids": joint_ids, "env_ids": env_ids.to(torch.int32)}
        arm.write_joint_state_to_sim_index(position=position, velocity=velocity, **ids)
        arm.set_joint_position_target_index(target=position, **ids)
    else:
        arm.write_joint_state_to_sim(position, velocity, joint_ids, env_ids)
        arm.set_joint_position_target(position, joint_ids, env_ids)


def write_root(asset: Any, pose: Tensor, env_ids: Tensor) -> None:
    """Write world poses (n, 7) of a rigid object, quaternions in Isaac Lab's order, and set its velocity to zero."""
    velocity = torch.zeros(len(pose), 6, device=pose.device)
    if hasattr(asset, "write_root_pose_to_sim_index"):
        asset.write_root_pose_to_sim_index(root_pose=pose, env_ids=env_ids.to(torch.int32))
        asset.write_root_velocity_to_sim_index(root_velocity=velocity, env_ids=env_ids.to(torch.int32))
    else:
        asset.write_root_pose_to_sim(pose, env_ids)
        asset.write_root_velocity_to_sim(velocity, env_ids)

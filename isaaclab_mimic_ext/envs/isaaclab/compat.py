"""Differences between Isaac Lab 2.3 and 3.0. The functions import Isaac Lab when they are called."""

# N envs, n of them addressed

import logging
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from functools import cache
from importlib.metadata import entry_points
from importlib.util import find_spec
from io import StringIO
from typing import Any

import torch
from torch import Tensor

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.config import SimCfg
from isaaclab_mimic_ext.envs.isaaclab.physics import select_presets
from isaaclab_mimic_ext.errors import SimulatorUnavailable
from isaaclab_mimic_ext.files.quaternions import WIDTH, Columns, first_columns

log = logging.getLogger(__name__)

TASK_ENTRY_POINTS = "isaaclab.tasks"
"""Group of entry points of packages that register tasks with Isaac Lab 3."""


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


def pose_from_isaaclab(pose: Tensor) -> Tensor:
    """Positions and quaternions xyzw (..., 7) of positions and quaternions in Isaac Lab's order."""
    return pose if quat_is_xyzw() else torch.cat((pose[..., :3], pose[..., 4:], pose[..., 3:4]), dim=-1)


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


def listed_envs(env_ids: Any, num_envs: int, device: str) -> Tensor:
    """Indices of envs (n,) int64 that Isaac Lab passes to a term: a tensor, or in release 3 a slice; None means all envs."""
    if env_ids is None or isinstance(env_ids, slice):
        return torch.arange(num_envs, device=device)[env_ids or slice(None)]
    return torch.as_tensor(env_ids, device=device).long()


def env_indices(env_ids: Tensor) -> Tensor:
    """Indices of envs (n,) in the integer type that Isaac Lab uses: int64 in 2.3, int32 in 3.0."""
    return env_ids.to(torch.int32 if quat_is_xyzw() else torch.int64)


def import_tasks() -> None:
    """Import Isaac Lab's modules that register tasks with gymnasium."""
    import isaaclab_tasks  # noqa: F401

    if find_spec("isaaclab_mimic") is not None:
        import isaaclab_mimic.envs  # noqa: F401
    import_entry_points()


def import_entry_points() -> None:
    """Import the modules of installed packages that register tasks with Isaac Lab. Modules that fail are reported."""
    for entry_point in entry_points(group=TASK_ENTRY_POINTS):
        try:
            entry_point.load()
        except ImportError as error:
            log.warning(
                "%s: tasks of the entry point '%s' cannot be imported: %s", entry_point.value, entry_point.name, error
            )


def load_env_cfg(task_id: str, sim: SimCfg) -> Any:
    """Registered configuration of a task, with the presets that `sim`, which is resolved, selects.

    Raises:
        ConfigError: the configuration does not have a selected preset.
        SimulatorUnavailable: the configuration requires a package that is not installed.
    """
    from isaaclab_tasks.utils.parse_cfg import load_cfg_from_registry

    try:
        with redirect_stdout(StringIO()):  # It prints the entry point that it reads.
            env_cfg = load_cfg_from_registry(task_id, "env_cfg_entry_point")
    except ImportError as error:
        reason = str(error).split(". ")[0]
        raise SimulatorUnavailable(f"task.id: '{task_id}' requires a package that is not installed: {reason}") from error
    return select_presets(env_cfg, task_id, sim) if quat_is_xyzw() else env_cfg


def without_unset_fields(cfg: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Set the fields of a configuration that are None, and return the other `values`, for `from_dict`.

    `from_dict` accepts for a field only the type of its present value, so it refuses all values for None.
    """
    rest: dict[str, Any] = {}
    fields = cfg if isinstance(cfg, dict) else getattr(cfg, "__dict__", {})
    for name, value in values.items():
        field = fields.get(name, value)
        if field is None and isinstance(cfg, dict):
            cfg[name] = value
        elif field is None:
            setattr(cfg, name, value)
        else:
            rest[name] = without_unset_fields(field, value) if isinstance(value, Mapping) else value
    return rest


def set_spawn_property(properties: Any, name: str, value: Any) -> None:
    """Set a property in the configuration of a spawner; in release 3, properties are a list of parts, one per engine."""
    for part in properties if isinstance(properties, list) else [properties]:
        if hasattr(part, name):
            setattr(part, name, value)


def rigid_body_properties(**values: Any) -> Any:
    """Configuration of a rigid body's PhysX properties for a spawner."""
    import isaaclab.sim as sim_utils

    if not quat_is_xyzw():
        return sim_utils.RigidBodyPropertiesCfg(**values)
    from isaaclab_physx.sim.schemas import PhysxRigidBodyCfg

    return PhysxRigidBodyCfg(**values)


def apply_rigid_body_properties(prim_path: str, properties: Any) -> None:
    """Write the properties of a spawner's configuration to a rigid body."""
    from isaaclab.sim import schemas

    if quat_is_xyzw():
        schemas.apply_rigid_body_properties(prim_path, properties if isinstance(properties, list) else [properties])
    else:
        schemas.modify_rigid_body_properties(prim_path, properties)


def joint_effort_limit(limit: Any) -> dict[str, Any]:
    """Argument of an actuator's configuration for the largest effort of its joints in simulation [N m, N]."""
    return {"joint_effort_limit" if quat_is_xyzw() else "effort_limit_sim": limit}


def refresh_sensors(env: Any) -> None:
    """Update frame sensors of Newton, cameras and observations after a reset, of all envs.

    Newton updates its frames only in a step, and cameras show the scene before objects are placed. Without this function,
    an end effector keeps its pose of the previous trial, and the first picture of a trial shows objects at other places.
    """
    if not quat_is_xyzw():
        return
    manager = env.sim.physics_manager
    frames = getattr(manager, "_newton_frame_transform_sensors", None) or ()
    for frame in frames:
        frame.update(manager.get_state_0())
    sensors = env.scene.sensors.values()
    stale = sensors if frames else [sensor for sensor in sensors if hasattr(sensor.cfg, "renderer_cfg")]
    for sensor in stale:
        sensor.update(0.0, force_recompute=True)
    if stale:
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
        set_joint_targets(arm, position, joint_ids, env_ids.to(torch.int32))
    else:
        arm.write_joint_state_to_sim(position, velocity, joint_ids, env_ids)
        set_joint_targets(arm, position, joint_ids, env_ids)


def set_joint_targets(arm: Any, position: Tensor, joint_ids: list[int], env_ids: Tensor) -> None:
    """Set the targets (n, J) of the joints' position controllers [rad or m]."""
    if _has_target_command(arm):
        arm.actuators.target_command.set_position_index(value=position, joint_ids=joint_ids, env_ids=env_ids)
    else:
        arm.set_joint_position_target(position, joint_ids, env_ids)


def set_next_joint_targets(arm: Any, position: Tensor, joint_ids: Tensor) -> None:
    """Set the targets (N, J) of the joints' position controllers [rad or m] for the next `write_data_to_sim`.

    In release 3 on OvPhysX, the setter would send them to the simulation at once, and `write_data_to_sim` again.
    """
    if _has_target_command(arm):
        arm.actuators.target_command.position.torch.index_copy_(1, joint_ids, position)
    else:
        arm.set_joint_position_target(position, joint_ids)


def _has_target_command(arm: Any) -> bool:
    return hasattr(arm, "actuators") and hasattr(arm.actuators, "target_command")


def write_root(asset: Any, pose: Tensor, env_ids: Tensor) -> None:
    """Write world poses (n, 7) of a rigid object, quaternions in Isaac Lab's order, and set its velocity to zero."""
    velocity = torch.zeros(len(pose), 6, device=pose.device)
    if hasattr(asset, "write_root_pose_to_sim_index"):
        asset.write_root_pose_to_sim_index(root_pose=pose, env_ids=env_ids.to(torch.int32))
        asset.write_root_velocity_to_sim_index(root_velocity=velocity, env_ids=env_ids.to(torch.int32))
    else:
        asset.write_root_pose_to_sim(pose, env_ids)
        asset.write_root_velocity_to_sim(velocity, env_ids)

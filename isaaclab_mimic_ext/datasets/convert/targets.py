"""Actions of a demo in other forms: absolute targets of the hands, and joint positions. Relative actions are converted."""

# T steps of one demo, A action entries, J joints of an arm with two fingers

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from isaaclab_mimic_ext.errors import ConfigError
from isaaclab_mimic_ext.files.demo import Demo
from isaaclab_mimic_ext.math import axis_angle_from_matrix, matrix_from_axis_angle, matrix_from_quat_xyzw

DELTA, JOINT, EEF_ABSOLUTE = FORMS = ("delta", "joint", "eef_absolute")
"""Forms of actions in an export."""
_ENTRIES = 7
"""Number of action entries per arm: relative pose, then gripper."""
_NUM_FINGERS = 2
_POSE = ("x", "y", "z", "rx", "ry", "rz")
_ROT6D = tuple(f"rot6d.{index}" for index in range(6))


@dataclass(frozen=True)
class Actions:
    """Actions of a demo with the names of their entries.

    Attributes:
        values: (T, A) float32.
    """

    values: np.ndarray
    names: tuple[str, ...]


@dataclass(frozen=True)
class HandTarget:
    """Target of a hand in each step.

    Attributes:
        pos: (T, 3), frame of the observations [m].
        rot: (T, 3, 3).
        gripper: (T, 1), gripper action.
    """

    pos: np.ndarray
    rot: np.ndarray
    gripper: np.ndarray


def converted_actions(demo: Demo, values: np.ndarray, form: str, env_args: Mapping[str, Any], is_xyzw: bool) -> Actions:
    """Convert relative actions to a form of `FORMS`.

    `joint` is the joint positions after each step [rad], then the gripper action. `eef_absolute` is the target position of
    the hand [m], the first two columns of its rotation matrix (`rot6d`), then the gripper action.

    Args:
        values: actions (T, A) of the demo.
        is_xyzw: the quaternions of the demo are xyzw, otherwise wxyz.

    Raises:
        ConfigError: the demo lacks the data that the form is computed from.
    """
    if form == DELTA:
        return Actions(values.astype(np.float32), _names(env_args, values.shape[1]))
    arms = _arms(env_args, values.shape[1])
    if arms is None:
        raise ConfigError(
            f"actions: '{form}' requires relative actions of arms, which {demo.place} does not have; use delta"
        )
    parts, names = [], []
    for index, prefix in enumerate(arms.values()):
        gripper = values[:, _ENTRIES * (index + 1) - 1 : _ENTRIES * (index + 1)]
        arm, axes = (
            _joints(demo, list(arms)[index], len(arms), env_args.get("object_names") or ())
            if form == JOINT
            else _rot6d(hand_targets(demo, values, env_args, is_xyzw)[index])
        )
        parts += [arm, gripper]
        names += [f"{prefix}{axis}" for axis in (*axes, "gripper")]
    return Actions(np.concatenate(parts, axis=1, dtype=np.float32), tuple(names))


def absolute_actions(demo: Demo, env_args: Mapping[str, Any], is_xyzw: bool) -> np.ndarray | None:
    """Actions with absolute targets in robomimic's layout (`actions_abs`): position [m], rotation vector [rad], gripper.

    Returns:
        (T, A) float32; None if the actions of the demo are not relative, or the pose of a hand is not observed.
    """
    values = demo.leaves["actions"]
    if _arms(env_args, values.shape[1]) is None:
        return None
    try:
        targets = hand_targets(demo, values, env_args, is_xyzw)
    except ConfigError:
        return None
    parts = [
        part
        for target in targets
        for part in (target.pos, axis_angle_from_matrix(torch.from_numpy(target.rot)).numpy(), target.gripper)
    ]
    return np.concatenate(parts, axis=1, dtype=np.float32)


def hand_targets(demo: Demo, values: np.ndarray, env_args: Mapping[str, Any], is_xyzw: bool) -> list[HandTarget]:
    """Targets of all hands, from relative actions (T, A) and the observed poses of the hands.

    Raises:
        ConfigError: the pose of a hand is not among the observations.
    """
    spec, targets = env_args["action"], []
    for index, eef in enumerate(_eef_names(env_args)):
        pos, quat = (demo.leaves[_observation(demo, eef, kind, env_args)] for kind in ("eef_pos", "eef_quat"))
        step = torch.from_numpy(values[:, _ENTRIES * index : _ENTRIES * (index + 1)].astype(np.float64)).clamp(-1.0, 1.0)
        quat = torch.from_numpy(quat.astype(np.float64))
        rot = matrix_from_quat_xyzw(quat if is_xyzw else quat.roll(-1, dims=-1))
        turned = matrix_from_axis_angle(step[:, 3:6] * float(spec["rot_scale"])) @ rot
        moved = pos.astype(np.float64) + float(spec["pos_scale"]) * step[:, :3].numpy()
        targets.append(HandTarget(moved, turned.numpy(), step[:, 6:].numpy()))
    return targets


def _rot6d(target: HandTarget) -> tuple[np.ndarray, tuple[str, ...]]:
    columns = np.concatenate((target.rot[:, :, 0], target.rot[:, :, 1]), axis=1)
    return np.concatenate((target.pos, columns), axis=1), (*_POSE[:3], *_ROT6D)


def _joints(demo: Demo, eef: str, num_arms: int, objects: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Joint positions of an arm after each step (T, J - 2) [rad], without its fingers, and their names."""
    found = (path.rpartition("/") for path in demo.below("states/articulation"))
    paths = [f"{name}/{quantity}" for name, _, quantity in found if quantity == "joint_position" and name not in objects]
    path = _of_eef(paths, eef, num_arms)
    if path is None:
        rule = f"'{JOINT}' requires recorded joint positions of '{eef}', which {demo.place} does not have"
        raise ConfigError(f"actions: {rule}; use delta or {EEF_ABSOLUTE}")
    joints = demo.leaves[f"states/articulation/{path}"][:, :-_NUM_FINGERS]
    return joints, tuple(f"joint_{index}" for index in range(1, joints.shape[1] + 1))


def _observation(demo: Demo, eef: str, kind: str, env_args: Mapping[str, Any]) -> str:
    names = [name for name in demo.below("obs") if name == kind or name.endswith(f"_{kind}")]
    name = _of_eef(names, eef, len(_eef_names(env_args)))
    if name is None:
        rule = f"'{EEF_ABSOLUTE}' requires the observation {kind} of '{eef}', which {demo.place} does not have"
        raise ConfigError(f"actions: {rule}; use delta")
    return f"obs/{name}"


def _of_eef(names: Sequence[str], eef: str, num_arms: int) -> str | None:
    """The name that belongs to an end effector: the only one, or the one that contains the name of the end effector."""
    found = names if num_arms == 1 else [name for name in names if eef in name.replace("/", "_").split("_")]
    return found[0] if len(found) == 1 else None


def _names(env_args: Mapping[str, Any], width: int) -> tuple[str, ...]:
    """Names of the entries of relative actions: `x y z rx ry rz gripper`; numbers for other actions."""
    arms = _arms(env_args, width)
    if arms is None:
        return tuple(f"action.{index}" for index in range(width))
    return tuple(f"{prefix}{axis}" for prefix in arms.values() for axis in (*_POSE, "gripper"))


def _arms(env_args: Mapping[str, Any], width: int) -> dict[str, str] | None:
    """End effector -> prefix of the names of its entries; None if the actions are not relative poses of these hands."""
    spec, eefs = env_args.get("action"), _eef_names(env_args)
    is_relative = isinstance(spec, Mapping) and spec.get("type") == "ik_rel"
    if not is_relative or not eefs or width != _ENTRIES * len(eefs):
        return None
    return {eef: "" if len(eefs) == 1 else f"{eef}." for eef in eefs}


def _eef_names(env_args: Mapping[str, Any]) -> list[str]:
    found = env_args.get("eef_names")
    return [str(name) for name in found] if isinstance(found, list) else []

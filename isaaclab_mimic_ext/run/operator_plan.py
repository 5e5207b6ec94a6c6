"""Plans of scripted operators: check the shape, dtype and values of a plan."""

# D demos, T frames of the longest demo, E end effectors, G gripper entries

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.texts import counted

MAX_PLAN_STEPS = 1000
"""Horizon of demos of a scripted operator [steps]."""


def plan_fault(plan: Any, num_demos: int, env: MimicEnv) -> str | None:
    """Fault of a plan for `num_demos` demos, such as a wrong shape; None if the plan can be executed."""
    return next(_faults(plan, num_demos, env), None)


def _faults(plan: Any, num_demos: int, env: MimicEnv) -> Iterator[str]:
    for name in ("target_eef_pose", "gripper_action", "length"):
        if not isinstance(getattr(plan, name, None), Tensor):
            yield f"must return a plan with a tensor '{name}', as Hand.plan does (got {type(plan).__name__})"
    num_eefs, num_frames = len(env.eef_names), plan.target_eef_pose.shape[1] if plan.target_eef_pose.ndim > 1 else 0
    leading = (num_demos, num_frames) if num_eefs == 1 else (num_demos, num_frames, num_eefs)
    letters = "D, T" if num_eefs == 1 else "D, T, E"
    counts = f"D = {counted(num_demos, 'demo')}, T = {counted(num_frames, 'frame')}"
    counts += f", E = {num_eefs} end effectors" if num_eefs > 1 else ""
    num_entries = max(env.gripper_dims)
    for name, shape, expected in (
        ("target_eef_pose", (*leading, 4, 4), f"({letters}, 4, 4)"),
        ("gripper_action", (*leading, num_entries), f"({letters}, {num_entries})"),
        ("length", (num_demos,), "(D,)"),
    ):
        found = tuple(getattr(plan, name).shape)
        if found != shape:
            yield f"{name} must have the shape {expected}, {counts} (got {found})"
    if plan.length.dtype not in (torch.int64, torch.int32):
        yield f"length must be int64 or int32, in frames (got {str(plan.length.dtype).removeprefix('torch.')})"
    shortest, longest = int(plan.length.min()), int(plan.length.max())
    if not 1 <= shortest <= longest <= min(num_frames, MAX_PLAN_STEPS):
        limit = f"the number of frames, {num_frames}" if num_frames <= MAX_PLAN_STEPS else str(MAX_PLAN_STEPS)
        yield f"length must be from 1 to {limit} (got {shortest} to {longest})"
    for name in ("target_eef_pose", "gripper_action"):
        if not bool(torch.isfinite(getattr(plan, name)).all()):
            yield f"{name} must be finite (got NaN or infinity)"

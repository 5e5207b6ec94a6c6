"""Subtask configuration as tensors, indexed by end effector and subtask; and the noise on actions."""

# N envs, E end effectors, S and P: subtasks, and pose entries of an action, of the end effector that has most

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor

from isaaclab_mimic_ext.config import DataGenConfig, SubTaskConfig
from isaaclab_mimic_ext.errors import TaskSpecError
from isaaclab_mimic_ext.rng import Draws, Stream


class Strategy(IntEnum):
    """Selection strategy for source demos, named as in the configuration (`selection_strategy`)."""

    RANDOM = 0
    NEAREST_NEIGHBOR_OBJECT = 1
    NEAREST_NEIGHBOR_ROBOT_DISTANCE = 2


@dataclass(frozen=True)
class SubtaskTable:
    """Parameters of all subtasks, shape (E, S) unless stated otherwise.

    Attributes:
        num_subtasks: (E,) int64; entries of the other tensors beyond this number are unused.
        object_id: index into `SourcePool.object_pose`; its last entry if the subtask has no object.
        strategy: value of `Strategy`.
        nn_k, pos_weight, rot_weight: parameters of the nearest-neighbor strategies.
        offset_low, offset_high: range of the random offset of the subtask's end, both included [steps].
        first_low, first_high: (E,), range of the random offset of the first subtask's start, both included [steps].
        start_low, start_high: range of the random offset of the subtask's start under SkillGen, both included [steps].
        num_interpolation, num_fixed: number of interpolated waypoints, and of fixed waypoints after them.
        num_settle: number of settling steps before the gripper action changes.
        noise_std: (E, S, P), standard deviation of the noise, in the action's units; 0 for pose entries that an end
            effector does not have.
        noise_everywhere: bool, add noise to interpolated and fixed waypoints too.
        strategies: strategies that at least one subtask uses.
    """

    num_subtasks: Tensor
    object_id: Tensor
    strategy: Tensor
    nn_k: Tensor
    pos_weight: Tensor
    rot_weight: Tensor
    offset_low: Tensor
    offset_high: Tensor
    first_low: Tensor
    first_high: Tensor
    start_low: Tensor
    start_high: Tensor
    num_interpolation: Tensor
    num_fixed: Tensor
    num_settle: Tensor
    noise_std: Tensor
    noise_everywhere: Tensor
    strategies: frozenset[Strategy]


def build_table(
    subtasks: dict[str, list[SubTaskConfig]], object_names: Sequence[str], pose_dims: Sequence[int], device: torch.device
) -> SubtaskTable:
    """Build the table of validated subtask configurations, end effectors in the order of `subtasks`.

    Args:
        object_names: names of the O objects, in the order of `SourcePool.object_pose`.
        pose_dims: `MimicEnv.pose_dims`, in the order of `subtasks`.

    Raises:
        TaskSpecError: the number of entries of an `action_noise` differs from that of the action's pose entries.
    """
    check_noise(subtasks, pose_dims)
    most = max(len(configs) for configs in subtasks.values())
    subtask_rows = [configs + [SubTaskConfig()] * (most - len(configs)) for configs in subtasks.values()]
    object_ids = {name: index for index, name in enumerate([*object_names, None])}

    def column(value, dtype: torch.dtype) -> Tensor:  # type: ignore[no-untyped-def]
        return torch.tensor([[value(config) for config in configs] for configs in subtask_rows], dtype=dtype, device=device)

    return SubtaskTable(
        num_subtasks=torch.tensor([len(configs) for configs in subtasks.values()], device=device),
        object_id=column(lambda config: object_ids[config.object_ref], torch.int64),
        strategy=column(_strategy_of, torch.int64),
        nn_k=column(lambda config: config.selection_strategy_kwargs.get("nn_k", 3), torch.int64),
        pos_weight=column(lambda config: config.selection_strategy_kwargs.get("pos_weight", 1.0), torch.float32),
        rot_weight=column(lambda config: config.selection_strategy_kwargs.get("rot_weight", 1.0), torch.float32),
        offset_low=column(lambda config: config.subtask_term_offset_range[0], torch.int64),
        offset_high=column(lambda config: config.subtask_term_offset_range[1], torch.int64),
        first_low=column(lambda config: config.first_subtask_start_offset_range[0], torch.int64)[:, 0],
        first_high=column(lambda config: config.first_subtask_start_offset_range[1], torch.int64)[:, 0],
        start_low=column(lambda config: config.subtask_start_offset_range[0], torch.int64),
        start_high=column(lambda config: config.subtask_start_offset_range[1], torch.int64),
        num_interpolation=column(lambda config: config.num_interpolation_steps, torch.int64),
        num_fixed=column(lambda config: config.num_fixed_steps, torch.int64),
        num_settle=column(lambda config: config.num_settle_steps_before_gripper, torch.int64),
        noise_std=_noise_table(subtask_rows, pose_dims).to(device),
        noise_everywhere=column(lambda config: config.apply_noise_during_interpolation, torch.bool),
        strategies=frozenset(_strategy_of(config) for configs in subtasks.values() for config in configs),
    )


def _strategy_of(config: SubTaskConfig) -> Strategy:
    return Strategy[config.selection_strategy.upper()]


def _noise_table(subtask_rows: Sequence[Sequence[SubTaskConfig]], pose_dims: Sequence[int]) -> Tensor:
    """Standard deviations of the action noise, (E, S, P)."""
    table = torch.zeros(len(subtask_rows), len(subtask_rows[0]), max(pose_dims))
    for eef, (configs, pose_dim) in enumerate(zip(subtask_rows, pose_dims, strict=True)):
        table[eef, :, :pose_dim] = torch.tensor([_deviations(config, pose_dim) for config in configs])
    return table


def _deviations(config: SubTaskConfig, pose_dim: int) -> list[float]:
    noise = config.action_noise
    return list(noise) if isinstance(noise, Sequence) else [noise] * pose_dim


def check_noise(subtasks: dict[str, list[SubTaskConfig]], pose_dims: Sequence[int]) -> None:
    """Refuse an `action_noise` that is neither a single number nor a list with one entry per pose entry of the action.

    Args:
        pose_dims: `MimicEnv.pose_dims`, in the order of `subtasks`.

    Raises:
        TaskSpecError: with the subtask and both numbers.
    """
    for (eef_name, configs), pose_dim in zip(subtasks.items(), pose_dims, strict=True):
        for index, config in enumerate(configs):
            found = len(_deviations(config, pose_dim))
            if found != pose_dim:
                raise TaskSpecError(
                    f"subtask_configs.{eef_name}.{index}.action_noise: must have one entry per pose entry of the action, "
                    f"{pose_dim} in all (got {found}); use {pose_dim} entries, or a single number for all"
                )


_NUM_AHEAD = 16
"""Number of steps for which action noise is drawn in one call."""


class ActionNoise:
    """Action noise of variance 1 for each step of N trials, white or correlated (`action_noise_process`).

    The correlated noise is `x_t = a x_{t-1} + sqrt(1 - a^2) w_t` with white noise `w`, `a = exp(-1 / correlation steps)` and
    `x_0 = w_0`. Its variance is 1 from the first step. Source: Uhlenbeck and Ornstein (1930), sampled at the control steps.

    White noise is drawn for `_NUM_AHEAD` steps in one call: on a CPU, a call takes as long for some hundred rows as for one.
    """

    def __init__(self, config: DataGenConfig, shape: tuple[int, int, int], device: torch.device):
        self._shape = shape
        is_white = config.action_noise_process == "white"
        self._keep = 0.0 if is_white else math.exp(-1.0 / config.action_noise_correlation_steps)
        self._last = torch.zeros(shape, device=device)
        self._ahead = torch.zeros(_NUM_AHEAD, *shape, device=device)
        self._num_used = _NUM_AHEAD

    def begin(self, env_ids: Tensor, draws: Draws) -> None:
        """Begin the trials of `draws` (n,) in `env_ids` (n,)."""
        if self._num_used < _NUM_AHEAD:
            self._ahead[self._num_used :, env_ids] = self._white(draws, torch.zeros_like(env_ids))

    def sample(self, draws: Draws, step: Tensor) -> Tensor:
        """Noise (N, E, P) at the steps (N,) of the trials of `draws` (N,).

        Call once per step; in each call, the steps of running trials are 1 larger than in the call before.
        """
        if self._num_used == _NUM_AHEAD:
            self._num_used = 0
            self._ahead.copy_(self._white(draws, step))
        white = self._ahead[self._num_used]
        self._num_used += 1
        if not self._keep:
            return white
        is_first = (step == 0)[:, None, None]
        self._last = torch.where(is_first, white, self._keep * self._last + math.sqrt(1.0 - self._keep**2) * white)
        return self._last

    def _white(self, draws: Draws, step: Tensor) -> Tensor:
        """White noise of trials (n,) at `step` (n,) and the steps after it, as many as are not used, (steps, n, E, P)."""
        num_steps = _NUM_AHEAD - self._num_used
        steps = step + torch.arange(num_steps, device=step.device)[:, None]
        repeated = Draws(draws.seed, draws.trials.repeat(num_steps), draws.domain)
        return repeated.normal(Stream.ACTION_NOISE, self._shape[1:], steps.flatten()).unflatten(0, (num_steps, -1))

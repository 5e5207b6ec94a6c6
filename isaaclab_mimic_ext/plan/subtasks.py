"""The subtask configuration as tensors, so that a step looks parameters up instead of asking objects."""

# E end effectors, S subtasks (of the eef that has most), P pose entries of an action (of the eef that has most)
# N envs, E end effectors, P pose entries of an action

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
    """How a source demo is selected; the names are the configuration's."""

    RANDOM = 0
    NEAREST_NEIGHBOR_OBJECT = 1
    NEAREST_NEIGHBOR_ROBOT_DISTANCE = 2


@dataclass(frozen=True)
class SubtaskTable:
    """Parameters of every subtask, each (E, S) unless said otherwise.

    Attributes:
        num_subtasks: (E,) int64; entries of the table beyond it mean nothing.
        object_id: index into `SourcePool.object_pose`; its last entry where there is no object.
        strategy: values of `Strategy`.
        nn_k, pos_weight, rot_weight: of the nearest-neighbour strategies.
        offset_low, offset_high: of the subtask's end, both included [steps].
        first_low, first_high: (E,), of the first subtask's start [steps].
        start_low, start_high: of the subtask's start under SkillGen, both included [steps].
        num_interpolation, num_fixed: [steps].
        num_settle: steps to stand still before the gripper's action changes.
        noise_std: (E, S, P), in the action's units; zeros where an eef has fewer pose entries.
        noise_everywhere: bool, noise on interpolated and fixed waypoints too.
        strategies: those that some subtask selects by.
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
    """The table of validated subtask configurations, end effectors in the dict's order.

    Args:
        pose_dims: `MimicEnv.pose_dims`, in the order of `subtasks`.

    Raises:
        TaskSpecError: an `action_noise` has not one entry for every pose entry of an action.
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
    """Standard deviations (E, S, P)."""
    table = torch.zeros(len(subtask_rows), len(subtask_rows[0]), max(pose_dims))
    for eef, (configs, pose_dim) in enumerate(zip(subtask_rows, pose_dims, strict=True)):
        table[eef, :, :pose_dim] = torch.tensor([_deviations(config, pose_dim) for config in configs])
    return table


def _deviations(config: SubTaskConfig, pose_dim: int) -> list[float]:
    noise = config.action_noise
    return list(noise) if isinstance(noise, Sequence) else [noise] * pose_dim


def check_noise(subtasks: dict[str, list[SubTaskConfig]], pose_dims: Sequence[int]) -> None:
    """Refuse noise that has neither one deviation for all pose entries of its end effector's action nor one for each.

    Args:
        pose_dims: `MimicEnv.pose_dims`, in the order of `subtasks`.

    Raises:
        TaskSpecError: it names the subtask and both numbers.
    """
    for (eef_name, configs), pose_dim in zip(subtasks.items(), pose_dims, strict=True):
        for index, config in enumerate(configs):
            found = len(_deviations(config, pose_dim))
            if found != pose_dim:
                raise TaskSpecError(
                    f"subtask_configs.{eef_name}.{index}: action_noise has {found} entries, an action of this env has "
                    f"{pose_dim} pose entries; give one for each, or a single number for all"
                )


class ActionNoise:
    """Noise of variance 1 for every step of N trials.

    The correlated one is `x_t = a x_{t-1} + sqrt(1 - a^2) w_t` with `a = exp(-1 / correlation steps)` and `x_0 = w_0`: its
    variance is 1 from the first step on. Source: Uhlenbeck and Ornstein (1930), sampled at the control steps.
    """

    def __init__(self, config: DataGenConfig, shape: tuple[int, int, int], device: torch.device):
        self._shape = shape
        is_white = config.action_noise_process == "white"
        self._keep = 0.0 if is_white else math.exp(-1.0 / config.action_noise_correlation_steps)
        self._last = torch.zeros(shape, device=device)

    def sample(self, draws: Draws, step: Tensor) -> Tensor:
        """The noise (N, E, P) at steps (N,) of trials; to be called once at every step, from 0 on."""
        white = draws.normal(Stream.ACTION_NOISE, self._shape[1:], step)
        if not self._keep:
            return white
        is_first = (step == 0)[:, None, None]
        self._last = torch.where(is_first, white, self._keep * self._last + math.sqrt(1.0 - self._keep**2) * white)
        return self._last

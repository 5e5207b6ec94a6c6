"""What the values of a Mimic task may be, beside the scene that it is for."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from isaaclab_mimic_ext.config.constraints import check_constraints
from isaaclab_mimic_ext.config.require import require_at_least, require_choice, require_seed
from isaaclab_mimic_ext.config.skillgen import check_navigation, check_skillgen
from isaaclab_mimic_ext.config.task import DataGenConfig, EventCfg, MimicEnvCfg, SubTaskConfig
from isaaclab_mimic_ext.errors import ConfigError, TaskSpecError, choices

if TYPE_CHECKING:
    from isaaclab_mimic_ext.task import Task

SUCCESS_RULES = ("held", "any_step")
NOISE_PROCESSES = ("white", "ornstein_uhlenbeck")
COMPAT_SELECT = ("mimic", "isaaclab")
SELECTION_STRATEGIES = ("random", "nearest_neighbor_object", "nearest_neighbor_robot_distance")
SELECTION_KWARGS = ("nn_k", "pos_weight", "rot_weight")
"""`random` ignores them: an override cannot take away those of the strategy that a task's file names."""
COORDINATES = ("x", "y", "yaw")


def validate_task_cfg(cfg: MimicEnvCfg, task: "Task | None") -> None:
    """Check a Mimic task's configuration against the scene of `task`.

    Args:
        task: None: it is registered with Isaac Lab, and what is in its scene is known when it runs.

    Raises:
        TaskSpecError: a subtask is wrong, or an end effector has none.
        ConfigError: any other value is wrong.
    """
    _validate_datagen(cfg.datagen_config)
    eef_names = tuple(cfg.subtask_configs) if task is None else task.eef_names
    for eef_name in cfg.subtask_configs:
        if eef_name not in eef_names:
            raise TaskSpecError(
                f"subtask_configs: no end effector '{eef_name}' in the scene; {choices(eef_name, eef_names)}"
            )
    for eef_name in eef_names:
        subtasks = cfg.subtask_configs.get(eef_name)
        if not subtasks:
            raise TaskSpecError(
                f"subtask_configs.{eef_name}: no subtasks; every end effector of the scene needs at least one"
            )
        for index, subtask in enumerate(subtasks):
            place = _place(eef_name, index, subtask)
            _validate_subtask(place, subtask, index == 0, index == len(subtasks) - 1, task)
    check_constraints(cfg.task_constraint_configs, cfg.subtask_configs)
    check_skillgen(cfg, _signal_names(cfg) if task is None else task.signal_names)
    check_navigation(cfg)
    for event_name, event in cfg.events.items():
        if task is None:
            raise ConfigError(f"events.{event_name}: a task of Isaac Lab's registry has its own randomization; leave it out")
        _validate_event(f"events.{event_name}", event, task)


def _validate_datagen(cfg: DataGenConfig) -> None:
    place = "datagen_config"
    require_seed(f"{place}.seed", cfg.seed)
    require_at_least(f"{place}.generation_num_trials", cfg.generation_num_trials, 1)
    for name in ("max_num_failures", "max_total_failures", "max_trials"):
        limit = getattr(cfg, name)
        if limit is not None:
            require_at_least(f"{place}.{name}", limit, 1, "; null switches the limit off")
    if cfg.max_time is not None and not 0 < cfg.max_time < math.inf:
        raise ConfigError(f"{place}.max_time: {cfg.max_time} h is no time; give more than 0, null switches the limit off")
    if cfg.min_success_rate is not None and not 0 < cfg.min_success_rate <= 1:
        raise ConfigError(f"{place}.min_success_rate: {cfg.min_success_rate} is no rate; give one from 0 to 1, e.g. 0.1")
    require_at_least(f"{place}.num_final_hold_steps", cfg.num_final_hold_steps, 0)
    require_at_least(f"{place}.num_success_steps", cfg.num_success_steps, 1)
    require_choice(f"{place}.success_rule", cfg.success_rule, SUCCESS_RULES)
    require_choice(f"{place}.compat_select", cfg.compat_select, COMPAT_SELECT)
    require_choice(f"{place}.action_noise_process", cfg.action_noise_process, NOISE_PROCESSES)
    if not 0 < cfg.action_noise_correlation_steps < math.inf:
        raise ConfigError(
            f"{place}.action_noise_correlation_steps: {cfg.action_noise_correlation_steps} is no time; give more than 0"
        )


def check_scene_names(
    subtask_configs: Mapping[str, Sequence[SubTaskConfig]], object_names: Collection[str], signal_names: Collection[str]
) -> None:
    """Check the objects and signals of subtasks against a scene that runs; one without signals leaves them to source files.

    Raises:
        TaskSpecError: the scene lacks one.
    """
    for eef_name, subtasks in subtask_configs.items():
        for index, subtask in enumerate(subtasks):
            _validate_names(_place(eef_name, index, subtask), subtask, object_names, signal_names)


def _place(eef_name: str, index: int, subtask: SubTaskConfig) -> str:
    name = subtask.subtask_term_signal or subtask.description
    return f"subtask_configs.{eef_name}.{index}" + (f" ({name})" if name else "")


def _signal_names(cfg: MimicEnvCfg) -> list[str]:
    """Those that subtasks name."""
    named = [subtask.subtask_term_signal for subtasks in cfg.subtask_configs.values() for subtask in subtasks]
    return [signal for signal in named if signal is not None]


def _validate_subtask(place: str, cfg: SubTaskConfig, is_first: bool, is_last: bool, task: "Task | None") -> None:
    if cfg.subtask_term_signal is None and not is_last:
        known = "" if task is None else f"; choices: {', '.join(task.signal_names)}"
        raise TaskSpecError(f"{place}: no subtask_term_signal; every subtask but the last needs one{known}")
    if task is not None:
        _validate_names(place, cfg, task.object_names, task.signal_names)
    _validate_offsets(place, cfg, is_first, is_last)
    _validate_strategy(place, cfg)
    _validate_noise(place, cfg.action_noise)
    for name in ("num_interpolation_steps", "num_fixed_steps", "num_settle_steps_before_gripper"):
        if getattr(cfg, name) < 0:
            raise TaskSpecError(f"{place}: {name} is {getattr(cfg, name)}; give 0 or more steps")


def _validate_names(place: str, cfg: SubTaskConfig, object_names: Collection[str], signal_names: Collection[str]) -> None:
    if cfg.object_ref is not None and cfg.object_ref not in object_names:
        raise TaskSpecError(
            f"{place}: object_ref '{cfg.object_ref}' is not in the scene; {choices(cfg.object_ref, object_names)}"
        )
    signal = cfg.subtask_term_signal
    if signal is not None and signal_names and signal not in signal_names:
        raise TaskSpecError(f"{place}: the task has no signal '{signal}'; {choices(signal, signal_names)}")


def _validate_noise(place: str, noise: Any) -> None:
    deviations = list(noise) if isinstance(noise, Sequence) and not isinstance(noise, str) else [noise]
    is_number = [isinstance(value, int | float) and not isinstance(value, bool) for value in deviations]
    if not deviations or not all(is_number) or not all(0 <= value < math.inf for value in deviations):
        shown = deviations if isinstance(noise, Sequence) and not isinstance(noise, str) else noise
        reason = (
            "is no standard deviation; give a number of 0 or more, or a list with one for every pose entry of the action"
        )
        raise TaskSpecError(f"{place}: action_noise {shown!r} {reason}")


def _validate_offsets(place: str, cfg: SubTaskConfig, is_first: bool, is_last: bool) -> None:
    for name in ("subtask_term_offset_range", "first_subtask_start_offset_range", "subtask_start_offset_range"):
        bounds = list(getattr(cfg, name))
        if len(bounds) != 2 or bounds[0] > bounds[1]:
            raise TaskSpecError(f"{place}: {name} {bounds} is no range; give [lowest, highest]")
    if is_last and any(cfg.subtask_term_offset_range):
        raise TaskSpecError(
            f"{place}: subtask_term_offset_range {list(cfg.subtask_term_offset_range)} moves the end of the last subtask "
            "off the end of the demonstration; give [0, 0]"
        )
    start = list(cfg.first_subtask_start_offset_range)
    if is_first and start[0] < 0:
        raise TaskSpecError(
            f"{place}: first_subtask_start_offset_range {start} starts before the demonstration; give 0 or more steps"
        )
    if not is_first and any(start):
        raise TaskSpecError(
            f"{place}: first_subtask_start_offset_range {start} is for an end effector's first subtask; give [0, 0]"
        )


def _validate_strategy(place: str, cfg: SubTaskConfig) -> None:
    strategy = cfg.selection_strategy
    if strategy not in SELECTION_STRATEGIES:
        raise TaskSpecError(
            f"{place}: there is no selection_strategy '{strategy}'; {choices(strategy, SELECTION_STRATEGIES)}"
        )
    if strategy != "random" and cfg.object_ref is None:
        raise TaskSpecError(
            f"{place}: selection_strategy '{strategy}' needs an object_ref to be near to; name one or use 'random'"
        )
    for name, value in cfg.selection_strategy_kwargs.items():
        where = f"{place}: selection_strategy_kwargs.{name}"
        if name not in SELECTION_KWARGS:
            raise TaskSpecError(f"{where}: no strategy takes such an argument; {choices(name, SELECTION_KWARGS)}")
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if name == "nn_k" and not (is_number and isinstance(value, int) and value >= 1):
            raise TaskSpecError(f"{where}: {value!r} is no number of neighbours; give a whole number, 1 or more")
        if name != "nn_k" and not (is_number and 0 <= value < math.inf):
            raise TaskSpecError(f"{where}: {value!r} is no weight; give a number, 0 or more")


def _validate_event(place: str, cfg: EventCfg, task: "Task") -> None:
    arm_names = tuple(arm.name for arm in task.arms)
    names = (*task.object_names, *arm_names)
    if cfg.asset not in names:
        raise ConfigError(f"{place}.asset: no '{cfg.asset}' in the scene; {choices(cfg.asset, names)}")
    if cfg.asset in arm_names and (cfg.pose_range or cfg.min_separation):
        raise ConfigError(f"{place}: '{cfg.asset}' is a robot: it has a joint_std, no pose_range and no min_separation")
    if cfg.asset not in arm_names and cfg.joint_std:
        raise ConfigError(f"{place}: '{cfg.asset}' has no joints: it has a pose_range, no joint_std")
    require_at_least(f"{place}.min_separation", cfg.min_separation, 0)
    require_at_least(f"{place}.joint_std", cfg.joint_std, 0)
    check_pose_range(f"{place}.pose_range", cfg.pose_range)


def check_pose_range(place: str, pose_range: Mapping[str, Sequence[float]]) -> None:
    """Check the range of each coordinate.

    Raises:
        ConfigError: a coordinate is unknown, or its range is none.
    """
    for coordinate, bounds in pose_range.items():
        where = f"{place}.{coordinate}"
        if coordinate not in COORDINATES:
            raise ConfigError(f"{where}: unknown coordinate; {choices(coordinate, COORDINATES)}")
        if len(bounds) != 2 or not all(map(math.isfinite, bounds)) or bounds[0] > bounds[1]:
            raise ConfigError(f"{where}: {list(bounds)} is no range; give [lowest, highest]")

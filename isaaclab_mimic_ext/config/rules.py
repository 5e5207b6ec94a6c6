"""Rules that relate fields of a configuration to each other or to the scene. Bounds of one field are at the field."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from isaaclab_mimic_ext.config.bounds import check_bounds, range_fault
from isaaclab_mimic_ext.config.commands import BLOCK_SIZE, CheckDemosCfg, GenerateCfg, RecordDemosCfg
from isaaclab_mimic_ext.config.constraints import check_constraints
from isaaclab_mimic_ext.config.dataset_commands import SplitDatasetCfg
from isaaclab_mimic_ext.config.learning_commands import EvaluateCfg, PipelineCfg, TrainCfg
from isaaclab_mimic_ext.config.task import BODY, EventCfg, MimicEnvCfg, SceneCfg, SubTaskBoundsCfg
from isaaclab_mimic_ext.errors import ConfigError, TaskSpecError, choices
from isaaclab_mimic_ext.task.objects import jointed_objects

if TYPE_CHECKING:
    from isaaclab_mimic_ext.task.definition import Task

SELECTION_KWARGS = ("nn_k", "pos_weight", "rot_weight")
"""`random` accepts and ignores them, because an override cannot remove the arguments that a task's file sets."""
COORDINATES = ("x", "y", "yaw")


def validate(cfg: Any, task: "Task | None" = None) -> None:
    """Check the values in the configuration of a command. OmegaConf has checked their types.

    Args:
        cfg: object of a command's schema.
        task: task of the configuration; None: load the task by its name.

    Raises:
        ConfigError: a value is out of range, contradicts another value, or is the name of something that does not exist.
    """
    if isinstance(cfg, SceneCfg | CheckDemosCfg):
        from isaaclab_mimic_ext.task.definition import load_task

        validate_task_cfg(cfg, None if cfg.task.is_registered else task or load_task(cfg.task.name))
    else:
        check_bounds(cfg)
    for schema, check in _CHECKS.items():
        if isinstance(cfg, schema):
            check(cfg)


def _check_generate(cfg: GenerateCfg) -> None:
    if not cfg.input_file:
        raise ConfigError(
            "input_file: must be set, because a task registered with Isaac Lab has no source demos here; use "
            "input_file=<annotated source demos.hdf5>"
        )
    if cfg.output_file is not None and cfg.recorder.shard_demos is not None:
        raise ConfigError(
            f"output_file: must be null with recorder.shard_demos={cfg.recorder.shard_demos}, because a second name would "
            "not find the shards; use output_dir"
        )
    if cfg.recorder.shard_demos is None and (cfg.recorder.num_writers or 1) > 1:
        raise ConfigError(
            f"recorder.num_writers: must be 1 for a dataset in one file (got {cfg.recorder.num_writers}); set "
            "recorder.shard_demos"
        )
    _check_resume(cfg)
    _check_cameras(cfg)
    if cfg.block is not None or cfg.block_size is not None:
        _check_block(cfg)


def _check_block(cfg: GenerateCfg) -> None:
    size, least = cfg.block_size or BLOCK_SIZE, 2 * cfg.batch_size()
    if size < least:
        raise ConfigError(
            f"block_size: must be >= {least}, twice num_envs, or envs are idle for most of the time (got {size}); use "
            f"block_size={least}, or num_envs={max(size // 2, 1)}"
        )
    for name, value in (("output_file", cfg.output_file), ("debug", cfg.debug)):
        if value:
            raise ConfigError(f"{name}: must not be set with block, which is a part of a dataset; omit {name}")


def _check_cameras(cfg: GenerateCfg) -> None:
    given = [f"cameras.{name}" for name, value in vars(cfg.cameras).items() if value not in (None, [])]
    if given and not cfg.enable_cameras:
        raise ConfigError(f"{given[0]}: requires enable_cameras=true; set it, or omit {given[0]}")


def _check_resume(cfg: GenerateCfg | RecordDemosCfg | TrainCfg) -> None:
    if cfg.resume and cfg.overwrite:
        raise ConfigError("resume, overwrite: must not both be true; set one of them, to resume or to replace the run")


def _check_record(cfg: RecordDemosCfg) -> None:
    _check_resume(cfg)
    if cfg.teleop_device == "gamepad" and cfg.headless:
        raise ConfigError("teleop_device: 'gamepad' requires a window, but headless is true; omit --headless")


def _check_split(cfg: SplitDatasetCfg) -> None:
    if not 0.0 < cfg.ratio < 1.0:
        raise ConfigError(f"ratio: must be > 0 and < 1, e.g. 0.8 (got {cfg.ratio}); otherwise train or valid would be empty")


def _check_pipeline(cfg: PipelineCfg) -> None:
    if not cfg.seeds:
        raise ConfigError("seeds: must not be empty (got []); set one seed per training, e.g. seeds=[1,2,3]")
    if len(set(cfg.seeds)) < len(cfg.seeds):
        raise ConfigError(f"seeds: must be different from each other (got {cfg.seeds}); equal seeds repeat a training")


def _check_evaluate(cfg: EvaluateCfg) -> None:
    lowest = cfg.datagen_config.num_success_steps
    if cfg.horizon is not None and cfg.horizon < lowest:
        raise ConfigError(f"horizon: must be >= {lowest}, which is num_success_steps (got {cfg.horizon})")
    if cfg.horizon is None and not cfg.input_file:
        raise ConfigError(
            "horizon: must be set, because a task registered with Isaac Lab has no source demos here; use horizon=<steps>, "
            "or input_file=<file.hdf5> with demos to compute it from"
        )
    _require_both("push_probability", "push_velocity", cfg.push_probability, cfg.push_velocity)
    _require_both("arm_push_probability", "arm_push_distance", cfg.arm_push_probability, cfg.arm_push_distance)
    if cfg.push_objects == []:
        raise ConfigError("push_objects: must not be empty (got []); null allows all objects")
    if cfg.push_objects and not cfg.task.is_registered:
        from isaaclab_mimic_ext.task.definition import load_task

        names = {obj.name: obj.is_free for obj in load_task(cfg.task.name).objects}
        for name in cfg.push_objects:
            if name not in names:
                raise ConfigError(f"push_objects: '{name}' is not in the scene; {choices(name, names)}")
            if not names[name]:
                free = [each for each, is_free in names.items() if is_free]
                raise ConfigError(f"push_objects: '{name}' is fixed or on a joint; {choices(name, free)}")


def _require_both(first: str, second: str, value: float, other: float) -> None:
    """Check that both values are set or neither: one alone would have no effect."""
    if (value > 0) != (other > 0):
        missing, given = (second, first) if value > 0 else (first, second)
        raise ConfigError(f"{missing}: must be > 0 if {given} is set (got 0); set both, or neither")


_CHECKS: dict[type, Callable[[Any], None]] = {
    GenerateCfg: _check_generate,
    RecordDemosCfg: _check_record,
    EvaluateCfg: _check_evaluate,
    PipelineCfg: _check_pipeline,
    TrainCfg: _check_resume,
    SplitDatasetCfg: _check_split,
}


def validate_task_cfg(cfg: Any, task: "Task | None") -> None:
    """Check the configuration of a Mimic task, or the part of it that a command reads, against the scene of `task`.

    Args:
        cfg: a `MimicEnvCfg`, or the configuration of a command.
        task: None for a task that is registered with Isaac Lab, whose scene is known only when it runs.

    Raises:
        TaskSpecError: a subtask or a constraint is not valid, or an end effector has no subtask.
        ConfigError: any other value is not valid.
    """
    subtask_configs = getattr(cfg, "subtask_configs", None)
    if subtask_configs is not None:
        _check_end_effectors(subtask_configs, task)
    check_bounds(cfg)
    if subtask_configs is not None:
        _check_subtasks(subtask_configs, task)
    if isinstance(cfg, MimicEnvCfg):
        check_constraints(cfg.task_constraint_configs, cfg.subtask_configs)
        _check_navigation(cfg)
    if getattr(getattr(cfg, "datagen_config", None), "use_skillgen", False):
        _check_skills(cfg.subtask_configs, _signal_names(cfg.subtask_configs) if task is None else task.signal_names)
    for name, event in getattr(cfg, "events", {}).items():
        if task is None:
            raise ConfigError(f"events.{name}: a task registered with Isaac Lab has its own randomization; omit events")
        _check_event(f"events.{name}", event, task)
    _check_one_event_per_asset(getattr(cfg, "events", {}))
    _check_adaptation(cfg)


Subtasks = Mapping[str, Sequence[SubTaskBoundsCfg]]


def _check_end_effectors(subtask_configs: Subtasks, task: "Task | None") -> None:
    eef_names = tuple(subtask_configs) if task is None else task.eef_names
    for eef_name in subtask_configs:
        if eef_name not in eef_names:
            raise TaskSpecError(
                f"subtask_configs: end effector '{eef_name}' is not in the scene; {choices(eef_name, eef_names)}"
            )
    for eef_name in eef_names:
        if not subtask_configs.get(eef_name):
            raise TaskSpecError(
                f"subtask_configs.{eef_name}: must not be empty; every end effector of the scene needs at least one subtask"
            )


def _check_subtasks(subtask_configs: Subtasks, task: "Task | None") -> None:
    for eef_name, subtasks in subtask_configs.items():
        for index, subtask in enumerate(subtasks):
            place = _place(eef_name, index, subtask)
            is_last = index == len(subtasks) - 1
            if subtask.subtask_term_signal is None and not is_last:
                known = "" if task is None else f"; choices: {', '.join(task.signal_names)}"
                raise TaskSpecError(f"{place}: subtask_term_signal must be set for all subtasks except the last{known}")
            if task is not None:
                _check_names(place, subtask, task.object_names, task.signal_names)
            _check_offsets(place, subtask, index == 0, is_last)
            _check_strategy(place, subtask)


def check_scene_names(subtask_configs: Subtasks, object_names: Collection[str], signal_names: Collection[str]) -> None:
    """Check the objects and signals of subtasks against a running scene.

    A scene without signals skips the check of signals: they are read from the source demos.

    Raises:
        TaskSpecError: an object or signal is not in the scene.
    """
    for eef_name, subtasks in subtask_configs.items():
        for index, subtask in enumerate(subtasks):
            _check_names(_place(eef_name, index, subtask), subtask, object_names, signal_names)


def _place(eef_name: str, index: int, subtask: SubTaskBoundsCfg) -> str:
    return f"subtask_configs.{eef_name}.{index}" + (f" ({subtask.label})" if subtask.label else "")


def _signal_names(subtask_configs: Subtasks) -> list[str]:
    """Return the term signals of all subtasks."""
    named = [subtask.subtask_term_signal for subtasks in subtask_configs.values() for subtask in subtasks]
    return [signal for signal in named if signal is not None]


def _check_names(place: str, cfg: SubTaskBoundsCfg, object_names: Collection[str], signal_names: Collection[str]) -> None:
    object_ref = getattr(cfg, "object_ref", None)
    if object_ref is not None and object_ref not in object_names:
        raise TaskSpecError(f"{place}: object_ref '{object_ref}' is not in the scene; {choices(object_ref, object_names)}")
    signal = cfg.subtask_term_signal
    if signal is not None and signal_names and signal not in signal_names:
        raise TaskSpecError(f"{place}: subtask_term_signal '{signal}' is not in the task; {choices(signal, signal_names)}")


def _check_offsets(place: str, cfg: SubTaskBoundsCfg, is_first: bool, is_last: bool) -> None:
    end, start = list(cfg.subtask_term_offset_range), list(cfg.first_subtask_start_offset_range)
    if is_last and any(end):
        raise TaskSpecError(
            f"{place}: subtask_term_offset_range must be [0, 0] for the last subtask, which ends with the demo (got {end})"
        )
    if is_first and start[0] < 0:
        raise TaskSpecError(
            f"{place}: first_subtask_start_offset_range must be >= 0 (got {start}); a negative offset starts before the demo"
        )
    if not is_first and any(start):
        raise TaskSpecError(
            f"{place}: first_subtask_start_offset_range must be [0, 0], except for the first subtask of an end effector "
            f"(got {start})"
        )


def _check_strategy(place: str, cfg: SubTaskBoundsCfg) -> None:
    strategy = getattr(cfg, "selection_strategy", "random")
    if strategy != "random" and getattr(cfg, "object_ref", None) is None:
        raise TaskSpecError(
            f"{place}: selection_strategy '{strategy}' requires an object_ref, whose pose it compares; set object_ref, or "
            "use 'random'"
        )
    for name, value in getattr(cfg, "selection_strategy_kwargs", {}).items():
        where = f"{place}: selection_strategy_kwargs.{name}"
        if name not in SELECTION_KWARGS:
            raise TaskSpecError(f"{where}: '{name}' is not an argument of a strategy; {choices(name, SELECTION_KWARGS)}")
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if name == "nn_k" and not (is_number and isinstance(value, int) and value >= 1):
            raise TaskSpecError(f"{where}: must be a whole number >= 1 (got {value!r})")
        if name != "nn_k" and not (is_number and 0 <= value < math.inf):
            raise TaskSpecError(f"{where}: must be a number >= 0 (got {value!r})")


def _check_skills(subtask_configs: Subtasks, signal_names: Sequence[str]) -> None:
    """Check that SkillGen can use all subtasks as skills."""
    for eef_name, subtasks in subtask_configs.items():
        for index, subtask in enumerate(subtasks):
            place = f"subtask_configs.{eef_name}.{index}"
            if subtask.subtask_term_signal is None:
                raise TaskSpecError(
                    f"{place}: subtask_term_signal must be set for all subtasks, also the last, with use_skillgen, "
                    f"because it names the start signal; choices: {', '.join(signal_names)}"
                )
            if any(subtask.first_subtask_start_offset_range):
                raise TaskSpecError(
                    f"{place}: first_subtask_start_offset_range must be [0, 0] with use_skillgen (got "
                    f"{list(subtask.first_subtask_start_offset_range)}); skills start at their start signals: use "
                    "subtask_start_offset_range"
                )


def _check_navigation(cfg: MimicEnvCfg) -> None:
    if cfg.datagen_config.use_navigation_controller and BODY not in cfg.subtask_configs:
        raise ConfigError(
            f"datagen_config.use_navigation_controller: requires an end effector '{BODY}' (got "
            f"{', '.join(cfg.subtask_configs)}); set it to false, or add subtask_configs.{BODY}"
        )


def _check_event(place: str, cfg: EventCfg, task: "Task") -> None:
    arm_names = tuple(arm.name for arm in task.arms)
    names = (*task.object_names, *arm_names)
    if cfg.asset not in names:
        raise ConfigError(f"{place}.asset: '{cfg.asset}' is not in the scene; {choices(cfg.asset, names)}")
    if cfg.asset in arm_names and (cfg.pose_range or cfg.min_separation):
        raise ConfigError(f"{place}: pose_range and min_separation are for objects (got robot '{cfg.asset}'); use joint_std")
    if cfg.asset not in arm_names and cfg.joint_std:
        raise ConfigError(f"{place}: joint_std is for robots (got object '{cfg.asset}'); use pose_range")
    check_pose_range(f"{place}.pose_range", cfg.pose_range)
    _check_joint_range(place, cfg, task)
    _check_scale_range(place, cfg, task)


def _check_one_event_per_asset(events: Mapping[str, EventCfg]) -> None:
    names: dict[str, str] = {}
    for name, event in events.items():
        if event.asset in names:
            other = f"events.{names[event.asset]}"
            raise ConfigError(
                f"events.{name}.asset: '{event.asset}' is the asset of {other} too; set the ranges of both there"
            )
        names[event.asset] = name


def _check_joint_range(place: str, cfg: EventCfg, task: "Task") -> None:
    obj = next((obj for obj in jointed_objects(task.objects) if obj.name == cfg.asset), None)
    if obj is not None and (cfg.pose_range or cfg.min_separation):
        raise ConfigError(
            f"{place}: '{cfg.asset}' moves on a joint of '{obj.base}'; set pose_range and min_separation of '{obj.base}', "
            "or use joint_range"
        )
    if cfg.joint_range is None:
        return
    if obj is None:
        on_joints = [each.name for each in jointed_objects(task.objects)]
        names = choices(cfg.asset, on_joints) if on_joints else "remove it"
        raise ConfigError(f"{place}: joint_range is for objects on joints (got '{cfg.asset}'); {names}")
    if fault := range_fault(cfg.joint_range):
        raise ConfigError(f"{place}.joint_range: {fault}")
    low, high = obj.limits
    if not low <= cfg.joint_range[0] <= cfg.joint_range[1] <= high:
        raise ConfigError(f"{place}.joint_range: must be within the limits {low} to {high} (got {list(cfg.joint_range)})")


def _check_scale_range(place: str, cfg: EventCfg, task: "Task") -> None:
    if cfg.scale_range is None:
        return
    if fault := range_fault(cfg.scale_range):
        raise ConfigError(f"{place}.scale_range: {fault}")
    if not cfg.scale_range[0] > 0:
        raise ConfigError(f"{place}.scale_range: must be > 0 (got {list(cfg.scale_range)})")
    carriers = {obj.base for obj in jointed_objects(task.objects)}
    scalable = [obj.name for obj in task.objects if obj.is_free and obj.name not in carriers]
    if cfg.asset not in scalable:
        rule = "scale_range is for free objects without joints"
        raise ConfigError(f"{place}: {rule} (got '{cfg.asset}'); {choices(cfg.asset, scalable)}")


def _check_adaptation(cfg: Any) -> None:
    datagen = getattr(cfg, "datagen_config", None)
    if getattr(datagen, "use_skillgen", False) and getattr(datagen, "adapt_to_scale", False):
        for name, event in getattr(cfg, "events", {}).items():
            if event.scale_range is not None:
                raise ConfigError(
                    f"datagen_config.adapt_to_scale: must be false for SkillGen with events.{name}.scale_range (got true): "
                    "transits lead to the segments of the source demos"
                )


def check_pose_range(place: str, pose_range: Mapping[str, Sequence[float]]) -> None:
    """Check that each coordinate is x, y or yaw, with a range [lowest, highest].

    Raises:
        ConfigError: a coordinate is unknown, or its range is not valid.
    """
    for coordinate, bounds in pose_range.items():
        if coordinate not in COORDINATES:
            raise ConfigError(f"{place}: '{coordinate}' is not a coordinate; {choices(coordinate, COORDINATES)}")
        if fault := range_fault(bounds):
            raise ConfigError(f"{place}.{coordinate}: {fault}")

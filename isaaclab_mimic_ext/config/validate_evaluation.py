"""What the values of an evaluation's configuration may be."""

import math
from typing import TYPE_CHECKING

from isaaclab_mimic_ext.config.evaluation import VIDEO_CHOICES, EvaluateCfg
from isaaclab_mimic_ext.errors import ConfigError, choices

if TYPE_CHECKING:
    from isaaclab_mimic_ext.task import Task

_PER_STEP = ("push_probability", "arm_push_probability")
_SIZES = ("randomization_scale", "observation_noise", "push_velocity", "arm_push_distance")
_COUNTS = ("num_envs", "num_episodes", "num_video_episodes")


def validate_evaluation(cfg: EvaluateCfg) -> None:
    """Check what only this script has; the task that it names is loaded for that.

    Raises:
        ConfigError: a value is out of range, or names what does not exist.
    """
    from isaaclab_mimic_ext.task import load_task

    for name in _COUNTS:
        _require(name, getattr(cfg, name), getattr(cfg, name) >= 1, "give 1 or more")
    if cfg.horizon is not None:
        lowest = cfg.datagen_config.num_success_steps
        _require("horizon", cfg.horizon, cfg.horizon >= lowest, f"give {lowest} (num_success_steps) or more")
    for name in _SIZES:
        value = getattr(cfg, name)
        _require(name, value, 0 <= value < math.inf, "give 0 or more")
    for name in _PER_STEP:
        value = getattr(cfg, name)
        _require(name, value, 0 <= value <= 1, "give a probability, 0 to 1")
    _require_both("push_probability", "push_velocity", cfg.push_probability, cfg.push_velocity)
    _require_both("arm_push_probability", "arm_push_distance", cfg.arm_push_probability, cfg.arm_push_distance)
    if cfg.video_of not in VIDEO_CHOICES:
        raise ConfigError(f"video_of: '{cfg.video_of}' is unknown; {choices(cfg.video_of, VIDEO_CHOICES)}")
    if cfg.horizon is None and not cfg.input_file:
        raise ConfigError(
            "horizon: no value, and a task of Isaac Lab's registry comes without demonstrations that would tell; give "
            "horizon=<steps> or input_file=<file.hdf5>"
        )
    if not cfg.output_dir:
        raise ConfigError("output_dir: '' is no folder; give the path of one, e.g. logs/evaluation/mine")
    _check_objects(cfg, None if cfg.task.is_registered else load_task(cfg.task.name))


def _check_objects(cfg: EvaluateCfg, task: "Task | None") -> None:
    for name in cfg.push_objects or ():
        if task is not None and name not in task.object_names:
            raise ConfigError(f"push_objects: no '{name}' in the scene; {choices(name, task.object_names)}")
    if cfg.push_objects == []:
        raise ConfigError("push_objects: the list is empty; name some, null pushes any object")


def _require(place: str, value: float, holds: bool, remedy: str) -> None:
    if not holds:
        raise ConfigError(f"{place}: {value} is out of range; {remedy}")


def _require_both(first: str, second: str, value: float, other: float) -> None:
    """One of them alone would silently do nothing."""
    if (value > 0) != (other > 0):
        missing = second if value > 0 else first
        raise ConfigError(f"{missing}: 0 while {first if value > 0 else second} is set, so that nothing is pushed; set both")

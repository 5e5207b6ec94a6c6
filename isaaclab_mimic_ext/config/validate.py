"""What the values of a configuration may be. The types are checked before, by OmegaConf against the schema."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isaaclab_mimic_ext.config.doctor import CheckDemosCfg
from isaaclab_mimic_ext.config.evaluation import EvaluateCfg
from isaaclab_mimic_ext.config.pipeline import PipelineCfg
from isaaclab_mimic_ext.config.require import require_at_least, require_choice, require_device, require_name, require_seed
from isaaclab_mimic_ext.config.scripts import (
    AnnotateDemosCfg,
    GenerateCfg,
    MergeDatasetsCfg,
    RecordDemosCfg,
    ReplayDemosCfg,
    ReportCfg,
    SceneScriptCfg,
    SplitDatasetCfg,
    ValidateDatasetCfg,
)
from isaaclab_mimic_ext.config.task import RecorderCfg, SimCfg
from isaaclab_mimic_ext.config.training import TrainCfg
from isaaclab_mimic_ext.config.validate_evaluation import validate_evaluation
from isaaclab_mimic_ext.config.validate_pipeline import validate_pipeline
from isaaclab_mimic_ext.config.validate_task import validate_task_cfg
from isaaclab_mimic_ext.config.validate_training import validate_training
from isaaclab_mimic_ext.errors import ConfigError

if TYPE_CHECKING:
    from isaaclab_mimic_ext.task import Task

COMPRESSIONS = ("none", "lzf", "gzip")
FORMAT_VERSIONS = (0, 1)
TELEOP_DEVICES = ("scripted", "scripted_fluent", "keyboard")
PICTURES = (".png", ".html")
"""Of `check_demos`."""


def validate(cfg: Any, task: "Task | None" = None) -> None:
    """Check the configuration of a command.

    Args:
        task: the task of the configuration; None: it is loaded by its name.

    Raises:
        ConfigError: a value is out of range, or names what does not exist.
    """
    if isinstance(cfg, SceneScriptCfg | EvaluateCfg | TrainCfg | CheckDemosCfg):
        from isaaclab_mimic_ext.task import load_task

        validate_task_cfg(cfg, None if cfg.task.is_registered else task or load_task(cfg.task.name))
    if isinstance(cfg, SceneScriptCfg | EvaluateCfg | TrainCfg | ReplayDemosCfg):
        _validate_sim(cfg.sim)
        require_device(cfg.device)
    if isinstance(cfg, SceneScriptCfg):
        _validate_recorder(cfg.recorder)
    if isinstance(cfg, RecordDemosCfg | AnnotateDemosCfg | MergeDatasetsCfg):
        require_name("output_file", cfg.output_file)
    for schema, check in _CHECKS.items():
        if isinstance(cfg, schema):
            check(cfg)


def _validate_check_demos(cfg: CheckDemosCfg) -> None:
    require_at_least("num_draws", cfg.num_draws, 1)
    if cfg.picture_file is not None and Path(cfg.picture_file).suffix not in PICTURES:
        raise ConfigError(f"picture_file: '{cfg.picture_file}' is no picture; choices: {', '.join(PICTURES)}")


def _validate_generate(cfg: GenerateCfg) -> None:
    require_at_least("num_envs", cfg.num_envs, 1)
    if not cfg.input_file:
        raise ConfigError(
            "input_file: no value, and a task of Isaac Lab's registry comes without demonstrations; give annotated ones, "
            "input_file=<file.hdf5>"
        )
    if cfg.resume and cfg.overwrite:
        raise ConfigError("resume, overwrite: both are true; go on with the run, or replace it")
    require_at_least("num_video_demos", cfg.num_video_demos, 1)
    if not cfg.output_dir:
        raise ConfigError("output_dir: '' is no folder; give the path of one, e.g. datasets/my_run")


def _validate_record(cfg: RecordDemosCfg) -> None:
    require_at_least("num_demos", cfg.num_demos, 1)
    require_choice("teleop_device", cfg.teleop_device, TELEOP_DEVICES)
    if cfg.teleop_device == "keyboard" and cfg.headless:
        raise ConfigError("teleop_device: 'keyboard' needs a window, and headless is true; leave --headless out")


def _validate_report(cfg: ReportCfg) -> None:
    require_at_least("num_failures", cfg.num_failures, 1, "; pictures=false draws none")


def _validate_split(cfg: SplitDatasetCfg) -> None:
    require_seed("seed", cfg.seed)
    if not 0.0 < cfg.ratio < 1.0:
        raise ConfigError(f"ratio: {cfg.ratio} leaves train or valid empty; give a number between 0 and 1, e.g. 0.8")


def _validate_validate(cfg: ValidateDatasetCfg) -> None:
    require_seed("seed", cfg.seed)
    require_at_least("num_replays", cfg.num_replays, 0)
    require_at_least("time_limit", cfg.time_limit, 1, " s")


def _validate_replay(cfg: ReplayDemosCfg) -> None:
    for name in ("num_envs", "num_success_steps", "num_video_demos"):
        require_at_least(name, getattr(cfg, name), 1)
    if cfg.num_demos is not None:
        require_at_least("num_demos", cfg.num_demos, 1, "; null replays all")


def _validate_sim(cfg: SimCfg) -> None:
    require_at_least("sim.num_threads", cfg.num_threads, 0, "; 0 means one a core")


def _validate_recorder(cfg: RecorderCfg) -> None:
    require_choice("recorder.compression", cfg.compression, COMPRESSIONS)
    if cfg.format_version not in FORMAT_VERSIONS:
        raise ConfigError(
            f"recorder.format_version: {cfg.format_version} is unknown; choices: 0 (Isaac Lab 2.3), 1 (Isaac Lab 3)"
        )
    require_at_least("recorder.queue_megabytes", cfg.queue_megabytes, 1)


_CHECKS: dict[type, Callable[[Any], None]] = {
    GenerateCfg: _validate_generate,
    RecordDemosCfg: _validate_record,
    EvaluateCfg: validate_evaluation,
    PipelineCfg: validate_pipeline,
    TrainCfg: validate_training,
    CheckDemosCfg: _validate_check_demos,
    ReportCfg: _validate_report,
    SplitDatasetCfg: _validate_split,
    ValidateDatasetCfg: _validate_validate,
    ReplayDemosCfg: _validate_replay,
}

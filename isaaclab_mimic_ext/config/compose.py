"""Compose configurations without a command line, for the Python API, benchmarks and tests."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from isaaclab_mimic_ext.command_lines import in_quotes
from isaaclab_mimic_ext.config.help import unknown_field
from isaaclab_mimic_ext.config.hydra import conf_dir, register
from isaaclab_mimic_ext.config.rules import validate
from isaaclab_mimic_ext.config.task import MimicEnvCfg
from isaaclab_mimic_ext.errors import ConfigError, choices
from isaaclab_mimic_ext.task.folders import own_task_hint
from isaaclab_mimic_ext.task.meshes import ObjectCfg
from isaaclab_mimic_ext.task.robot import RobotCfg

if TYPE_CHECKING:
    from isaaclab_mimic_ext.task.definition import Task


def load_config(
    script: str,
    overrides: Sequence[str] = (),
    registered: Mapping[str, Any] | None = None,
    config_dirs: Sequence[Path] = (),
) -> Any:
    """Compose and check the configuration of the command line `mimic <verb> <overrides>`.

    Args:
        script: name of the script and of its file in `conf/`.
        overrides: Hydra overrides. They must set `output_dir` or `output_file`, whose defaults exist only on a command line.
        registered: fields of a task that is registered with Isaac Lab, for `task=isaaclab`
            (`envs.isaaclab.make.registered_fields`).
        config_dirs: folders with user tasks.

    Raises:
        ConfigError: a value is not valid. For wrong names and types, Hydra and OmegaConf raise their own errors.
    """
    register(script, [conf_dir(), *config_dirs], registered)
    user_dirs = ",".join(in_quotes(f"file://{folder.resolve()}") for folder in config_dirs)
    with _fresh_hydra(), hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        composed = hydra.compose(script, [*overrides, *([f"hydra.searchpath=[{user_dirs}]"] if user_dirs else [])])
        cfg = to_typed(composed, script)
    validate(cfg)
    return cfg


def load_task_config(name: str, config_dirs: Sequence[Path] = ()) -> tuple[str, MimicEnvCfg]:
    """Read `conf/task/<name>.yaml`.

    Returns:
        The name of the folder of the task, and the configuration.

    Raises:
        ConfigError: the file does not exist.
    """
    cfg = _task_file(name, config_dirs)
    return cfg.task.name, _config_in(cfg)


def _task_file(name: str, config_dirs: Sequence[Path]) -> Any:
    folders = [conf_dir(), *config_dirs]
    names = sorted({path.stem for folder in folders for path in (folder / "task").glob("*.yaml")} - {"isaaclab"})
    if name not in names:
        raise ConfigError(f"task: '{name}' not found; {choices(name, names)}{own_task_hint()}")
    return load_config("generate", [f"task={name}", "input_file=none", "output_dir=none"], config_dirs=config_dirs)


def _config_in(cfg: Any) -> MimicEnvCfg:
    return MimicEnvCfg(**{field.name: getattr(cfg, field.name) for field in fields(MimicEnvCfg)})


def load_robot_config(name: str, config_dirs: Sequence[Path] = ()) -> RobotCfg:
    """Read `conf/robot/<name>.yaml`.

    Raises:
        ConfigError: the file does not exist.
    """
    names = sorted({path.stem for folder in (conf_dir(), *config_dirs) for path in (folder / "robot").glob("*.yaml")})
    if name not in names:
        raise ConfigError(f"robot: '{name}' not found; {choices(name, names)}, or an MJCF file: RobotCfg(mjcf=...)")
    overrides = [f"robot={name}", "input_file=none", "output_dir=none"]
    robot: RobotCfg = load_config("generate", overrides, config_dirs=config_dirs).robot
    return robot


def load_task(
    name: str,
    config_dir: str | Path | None = None,
    robot: str | RobotCfg | None = None,
    objects: Mapping[str, ObjectCfg] | None = None,
) -> "Task":
    """Load a task with its configuration.

    Args:
        name: name of a file `conf/task/<name>.yaml`: `desktop_organizer`, `stack_cube`, `two_arm_lift_tray`, or a variant
            such as `desktop_organizer_wide`.
        config_dir: folder with user tasks, as for `--config-dir`; see docs/new_task.md.
        robot: robot of the arms: name of a file `conf/robot/<name>.yaml`, or a `RobotCfg`; None: the Panda.
        objects: meshes that replace the shapes of objects, by object, in addition to those of the file.

    Returns:
        The task. `task.config` contains its subtasks, constraints, generation settings and randomization; it may be changed.

    Raises:
        ConfigError: the task does not exist.
    """
    from isaaclab_mimic_ext.task import definition

    config_dirs = [] if config_dir is None else [Path(config_dir)]
    cfg = _task_file(name, config_dirs)
    description = load_robot_config(robot, config_dirs) if isinstance(robot, str) else robot
    loaded = definition.load_task(cfg.task.name, description, {**cfg.objects, **(objects or {})})
    loaded.config, loaded.preset = _config_in(cfg), name
    return loaded


@contextmanager
def _fresh_hydra() -> Iterator[None]:
    """Clear Hydra's global state, and restore it at the end: the job of a command may be running."""
    shared = GlobalHydra.instance()
    outer = shared.hydra
    shared.clear()
    try:
        yield
    finally:
        shared.hydra = outer


def to_typed(composed: DictConfig, script: str) -> Any:
    """Convert a composed configuration to an object of the schema of `script`.

    Raises:
        ConfigError: the configuration has a field that is not in the schema.
    """
    if "subtask_configs" in composed:
        # The schema contains an empty list for each end effector of other tasks.
        composed = composed.copy()
        OmegaConf.set_struct(composed.subtask_configs, False)
        for eef_name in [name for name, subtasks in composed.subtask_configs.items() if not subtasks]:
            del composed.subtask_configs[eef_name]
        _apply_all_subtasks(composed)
    cfg = OmegaConf.to_object(composed)
    _reject_unknown(cfg, "", script)
    return cfg


def _apply_all_subtasks(composed: DictConfig) -> None:
    """Copy the values of `all_subtasks` into each subtask, where OmegaConf checks their names and types."""
    for subtasks in composed.subtask_configs.values():
        for subtask in subtasks:
            for name, value in composed.all_subtasks.items():
                subtask[name] = value
    composed.all_subtasks = {}


def _reject_unknown(node: Any, place: str, script: str) -> None:
    """Refuse fields that are not in the schema: `+field=value` adds them, and no command reads them."""
    if isinstance(node, dict | list):
        for key, child in node.items() if isinstance(node, dict) else enumerate(node):
            _reject_unknown(child, f"{place}{key}.", script)
    if is_dataclass(node):
        names = [field.name for field in fields(node)]
        for key, child in vars(node).items():
            if key not in names:
                raise ConfigError(unknown_field(script, f"{place}{key}", names))
            _reject_unknown(child, f"{place}{key}.", script)

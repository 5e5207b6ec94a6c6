"""Compose configurations without a command line, for the Python API, benchmarks and tests."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from isaaclab_mimic_ext.config.help import unknown_field
from isaaclab_mimic_ext.config.hydra import conf_dir, register
from isaaclab_mimic_ext.config.rules import validate
from isaaclab_mimic_ext.config.task import MimicEnvCfg
from isaaclab_mimic_ext.errors import ConfigError, choices

if TYPE_CHECKING:
    from isaaclab_mimic_ext.task.definition import Task


def load_config(
    script: str,
    overrides: Sequence[str] = (),
    registered: Mapping[str, Any] | None = None,
    config_dirs: Sequence[Path] = (),
) -> Any:
    """The checked configuration that `scripts/<script>.py <overrides>` would run with.

    Among the overrides must be `output_dir` or `output_file`, whose defaults exist on a command line only.

    Args:
        registered: the fields that `task=isaaclab` starts from (`envs.isaaclab.registered.registered_fields`).
        config_dirs: folders with tasks of one's own.

    Raises:
        ConfigError: a value is wrong. Wrong names and types raise Hydra's and OmegaConf's own errors.
    """
    register(script, [conf_dir(), *config_dirs], registered)
    own = ",".join(f"file://{folder.resolve()}" for folder in config_dirs)
    with _hydra_set_aside(), hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        composed = hydra.compose(script, [*overrides, *([f"hydra.searchpath=[{own}]"] if own else [])])
        cfg = to_typed(composed, script)
    validate(cfg)
    return cfg


def load_task_config(name: str, config_dirs: Sequence[Path] = ()) -> tuple[str, MimicEnvCfg]:
    """The name of a task's folder, and its configuration, of `conf/task/<name>.yaml`.

    Raises:
        ConfigError: there is no such file.
    """
    folders = [conf_dir(), *config_dirs]
    names = sorted({path.stem for folder in folders for path in (folder / "task").glob("*.yaml")} - {"isaaclab"})
    if name not in names:
        raise ConfigError(f"task: there is no task '{name}'; {choices(name, names)}")
    cfg = load_config("generate", [f"task={name}", "input_file=none", "output_dir=none"], config_dirs=config_dirs)
    return cfg.task.name, MimicEnvCfg(**{field.name: getattr(cfg, field.name) for field in fields(MimicEnvCfg)})


def load_task(name: str, config_dir: str | Path | None = None) -> "Task":
    """Load a task with its configuration.

    Args:
        name: of a file `conf/task/<name>.yaml`: `desktop_organizer`, `stack_cube`, `two_arm_lift_tray`, or a variant such as
            `desktop_organizer_wide`.
        config_dir: a folder with tasks of one's own, as for `--config-dir`; see docs/new_task.md.

    Returns:
        The task. `task.config` has its subtasks, constraints, generation settings and randomization, and may be changed.

    Raises:
        ConfigError: there is no such task.
    """
    from isaaclab_mimic_ext.task import definition

    task_name, config = load_task_config(name, [] if config_dir is None else [Path(config_dir)])
    loaded = definition.load_task(task_name)
    loaded.config = config
    return loaded


@contextmanager
def _hydra_set_aside() -> Iterator[None]:
    """Hydra composes for one application at a time, and a command's own job may be under way."""
    shared = GlobalHydra.instance()
    outer = shared.hydra
    shared.clear()
    try:
        yield
    finally:
        shared.hydra = outer


def to_typed(composed: DictConfig, script: str) -> Any:
    """The dataclass object of a composed configuration.

    Raises:
        ConfigError: it has a field that the schema of `script` does not have.
    """
    if "subtask_configs" in composed:
        # The schema holds an empty list for end effectors of other tasks.
        composed = composed.copy()
        OmegaConf.set_struct(composed.subtask_configs, False)
        for eef_name in [name for name, subtasks in composed.subtask_configs.items() if not subtasks]:
            del composed.subtask_configs[eef_name]
        _give_all_subtasks(composed)
    cfg = OmegaConf.to_object(composed)
    _reject_unknown(cfg, "", script)
    return cfg


def _give_all_subtasks(composed: DictConfig) -> None:
    """Put what `all_subtasks` holds into each subtask, where its name and type are checked."""
    for subtasks in composed.subtask_configs.values():
        for subtask in subtasks:
            for name, value in composed.all_subtasks.items():
                subtask[name] = value
    composed.all_subtasks = {}


def _reject_unknown(node: Any, place: str, script: str) -> None:
    """`+field=value` adds a field that is not in the schema; nothing would ever read it."""
    if isinstance(node, dict | list):
        for key, child in node.items() if isinstance(node, dict) else enumerate(node):
            _reject_unknown(child, f"{place}{key}.", script)
    if is_dataclass(node):
        names = [field.name for field in fields(node)]
        for key, child in vars(node).items():
            if key not in names:
                raise ConfigError(unknown_field(script, f"{place}{key}", names))
            _reject_unknown(child, f"{place}{key}.", script)

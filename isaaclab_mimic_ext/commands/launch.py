"""Launch of Isaac Lab from the command line, and the configuration of a task that is registered with Isaac Lab.

Hydra checks overrides against the registered configuration, and this configuration can be read only while Isaac Lab runs.
Therefore the fields that a launch depends on are composed first, then Isaac Lab is launched, then Hydra composes all fields.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from isaaclab_mimic_ext.command_lines import in_quotes, isaaclab_launcher
from isaaclab_mimic_ext.commands.overrides import is_multirun, selected_engines
from isaaclab_mimic_ext.config import EvaluateCfg, GenerateCfg, SimCfg, TaskRef
from isaaclab_mimic_ext.config.bounds import AUTO, scene_device_fault
from isaaclab_mimic_ext.config.hydra import REGISTERED_GROUP, conf_dir
from isaaclab_mimic_ext.envs.devices import resolve_device
from isaaclab_mimic_ext.errors import ConfigError, OutputError, choices

if TYPE_CHECKING:
    from isaaclab_mimic_ext.envs.gpu_engine import BatchedCommand
    from isaaclab_mimic_ext.run.session import RunFolder

log = logging.getLogger(__name__)

ENGINE = "isaaclab"
_LAUNCH_OVERRIDES = re.compile(r"\+{0,2}(task|sim|device|headless|enable_cameras|teleop_device)(\.[\w.]+)?=.*", re.DOTALL)
"""Overrides of the fields that a launch depends on."""
_HELP_FLAGS = ("--help", "-h")
"""Flags that Hydra answers without a configuration."""
_CONFIG_NAME_FLAGS = ("--config-name", "-cn")


def registered_fields(script: str, schema: type, argv: Sequence[str], config_dirs: Sequence[Path]) -> dict[str, Any]:
    """Launch Isaac Lab and return the fields of the registered task that the command line selects; empty if it selects none.

    Raises:
        ConfigError: the task is not registered or is not a Mimic task, or a different engine is selected.
        SimulatorUnavailable: Isaac Lab is not installed, or does not start.
    """
    # Each job of a sweep is a separate process with its own command line.
    composed = None if is_multirun(argv) else _compose_registered(script, schema, argv, config_dirs)
    if composed is None:
        return {}
    if fault := scene_device_fault(composed.device):
        raise ConfigError(f"device: {fault}")
    sim = OmegaConf.to_object(composed.sim)
    assert isinstance(sim, SimCfg)
    sim = _launch(composed, sim)
    from isaaclab_mimic_ext.envs.isaaclab import make

    return make.registered_fields(OmegaConf.select(composed, "task.id", throw_on_missing=False) or "", sim)


def prepare_sweep(argv: list[str]) -> None:
    """Run each job of a sweep in a separate process if Isaac Lab may be the engine and the command line sets no launcher."""
    if _may_run_isaaclab(argv) and not any(word.startswith(("hydra/launcher=", "hydra/sweeper=")) for word in argv):
        argv[1:] = [_to_single_value_sweep(word) for word in argv[1:]]
        argv += ["hydra/launcher=process", "hydra/sweeper=process"]


def _to_single_value_sweep(word: str) -> str:
    """Rewrite an override of a subtask as a sweep over one value, whose field Hydra checks only when it composes a job."""
    if re.match(r"\+{0,2}subtask_configs\.", word) is None:
        return word
    key, _, value = word.partition("=")
    (override,) = OverridesParser.create().parse_overrides([word])
    return word if override.is_sweep_override() else f"{key}=choice({value})"


_SELECTS_ISAACLAB = re.compile(
    r"\+{0,2}((task|sim|sim\.engine)=.*isaaclab|(task\.id|sim\.(physics|renderer|presets|robot_usd|env\.[\w.]+))=)"
)
"""Overrides that select Isaac Lab: its name, a registered task, or a setting that only Isaac Lab has."""


def _may_run_isaaclab(argv: Sequence[str]) -> bool:
    if any(_SELECTS_ISAACLAB.match(word) for word in argv):
        return True
    return bool(isaaclab_launcher()) and all("auto" in engine for engine in selected_engines(argv))


def start_engine(cfg: Any) -> None:
    """Launch Isaac Lab if the command's scene runs on it, and set `cfg.sim` and `cfg.device` to their resolved values.

    Raises:
        UsageError: the engine, or the device of a resumed run, is not available on this machine.
    """
    task, sim = getattr(cfg, "task", None), getattr(cfg, "sim", None)
    if not isinstance(task, TaskRef) or not isinstance(sim, SimCfg):
        return
    if isinstance(cfg, GenerateCfg) and cfg.cluster.scheduler is not None:
        return  # The engine runs on the nodes.
    from isaaclab_mimic_ext.envs.factory import ENGINE_TITLES, choose_engine, isaaclab_scene

    engine, reason = _engine_of_started_run(cfg) or choose_engine(sim, task.name, _batched(cfg))
    cfg.sim = sim = replace(sim, engine=engine)
    cfg.device, device_reason = resolve_device(cfg.device, engine)
    if engine == ENGINE:
        if not task.is_registered:
            isaaclab_scene(task.name)  # Fails before the launch, which takes long.
        cfg.sim = _launch(cfg, sim)
    elif sim.launcher_args:
        log.warning(
            "sim.launcher_args: ignored by engine '%s' (got %s); remove these flags, or use sim=isaaclab",
            engine,
            " ".join(sim.launcher_args),
        )
    physics = f", physics {cfg.sim.physics}" if engine == ENGINE else ""
    title = ENGINE_TITLES.get(engine, engine)
    log.info("Running on %s (%s)%s, device %s (%s)", title, reason, physics, cfg.device, device_reason)


def _batched(cfg: Any) -> "BatchedCommand | None":
    """Properties of a command that steps many envs, which `auto` may run on a GPU; None for other commands."""
    if not isinstance(cfg, GenerateCfg | EvaluateCfg):
        return None
    if isinstance(cfg, EvaluateCfg) and cfg.appearance:
        return None  # The GPU engine draws only the scene's own look.
    from isaaclab_mimic_ext.envs.events import scale_ranges
    from isaaclab_mimic_ext.envs.gpu_engine import BatchedCommand
    from isaaclab_mimic_ext.task.definition import load_task
    from isaaclab_mimic_ext.task.meshes import lists_of_meshes

    has_shapes = bool(scale_ranges(cfg.events) or lists_of_meshes(cfg.objects))
    is_drawn = isinstance(cfg, GenerateCfg) and cfg.enable_cameras
    return BatchedCommand(
        cfg.device, cfg.num_envs, lambda: load_task(cfg.task.name, cfg.robot, cfg.objects), is_drawn, has_shapes
    )


def _engine_of_started_run(cfg: Any) -> tuple[str, str] | None:
    """Engine on which `auto` started the run that a command resumes, or other blocks of the run; None if there is none.

    The second value is the reason.

    Raises:
        ConfigError: the block of the command is not known.
        OutputError: the run was started on a GPU, and this machine has none.
    """
    if not (isinstance(cfg, GenerateCfg) and cfg.sim.engine == AUTO):
        return None
    from isaaclab_mimic_ext.envs.factory import ENGINE_TITLES
    from isaaclab_mimic_ext.run.session import recorded_settings

    for folder in _started_folders(cfg):
        settings = recorded_settings(folder)
        if settings.get("sim.engine") in ENGINE_TITLES:
            return _engine_of(folder, settings, cfg.device)
    return None


def _engine_of(folder: "RunFolder", settings: Mapping[str, Any], wanted_device: str) -> tuple[str, str]:
    """Engine in the settings of a run, and the reason."""
    from isaaclab_mimic_ext.envs.factory import ENGINE_TITLES

    engine, device = str(settings["sim.engine"]), str(settings.get("device"))
    started = f"the run in {folder.path} was started on {ENGINE_TITLES[engine]}"
    if wanted_device == AUTO and device.startswith("cuda") and resolve_device(AUTO, engine)[0] == "cpu":
        raise OutputError(
            f"output_dir: {started} on {device}, and this machine has no CUDA device; resume on a machine with a CUDA "
            "device, or use another output_dir"
        )
    return engine, started


def _started_folders(cfg: GenerateCfg) -> "list[RunFolder]":
    """Folders with which the settings of a run must agree: its own, if it is resumed, or those of its blocks."""
    from isaaclab_mimic_ext.run.block import find_blocks, run_folder, with_block
    from isaaclab_mimic_ext.run.debug import debug_folder

    cfg = with_block(cfg)
    if cfg.block is not None:
        blocks = find_blocks(Path(cfg.output_dir))
        return [folder for index, folder in blocks.items() if cfg.resume or index != cfg.block]
    if not cfg.resume:
        return []
    return [debug_folder(cfg) if cfg.debug else run_folder(cfg)]


def _launch(cfg: Any, sim: SimCfg) -> SimCfg:
    """Launch Isaac Lab with the fields of a command's configuration, which may be composed in part."""
    from isaaclab_mimic_ext.envs.isaaclab.launch import launch

    needs_window = getattr(cfg, "teleop_device", None) in ("keyboard", "gamepad") and not cfg.headless
    device = resolve_device(cfg.device, ENGINE)[0]
    return launch(sim, device, cfg.headless, getattr(cfg, "enable_cameras", False), needs_window)


def _compose_registered(script: str, schema: type, argv: Sequence[str], config_dirs: Sequence[Path]) -> DictConfig | None:
    """Fields that a launch depends on, if the command line selects a registered task; otherwise None."""
    has_task = {"task", "sim"} <= {field.name for field in fields(schema)}
    # A task file in a folder of the user may be based on a registered task.
    may_select = len(config_dirs) > 1 or any(ENGINE in word for word in argv)
    if not has_task or set(argv) & set(_HELP_FLAGS) or not may_select:
        return None
    composed = _compose(_value_of(argv, _CONFIG_NAME_FLAGS) or script, argv, config_dirs)
    if composed.task.name != ENGINE:
        return None
    if not any(REGISTERED_GROUP in group for group in composed.hydra.runtime.choices):
        raise ConfigError(f"task.name: must not be '{ENGINE}'; use task={ENGINE}, which reads a registered configuration")
    engine = composed.sim.engine
    if engine not in ("auto", ENGINE):
        raise ConfigError(f"sim.engine: must be {ENGINE} with task={ENGINE} (got '{engine}'); {choices(engine, (ENGINE,))}")
    return composed


def _compose(config_name: str, argv: Sequence[str], config_dirs: Sequence[Path]) -> DictConfig:
    """Compose the configuration with the overrides that a launch depends on."""
    # Folders that do not exist are left out: Hydra reports them when it composes all fields.
    searchpath = [in_quotes(f"file://{folder.resolve()}") for folder in config_dirs[1:] if folder.is_dir()]
    overrides = [word for word in argv if _LAUNCH_OVERRIDES.fullmatch(word)]
    if searchpath:
        overrides.append(f"hydra.searchpath=[{','.join(searchpath)}]")
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return hydra.compose(config_name, overrides, return_hydra_config=True)


def _value_of(argv: Sequence[str], names: Sequence[str]) -> str | None:
    """Value of one of Hydra's flags, as `--config-name x` or `--config-name=x`; None if the flag is missing."""
    for word, following in zip(argv, [*argv[1:], None], strict=True):
        name, has_value, value = word.partition("=")
        if name in names:
            return value if has_value else following
    return None

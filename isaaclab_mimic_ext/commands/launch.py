"""What the command line does for Isaac Lab: a registered task's own configuration, and the launch before anything else.

The configuration has to be there when Hydra composes, as overrides are checked against it, and to read it Isaac Lab has to
run. So what a launch depends on is composed before, alone.
"""

import logging
import re
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from isaaclab_mimic_ext.config import SimCfg, TaskRef
from isaaclab_mimic_ext.config.bounds import device_fault
from isaaclab_mimic_ext.config.hydra import REGISTERED_GROUP, conf_dir
from isaaclab_mimic_ext.envs.isaaclab.installation import find_installation
from isaaclab_mimic_ext.errors import ConfigError, SimulatorUnavailable, choices

log = logging.getLogger(__name__)

ENGINE = "isaaclab"
_DECISIVE = re.compile(r"\+{0,2}(task|sim|device|headless|enable_cameras|teleop_device)(\.[\w.]+)?=.*", re.DOTALL)
"""Overrides that say what is launched."""
_ANSWERED_WITHOUT = ("--help", "-h", "--hydra-help", "--version")
_WITH_VALUE = ("--config-name", "-cn")


def registered_fields(script: str, schema: type, argv: Sequence[str], config_dirs: Sequence[Path]) -> dict[str, Any]:
    """What a task of Isaac Lab's registry says of itself, if the command line asks for one; else empty. Isaac Lab runs then.

    Raises:
        ConfigError: the task is not registered, is no Mimic task, or another engine is asked for.
        SimulatorUnavailable: Isaac Lab is not installed, or does not start.
    """
    # The jobs of a sweep are processes of their own, each with its own command line.
    asked = None if is_multirun(argv) else _asked_for(script, schema, argv, config_dirs)
    if asked is None:
        return {}
    if fault := device_fault(asked.device):
        raise ConfigError(f"device: {fault}")
    sim = _launch(asked, _sim_of(asked))
    from isaaclab_mimic_ext.envs.isaaclab import make as registered

    return registered.registered_fields(OmegaConf.select(asked, "task.id", throw_on_missing=False) or "", sim)


def is_multirun(argv: Sequence[str]) -> bool:
    """Whether the command line asks for several jobs, as far as it can be seen from it."""
    if "hydra.mode=RUN" in argv or set(argv) & {"--run", "-r"}:
        return False
    sweeps = (word.startswith(("+sweep=", "hydra.mode=MULTIRUN")) for word in argv)
    return any(sweeps) or bool(set(argv) & {"--multirun", "-m"})


def prepare_sweep(argv: list[str]) -> None:
    """Let every job of a sweep be a process of its own where Isaac Lab may be the engine, unless a launcher was chosen."""
    from isaaclab_mimic_ext.commands.process_launcher import register_process_launcher

    register_process_launcher()
    if _may_run_isaaclab(argv) and not any(word.startswith(("hydra/launcher=", "hydra/sweeper=")) for word in argv):
        argv[1:] = [_left_to_the_jobs(word) for word in argv[1:]]
        argv += ["hydra/launcher=process", "hydra/sweeper=process"]


def _left_to_the_jobs(word: str) -> str:
    """An override of a subtask as a sweep over one value: Hydra does not look for the field before a job is composed."""
    if re.match(r"\+{0,2}subtask_configs\.", word) is None:
        return word
    key, _, value = word.partition("=")
    (override,) = OverridesParser.create().parse_overrides([word])
    return word if override.is_sweep_override() else f"{key}=choice({value})"


def _may_run_isaaclab(argv: Sequence[str]) -> bool:
    if any(re.match(r"\+{0,2}(task|sim|sim\.engine)=.*isaaclab|\+{0,2}task\.id=", word) for word in argv):
        return True
    engines = [word.partition("=")[2] for word in argv if re.match(r"\+{0,2}sim(\.engine)?=", word)]
    if engines and not any("auto" in engine for engine in engines):
        return False
    try:
        find_installation()
    except SimulatorUnavailable:
        return False
    return True


def start_engine(cfg: Any) -> None:
    """Launch Isaac Lab where the script's scene runs on it; its `sim` then says what it really is."""
    task, sim = getattr(cfg, "task", None), getattr(cfg, "sim", None)
    if not isinstance(task, TaskRef) or not isinstance(sim, SimCfg):
        return
    from isaaclab_mimic_ext.envs.factory import choose_engine, isaaclab_scene

    engine, reason = choose_engine(sim, task.name)
    if engine == ENGINE:
        if not task.is_registered:
            isaaclab_scene(task.name)  # Before a launch, which takes long.
        if sim.engine != ENGINE:
            log.info("sim=auto: running on Isaac Lab (%s)", reason)
        cfg.sim = _launch(cfg, sim)
        if cfg.sim.physics != sim.physics:
            log.info("Isaac Sim is not installed: Isaac Lab runs on Newton (sim.physics=newton)")
    elif sim.launcher_args:
        log.warning("sim.launcher_args: %s mean nothing to engine '%s'", " ".join(sim.launcher_args), engine)


def _launch(cfg: Any, sim: SimCfg) -> SimCfg:
    """Launch Isaac Lab as a script's configuration, or what there is of it, says."""
    from isaaclab_mimic_ext.envs.isaaclab.launch import launch

    wants_window = getattr(cfg, "teleop_device", None) == "keyboard"
    return launch(sim, cfg.device, cfg.headless, getattr(cfg, "enable_cameras", False), wants_window)


def _asked_for(script: str, schema: type, argv: Sequence[str], config_dirs: Sequence[Path]) -> DictConfig | None:
    """What a launch depends on, where the command line asks for a registered task."""
    has_task = {"task", "sim"} <= {field.name for field in fields(schema)}
    own_tasks = len(config_dirs) > 1
    if not has_task or set(argv) & set(_ANSWERED_WITHOUT) or not (own_tasks or any(ENGINE in word for word in argv)):
        return None
    composed = _compose(_value_of(argv, _WITH_VALUE) or script, argv, config_dirs)
    if composed.task.name != ENGINE:
        return None
    if not any(REGISTERED_GROUP in group for group in composed.hydra.runtime.choices):
        raise ConfigError(f"task.name: '{ENGINE}' is for task={ENGINE}, which reads a registered task's configuration")
    engine = composed.sim.engine
    if engine not in ("auto", ENGINE):
        raise ConfigError(f"sim.engine: task={ENGINE} runs on Isaac Lab, not on '{engine}'; {choices(engine, (ENGINE,))}")
    return composed


def _sim_of(composed: DictConfig) -> SimCfg:
    sim = OmegaConf.to_object(composed.sim)
    assert isinstance(sim, SimCfg)
    return sim


def _compose(config_name: str, argv: Sequence[str], config_dirs: Sequence[Path]) -> DictConfig:
    """The configuration as far as overrides say what is launched."""
    # What is missing is Hydra's to say, once.
    own = [f"file://{folder.resolve()}" for folder in config_dirs[1:] if folder.is_dir()]
    overrides = [word for word in argv if _DECISIVE.fullmatch(word)]
    if own:
        overrides.append(f"hydra.searchpath=[{','.join(own)}]")
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return hydra.compose(config_name, overrides, return_hydra_config=True)


def _value_of(argv: Sequence[str], names: Sequence[str]) -> str | None:
    """The value of a flag of Hydra's, `--config-name x` or `--config-name=x`."""
    for word, following in zip(argv, [*argv[1:], None], strict=True):
        name, has_value, value = word.partition("=")
        if name in names:
            return value if has_value else following
    return None

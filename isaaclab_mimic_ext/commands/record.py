"""`mimic record`: source demonstrations of an operator."""

from dataclasses import asdict
from pathlib import Path

import torch

from isaaclab_mimic_ext.commands.signals import StopRequest
from isaaclab_mimic_ext.config import DataGenConfig, RecordDemosCfg
from isaaclab_mimic_ext.envs.factory import choose_engine, make_scene
from isaaclab_mimic_ext.errors import BudgetExhausted, ConfigError, UsageError
from isaaclab_mimic_ext.files.writing import check_output
from isaaclab_mimic_ext.run.record import load_operator, record
from isaaclab_mimic_ext.run.result import RunResult
from isaaclab_mimic_ext.run.teleoperation import LiveDevice, Operator
from isaaclab_mimic_ext.task.definition import load_task

KEYBOARD = "keyboard"
MAX_SCENES = 64
"""Scenes that are recorded at a time."""


def main(cfg: RecordDemosCfg) -> RunResult:
    """Record demonstrations as configured.

    Raises:
        UsageError: the configuration is wrong; nothing was written.
        BudgetExhausted: the operator failed too often; successful demos are in the output file.
        Interrupted: a signal ended the recording; likewise.
        MimicError: the run failed.
    """
    torch.set_num_threads(1)
    check_output(Path(cfg.output_file), cfg.overwrite)
    planner = None
    if cfg.teleop_device == KEYBOARD:
        _check_window(cfg)
    else:
        planner = _planner(cfg)
    env = make_scene(cfg, 1 if planner is None else min(cfg.num_demos, MAX_SCENES))
    try:
        with StopRequest() as stop:
            result = record(
                env,
                cfg.output_file,
                _keyboard(cfg) if planner is None else planner,
                cfg.num_demos,
                seed=cfg.datagen_config.seed,
                config=DataGenConfig(**asdict(cfg.datagen_config)),
                recorder=cfg.recorder,
                overwrite=cfg.overwrite,
                operator_name=cfg.teleop_device,
                should_stop=lambda: stop.requested,
            )
    finally:
        env.close()
    if result.is_interrupted:
        stop.raise_interrupted(f"interrupted; {result.num_demos} finished demos are in {result.dataset}")
    if not result.target_reached:
        raise BudgetExhausted(f"{result.stop_reason}; {result.num_demos} demos are in {result.dataset}")
    return result


def _check_window(cfg: RecordDemosCfg) -> None:
    """Refuse the keyboard where no engine has a window."""
    engine, _ = choose_engine(cfg.sim, cfg.task.name)
    if engine != "isaaclab":
        raise ConfigError(
            f"teleop_device: '{KEYBOARD}' takes its keys from Isaac Lab's window, and '{engine}' has none; choices there: "
            "scripted, scripted_fluent"
        )


def _keyboard(cfg: RecordDemosCfg) -> LiveDevice:
    from isaaclab_mimic_ext.envs.isaaclab.keyboard import Keyboard

    return Keyboard(cfg.device)


def _planner(cfg: RecordDemosCfg) -> Operator:
    if cfg.task.is_registered:
        raise UsageError(
            f"teleop_device: a task of Isaac Lab's registry has no '{cfg.teleop_device}' operator; choices: {KEYBOARD}"
        )
    return load_operator(load_task(cfg.task.name), cfg.teleop_device)

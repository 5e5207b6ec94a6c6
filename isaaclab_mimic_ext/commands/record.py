"""`mimic record`: record source demos of an operator."""

import logging
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch

from isaaclab_mimic_ext.command_lines import same_command_line
from isaaclab_mimic_ext.commands.signals import StopRequest
from isaaclab_mimic_ext.config import DataGenConfig, RecordDemosCfg
from isaaclab_mimic_ext.config.next_step import next_command
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.factory import choose_engine, make_scene
from isaaclab_mimic_ext.errors import BudgetExhausted, ConfigError, UsageError
from isaaclab_mimic_ext.files.writing import annotated_path, store_path
from isaaclab_mimic_ext.run.attempts import FailedAttempt, Operator, draw_attempt
from isaaclab_mimic_ext.run.live import LiveDevice
from isaaclab_mimic_ext.run.record import failures_text, load_operator, record
from isaaclab_mimic_ext.run.recording import RecordingFiles
from isaaclab_mimic_ext.run.result import RunResult
from isaaclab_mimic_ext.task.definition import load_task
from isaaclab_mimic_ext.texts import counted

log = logging.getLogger(__name__)

KEYBOARD = "keyboard"
MAX_NUM_ENVS = 64
"""Largest number of environments that a scripted operator controls at the same time."""


def main(cfg: RecordDemosCfg) -> RunResult:
    """Record demos.

    Raises:
        UsageError: the configuration is not valid; no file was written.
        BudgetExhausted: a budget ended the recording; the demos are in the output file.
        Interrupted: a signal ended the recording; the demos are in the output file.
        MimicError: the recording failed.
    """
    torch.set_num_threads(1)
    RecordingFiles(Path(cfg.output_file)).check(cfg.overwrite, cfg.resume)
    operator = None
    if cfg.teleop_device == KEYBOARD:
        _check_window(cfg)
    else:
        operator = _scripted_operator(cfg)
    env = make_scene(cfg, 1 if operator is None else min(cfg.num_demos, MAX_NUM_ENVS))
    try:
        with StopRequest() as stop:
            result = record(
                env,
                cfg.output_file,
                _keyboard(cfg, env) if operator is None else operator,
                cfg.num_demos,
                seed=cfg.datagen_config.seed,
                config=DataGenConfig(**asdict(cfg.datagen_config)),
                recorder=cfg.recorder,
                overwrite=cfg.overwrite,
                resume=cfg.resume,
                operator_name=cfg.teleop_device,
                on_failure=partial(_draw_failure, cfg) if cfg.video else None,
                should_stop=lambda: stop.requested,
            )
    finally:
        env.close()
    if result.is_interrupted:
        running = "; the running attempt was discarded" if operator is None else ""
        stop.raise_interrupted(f"{_kept(result)}{running}; continue with: {_same_recording(cfg)}")
    if not result.target_reached:
        remedy = f"; to continue, give a larger budget to: {_same_recording(cfg)}" if result.num_demos else ""
        reasons = f"; reasons: {failures_text(result.failures)}" if result.failures else ""
        raise BudgetExhausted(f"{result.stop_reason}{reasons}; {_kept(result)}{remedy}")
    raw = Path(cfg.output_file)
    log.info("Next, mark the subtasks: %s", next_command("annotate", input_file=raw, output_file=annotated_path(raw)))
    return result


def _same_recording(cfg: RecordDemosCfg) -> str:
    return same_command_line("record", output_file=Path(cfg.output_file), overwrite=None, resume=True)


def _draw_failure(cfg: RecordDemosCfg, attempt: FailedAttempt) -> None:
    output = Path(cfg.output_file)
    draw_attempt(attempt, output.with_name(f"{output.stem}_failed.mp4"), load_task(cfg.task.name))


def _kept(result: RunResult) -> str:
    if result.is_written and not result.num_demos:
        return "no demo was recorded, so no file was written"
    if result.is_written:
        return f"{counted(result.num_demos, 'demo is', 'demos are')} in {result.dataset}"
    return f"{counted(result.num_successes, 'demo is', 'demos are')} in {store_path(result.dataset)}"


def _check_window(cfg: RecordDemosCfg) -> None:
    """Refuse the keyboard if the engine has no window."""
    engine, _ = choose_engine(cfg.sim, cfg.task.name)
    if engine != "isaaclab":
        raise ConfigError(
            f"teleop_device: '{KEYBOARD}' requires the window of Isaac Lab, but the engine is '{engine}'; choices: "
            "scripted, scripted_fluent"
        )


def _keyboard(cfg: RecordDemosCfg, env: MimicEnv) -> LiveDevice:
    from isaaclab_mimic_ext.envs.isaaclab.keyboard import Keyboard

    return Keyboard(cfg.device, env.step_dt, env.eef_names)


def _scripted_operator(cfg: RecordDemosCfg) -> Operator:
    if cfg.task.is_registered:
        raise UsageError(
            f"teleop_device: '{cfg.teleop_device}' is not available for tasks registered with Isaac Lab; choices: {KEYBOARD}"
        )
    return load_operator(load_task(cfg.task.name), cfg.teleop_device)

"""`mimic record`: record source demos of an operator."""

import logging
import math
import sys
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from isaaclab_mimic_ext.command_lines import program, same_command_line
from isaaclab_mimic_ext.commands.signals import StopRequest
from isaaclab_mimic_ext.config import DataGenConfig, RecordDemosCfg
from isaaclab_mimic_ext.config.commands import BROWSER, LIVE_DEVICES
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

if TYPE_CHECKING:
    from isaaclab_mimic_ext.studio.record_tab import RecordTab

log = logging.getLogger(__name__)

_KEYBOARD = "keyboard"
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
    is_live = cfg.teleop_device in LIVE_DEVICES
    if is_live:
        _check_device(cfg)
    operator = None if is_live else _scripted_operator(cfg)
    stop = StopRequest()
    result = _record(cfg, operator, stop)
    _check_end(cfg, result, stop)
    log.info("Next, mark the subtasks: %s", _next_step(cfg))
    return result


def _next_step(cfg: RecordDemosCfg) -> str:
    raw = Path(cfg.output_file)
    return next_command("annotate", input_file=raw, output_file=annotated_path(raw))


def _record(cfg: RecordDemosCfg, operator: Operator | None, stop: StopRequest) -> RunResult:
    """Record in a new environment; without an operator, a person at a device acts in one scene."""
    env = make_scene(cfg, 1 if operator is None else min(cfg.num_demos, MAX_NUM_ENVS))
    try:
        with stop, ExitStack() as stack:
            page = _open_page(cfg, env, stack) if cfg.teleop_device == BROWSER else None
            performer = operator or (_device(cfg, env, stack) if page is None else page.device)
            has_ended = getattr(performer, "wants_end", lambda: False)
            result = record(
                env,
                cfg.output_file,
                performer,
                cfg.num_demos,
                seed=cfg.datagen_config.seed,
                config=DataGenConfig(**asdict(cfg.datagen_config)),
                recorder=cfg.recorder,
                overwrite=cfg.overwrite,
                resume=cfg.resume,
                operator_name=cfg.teleop_device,
                monitor=page,
                on_failure=partial(_draw_failure, cfg) if cfg.video else None,
                should_stop=lambda: stop.requested or has_ended(),
                step_hz=_step_hz(cfg, performer),
            )
            if page is not None:
                page.show_end(_next_step(cfg), _kept(result))
            return result
    finally:
        env.close()


def _check_end(cfg: RecordDemosCfg, result: RunResult, stop: StopRequest) -> None:
    """Raise the error for a recording with fewer demos than requested, unless a person has ended it."""
    running = "; the running attempt was discarded" if cfg.teleop_device in LIVE_DEVICES else ""
    continued = f"{_kept(result)}{running}; continue with: {_same_recording(cfg)}"
    if stop.requested:
        stop.raise_interrupted(continued)
    place = "on the page" if cfg.teleop_device == BROWSER else "at the keyboard"
    if result.is_interrupted and not result.num_demos:
        raise BudgetExhausted(f"recording ended {place}; {continued}")
    if result.is_interrupted:
        log.info("Recording ended %s; %s", place, continued)
    elif not result.target_reached:
        remedy = f"; to continue, give a larger budget to: {_same_recording(cfg)}" if result.num_demos else ""
        reasons = f"; reasons: {failures_text(result.failures)}" if result.failures else ""
        raise BudgetExhausted(f"{result.stop_reason}{reasons}; {_kept(result)}{remedy}")


def _same_recording(cfg: RecordDemosCfg) -> str:
    return same_command_line("record", output_file=Path(cfg.output_file), overwrite=None, resume=True)


def _draw_failure(cfg: RecordDemosCfg, attempt: FailedAttempt) -> None:
    output = Path(cfg.output_file)
    draw_attempt(attempt, output.with_name(f"{output.stem}_failed.mp4"), load_task(cfg.task.name, cfg.robot, cfg.objects))


def _kept(result: RunResult) -> str:
    if result.is_written and not result.num_demos:
        return "no demo was recorded, so no file was written"
    if result.is_written:
        return f"{counted(result.num_demos, 'demo is', 'demos are')} in {result.dataset}"
    return f"{counted(result.num_successes, 'demo is', 'demos are')} in {store_path(result.dataset)}"


def _check_device(cfg: RecordDemosCfg) -> None:
    """Refuse a device of Isaac Lab on other engines, and one that requires Isaac Sim without it."""
    if cfg.teleop_device == BROWSER and cfg.task.is_registered:
        raise ConfigError(
            f"teleop_device: '{BROWSER}' cannot draw tasks that are registered with Isaac Lab; choices: {_KEYBOARD}, "
            "spacemouse, gamepad"
        )
    if cfg.teleop_device in (_KEYBOARD, BROWSER):
        return
    engine, _ = choose_engine(cfg.sim, cfg.task.name)
    if engine != "isaaclab":
        raise ConfigError(
            f"teleop_device: '{cfg.teleop_device}' is a device of Isaac Lab, but the engine is '{engine}'; choices: "
            f"scripted, scripted_fluent, {_KEYBOARD}, {BROWSER}"
        )
    from isaaclab_mimic_ext.envs.isaaclab.launch import has_window

    if cfg.teleop_device == "gamepad" and not has_window():
        raise ConfigError(
            "teleop_device: 'gamepad' requires Isaac Sim's window, and Isaac Sim does not run; choices: scripted, "
            f"scripted_fluent, {_KEYBOARD}, {BROWSER}, spacemouse"
        )


def _open_page(cfg: RecordDemosCfg, env: MimicEnv, stack: ExitStack) -> "RecordTab":
    """Serve the page of the studio until the end of the recording."""
    from isaaclab_mimic_ext.studio.session import opened_page, second_env_of

    raw, dirs = Path(cfg.output_file), program.config_dirs
    second = second_env_of(cfg, env)
    page = opened_page(env, raw, cfg.num_demos, cfg.host, cfg.port, dirs, second, overwrite=cfg.overwrite)
    return stack.enter_context(page)[0]


def _device(cfg: RecordDemosCfg, env: MimicEnv, stack: ExitStack) -> LiveDevice:
    """Open a device; the keyboard is that of Isaac Sim's window if there is one, otherwise that of the terminal."""
    if env.env_args().get("engine") == "isaaclab":
        from isaaclab_mimic_ext.envs.isaaclab.devices import IsaacLabDevice
        from isaaclab_mimic_ext.envs.isaaclab.launch import has_window

        if cfg.teleop_device != _KEYBOARD or has_window():
            return IsaacLabDevice(cfg.teleop_device, cfg.device, env.step_dt, env.eef_names)
    from isaaclab_mimic_ext.run.terminal_keyboard import Keys, TerminalKeyboard

    return TerminalKeyboard(env, stack.enter_context(Keys(sys.stdin).opened()))


def _step_hz(cfg: RecordDemosCfg, performer: Operator | LiveDevice) -> float | None:
    """Largest number of steps per second; not limited for keys from a file."""
    return math.inf if cfg.step_hz is None and getattr(performer, "is_typed", True) is False else cfg.step_hz


def _scripted_operator(cfg: RecordDemosCfg) -> Operator:
    if cfg.task.is_registered:
        raise UsageError(
            f"teleop_device: '{cfg.teleop_device}' is not available for tasks registered with Isaac Lab; choices: "
            f"{', '.join(LIVE_DEVICES)}"
        )
    return load_operator(load_task(cfg.task.name, cfg.robot, cfg.objects), cfg.teleop_device)

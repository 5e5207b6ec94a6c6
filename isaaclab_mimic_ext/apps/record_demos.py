"""`scripts/record_demos.py`: an operator's demonstrations."""

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import torch

from isaaclab_mimic_ext.apps.signals import StopRequest
from isaaclab_mimic_ext.config import RecordDemosCfg
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.factory import choose_engine, make_scene
from isaaclab_mimic_ext.errors import BudgetExhausted, ConfigError, UsageError
from isaaclab_mimic_ext.files.writing import check_output
from isaaclab_mimic_ext.record.episodes import Closing
from isaaclab_mimic_ext.record.ledger import TrialLedger
from isaaclab_mimic_ext.record.recorder import EpisodeRecorder, Output
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.task import Task, load_task
from isaaclab_mimic_ext.teleoperate import Operator, record_demos
from isaaclab_mimic_ext.teleoperate_live import MAX_STEPS, record_live_demos

log = logging.getLogger(__name__)

MAX_FRAMES = 1000
KEYBOARD = "keyboard"
_MOST_SCENES = 64
"""Recorded side by side."""

Recording = Callable[[EpisodeRecorder, TrialLedger, int, int, Callable[[], bool]], None]
"""`record_demos` or `record_live_demos`, but for the env and who acts."""


def main(cfg: RecordDemosCfg) -> None:
    """Record demonstrations as configured.

    Raises:
        UsageError: something asked for is wrong; nothing was written.
        BudgetExhausted: the operator failed too often; what succeeded is in the output file.
        Interrupted: a signal ended the recording; likewise.
        MimicError: the run failed.
    """
    torch.set_num_threads(1)
    output, seed, is_live = Path(cfg.output_file), cfg.datagen_config.seed, cfg.teleop_device == KEYBOARD
    check_output(output, cfg.overwrite)
    operator = None if is_live else _operator_of(cfg)
    if is_live:
        _check_window(cfg)
    env = make_scene(cfg, 1 if is_live else min(cfg.num_demos, _MOST_SCENES))
    ledger = TrialLedger(replace(cfg.datagen_config, generation_guarantee=True, generation_num_trials=cfg.num_demos))
    try:
        record = _recording(cfg, env, operator)
        every_env = torch.arange(env.num_envs, device=env.device)
        env.reset(every_env, Draws(seed, every_env))
        attributes = {"teleop_device": cfg.teleop_device, "seed": seed}
        recorder = EpisodeRecorder(
            env, cfg.recorder, MAX_STEPS if is_live else MAX_FRAMES, Output(output, None, attributes, cfg.overwrite)
        )
        try:
            with StopRequest() as stop:
                record(recorder, ledger, seed, cfg.datagen_config.num_success_steps, lambda: stop.requested)
        finally:
            summary = recorder.close(Closing(ledger.committed, {"num_attempts": ledger.committed}, {}, is_final=True))
    finally:
        env.close()
    if ledger.verdict is None:
        stop.raise_interrupted(f"interrupted; {len(summary.lengths)} finished demos are in {output}")
    log.info("Recorded %d demos in %d attempts; saved to %s", len(summary.lengths), ledger.committed, output)
    if not ledger.verdict.target_reached:
        raise BudgetExhausted(f"{ledger.verdict.reason}; {len(summary.lengths)} demos are in {output}")


def _check_window(cfg: RecordDemosCfg) -> None:
    """Refuse the keyboard where no engine has a window."""
    engine, _ = choose_engine(cfg.sim, cfg.task.name)
    if engine != "isaaclab":
        raise ConfigError(
            f"teleop_device: '{KEYBOARD}' takes its keys from Isaac Lab's window, and '{engine}' has none; choices there: "
            "scripted, scripted_fluent"
        )


def _recording(cfg: RecordDemosCfg, env: MimicEnv, operator: Operator | None) -> Recording:
    if operator is not None:
        return partial(record_demos, env, operator)
    from isaaclab_mimic_ext.envs.isaaclab.keyboard import Keyboard

    return partial(record_live_demos, env, Keyboard(cfg.device))


def _operator_of(cfg: RecordDemosCfg) -> Operator:
    if cfg.task.is_registered:
        raise UsageError(
            f"teleop_device: a task of Isaac Lab's registry has no '{cfg.teleop_device}' operator; choices: {KEYBOARD}"
        )
    return load_operator(load_task(cfg.task.name), cfg.teleop_device)


def load_operator(task: Task, teleop_device: str) -> Operator:
    """The scripted operator of a task: `scripted`, or `scripted_fluent`, who does not pause.

    Raises:
        UsageError: it has none.
    """
    module = f"isaaclab_mimic_ext.tasks.{task.name}.operator"
    if find_spec(module) is None:
        raise UsageError(f"teleop_device: task '{task.name}' has no scripted operator (tasks/{task.name}/operator.py)")
    name = "plan_demos" if teleop_device == "scripted" else "plan_fluent_demos"
    planner = getattr(import_module(module), name, None)
    if planner is None:
        raise UsageError(f"teleop_device: the operator of task '{task.name}' has no '{teleop_device}'; choices: scripted")
    return planner

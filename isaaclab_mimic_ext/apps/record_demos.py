"""`scripts/record_demos.py`: an operator's demonstrations."""

import logging
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import torch

from isaaclab_mimic_ext.apps.signals import StopRequest
from isaaclab_mimic_ext.config import RecordDemosCfg
from isaaclab_mimic_ext.envs.factory import make_env
from isaaclab_mimic_ext.errors import BudgetExhausted, UsageError
from isaaclab_mimic_ext.record.episodes import Closing
from isaaclab_mimic_ext.record.hdf5 import check_output
from isaaclab_mimic_ext.record.ledger import TrialLedger
from isaaclab_mimic_ext.record.recorder import EpisodeRecorder, Output
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.task import Task, load_task
from isaaclab_mimic_ext.teleoperate import Operator, record_demos

log = logging.getLogger(__name__)

MAX_FRAMES = 1000
_MOST_SCENES = 64
"""Recorded side by side."""


def main(cfg: RecordDemosCfg) -> None:
    """Record demonstrations as configured.

    Raises:
        UsageError: something asked for is wrong; nothing was written.
        BudgetExhausted: the operator failed too often; what succeeded is in the output file.
        Interrupted: a signal ended the recording; likewise.
        MimicError: the run failed.
    """
    torch.set_num_threads(1)
    output, task = Path(cfg.output_file), load_task(cfg.task.name)
    check_output(output, cfg.overwrite)
    operator = load_operator(task, cfg.teleop_device)
    env = make_env(task, cfg.sim, cfg.events, min(cfg.num_demos, _MOST_SCENES), torch.device(cfg.device))
    seed = cfg.datagen_config.seed
    ledger = TrialLedger(replace(cfg.datagen_config, generation_guarantee=True, generation_num_trials=cfg.num_demos))
    try:
        every_env = torch.arange(env.num_envs, device=env.device)
        env.reset(every_env, Draws(seed, every_env))
        attributes = {"teleop_device": cfg.teleop_device, "seed": seed}
        recorder = EpisodeRecorder(env, cfg.recorder, MAX_FRAMES, Output(output, None, attributes, cfg.overwrite))
        try:
            with StopRequest() as stop:
                record_demos(
                    env, operator, recorder, ledger, seed, cfg.datagen_config.num_success_steps, lambda: stop.requested
                )
        finally:
            summary = recorder.close(Closing(ledger.committed, {"num_attempts": ledger.committed}, {}, is_final=True))
    finally:
        env.close()
    if ledger.verdict is None:
        stop.raise_interrupted(f"interrupted; {len(summary.lengths)} finished demos are in {output}")
    log.info("Recorded %d demos in %d attempts; saved to %s", len(summary.lengths), ledger.committed, output)
    if not ledger.verdict.target_reached:
        raise BudgetExhausted(f"{ledger.verdict.reason}; {len(summary.lengths)} demos are in {output}")


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

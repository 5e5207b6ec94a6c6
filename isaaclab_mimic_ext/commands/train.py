"""`mimic train`: train a policy on a dataset, with robomimic."""

import logging
from pathlib import Path

from isaaclab_mimic_ext.command_lines import same_command_line
from isaaclab_mimic_ext.commands.signals import StopRequest
from isaaclab_mimic_ext.config import TrainCfg
from isaaclab_mimic_ext.config.next_step import evaluate_command, next_command
from isaaclab_mimic_ext.learn.agents import ACT, has_agent
from isaaclab_mimic_ext.learn.train import TrainingHooks, progress_bar, train_run
from isaaclab_mimic_ext.learn.trainer import TrainingReport
from isaaclab_mimic_ext.learn.training_by_lerobot import train_act

log = logging.getLogger(__name__)


def main(cfg: TrainCfg) -> TrainingReport | None:
    """Train a policy as configured. `algo=act`, which LeRobot trains, has no report.

    Raises:
        UsageError: the configuration is wrong; no file has been written.
        Interrupted: a signal ended the training; resume=true resumes it.
        MimicError: the training failed.
    """
    if cfg.algo == ACT and not has_agent(cfg.task.name, ACT):
        _train_act(cfg)
        return None
    stop = StopRequest()
    hooks = TrainingHooks(should_stop=lambda: stop.requested)
    report = train_run(cfg, lambda num_epochs: stop.during(progress_bar(num_epochs, cfg.progress, hooks)))
    if stop.requested and not report.is_complete:
        stop.raise_interrupted(
            f"training ended after epoch {report.epoch}; continue with: "
            + same_command_line("train", output_dir=Path(cfg.output_dir), overwrite=None, resume=True)
        )
    command = evaluate_command(cfg.task.name, Path(cfg.output_dir), Path(cfg.input_file))
    log.info("Next, evaluate the policy: %s", command)
    return report


def _train_act(cfg: TrainCfg) -> None:
    with StopRequest() as stop:
        checkpoints = train_act(cfg, lambda: stop.requested)
    if checkpoints is None:
        saved = Path(cfg.output_dir) / "training" / "checkpoints"
        stop.raise_interrupted(
            f"the checkpoints of lerobot until now are in {saved}"
            if saved.is_dir()
            else "lerobot has saved no checkpoint yet; set a smaller save_every"
        )
    log.info("Next, evaluate the policy: %s", next_command("evaluate", policy="lerobot", checkpoint=checkpoints))

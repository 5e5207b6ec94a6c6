"""`mimic evaluate`: success rates of policies on scenes that no demonstration was made in."""

import json
import logging
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from rich.console import Console

from isaaclab_mimic_ext.commands.progress import ProgressBar, evaluation_figures
from isaaclab_mimic_ext.commands.signals import StopRequest
from isaaclab_mimic_ext.config import EvaluateCfg
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.errors import ConfigError, MimicError
from isaaclab_mimic_ext.files.writing import write_json, write_text
from isaaclab_mimic_ext.learn.checkpoints import EvaluationFolder, find_checkpoints
from isaaclab_mimic_ext.learn.disturbances import scaled_events
from isaaclab_mimic_ext.learn.evaluate import build_disturbances, build_rules, known, load, start_env
from isaaclab_mimic_ext.learn.evaluator import Disturbances, EvaluationProgress, Evaluator, Rules
from isaaclab_mimic_ext.learn.history import History
from isaaclab_mimic_ext.learn.policies import Policy, find_policy
from isaaclab_mimic_ext.learn.results import Checkpoint, CheckpointResult, best_of, by_epoch
from isaaclab_mimic_ext.learn.sweep import result_table
from isaaclab_mimic_ext.report.curves import plot_success
from isaaclab_mimic_ext.task.definition import load_task

log = logging.getLogger(__name__)

_FILE_WIDTH = 140


def main(cfg: EvaluateCfg) -> list[CheckpointResult]:
    """Evaluate as configured, and report.

    Raises:
        UsageError: something asked for is wrong.
        Interrupted: a signal ended it; the checkpoints before that are in the report.
        MimicError: it failed; likewise.
    """
    torch.set_num_threads(1)  # The cores belong to physics.
    folder = EvaluationFolder(Path(cfg.output_dir))
    folder.check(cfg.overwrite)
    find_policy(cfg.policy)
    checkpoints = _checkpoints(cfg)
    env = start_env(cfg)
    try:
        evaluation = Evaluation(cfg, env, folder, build_rules(cfg), build_disturbances(cfg, env))
        evaluation.run(checkpoints)
    finally:
        env.close()
    return evaluation.results


def _checkpoints(cfg: EvaluateCfg) -> list[Checkpoint]:
    if cfg.checkpoint is not None:
        return find_checkpoints(cfg.checkpoint)
    if ":" not in cfg.policy:
        raise ConfigError(
            f"checkpoint: policy '{cfg.policy}' needs one; give the path of a file or of a training run's folder"
        )
    return [Checkpoint(cfg.policy.partition(":")[2])]


@dataclass
class Evaluation:
    """Checkpoints, one after the other, in the same env on the same episodes."""

    cfg: EvaluateCfg
    env: MimicEnv
    folder: EvaluationFolder
    rules: Rules
    disturbances: Disturbances

    def __post_init__(self) -> None:
        self.results: list[CheckpointResult] = []
        self.histories: dict[str, History] = {}

    def run(self, checkpoints: list[Checkpoint]) -> None:
        policy: Policy | None = load(
            self.cfg, self.env, checkpoints[0]
        )  # What is wrong with it is said before a folder is made.
        self.folder.clear()
        self.folder.create()
        self._write(complete=False)
        write_text(self.folder.config, OmegaConf.to_yaml(OmegaConf.create(asdict(self.cfg))))
        log.info("Evaluating %d checkpoint(s), %d episodes each, in %d environments; horizon %d steps",
                 len(checkpoints), self.rules.num_episodes, self.env.num_envs, self.rules.horizon)  # fmt: skip
        with StopRequest() as stop:
            for checkpoint in checkpoints:
                self._evaluate(checkpoint, policy or load(self.cfg, self.env, checkpoint), stop)
                policy = None
                self._write(complete=len(self.results) == len(checkpoints) and not stop.requested)
                if stop.requested:
                    break
        self._say()
        if stop.requested:
            stop.raise_interrupted(f"interrupted; what ended before is in {self.folder.report}")
        self._draw()

    def _evaluate(self, checkpoint: Checkpoint, policy: Policy, stop: StopRequest) -> None:
        history = History(self.env, self.rules.horizon, self.cfg.num_video_episodes) if self.cfg.video else None
        evaluator = Evaluator(self.env, policy, self.rules, self.disturbances, history)
        with ProgressBar(checkpoint.name, self.cfg.progress, unit="episodes") as bar:

            def should_stop(progress: EvaluationProgress) -> bool:
                done, total = progress.num_ended, progress.num_episodes
                bar.update(done, total, lambda: evaluation_figures(progress), progress.share)
                return stop.requested

            evaluator.run(should_stop)
        result = evaluator.result(known(checkpoint, policy))
        result.facts = {"training": {k: v for k, v in getattr(policy, "facts", {}).items() if not isinstance(v, dict)}}
        self.results.append(result)
        if history is not None and self._is_drawn(result):
            self.histories[checkpoint.name] = history
        log.info("%s: %s of %d episodes succeeded", checkpoint.name, result.success, result.num_episodes)

    def _is_drawn(self, result: CheckpointResult) -> bool:
        """Whether a result is to have videos, as far as is known now; what it replaces is forgotten."""
        if self.cfg.video_of != "all":
            if self.cfg.video_of == "best" and best_of(self.results) is not result:
                return False
            self.histories.clear()
        return True

    def _draw(self) -> None:
        """Plot and videos; what cannot be drawn is warned about only."""
        try:
            plot_success(self.results, self.folder.plot, self._title())
            log.info("Drew %s", self.folder.plot)
        except MimicError as error:
            log.warning("No %s: %s", self.folder.plot.name, error)
        for name, history in self.histories.items():
            for success in (True, False):
                self._draw_video(self.folder.video(name, success), history, success)

    def _draw_video(self, path: Path, history: History, success: bool) -> None:
        from isaaclab_mimic_ext.envs.playback import write_states_video

        demos, task = history.demos(success), load_task(self.cfg.task.name)
        if not demos:
            return
        try:
            write_states_video(demos, path, task, overwrite=True, captions=history.captions(success))
            log.info("Drew %s", path)
        except MimicError as error:
            log.warning("No %s: %s", path.name, error)

    def _title(self) -> str:
        return f"{self.cfg.task.name}: {self.rules.num_episodes} episodes, seed {self.rules.seed}"

    def _say(self) -> None:
        if self.cfg.json:
            print(json.dumps(self._report(complete=True), indent=2))
            return
        # A file has no width that the table would have to fit in.
        console = Console() if sys.stdout.isatty() else Console(width=_FILE_WIDTH)
        console.print(result_table(self.results, self._title()))
        log.info("The report is %s", self.folder.report)

    def _write(self, complete: bool) -> None:
        write_json(self.folder.report, self._report(complete))

    def _report(self, complete: bool) -> dict[str, Any]:
        cfg = self.cfg
        harder = ("randomization_scale", "observation_noise", "observation_noise_keys", "push_probability", "push_velocity",
                  "push_objects", "arm_push_probability", "arm_push_distance")  # fmt: skip
        return {
            "task": cfg.task.name,
            "engine": self.env.env_args().get("engine"),
            "policy": cfg.policy,
            "num_envs": self.env.num_envs,
            **asdict(self.rules),
            "disturbances": {name: getattr(cfg, name) for name in harder},
            "events": {name: asdict(event) for name, event in scaled_events(cfg.events, cfg.randomization_scale).items()},
            "complete": complete,
            "best": best_of(self.results).checkpoint.name if self.results else None,
            "by_epoch": by_epoch(self.results),
            "checkpoints": [result.as_dict() for result in self.results],
        }

"""`mimic evaluate`: success rates of policies in held-out scenes."""

import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from rich.console import Console

from isaaclab_mimic_ext.commands.signals import StopRequest
from isaaclab_mimic_ext.config import EvaluateCfg
from isaaclab_mimic_ext.envs.appearance import check_kinds
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.factory import choose_engine, env_task
from isaaclab_mimic_ext.envs.gpu_engine import GPU_ENGINE
from isaaclab_mimic_ext.errors import ConfigError, MimicError, OutputError
from isaaclab_mimic_ext.files.writing import created_folder, write_json, write_text
from isaaclab_mimic_ext.learn.advice import Conditions, Training, advise
from isaaclab_mimic_ext.learn.checkpoint import load_checkpoint
from isaaclab_mimic_ext.learn.checkpoint_files import EvaluationFolder, find_checkpoints
from isaaclab_mimic_ext.learn.disturbances import scale_events
from isaaclab_mimic_ext.learn.evaluate import (
    build_disturbances,
    build_policy,
    build_rules,
    make_evaluation_env,
    with_epoch,
)
from isaaclab_mimic_ext.learn.evaluator import Disturbances, EvaluationProgress, Evaluator, Rules
from isaaclab_mimic_ext.learn.history import History
from isaaclab_mimic_ext.learn.lerobot_checkpoint import find_lerobot_checkpoints, read_lerobot_checkpoint
from isaaclab_mimic_ext.learn.looks import LookResult, look_table
from isaaclab_mimic_ext.learn.policies import CheckpointPolicy, Policy, find_policy_factory
from isaaclab_mimic_ext.learn.policy_cameras import (
    PolicyCameras,
    close_pictures,
    common_cameras,
    policy_cameras,
    with_appearance,
)
from isaaclab_mimic_ext.learn.results import Checkpoint, CheckpointResult, best_of, by_epoch
from isaaclab_mimic_ext.learn.seen import write_seen
from isaaclab_mimic_ext.learn.sweep import result_table
from isaaclab_mimic_ext.progress import ProgressBar
from isaaclab_mimic_ext.report.curves import plot_success
from isaaclab_mimic_ext.task.definition import load_task
from isaaclab_mimic_ext.texts import counted

log = logging.getLogger(__name__)

LEROBOT, ROBOMIMIC = "lerobot", "robomimic"
"""Policies that read what `lerobot-train` and `mimic train` wrote."""
_FILE_WIDTH = 140
"""Width of tables that are not printed to a terminal [characters]."""
_DISTURBANCE_FIELDS = (
    "randomization_scale", "observation_noise", "observation_noise_keys", "push_probability", "push_velocity",
    "push_objects", "arm_push_probability", "arm_push_distance",
)  # fmt: skip


def main(cfg: EvaluateCfg) -> list[CheckpointResult]:
    """Evaluate checkpoints as configured, and write the report.

    Raises:
        UsageError: the configuration is wrong.
        Interrupted: a signal ended the evaluation; the report contains the episodes that ended before.
        MimicError: the evaluation failed; the report contains the checkpoints evaluated before.
    """
    torch.set_num_threads(1)  # Leave the other cores to the physics.
    folder = EvaluationFolder(Path(cfg.output_dir))
    folder.check(cfg.overwrite)
    find_policy_factory(cfg.policy)
    checkpoints = _checkpoints(cfg)
    cameras = _cameras(cfg, checkpoints)
    _check_appearance(cfg, cameras)
    env = make_evaluation_env(cfg, cameras)
    try:
        evaluation = Evaluation(cfg, env, folder, build_rules(cfg), build_disturbances(cfg, env), cameras)
        evaluation.run(checkpoints)
    finally:
        env.close()
    return evaluation.results


def _cameras(cfg: EvaluateCfg, checkpoints: Sequence[Checkpoint]) -> PolicyCameras | None:
    """Cameras of the policies, which must be the same for all checkpoints that see. Isaac Lab's envs have their own."""
    if cfg.policy not in (LEROBOT, ROBOMIMIC) or choose_engine(cfg.sim, cfg.task.name)[0] == "isaaclab":
        return None
    return common_cameras([_cameras_of(cfg.policy, each.path) for each in checkpoints if each.path is not None])


def _cameras_of(policy: str, path: str) -> PolicyCameras | None:
    if policy == LEROBOT:
        return read_lerobot_checkpoint(Path(path)).cameras()
    found = load_checkpoint(path)
    return policy_cameras(found.obs_shapes, found.content["env_metadata"], f"checkpoint: {path}")


def _check_appearance(cfg: EvaluateCfg, cameras: PolicyCameras | None) -> None:
    check_kinds(cfg.appearance, "appearance")
    if cfg.appearance and cameras is None:
        raise ConfigError("appearance: requires a policy whose pictures this command draws; omit appearance")
    if cfg.appearance and cfg.sim.engine == GPU_ENGINE:
        raise ConfigError("appearance: MuJoCo Warp's ray caster draws only the scene's own look; use sim=mujoco")


def _checkpoints(cfg: EvaluateCfg) -> list[Checkpoint]:
    if cfg.n_action_steps is not None and cfg.policy != LEROBOT:
        raise ConfigError(f"n_action_steps: must not be set for policy '{cfg.policy}'; omit it")
    if cfg.checkpoint is not None and cfg.policy == LEROBOT:
        return find_lerobot_checkpoints(cfg.checkpoint)
    if cfg.checkpoint is not None:
        return find_checkpoints(cfg.checkpoint)
    if ":" not in cfg.policy:
        raise ConfigError(
            f"checkpoint: must be set for policy '{cfg.policy}'; give the path of a .pth file, or of the folder of a "
            "training run"
        )
    return [Checkpoint(cfg.policy.partition(":")[2])]


@dataclass
class Evaluation:
    """Evaluates checkpoints one after the other, in the same env and on the same episodes."""

    cfg: EvaluateCfg
    env: MimicEnv
    folder: EvaluationFolder
    rules: Rules
    disturbances: Disturbances
    cameras: PolicyCameras | None = None

    def __post_init__(self) -> None:
        self.looks: list[LookResult] = []
        self.results: list[CheckpointResult] = []
        self.histories: dict[str, History] = {}

    def run(self, checkpoints: list[Checkpoint]) -> None:
        # Load the first policy now: its errors must precede the first file.
        policy: Policy | None = build_policy(self.cfg, self.env, checkpoints[0])
        self.folder.clear()
        with self.folder.created(lambda: bool(self.results)), StopRequest() as stop:
            self._evaluate_all(checkpoints, policy, stop)
        self._print_report()
        if stop.requested:
            stop.raise_interrupted(f"the episodes that ended before are in {self.folder.report}")
        self._draw_plot_and_videos()

    def _evaluate_all(self, checkpoints: list[Checkpoint], policy: Policy | None, stop: StopRequest) -> None:
        """Evaluate the checkpoints, the first one with the loaded `policy`, until a signal arrives."""
        self._write(complete=False)
        write_text(self.folder.config, OmegaConf.to_yaml(OmegaConf.create(asdict(self.cfg))))
        log.info("Evaluating %s with %s each in %s; the horizon is %s",
                 counted(len(checkpoints), "checkpoint"), counted(self.rules.num_episodes, "episode"),
                 counted(self.env.num_envs, "env"), counted(self.rules.horizon, "step"))  # fmt: skip
        for checkpoint in checkpoints:
            self._evaluate(checkpoint, policy or build_policy(self.cfg, self.env, checkpoint), stop)
            for kind in dict.fromkeys(self.cfg.appearance):
                if not stop.requested:
                    self._evaluate_look(checkpoint, kind, stop)
            policy = None
            self._write(complete=len(self.results) == len(checkpoints) and not stop.requested)
            if stop.requested:
                break

    def _evaluate(self, checkpoint: Checkpoint, policy: Policy, stop: StopRequest) -> None:
        history = History(self.env, self.rules.horizon, self.cfg.num_video_episodes) if self.cfg.video else None
        evaluator = Evaluator(self.env, policy, self.rules, self.disturbances, history)
        with ProgressBar(checkpoint.name, self.cfg.progress, unit="episodes") as bar:
            evaluator.run(lambda now: self._show(bar, now, stop))
        result = evaluator.result(with_epoch(checkpoint, policy))
        result.facts = {"training": {k: v for k, v in getattr(policy, "facts", {}).items() if not isinstance(v, dict)}}
        result.advice = advise(result, _training_of(policy), Conditions(self.rules.horizon, _harder(self.cfg)))
        self.results.append(result)
        if history is not None:
            history.release()
            self.histories[checkpoint.name] = history
        log.info("Success rate of %s: %s of %s", checkpoint.name, result.success, counted(result.num_episodes, "episode"))

    def _evaluate_look(self, checkpoint: Checkpoint, kind: str, stop: StopRequest) -> None:
        """Evaluate a checkpoint again, with a random look in each episode."""
        assert self.cameras is not None
        env = with_appearance(self.env, env_task(self.env), self.cameras, kind)
        try:
            rules = replace(self.rules, num_episodes=self.cfg.num_appearance_episodes)
            evaluator = Evaluator(env, build_policy(self.cfg, env, checkpoint), rules, self.disturbances)
            with ProgressBar(f"{checkpoint.name}, {kind}", self.cfg.progress, unit="episodes") as bar:
                evaluator.run(lambda now: self._show(bar, now, stop))
            result = evaluator.result(checkpoint)
        finally:
            close_pictures(env)
        if not result.num_episodes:  # Stopped before an episode has ended.
            return
        self.looks.append(LookResult(kind, result))
        log.info("Success rate of %s, appearance %s: %s of %s", checkpoint.name, kind, result.success,
                 counted(result.num_episodes, "episode"))  # fmt: skip

    @staticmethod
    def _show(bar: ProgressBar, progress: EvaluationProgress, stop: StopRequest) -> bool:
        bar.update(progress.num_ended, progress.num_episodes, progress.figures, progress.share)
        return stop.requested

    def _draw_plot_and_videos(self) -> None:
        """Draw the plot and the videos; failures are logged as warnings."""
        try:
            plot_success(self.results, self.folder.plot, self._title())
            log.info("Saved the plot of success rates to %s", self.folder.plot)
        except MimicError as error:
            log.warning("%s was not drawn: %s", self.folder.plot, error)
        of_successes = self._with_videos_of_successes()
        for name, history in self.histories.items():
            for success in (True, False) if name in of_successes else (False,):
                self._draw_video(self.folder.video(name, success), history, success)
            self._draw_seen(self.folder.seen(name), history)

    def _with_videos_of_successes(self) -> set[str]:
        """Names of the checkpoints whose successes are drawn (`video_of`); failures are drawn of every checkpoint."""
        chosen = {"best": [best_of(self.results)], "last": self.results[-1:], "all": self.results}[self.cfg.video_of]
        return {result.checkpoint.name for result in chosen}

    def _draw_video(self, path: Path, history: History, success: bool) -> None:
        from isaaclab_mimic_ext.envs.playback import write_states_video

        demos, task = history.demos(success), load_task(self.cfg.task.name, self.cfg.robot, self.cfg.objects)
        if not demos:
            return
        log.info("Rendering %s (%s); video=false skips this", path.name, counted(len(demos), "episode"))
        try:
            write_states_video(demos, path, task, overwrite=True, captions=history.captions(success))
            log.info("Saved a video of %s to %s", counted(len(demos), "episode"), path)
        except MimicError as error:
            log.warning("%s was not drawn: %s", path, error)

    def _draw_seen(self, path: Path, history: History) -> None:
        """Draw what the policy saw in its failures, if it sees; an error is logged as a warning."""
        try:
            with created_folder(path.parent, "output_dir", kind=OutputError):
                if write_seen(self.env, history, path):
                    log.info("Saved what the policy saw in its failures to %s", path)
        except MimicError as error:
            log.warning("%s was not drawn: %s", path, error)

    def _title(self) -> str:
        return f"{self.cfg.task.name}: {counted(self.rules.num_episodes, 'episode')}, seed {self.rules.seed}"

    def _print_report(self) -> None:
        if self.cfg.json:
            print(json.dumps(self._report(complete=True), indent=2))
        else:
            # A file or pipe has no width of its own.
            console = Console() if sys.stdout.isatty() else Console(width=_FILE_WIDTH)
            console.print(result_table(self.results, self._title()))
            if self.looks:
                console.print(look_table(self.looks, self.results))
        for line in best_of(self.results).advice if self.results else ():
            log.warning(line)
        log.info("Saved the report to %s", self.folder.report)

    def _write(self, complete: bool) -> None:
        write_json(self.folder.report, self._report(complete))

    def _report(self, complete: bool) -> dict[str, Any]:
        cfg = self.cfg
        return {
            "task": cfg.task.name,
            "engine": self.env.env_args().get("engine"),
            "policy": cfg.policy,
            "num_envs": self.env.num_envs,
            **asdict(self.rules),
            "disturbances": {name: getattr(cfg, name) for name in _DISTURBANCE_FIELDS},
            "events": {name: asdict(event) for name, event in scale_events(cfg.events, cfg.randomization_scale).items()},
            "complete": complete,
            "best": best_of(self.results).checkpoint.name if self.results else None,
            "by_epoch": by_epoch(self.results),
            "checkpoints": [result.as_dict() for result in self.results],
            "appearance": [each.as_dict() for each in self.looks],
        }


def _training_of(policy: Policy) -> Training | None:
    """Properties of the training of a policy; None if its checkpoint does not contain them."""
    if not isinstance(policy, CheckpointPolicy) or not policy.facts:
        return None
    return Training(policy.algo_name, policy.config, policy.facts)


def _harder(cfg: EvaluateCfg) -> list[str]:
    """Overrides that make the evaluation harder than the demos."""
    values = {name: getattr(cfg, name) for name in ("observation_noise", "push_probability", "arm_push_probability")}
    scaled = [f"randomization_scale={cfg.randomization_scale:g}"] if cfg.randomization_scale > 1 else []
    return [*scaled, *(f"{name}={value:g}" for name, value in values.items() if value > 0)]

"""Train policies on datasets, with robomimic."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

from isaaclab_mimic_ext.config import TrainCfg
from isaaclab_mimic_ext.config.commands import EvaluationDataGenCfg
from isaaclab_mimic_ext.config.compose import load_task_config
from isaaclab_mimic_ext.config.hydra import LOGS_DIR, dated_dir
from isaaclab_mimic_ext.config.rules import validate
from isaaclab_mimic_ext.config.task import TaskRef
from isaaclab_mimic_ext.datasets.split import split_dataset
from isaaclab_mimic_ext.errors import ConfigError, choices
from isaaclab_mimic_ext.files.dataset_file import installed_versions
from isaaclab_mimic_ext.files.folder import log_file
from isaaclab_mimic_ext.files.stream import read_facts
from isaaclab_mimic_ext.files.writing import write_text
from isaaclab_mimic_ext.learn import agents, data
from isaaclab_mimic_ext.learn.agents import check_changes
from isaaclab_mimic_ext.learn.checkpoint import (
    Affine,
    action_scale,
    action_stats,
    load_checkpoint,
    observation_scale,
    observation_stats,
)
from isaaclab_mimic_ext.learn.policies import CheckpointPolicy, TrainedPolicy, load_policy
from isaaclab_mimic_ext.learn.robomimic import Learner, build_config, version
from isaaclab_mimic_ext.learn.trainer import Metrics, Schedule, Trainer, TrainingReport, checkpoint_bytes
from isaaclab_mimic_ext.learn.training_evaluation import DuringTraining
from isaaclab_mimic_ext.learn.training_folder import TrainFolder, check_same_run, identity_of

log = logging.getLogger(__name__)

Evaluate = Callable[[Callable[[], bool]], float | None]
"""The success rate of the policy as it is now; asks after every step whether to stop, and is None if so."""


@dataclass(frozen=True)
class TrainingHooks:
    """Functions that are called while a policy is trained.

    Attributes:
        on_epoch: called after each epoch with the losses so far.
        should_stop: asked after each epoch, and after each step of an evaluation; True stops the training.
    """

    on_epoch: Callable[[TrainingReport], Any] = lambda report: None
    should_stop: Callable[[], bool] = lambda: False


Monitor = Callable[[int], AbstractContextManager[TrainingHooks]]
"""Takes the number of epochs; entered while a policy is trained: a progress bar, signal handlers."""


def train(
    dataset: str | Path,
    algo: str = "bc",
    *,
    task: str | None = None,
    epochs: int | None = None,
    output_dir: str | Path | None = None,
    seed: int = 1,
    ratio: float = 0.8,
    agent: Mapping[str, Any] | None = None,
    device: str = "cpu",
    resume: bool = False,
    overwrite: bool = False,
    hooks: TrainingHooks | None = None,
    **settings: Any,
) -> CheckpointPolicy:
    """Train a policy on a dataset, with robomimic.

    Args:
        dataset: demonstrations of `generate`; a dataset without a split is split first (`split`).
        algo: an agent of the task, `tasks/<task>/agents/robomimic/<algo>.json`, or the path of such a file.
        task: name of the task; None: the one that the dataset names.
        epochs: None: as many as the agent's settings say.
        output_dir: folder for checkpoints and logs; None: a dated folder below `logs/robomimic/<task>/<algo>/`.
        seed: of the initial parameters and the order of the batches.
        ratio: share of the demos to train on, if the dataset has no split yet; the others are for validation.
        agent: changes to the agent's settings, `{"train": {"batch_size": 256}}`.
        device: `cpu`, `cuda` or `cuda:<index>`.
        resume: continue the training in `output_dir`; in an empty folder a training is started.
        overwrite: replace a training that exists.
        hooks: functions to call after each epoch.
        settings: other fields of `TrainCfg`: `save_every`, `evaluate_every`, `normalize_actions`, ...

    Returns:
        The policy after the last epoch; `policy.path` is its checkpoint.

    Raises:
        UsageError: an argument is wrong; nothing was written.
        DependencyMissing: robomimic is not installed.
    """
    env_args = read_facts(dataset).env_args
    name = task or str(env_args.get("task", env_args.get("env_name", "")))
    folder = dated_dir(LOGS_DIR / "robomimic" / name / Path(algo).stem) if output_dir is None else str(output_dir)
    task_name, task_config = load_task_config(name)
    judged = {field.name: getattr(task_config.datagen_config, field.name) for field in fields(EvaluationDataGenCfg)}
    fixed = {"events": task_config.events, "datagen_config": EvaluationDataGenCfg(**judged), "agent": dict(agent or {})}
    fixed |= {"algo": algo, "dataset": str(dataset), "epochs": epochs, "seed": seed, "device": device}
    fixed |= {"output_dir": folder, "resume": resume, "overwrite": overwrite, "progress": False}
    known = [field.name for field in fields(TrainCfg)]
    if unknown := sorted(set(settings) - set(known)):
        raise ConfigError(f"train: there is no setting '{unknown[0]}'; {choices(unknown[0], known)}")
    cfg = TrainCfg(task=TaskRef(task_name), **{**fixed, **settings})
    validate(cfg)
    if not data.has_split(dataset):
        split_dataset(str(dataset), ratio, seed)
    train_run(cfg, lambda num_epochs: nullcontext(hooks or TrainingHooks()))
    return load_policy(TrainFolder(Path(folder)).last, device)


def train_run(cfg: TrainCfg, monitor: Monitor) -> TrainingReport:
    """Train as configured.

    Args:
        monitor: entered while the policy is trained.

    Raises:
        UsageError: the configuration is wrong; nothing was written.
        MimicError: it failed.
    """
    folder = TrainFolder(Path(cfg.output_dir))
    folder.check(cfg.overwrite, cfg.resume)
    facts = data.read_facts(cfg.dataset)
    data.check_task(facts, cfg.task.name)
    settings = checked_settings(cfg)
    data.check_keys(facts, agents.low_dim_keys(settings, cfg.algo), f"algo: {cfg.algo}")
    torch.set_num_threads(cfg.num_threads or torch.get_num_threads())
    return _Run(cfg, folder, settings, facts, monitor).train()


def checked_settings(cfg: TrainCfg) -> agents.Settings:
    """The agent's settings as the command line changes them.

    Raises:
        ConfigError: there is no such agent, or it cannot be trained with them.
        DependencyMissing: robomimic is not installed.
    """
    settings = agents.changed(agents.load_agent(cfg.task.name, cfg.algo), cfg.agent)
    build_config(settings)
    check_changes(cfg.agent, cfg.epochs)
    return settings


class _Run:
    """One training, from its parts."""

    def __init__(
        self,
        cfg: TrainCfg,
        folder: TrainFolder,
        settings: agents.Settings,
        facts: data.DatasetFacts,
        monitor: Monitor,
    ):
        self.cfg, self.folder, self.facts, self.monitor = cfg, folder, facts, monitor
        self.device = torch.device(cfg.device)
        self.keys = agents.low_dim_keys(settings, cfg.algo)
        self.settings = self._complete(settings)
        torch.manual_seed(cfg.seed)
        self.config = build_config(self.settings)
        train, valid = (data.read_demos(facts.path, facts.masks[mask], self.keys) for mask in data.MASKS)
        self.obs_shapes = {key: tuple(rows.shape[1:]) for key, rows in train.obs.items()}
        normalizes = bool(self.config.train.hdf5_normalize_obs)
        self.obs_scales = {key: observation_scale(rows.numpy()) for key, rows in train.obs.items() if normalizes}
        self.action_scale: Affine = action_scale(train.actions.numpy(), cfg.normalize_actions)
        self.train_batches, self.valid_batches = (self._batches(demos) for demos in (train, valid))
        self.schedule = self._schedule()
        num_steps = self.schedule.steps_per_epoch or self.train_batches.num_in_pass
        self.learner = Learner(self.config, self.obs_shapes, facts.action_dim, self.device, num_steps, self.schedule.epochs)

    def _complete(self, settings: agents.Settings) -> agents.Settings:
        """The agent's settings with what the command line says, so that the checkpoint tells the whole."""
        cfg = self.cfg
        train: dict[str, Any] = {"data": str(cfg.dataset), "seed": cfg.seed, "cuda": self.device.type == "cuda"}
        if cfg.epochs is not None:
            train["num_epochs"] = cfg.epochs
        experiment: dict[str, Any] = {"save": {"every_n_epochs": cfg.save_every or None}}
        if cfg.full_pass:
            experiment["epoch_every_n_steps"] = None
        return agents.changed(settings, {"train": train, "experiment": experiment})

    def _schedule(self) -> Schedule:
        cfg, config = self.cfg, self.config
        steps = config.experiment.epoch_every_n_steps
        return Schedule(int(config.train.num_epochs), steps, cfg.save_every, cfg.evaluate_every, cfg.seed)

    def _batches(self, demos: data.Demos) -> data.Batches:
        train = self.config.train
        scaled = demos.normalized(self.obs_scales, self.action_scale, self.device)
        return data.Batches(scaled, int(train.batch_size), int(train.seq_length), int(train.frame_stack))

    def train(self) -> TrainingReport:
        identity = identity_of(self.settings, self.cfg, data.content_digest(self.facts.path))
        last = load_checkpoint(self.folder.last) if self.cfg.resume and self.folder.last.exists() else None
        if last is not None:
            check_same_run(last.facts.get("identity", {}), identity, self.folder.path)
        with self._judge() as evaluate:  # What is wrong with it is said before a folder is made.
            if last is None:
                self.folder.clear()
            self.folder.check_room(checkpoint_bytes(self.learner, self.schedule))
            self.folder.create()
            with log_file(self.folder.log):
                return self._train(identity, last, evaluate)

    @contextmanager
    def _judge(self) -> Iterator[Evaluate | None]:
        """What judges the policy during training, if anything is to."""
        if not self.cfg.evaluate_every:
            yield None
            return
        judge = DuringTraining(self.cfg, self._policy, self.obs_shapes, self.facts.action_dim)
        try:
            yield judge.success_rate
        finally:
            judge.close()

    def _train(self, identity: dict[str, Any], last: Any, evaluate: Evaluate | None) -> TrainingReport:
        cfg, folder = self.cfg, self.folder
        write_text(folder.config, OmegaConf.to_yaml(OmegaConf.create(asdict(cfg))))
        write_text(folder.robomimic_config, str(self.config.dump()) + "\n")
        with self.monitor(self.schedule.epochs) as hooks:
            trainer = Trainer(
                self.learner, self.train_batches, self.valid_batches, self.schedule, folder,
                self._content(), self._facts(identity),
                None if evaluate is None else partial(evaluate, hooks.should_stop),
            )  # fmt: skip
            if last is not None:
                trainer.restore(last)
                log.info("Resuming after epoch %d", trainer.epoch)
            log.info(
                "Training %s on %d demos (%d steps) of %s, %d more to validate; robomimic %s, %s", cfg.algo,
                len(self.facts.masks["train"]), len(self.train_batches.demos), cfg.dataset, len(self.facts.masks["valid"]),
                version(), self.device,
            )  # fmt: skip
            report = self._loop(trainer, hooks)
        if not hooks.should_stop():
            log.info(
                "Trained %d epochs in %.0f s: loss %.5f, on validation demos %.5f; checkpoints in %s",
                report.epoch, report.seconds, report.train_loss, report.valid_loss, folder.models,
            )  # fmt: skip
        return report

    def _loop(self, trainer: Trainer, hooks: TrainingHooks) -> TrainingReport:
        def on_epoch(report: TrainingReport) -> bool:
            hooks.on_epoch(report)
            return hooks.should_stop()

        with Metrics(self.folder.metrics, self.folder.tensorboard, trainer.epoch) as metrics:
            return trainer.run(metrics, on_epoch)

    def _policy(self) -> TrainedPolicy:
        """The policy as it is now."""
        return TrainedPolicy(self.learner, self.obs_shapes, self.obs_scales, self.action_scale, self.device)

    def _content(self) -> dict[str, Any]:
        """What a checkpoint of this run holds beside the parameters."""
        content: dict[str, Any] = {
            "algo_name": self.config.algo_name,
            "config": self.config.dump(),
            "env_metadata": self.facts.env_args,
            "shape_metadata": {
                "ac_dim": self.facts.action_dim,
                "all_shapes": {key: list(shape) for key, shape in self.obs_shapes.items()},
                "all_obs_keys": list(self.keys),
                "use_images": False,
                "use_depths": False,
            },
            "action_normalization_stats": action_stats(self.action_scale),
        }
        if self.obs_scales:
            content["obs_normalization_stats"] = observation_stats(self.obs_scales)
        return content

    def _facts(self, identity: dict[str, Any]) -> dict[str, Any]:
        return {
            "task": self.cfg.task.name,
            "dataset": str(self.cfg.dataset),
            "dataset_digest": identity["dataset"],
            "num_train_demos": len(self.facts.masks["train"]),
            "seed": self.cfg.seed,
            "identity": identity,
            "versions": {**installed_versions(), "robomimic": version()},
        }

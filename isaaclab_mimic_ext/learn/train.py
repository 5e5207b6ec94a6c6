"""Train policies on datasets, with robomimic."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from omegaconf import OmegaConf

from isaaclab_mimic_ext.command_lines import as_comment
from isaaclab_mimic_ext.config import TrainCfg
from isaaclab_mimic_ext.config.compose import load_task_config
from isaaclab_mimic_ext.config.deprecated import renamed_arguments
from isaaclab_mimic_ext.config.hydra import LOGS_DIR, dated_dir
from isaaclab_mimic_ext.config.learning_commands import EvaluationDataGenCfg
from isaaclab_mimic_ext.config.recorded_task import own_dirs, own_preset, recorded_preset
from isaaclab_mimic_ext.config.rules import validate
from isaaclab_mimic_ext.config.task import TaskRef
from isaaclab_mimic_ext.datasets.split import split_dataset
from isaaclab_mimic_ext.errors import ConfigError, choices
from isaaclab_mimic_ext.files.dataset_file import installed_versions
from isaaclab_mimic_ext.files.demo import has_limits
from isaaclab_mimic_ext.files.folder import log_file
from isaaclab_mimic_ext.files.stream import read_facts
from isaaclab_mimic_ext.files.writing import write_text
from isaaclab_mimic_ext.learn import agents, data
from isaaclab_mimic_ext.learn.checkpoint import (
    Affine,
    action_scale,
    action_stats,
    load_checkpoint,
    observation_scale,
    observation_stats,
)
from isaaclab_mimic_ext.learn.picture_rows import check_has_pictures
from isaaclab_mimic_ext.learn.policies import CheckpointPolicy, TrainedPolicy, load_policy
from isaaclab_mimic_ext.learn.policy_cameras import policy_cameras
from isaaclab_mimic_ext.learn.robomimic import Learner, build_config, version
from isaaclab_mimic_ext.learn.task_shapes import check_shapes
from isaaclab_mimic_ext.learn.trainer import Metrics, Schedule, Trainer, TrainingReport, checkpoint_bytes
from isaaclab_mimic_ext.learn.training_data import Memory, examine_training_data, pause_warning
from isaaclab_mimic_ext.learn.training_evaluation import TrainingEvaluation
from isaaclab_mimic_ext.learn.training_folder import TrainFolder, check_same_run, identity_of
from isaaclab_mimic_ext.texts import counted

log = logging.getLogger(__name__)

Evaluate = Callable[[Callable[[], bool]], float | None]
"""Evaluates the current policy; returns its success rate, or None if its argument, called after each step, returned True."""


@dataclass(frozen=True)
class TrainingHooks:
    """Functions that are called while a policy is trained.

    Attributes:
        on_epoch: called after each epoch with the latest losses.
        should_stop: called after each epoch and after each step of an evaluation; if it returns True, the training stops.
    """

    on_epoch: Callable[[TrainingReport], Any] = lambda report: None
    should_stop: Callable[[], bool] = lambda: False


Monitor = Callable[[int], AbstractContextManager[TrainingHooks]]
"""Builds a context for a number of epochs, in which the policy is trained: with a progress bar and signal handlers."""


@renamed_arguments(dataset="input_file")
def train(
    input_file: str | Path,
    algo: str = "bc_chunk",
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
    progress: bool = False,
    hooks: TrainingHooks | None = None,
    **settings: Any,
) -> CheckpointPolicy:
    """Train a policy on a dataset, with robomimic.

    Args:
        input_file: HDF5 file of generated demos. If it has no masks `train` and `valid`, it is split first, in place.
        algo: name of an agent of the task (`tasks/<task>/agents/robomimic/<algo>.json`), or path of a .json file.
        task: name of the task; None: the task named in the dataset.
        epochs: number of epochs; None: from the settings of the agent.
        output_dir: folder for checkpoints and logs; None: a dated folder below `logs/robomimic/<task>/<algo>/`.
        seed: seed for the initial parameters and the order of batches.
        ratio: fraction of demos for training if the dataset is split first; the others are for validation.
        agent: overrides of the agent's settings, e.g. `{"train": {"batch_size": 256}}`.
        device: `cpu`, `cuda` or `cuda:<index>`.
        resume: resume the training in `output_dir`; start a new one if the folder is empty.
        overwrite: replace an existing training.
        progress: show a progress bar; without a terminal, a line in the log every 20 s.
        hooks: functions to call during the training.
        settings: other fields of `TrainCfg`: `save_every`, `evaluate_every`, `normalize_actions`, ...

    Returns:
        The policy after the last epoch; `policy.path` is its checkpoint.

    Raises:
        UsageError: an argument is wrong; no training has been started.
        DependencyMissing: robomimic is not installed.
    """
    name = task or _task_of(input_file)
    folder = dated_dir(LOGS_DIR / "robomimic" / name / Path(algo).stem) if output_dir is None else str(output_dir)
    arguments: dict[str, Any] = {
        "algo": algo,
        "input_file": str(input_file),
        "epochs": epochs,
        "seed": seed,
        "device": device,
    }
    arguments |= {"output_dir": folder, "resume": resume, "overwrite": overwrite, "progress": progress}
    cfg = _build_cfg(name, {**arguments, "agent": dict(agent or {}), **settings})
    # The input file changes only if the training can start.
    TrainFolder(Path(folder)).check(overwrite, resume)
    load_settings(cfg, data.read_shapes(input_file), read_facts(input_file).env_args)
    if not data.has_split(input_file):
        split_dataset(str(input_file), ratio, seed)
    train_run(cfg, lambda num_epochs: progress_bar(num_epochs, progress, hooks or TrainingHooks()))
    return load_policy(TrainFolder(Path(folder)).last, device)


def _task_of(input_file: str | Path) -> str:
    """Name or preset of the task that a dataset was recorded for; empty if it names none."""
    env_args = read_facts(input_file).env_args
    return recorded_preset(env_args) or str(env_args.get("task", env_args.get("env_name", "")))


def _build_cfg(task: str, arguments: Mapping[str, Any]) -> TrainCfg:
    """Build the configuration of a training from fields of `TrainCfg`, with the events and the success rule of the task.

    Raises:
        ConfigError: a field does not exist, or a value is wrong.
    """
    known = [field.name for field in fields(TrainCfg)]
    if unknown := sorted(set(arguments) - set(known)):
        raise ConfigError(f"train: '{unknown[0]}' is not a field of TrainCfg; {choices(unknown[0], known)}")
    task_name, task_config = load_task_config(task)
    success_rule = {field.name: getattr(task_config.datagen_config, field.name) for field in fields(EvaluationDataGenCfg)}
    own: dict[str, Any] = {"events": task_config.events, "datagen_config": EvaluationDataGenCfg(**success_rule)}
    cfg = TrainCfg(task=TaskRef(task_name, preset=task), **{**own, **arguments})
    validate(cfg)
    return cfg


@contextmanager
def progress_bar(num_epochs: int, is_shown: bool, hooks: TrainingHooks) -> Iterator[TrainingHooks]:
    """Monitor of a training that shows a progress bar, and otherwise calls `hooks`."""
    from isaaclab_mimic_ext.progress import ProgressBar

    with ProgressBar("training", is_shown, unit="epochs", log_period=20.0) as bar:

        def on_epoch(report: TrainingReport) -> None:
            bar.update(report.epoch, num_epochs, report.figures, report.share)
            hooks.on_epoch(report)

        yield TrainingHooks(on_epoch, hooks.should_stop)


def train_run(cfg: TrainCfg, monitor: Monitor) -> TrainingReport:
    """Train a policy as configured.

    Args:
        monitor: builds the context in which the policy is trained.

    Raises:
        UsageError: the configuration is wrong; no file has been written.
        MimicError: the training failed.
    """
    folder = TrainFolder(Path(cfg.output_dir))
    folder.check(cfg.overwrite, cfg.resume)
    facts = data.read_facts(cfg.input_file, cfg.demos)
    data.check_task(facts, cfg.task.name)
    settings = load_settings(cfg, facts.obs_shapes, facts.env_args)
    cfg = replace(
        cfg,
        action_key=data.choose_action_key(facts.path, cfg.action_key, settings["algo_name"] in agents.CHUNK_ALGORITHMS),
        normalize_actions=cfg.normalize_actions or ("none" if settings["algo_name"] == agents.IMAGES else "min_max"),
    )
    keys, pictures = agents.low_dim_keys(settings, cfg.algo), agents.picture_keys(settings)
    check_has_pictures(facts, settings, pictures)
    # Refuse pictures of several sizes before the training: no env draws them.
    policy_cameras({key: facts.obs_shapes[key] for key in pictures}, facts.env_args, f"input_file: {facts.path}")
    data.check_keys(facts, [*keys, *pictures], f"algo: {cfg.algo}")
    check_shapes(facts, keys, cfg.task.name)
    torch.set_num_threads(cfg.num_threads or torch.get_num_threads())
    return _Training(cfg, folder, settings, facts, monitor).run()


def load_settings(
    cfg: TrainCfg, observations: Mapping[str, Sequence[int]], env_args: Mapping[str, Any] = MappingProxyType({})
) -> agents.Settings:
    """Load the settings of the agent, apply the overrides `cfg.agent`, and check the result.

    Args:
        observations: names of the observations in the dataset -> shape of one step.
        env_args: metadata of the env that recorded the dataset.

    Raises:
        ConfigError: the agent is not found, or cannot be trained with these settings.
        DependencyMissing: robomimic is not installed.
    """
    if cfg.algo == agents.CHUNKED and not agents.has_agent(cfg.task.name, cfg.algo):
        agent = agents.default_agent(observations)
        if left_out := agents.not_vectors(observations):
            log.warning("Training does not use %s, which are not vectors", ", ".join(left_out))
    elif cfg.algo == agents.IMAGES and not agents.has_agent(cfg.task.name, cfg.algo):
        agent = agents.default_image_agent(observations, env_args)
    elif cfg.algo == agents.ACT and not agents.has_agent(cfg.task.name, cfg.algo):
        raise ConfigError("algo: act is trained by lerobot, only by the command `mimic train`; use another algo")
    else:
        agent = agents.load_agent(cfg.task.name, cfg.algo)
    settings = agents.override_settings(agent, cfg.agent)
    build_config(settings)
    agents.check_overrides(cfg.agent, cfg.epochs)
    return settings


class _Training:
    """Builds the parts of one training, and runs it."""

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
        vectors, pictures = agents.low_dim_keys(settings, cfg.algo), agents.picture_keys(settings)
        self.keys = sorted([*vectors, *pictures])
        self.settings = self._add_fields(settings)
        torch.manual_seed(cfg.seed)
        self.config = build_config(self.settings)
        train, valid = (
            data.read_demos(
                facts.path, facts.masks[mask], vectors, cfg.action_key or "actions", has_limits(facts.env_args), pictures
            )
            for mask in data.MASKS
        )
        self.data = examine_training_data(facts.path, cfg.task.name, facts.masks["train"])
        self.obs_shapes = {key: tuple(rows.shape[1:]) for key, rows in train.obs.items()}
        normalizes = bool(self.config.train.hdf5_normalize_obs)
        self.obs_scales = {
            key: observation_scale(rows.numpy()) for key, rows in train.obs.items() if normalizes and key in vectors
        }
        self.action_scale: Affine = action_scale(train.actions.numpy(), cfg.normalize_actions or "min_max")
        self.train_batches, self.valid_batches = (self._batches(demos) for demos in (train, valid))
        self.schedule = self._schedule()
        num_steps = self.schedule.steps_per_epoch or self.train_batches.num_per_pass
        self.learner = Learner(self.config, self.obs_shapes, facts.action_dim, self.device, num_steps, self.schedule.epochs)

    def _add_fields(self, settings: agents.Settings) -> agents.Settings:
        """Add fields of the command line to the settings, so that the configuration in checkpoints is complete."""
        cfg = self.cfg
        train: dict[str, Any] = {"data": str(cfg.input_file), "seed": cfg.seed, "cuda": self.device.type == "cuda"}
        if cfg.epochs is not None:
            train["num_epochs"] = cfg.epochs
        experiment: dict[str, Any] = {"save": {"every_n_epochs": cfg.save_every or None}}
        if cfg.full_pass:
            experiment["epoch_every_n_steps"] = None
        settings = agents.override_settings(settings, {"train": train, "experiment": experiment})
        return agents.override_settings(settings, agents.linear_schedules_to_end(build_config(settings)))

    def _schedule(self) -> Schedule:
        cfg, config = self.cfg, self.config
        steps = config.experiment.epoch_every_n_steps
        return Schedule(int(config.train.num_epochs), steps, cfg.save_every, cfg.evaluate_every, cfg.seed)

    def _batches(self, demos: data.Demos) -> data.Batches:
        train = self.config.train
        scaled = demos.normalized(self.obs_scales, self.action_scale, self.device)
        observes_chunk = self.config.algo_name not in agents.CHUNK_ALGORITHMS
        return data.Batches(scaled, int(train.batch_size), int(train.seq_length), int(train.frame_stack), observes_chunk)

    def run(self) -> TrainingReport:
        identity = identity_of(self.settings, self.cfg, data.content_digest(self.facts.path))
        last = load_checkpoint(self.folder.last) if self.cfg.resume and self.folder.last.exists() else None
        if last is not None:
            check_same_run(last.facts.get("identity", {}), identity, self.folder.path)
        # Build the env of evaluations first: its errors must precede the first file.
        with self._evaluation() as evaluate:
            if last is None:
                self.folder.clear()
            self.folder.check_room(checkpoint_bytes(self.learner, self.schedule))
            with self.folder.created(self._has_checkpoint), log_file(self.folder.log):
                return self._train(identity, last, evaluate)

    def _has_checkpoint(self) -> bool:
        return any(self.folder.models.glob("*.pth"))

    @contextmanager
    def _evaluation(self) -> Iterator[Evaluate | None]:
        """Function that evaluates the current policy; None if no evaluation is configured."""
        if not self.cfg.evaluate_every:
            yield None
            return
        cameras = policy_cameras(self.obs_shapes, self.facts.env_args, f"input_file: {self.facts.path}")
        evaluation = TrainingEvaluation(self.cfg, self._policy, self.obs_shapes, self.facts.action_dim, cameras)
        try:
            yield evaluation.success_rate
        finally:
            evaluation.close()

    def _train(self, identity: dict[str, Any], last: Any, evaluate: Evaluate | None) -> TrainingReport:
        cfg, folder = self.cfg, self.folder
        write_text(folder.config, as_comment("train") + OmegaConf.to_yaml(OmegaConf.create(asdict(cfg))))
        write_text(folder.robomimic_config, str(self.config.dump()) + "\n")
        with self.monitor(self.schedule.epochs) as hooks:
            trainer = Trainer(
                self.learner, self.train_batches, self.valid_batches, self.schedule, folder,
                self._content(), self._facts(identity),
                None if evaluate is None else partial(evaluate, hooks.should_stop),
            )  # fmt: skip
            if last is not None:
                trainer.restore(last)
                log.info("Resuming %s after epoch %d of %d", folder.path, trainer.epoch, self.schedule.epochs)
            log.info(
                "Training %s on %s of %s (%d steps) in %s; %s for validation; robomimic %s; device %s", cfg.algo,
                cfg.action_key, counted(len(self.facts.masks["train"]), "demo"), len(self.train_batches.demos),
                cfg.input_file, counted(len(self.facts.masks["valid"]), "demo"),
                version(), self.device,
            )  # fmt: skip
            if warning := pause_warning(cfg.algo, Memory.of(self.config.algo_name, self.config), self.data):
                log.warning(warning)
            report = self._run_trainer(trainer, hooks)
        if report.is_complete:
            log.info(
                "Trained %s in %.0f s: training loss %.5f, validation loss %.5f; checkpoints in %s",
                counted(report.epoch, "epoch"), report.seconds, report.train_loss, report.valid_loss, folder.models,
            )  # fmt: skip
        return report

    def _run_trainer(self, trainer: Trainer, hooks: TrainingHooks) -> TrainingReport:
        def on_epoch(report: TrainingReport) -> bool:
            hooks.on_epoch(report)
            return hooks.should_stop()

        with Metrics(self.folder.metrics, self.folder.tensorboard, trainer.epoch) as metrics:
            return trainer.run(metrics, on_epoch)

    def _policy(self) -> TrainedPolicy:
        """Policy with the current parameters."""
        return TrainedPolicy(self.learner, self.obs_shapes, self.obs_scales, self.action_scale, self.device)

    def _content(self) -> dict[str, Any]:
        """Contents of the checkpoints in addition to the parameters, in robomimic's layout."""
        content: dict[str, Any] = {
            "algo_name": self.config.algo_name,
            "config": self.config.dump(),
            "env_metadata": self.facts.env_args,
            "shape_metadata": {
                "ac_dim": self.facts.action_dim,
                "all_shapes": {key: list(shape) for key, shape in self.obs_shapes.items()},
                "all_obs_keys": list(self.keys),
                "use_images": bool(agents.picture_keys(self.settings)),
                "use_depths": False,
            },
            "action_normalization_stats": action_stats(self.action_scale),
        }
        if self.obs_scales:
            content["obs_normalization_stats"] = observation_stats(self.obs_scales)
        return content

    def _facts(self, identity: dict[str, Any]) -> dict[str, Any]:
        """Metadata in the checkpoints."""
        return {
            "task": self.cfg.task.name,
            **own_dirs(self.cfg.task.name),
            **own_preset(self.cfg.task.name, self.cfg.task.preset),
            "dataset": str(self.cfg.input_file),
            "dataset_digest": identity["dataset"],
            "num_train_demos": len(self.facts.masks["train"]),
            "action_key": self.cfg.action_key,
            "data": self.data.as_facts(),
            "seed": self.cfg.seed,
            "identity": identity,
            "versions": {**installed_versions(), "robomimic": version()},
        }

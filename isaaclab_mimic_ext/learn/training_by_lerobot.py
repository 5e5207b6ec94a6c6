"""`algo=act`: LeRobot trains ACT on a dataset of this project, which is exported to LeRobot's format first."""

import json
import logging
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from isaaclab_mimic_ext.command_lines import as_comment
from isaaclab_mimic_ext.config import TrainCfg
from isaaclab_mimic_ext.datasets.convert.lerobot import export_lerobot
from isaaclab_mimic_ext.datasets.convert.lerobot_features import LeRobotOptions
from isaaclab_mimic_ext.datasets.convert.lerobot_writer import lerobot_dataset
from isaaclab_mimic_ext.errors import ConfigError, MimicError, choices
from isaaclab_mimic_ext.files.folder import OutputFile, OutputFolder
from isaaclab_mimic_ext.files.writing import write_text
from isaaclab_mimic_ext.learn import data
from isaaclab_mimic_ext.learn.agents import has_agent, is_picture, load_agent, low_dim_keys
from isaaclab_mimic_ext.task.robot import is_robot_observation
from isaaclab_mimic_ext.texts import counted

log = logging.getLogger(__name__)

STEPS_PER_EPOCH = 100
_EPOCHS = 50
_POLL = 0.5
"""Time between two checks for a signal [s]."""
_BATCH_SIZE = "batch_size"
_NORMALIZED = ("VISUAL", "STATE", "ENV", "ACTION")
"""Kinds of features that are normalized. LeRobot's default leaves out `ENV`, the poses of objects."""
_DEFAULTS = {
    _BATCH_SIZE: 64, "chunk_size": 16, "n_action_steps": 8, "dim_model": 128, "n_heads": 4, "dim_feedforward": 512,
    "use_vae": False, "pretrained_backbone_weights": None, "optimizer_lr": 3e-4,
}  # fmt: skip
"""Settings that differ from LeRobot's: a policy of 1.1 million parameters without pictures."""
_LIKE = "bc"
"""Agent of a task whose observations ACT uses, too."""
_KEYS = ("state_keys", "environment_keys")
"""Settings that select the observations of the policy."""
_WITHOUT_EFFECT = ("full_pass", "normalize_actions", "evaluate_every", "resume")
"""Fields of a training that LeRobot's does not have."""


class ActFolder(OutputFolder):
    """Output folder of a training by LeRobot."""

    content = "a training run"

    dataset = OutputFile("dataset")
    training = OutputFile("training")
    config = OutputFile("train.yaml")
    log = OutputFile("log.txt")


def train_act(cfg: TrainCfg, should_stop: Callable[[], bool] = lambda: False) -> Path | None:
    """Train ACT with `lerobot-train` on the demos of `mask/train`.

    Args:
        should_stop: called twice per second; if it returns True, the training ends.

    Returns:
        The folder of its checkpoints, for `mimic evaluate policy=lerobot`; None if it was stopped.

    Raises:
        ConfigError: a field or setting has no effect on LeRobot's training.
        DependencyMissing: lerobot cannot be imported.
        SourceDataError: the dataset is damaged, or belongs to a different task.
        MimicError: LeRobot's training failed.
    """
    _check_fields(cfg)
    lerobot_dataset("algo: act")
    settings = _settings(cfg.agent)
    folder = ActFolder(Path(cfg.output_dir))
    folder.check(cfg.overwrite)
    facts = data.read_facts(cfg.input_file, cfg.demos)
    data.check_task(facts, cfg.task.name)
    folder.clear()
    with folder.created(folder.log.exists):  # The error of a failed training names its log.
        write_text(folder.config, as_comment("train") + OmegaConf.to_yaml(OmegaConf.create(asdict(cfg))))
        options = _options(cfg, facts, settings)
        exported = export_lerobot(cfg.input_file, folder.dataset, options, demos=list(facts.masks["train"]))
        arguments = _arguments(cfg, folder, settings)
        log.info(
            "Training act on %s (%d steps) of %s with lerobot; its output is in %s", counted(exported.num_episodes, "demo"),
            exported.num_frames, cfg.input_file, folder.log,
        )  # fmt: skip
        return folder.training if _run(arguments, folder.log, should_stop) else None


def _check_fields(cfg: TrainCfg) -> None:
    for name in _WITHOUT_EFFECT:
        if getattr(cfg, name):
            raise ConfigError(
                f"{name}: has no effect with algo=act, which lerobot trains (got {getattr(cfg, name)}); omit it"
            )


def _settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of LeRobot's policy and of the batches, with those of the user."""
    from lerobot.configs.policies import PreTrainedConfig
    from lerobot.policies.act.configuration_act import ACTConfig

    own, common = ({each.name for each in fields(config)} for config in (ACTConfig, PreTrainedConfig))
    # The others follow from the dataset and from fields of the command.
    known = sorted({_BATCH_SIZE, *_KEYS} | own - common)
    for name, value in given.items():
        if name not in known:
            raise ConfigError(f"agent.{name}: is not a setting of lerobot's ACT (got {value}); {choices(name, known)}")
        if name in _KEYS and (isinstance(value, str) or not isinstance(value, Sequence)):
            raise ConfigError(f"agent.{name}: must be a list of observations, e.g. [eef_pos,gripper_pos] (got {value})")
    return {**_DEFAULTS, **given}


def _options(cfg: TrainCfg, facts: data.DatasetFacts, settings: Mapping[str, Any]) -> LeRobotOptions:
    """Options of the export: the given observations, otherwise without pictures those of the task's agent `bc`."""
    state, environment = (tuple(keys) if (keys := settings.get(name)) is not None else None for name in _KEYS)
    if state is None and environment is None and (keys := _vectors_of_task(cfg.task.name, facts)):
        log.info("The policy observes what the task's agent '%s' observes: %s", _LIKE, ", ".join(keys))
        state = tuple(key for key in keys if is_robot_observation(key, facts.env_args)) or tuple(keys)
        environment = tuple(key for key in keys if key not in state)
    return LeRobotOptions(videos=False, action_key=cfg.action_key, state_keys=state, environment_keys=environment)


def _vectors_of_task(task_name: str, facts: data.DatasetFacts) -> list[str]:
    """Observations of the task's agent `bc`; empty without this agent, with pictures, or if the dataset lacks one."""
    if any(map(is_picture, facts.obs_shapes.values())) or not has_agent(task_name, _LIKE):
        return []
    keys = low_dim_keys(load_agent(task_name, _LIKE), _LIKE)
    return keys if set(keys) <= set(facts.obs_shapes) else []


def _arguments(cfg: TrainCfg, folder: ActFolder, settings: Mapping[str, Any]) -> list[str]:
    """Command line of LeRobot's training."""
    num_steps = (cfg.epochs or _EPOCHS) * STEPS_PER_EPOCH
    normalization = dict.fromkeys(_NORMALIZED, "MEAN_STD")
    policy = {"type": "act", "device": cfg.device, "push_to_hub": False, "normalization_mapping": normalization, **settings}
    batch_size = policy.pop(_BATCH_SIZE)
    policy = {name: value for name, value in policy.items() if name not in _KEYS}
    values = {
        "dataset.repo_id": "local/dataset", "dataset.root": folder.dataset.resolve(),
        "output_dir": folder.training.resolve(),
        "steps": num_steps, "save_freq": cfg.save_every * STEPS_PER_EPOCH or num_steps, "log_freq": STEPS_PER_EPOCH,
        "batch_size": batch_size, "num_workers": 0, "seed": cfg.seed, "wandb.enable": False,
        **{f"policy.{name}": value for name, value in policy.items()},
    }  # fmt: skip
    return [f"--{name}={_text(value)}" for name, value in values.items()]


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return json.dumps(value)
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _run(arguments: Sequence[str], log_path: Path, should_stop: Callable[[], bool]) -> bool:
    """Run `lerobot-train` in a separate process; return False if it was stopped.

    Raises:
        MimicError: it failed; the message contains its last line.
    """
    # A separate session: otherwise Ctrl-C would reach the process, too.
    command = [sys.executable, "-m", "lerobot.scripts.lerobot_train", *arguments]
    with log_path.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        while process.poll() is None:
            try:
                process.wait(timeout=_POLL)
            except subprocess.TimeoutExpired:
                if should_stop():
                    return False
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
    if process.returncode:
        lines = log_path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        last = lines[-1].strip() if lines else "it printed nothing"
        raise MimicError(f"algo: act: lerobot's training failed: {last[:300]} (complete log: {log_path})")
    return True

"""What the values of a training's configuration may be."""

from pathlib import Path

from isaaclab_mimic_ext.config.training import TrainCfg
from isaaclab_mimic_ext.errors import ConfigError, choices

ACTION_SCALES = ("min_max", "none")
_AT_LEAST = {"save_every": 0, "evaluate_every": 0, "num_eval_episodes": 1, "num_eval_envs": 1, "num_threads": 0}
_MOST_SEEDS = 2**32


def validate_training(cfg: TrainCfg) -> None:
    """Check what only this script has.

    Raises:
        ConfigError: a value is out of range, or unknown.
    """
    for name, lowest in _AT_LEAST.items():
        if getattr(cfg, name) < lowest:
            raise ConfigError(f"{name}: {getattr(cfg, name)} is out of range; give {lowest} or more")
    if cfg.epochs is not None and cfg.epochs < 1:
        raise ConfigError(f"epochs: {cfg.epochs} is out of range; give 1 or more, null takes the agent's")
    if not 0 <= cfg.seed < _MOST_SEEDS:
        raise ConfigError(f"seed: {cfg.seed} is out of range; give a number from 0 to 2**32 - 1")
    if cfg.normalize_actions not in ACTION_SCALES:
        raise ConfigError(
            f"normalize_actions: '{cfg.normalize_actions}' is unknown; {choices(cfg.normalize_actions, ACTION_SCALES)}"
        )
    if cfg.resume and cfg.overwrite:
        raise ConfigError("resume, overwrite: both are true; go on with the run, or replace it")
    if not cfg.dataset or Path(cfg.dataset).is_dir():
        raise ConfigError(f"dataset: '{cfg.dataset}' is no file; give the path of a dataset, e.g. datasets/run/demo.hdf5")
    if not cfg.output_dir:
        raise ConfigError("output_dir: '' is no folder; give the path of one, e.g. logs/robomimic/mine")

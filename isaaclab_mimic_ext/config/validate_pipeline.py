"""What the values of a pipeline's configuration may be."""

from isaaclab_mimic_ext.config.pipeline import PipelineCfg
from isaaclab_mimic_ext.config.require import require_at_least
from isaaclab_mimic_ext.errors import ConfigError

_COUNTS = ("num_sources", "num_demos", "epochs", "num_episodes", "num_envs")


def validate_pipeline(cfg: PipelineCfg) -> None:
    """Check what only this script has.

    Raises:
        ConfigError: a value is out of range.
    """
    for name in _COUNTS:
        require_at_least(name, getattr(cfg, name), 1)
    if not cfg.seeds:
        raise ConfigError("seeds: the list is empty, so that nothing is trained; give one a training, e.g. seeds=[1,2,3]")
    if len(set(cfg.seeds)) < len(cfg.seeds):
        raise ConfigError(f"seeds: {cfg.seeds} has one twice, which would be the same training again; give each once")
    if not cfg.output_dir:
        raise ConfigError("output_dir: '' is no folder; give the path of one, e.g. datasets/pipeline/mine")

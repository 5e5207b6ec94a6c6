"""A script's configuration without a command line, for benchmarks, notebooks and tests."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import hydra

from isaaclab_mimic_ext.cli import to_typed
from isaaclab_mimic_ext.config import validate
from isaaclab_mimic_ext.config.store import conf_dir, register


def load_config(
    script: str,
    overrides: Sequence[str] = (),
    registered: Mapping[str, Any] | None = None,
    config_dirs: Sequence[Path] = (),
) -> Any:
    """The checked configuration that `scripts/<script>.py <overrides>` would run with.

    Among the overrides must be `output_dir` or `output_file`, whose defaults exist on a command line only.

    Args:
        registered: what `task=isaaclab` starts from (`envs.isaaclab.registered.registered_fields`).
        config_dirs: folders with tasks of one's own.

    Raises:
        ConfigError: a value is wrong. Wrong names and types raise Hydra's and OmegaConf's own errors.
    """
    register([conf_dir(), *config_dirs], registered)
    own = ",".join(f"file://{folder.resolve()}" for folder in config_dirs)
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg = to_typed(hydra.compose(script, [*overrides, *([f"hydra.searchpath=[{own}]"] if own else [])]))
    validate(cfg)
    return cfg

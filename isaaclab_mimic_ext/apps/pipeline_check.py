"""What is wrong with any of a pipeline's steps, found before the first one runs."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from hydra.core.global_hydra import GlobalHydra

from isaaclab_mimic_ext.apps.train import checked_settings
from isaaclab_mimic_ext.cli.arguments import translate
from isaaclab_mimic_ext.cli.compose import load_config
from isaaclab_mimic_ext.cli.messages import explain, is_config_error
from isaaclab_mimic_ext.config import SCRIPT_SCHEMAS, TrainCfg
from isaaclab_mimic_ext.errors import ConfigError, UsageError
from isaaclab_mimic_ext.pipeline.steps import Step
from isaaclab_mimic_ext.task import task_dirs


def check_steps(steps: Sequence[Step]) -> None:
    """Make sure that every step's script takes its command line, and that the agent can be trained.

    Raises:
        UsageError: one does not; names the step.
        DependencyMissing: robomimic is not installed.
    """
    for step in steps:
        try:
            with _hydra_set_aside():
                overrides = translate(list(step.arguments), SCRIPT_SCHEMAS[step.script])
                cfg = load_config(step.script, overrides, config_dirs=task_dirs()[1:])
            if isinstance(cfg, TrainCfg):
                checked_settings(cfg)
        except UsageError as error:
            raise type(error)(f"step '{step.name}': {error}") from error
        except Exception as error:
            if not is_config_error(error):
                raise
            raise ConfigError(f"step '{step.name}': {explain(error)}") from error


@contextmanager
def _hydra_set_aside() -> Iterator[None]:
    """Hydra composes for one script at a time, and the pipeline's own job is under way."""
    shared = GlobalHydra.instance()
    outer = shared.hydra
    shared.clear()
    try:
        yield
    finally:
        shared.hydra = outer

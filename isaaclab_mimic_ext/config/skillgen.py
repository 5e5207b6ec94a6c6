"""What SkillGen and a driving base ask of a configuration."""

import math
from collections.abc import Sequence

from isaaclab_mimic_ext.config.task import MimicEnvCfg
from isaaclab_mimic_ext.errors import ConfigError, TaskSpecError

BODY = "body"
"""The end effector that is a mobile base."""


def check_skillgen(cfg: MimicEnvCfg, signal_names: Sequence[str]) -> None:
    """Refuse subtasks that cannot be skills, where `use_skillgen` says that they are.

    Args:
        signal_names: those of the task.

    Raises:
        ConfigError: ways would have no steps.
        TaskSpecError: it names the subtask, the value and the remedy.
    """
    if cfg.datagen_config.transit_ramp_steps < 1:
        steps = cfg.datagen_config.transit_ramp_steps
        raise ConfigError(f"datagen_config.transit_ramp_steps: {steps} is out of range; give 1 or more steps")
    if not cfg.datagen_config.use_skillgen:
        return
    for eef_name, subtasks in cfg.subtask_configs.items():
        for index, subtask in enumerate(subtasks):
            place = f"subtask_configs.{eef_name}.{index}"
            if subtask.subtask_term_signal is None:
                raise TaskSpecError(
                    f"{place}: no subtask_term_signal; with use_skillgen every subtask needs one, the last too: it names "
                    f"the start signal; choices: {', '.join(signal_names)}"
                )
            if any(subtask.first_subtask_start_offset_range):
                raise TaskSpecError(
                    f"{place}: first_subtask_start_offset_range {list(subtask.first_subtask_start_offset_range)} has no "
                    "meaning with use_skillgen, whose skills start at their start signals; give subtask_start_offset_range"
                )


def check_navigation(cfg: MimicEnvCfg) -> None:
    """Refuse to wait for a base that no subtask moves.

    Raises:
        ConfigError: there is no end effector `body`, or the time to wait is none.
    """
    config = cfg.datagen_config
    if not 0 <= config.max_navigation_wait_steps < math.inf:
        steps = config.max_navigation_wait_steps
        raise ConfigError(f"datagen_config.max_navigation_wait_steps: {steps} is out of range; give 0 or more steps")
    if config.use_navigation_controller and BODY not in cfg.subtask_configs:
        raise ConfigError(
            f"datagen_config.use_navigation_controller: true, but there is no end effector '{BODY}' to be driven; end "
            f"effectors: {', '.join(cfg.subtask_configs)}; set it to false, or give '{BODY}' subtasks"
        )

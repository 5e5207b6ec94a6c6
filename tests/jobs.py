"""Run jobs from composed configurations: generation through the library, all other jobs as their command does."""

from typing import Any

from isaaclab_mimic_ext.commands.main import VERBS
from isaaclab_mimic_ext.config import AnnotateDemosCfg, GenerateCfg
from isaaclab_mimic_ext.datasets.annotate import Annotation
from isaaclab_mimic_ext.datasets.annotate_file import annotate_file
from isaaclab_mimic_ext.envs.factory import make_scene
from isaaclab_mimic_ext.errors import BudgetExhausted
from isaaclab_mimic_ext.run.generate import generate_run
from isaaclab_mimic_ext.run.result import RunResult


def run_generation(cfg: GenerateCfg) -> RunResult:
    """Run a generation and return its result.

    Raises:
        BudgetExhausted: a budget ended the run.
    """
    result = generate_run(cfg)
    if not result.target_reached:
        raise BudgetExhausted(result.stop_reason)
    return result


def run_annotation(cfg: AnnotateDemosCfg) -> list[Annotation]:
    """Annotate the demos of a file, replayed three at a time."""
    env = make_scene(cfg, 3)
    try:
        return annotate_file(
            cfg.input_file,
            cfg.output_file,
            env,
            cfg,
            auto=cfg.auto,
            start_signals=cfg.annotate_subtask_start_signals,
            marks_file=cfg.marks_file,
            recorder=cfg.recorder,
            overwrite=cfg.overwrite,
        )
    finally:
        env.close()


def command(verb: str, cfg: Any) -> None:
    """Run `mimic <verb>` in this process."""
    VERBS[verb].run(cfg)

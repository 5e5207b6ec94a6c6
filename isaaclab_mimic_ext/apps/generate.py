"""`scripts/generate.py`: source demonstrations to a dataset."""

import logging
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from isaaclab_mimic_ext.apps.progress import ProgressDisplay
from isaaclab_mimic_ext.apps.signals import StopRequest
from isaaclab_mimic_ext.config import GenerateCfg, SubTaskConfig
from isaaclab_mimic_ext.demos.pool import SourcePool, build_pool
from isaaclab_mimic_ext.demos.source import load_source_demos
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.factory import make_env
from isaaclab_mimic_ext.errors import BudgetExhausted, MimicError, RecorderError, TaskSpecError
from isaaclab_mimic_ext.generate import Generator
from isaaclab_mimic_ext.plan.planner import TrialPlanner
from isaaclab_mimic_ext.plan.subtasks import build_table
from isaaclab_mimic_ext.record.hdf5 import check_output
from isaaclab_mimic_ext.record.recorder import EpisodeRecorder
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.stats import GenerationReport
from isaaclab_mimic_ext.task import load_task

log = logging.getLogger(__name__)


def main(cfg: GenerateCfg) -> GenerationReport:
    """Generate a dataset as configured.

    Raises:
        UsageError: something asked for is wrong; nothing was written.
        BudgetExhausted: too many failures; what succeeded is in the output file.
        Interrupted: a signal ended the run; likewise.
        MimicError: the run failed.
    """
    torch.set_num_threads(1)  # The operations are small; the cores belong to physics and the writer.
    output, failed = _outputs(cfg)
    env = make_env(load_task(cfg.task.name), cfg.sim, cfg.events, cfg.num_envs, torch.device(cfg.device))
    try:
        pool = load_pool(cfg, env)
        generator = build_generator(cfg, env, pool, output, failed)
        report = _run(cfg, generator)
    finally:
        env.close()
    log.info("Saved %d demos to %s", report.num_demos, output)
    if cfg.video_file is not None:
        _write_video(cfg, output, report)
    if report.reason != "interrupted" and not report.target_reached:
        raise BudgetExhausted(f"{report.reason}; {report.num_demos} demos are in {output}")
    return report


def load_pool(cfg: GenerateCfg, env: MimicEnv) -> SourcePool:
    """The source demonstrations of `input_file`, checked against the env and the subtasks.

    Raises:
        SourceDataError: the file is no use for this task.
        TaskSpecError: its boundaries collide under the offsets.
    """
    if len(cfg.subtask_configs) > 1:
        names = ", ".join(cfg.subtask_configs)
        raise TaskSpecError(f"subtask_configs: {names}: several end effectors are not available; configure one")
    subtasks = cfg.subtask_configs
    signals = [name for configs in subtasks.values() for name in _boundary_signals(configs)]
    demos = load_source_demos(
        cfg.input_file, env.eef_names, env.object_names, signals, env.action_dim, env.env_args().get("action")
    )
    pool = build_pool(demos, subtasks, env.object_names, env.actions_to_gripper_actions, env.device)
    log.info("Loaded %d source demos from dataset %s", pool.num_demos, cfg.input_file)
    return pool


def build_generator(
    cfg: GenerateCfg, env: MimicEnv, pool: SourcePool, output: Path, failed: Path | None
) -> Generator:
    """A generator ready to run; its recorder has opened `output`.

    Raises:
        OutputError: an output exists or cannot be created.
    """
    table = build_table(cfg.subtask_configs, env.object_names, env.device)
    planner = TrialPlanner(pool, table, cfg.datagen_config, cfg.num_envs)
    # A first reset shows the recorder what observations and states look like; every trial resets again.
    every_env = torch.arange(cfg.num_envs, device=env.device)
    env.reset(every_env, Draws(cfg.datagen_config.seed, every_env))
    recorder = EpisodeRecorder(
        env, cfg.recorder, output, failed, planner.horizon, _attributes(cfg, pool), cfg.overwrite
    )
    signals = [name for configs in cfg.subtask_configs.values() for name in _signals(configs)]
    return Generator(env, planner, recorder, cfg.datagen_config, signals)


def _outputs(cfg: GenerateCfg) -> tuple[Path, Path | None]:
    output = Path(cfg.output_file)
    failed = output.with_name(f"{output.stem}_failed{output.suffix}") if cfg.datagen_config.generation_keep_failed else None
    for path in (output, failed):
        if path is not None:
            check_output(path, cfg.overwrite)
    return output, failed


def _signals(configs: Iterable[SubTaskConfig]) -> list[str]:
    return [config.subtask_term_signal for config in configs if config.subtask_term_signal is not None]


def _boundary_signals(configs: list[SubTaskConfig]) -> list[str]:
    return _signals(configs[:-1])


def _attributes(cfg: GenerateCfg, pool: SourcePool) -> dict[str, Any]:
    from omegaconf import OmegaConf

    return {
        "source_file": cfg.input_file,
        "source_demo_names": list(pool.names),
        "config": OmegaConf.to_yaml(OmegaConf.create(asdict(cfg))),
    }


def _run(cfg: GenerateCfg, generator: Generator) -> GenerationReport:
    log.info("Starting generation with %d parallel environments...", cfg.num_envs)
    with StopRequest() as stop, ProgressDisplay("generate", cfg.progress) as display:
        try:
            generator.run(lambda progress: display.update(progress) or stop.requested)
            report = generator.report()
        except BaseException:
            # Finished demos are kept, whatever happened; the writer may be what failed.
            with suppress(RecorderError):
                _close(generator, generator.report())
            raise
        _close(generator, report)
    log.info(
        "Generated %d successful demos out of %d trials (%.1f%% success rate)",
        report.num_successes, report.num_attempts, 100 * report.success_rate,
    )  # fmt: skip
    for reason, count in report.failures.items():
        log.info("  %d failed: %s", count, reason)
    if report.reason == "interrupted":
        stop.raise_interrupted(f"interrupted; {report.num_demos} finished demos are in {cfg.output_file}")
    return report


def _close(generator: Generator, report: GenerationReport) -> None:
    verdict = generator.ledger.verdict
    attributes = {
        "num_attempts": report.num_attempts,
        "num_successes": report.num_successes,
        "stop_reason": report.reason,
        "complete": report.target_reached,
    }
    summary = generator.recorder.close(verdict.num_attempts if verdict else None, attributes)
    report.num_demos, report.elapsed = summary.num_demos, generator.clock.elapsed()


def _write_video(cfg: GenerateCfg, output: Path, report: GenerationReport) -> None:
    from isaaclab_mimic_ext.datasets.playback import write_video

    if not report.num_demos:
        log.warning("No video: there is no successful demo to show")
        return
    assert cfg.video_file is not None
    try:
        write_video(output, cfg.video_file, load_task(cfg.task.name), num_demos=cfg.num_video_demos, overwrite=cfg.overwrite)
        log.info("Saved a playback video to %s", cfg.video_file)
    except MimicError as error:
        # The dataset is what the run is for; a machine without OpenGL still has it.
        log.warning("No video: %s", error)

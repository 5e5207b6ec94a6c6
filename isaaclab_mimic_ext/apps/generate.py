"""`scripts/generate.py`: source demonstrations to a dataset."""

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

from isaaclab_mimic_ext.apps.logs import log_file
from isaaclab_mimic_ext.apps.pictures import draw_run
from isaaclab_mimic_ext.apps.reports import closing_facts, note_reported, report_late, write_stats
from isaaclab_mimic_ext.apps.signals import StopRequest
from isaaclab_mimic_ext.apps.skillgen import build_motion_planner, check_navigation, start_signal_names
from isaaclab_mimic_ext.commands.progress import ProgressBar, generation_figures
from isaaclab_mimic_ext.config import GenerateCfg, SubTaskConfig
from isaaclab_mimic_ext.demos.pool import SourcePool, build_pool
from isaaclab_mimic_ext.demos.source import load_source_demos
from isaaclab_mimic_ext.diagnose.watch import TrialWatch
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.cameras import with_cameras
from isaaclab_mimic_ext.envs.factory import choose_engine, make_scene
from isaaclab_mimic_ext.errors import BudgetExhausted, RecorderError
from isaaclab_mimic_ext.generate import Generator
from isaaclab_mimic_ext.plan.constraints import build_constraints
from isaaclab_mimic_ext.plan.planner import TrialPlanner
from isaaclab_mimic_ext.plan.subtasks import build_table, check_noise
from isaaclab_mimic_ext.record.episodes import Closing
from isaaclab_mimic_ext.record.ledger import TrialLedger
from isaaclab_mimic_ext.record.recorder import EpisodeRecorder, Output, bytes_per_env
from isaaclab_mimic_ext.record.run_folder import RunFolder
from isaaclab_mimic_ext.record.session import RunSession, check_free, finished_demos, identity_of, open_run
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.room import check_room
from isaaclab_mimic_ext.stats import GenerationReport
from isaaclab_mimic_ext.task import load_task

log = logging.getLogger(__name__)

SECONDS_TO_WRITE = 15.0
"""After a signal; half of what clusters leave a job before they kill it."""
_MANY = 10_000
"""Environments that take a while to make."""
_FINISHED = "Nothing to do: the run in %s is finished, with %d demos"


def main(cfg: GenerateCfg) -> GenerationReport | None:
    """Generate a dataset as configured; None where there was nothing left to do.

    Raises:
        UsageError: something asked for is wrong; nothing was written.
        BudgetExhausted: too many failures; what succeeded is in the output folder.
        Interrupted: a signal ended the run; likewise.
        MimicError: the run failed.
    """
    torch.set_num_threads(1)  # The operations are small; the cores belong to physics and the writer.
    folder = RunFolder(Path(cfg.output_dir))
    check_free(folder)
    folder.check(cfg.overwrite, cfg.resume)
    if cfg.resume and (num_demos := finished_demos(folder, asdict(cfg), Path(cfg.input_file))) is not None:
        log.info(_FINISHED, folder.path, num_demos)
        report_late(cfg, folder)
        return None
    if cfg.num_envs > _MANY and choose_engine(cfg.sim, cfg.task.name)[0] != "isaaclab":
        _check_room_for_many(cfg)
    env = start_env(cfg)
    try:
        pool = load_pool(cfg, env)
        _check_room(cfg.num_envs, env, pool)
        identity = identity_of(asdict(cfg), Path(cfg.input_file))
        target = cfg.datagen_config.generation_num_trials
        with open_run(folder, identity, cfg.resume, cfg.overwrite, target) as session:
            if session.num_finished is not None:  # By another process, in the meantime.
                log.info(_FINISHED, folder.path, session.num_finished)
                return None
            with log_file(folder.log):
                return _run(cfg, session, env, pool)
    finally:
        env.close()


def _check_room(num_envs: int, env: MimicEnv, pool: SourcePool) -> None:
    # The longest source demo stands for the horizon, which only a plan tells.
    check_room(num_envs, bytes_per_env(env, int(pool.lengths.max())), "what they record", env.device)


def _check_room_for_many(cfg: GenerateCfg) -> None:
    """One env tells what many would take, before minutes pass in making them. Isaac Lab makes envs only once a process."""
    env = start_env(replace(cfg, num_envs=1))
    try:
        _check_room(cfg.num_envs, env, load_pool(cfg, env))
    finally:
        env.close()


def start_env(cfg: GenerateCfg) -> MimicEnv:
    """The env of a run, reset once: that shows whether the scene has room, and what there is to record.

    Raises:
        SimulatorUnavailable: its engine is not installed, or nothing can draw what its cameras see.
        ConfigError: its objects cannot be placed, or it lacks what the configuration asks of it.
    """
    env = make_scene(cfg, cfg.num_envs)
    # Isaac Lab's envs have cameras of their own, among their observations.
    if cfg.enable_cameras and env.env_args().get("engine") != "isaaclab":
        env = with_cameras(env, load_task(cfg.task.name))
    every_env = torch.arange(cfg.num_envs, device=env.device)
    env.reset(every_env, Draws(cfg.datagen_config.seed, every_env))
    check_navigation(cfg.datagen_config, env)
    return env


def load_pool(cfg: GenerateCfg, env: MimicEnv) -> SourcePool:
    """The source demonstrations of `input_file`, checked against the env and the subtasks.

    Raises:
        SourceDataError: the file is no use for this task.
        TaskSpecError: its boundaries collide under the offsets, or the noise is not that of the env's actions.
    """
    subtasks = _subtasks(cfg, env)
    check_noise(subtasks, env.pose_dims)
    boundary_signals = [name for configs in subtasks.values() for name in _signals(configs[:-1])]
    start_signals = start_signal_names(cfg.datagen_config, subtasks)
    demos = load_source_demos(
        cfg.input_file, env.eef_names, env.object_names, boundary_signals, env.action_dim, env.env_args().get("action"),
        start_signals,
    )  # fmt: skip
    use_skillgen = cfg.datagen_config.use_skillgen
    return build_pool(demos, subtasks, env.object_names, env.actions_to_gripper_actions, env.device, use_skillgen)


def build_generator(cfg: GenerateCfg, env: MimicEnv, pool: SourcePool, session: RunSession) -> Generator:
    """A generator ready to run, or to go on, with the trials of earlier sessions in its ledger.

    Raises:
        OutputError: a dataset cannot be created.
    """
    folder = session.folder
    planner = build_planner(cfg, env, pool)
    watch = TrialWatch(env, cfg.datagen_config, term_signals(cfg, env), planner.failure_messages)
    ledger, outcomes = TrialLedger(cfg.datagen_config), session.outcomes(watch.reasons)
    ledger.restore(outcomes.trials, outcomes.reason)
    output = Output(
        path=folder.demos,
        failed_path=folder.failed_demos if cfg.datagen_config.generation_keep_failed else None,
        attributes={"source_file": cfg.input_file, "source_demo_names": list(pool.names), "config": _yaml(cfg)},
        overwrite=True,  # The session has made sure that what is there is this run's.
        store_path=folder.store,
        lock=session.lock,
        elapsed=session.elapsed,
        facts={"trials": _facts(cfg, env, pool)},
    )
    recorder = EpisodeRecorder(env, cfg.recorder, planner.horizon, output)
    return Generator(env, planner, recorder, ledger, watch, cfg.datagen_config, session.elapsed)


def build_planner(cfg: GenerateCfg, env: MimicEnv, pool: SourcePool) -> TrialPlanner:
    """The planner of the configured subtasks and constraints."""
    subtasks = _subtasks(cfg, env)
    table = build_table(subtasks, env.object_names, env.pose_dims, env.device)
    constraints = build_constraints(cfg.task_constraint_configs, subtasks, env.device)
    motion_planner = None
    if cfg.datagen_config.use_skillgen:
        ramp_steps = cfg.datagen_config.transit_ramp_steps
        motion_planner = build_motion_planner(load_task(cfg.task.name), env.device, ramp_steps)
    return TrialPlanner(pool, table, constraints, cfg.datagen_config, cfg.num_envs, motion_planner)


def term_signals(cfg: GenerateCfg, env: MimicEnv) -> list[list[str | None]]:
    """The term signal of every subtask, by end effector in the env's order; None where the env does not tell it."""
    told = env.failure_conditions()
    return [
        [config.subtask_term_signal if config.subtask_term_signal in told else None for config in configs]
        for configs in _subtasks(cfg, env).values()
    ]


def _facts(cfg: GenerateCfg, env: MimicEnv, pool: SourcePool) -> dict[str, Any]:
    """What the records of trials speak of only by index."""
    subtasks = _subtasks(cfg, env)
    return {
        "eefs": list(env.eef_names),
        "objects": list(env.object_names),
        "signals": term_signals(cfg, env),
        "descriptions": [[config.description for config in configs] for configs in subtasks.values()],
        "object_refs": [[config.object_ref for config in configs] for configs in subtasks.values()],
        "source_demos": list(pool.names),
        "step_dt": env.step_dt,
    }


def _subtasks(cfg: GenerateCfg, env: MimicEnv) -> dict[str, list[SubTaskConfig]]:
    """In the order that the env has its end effectors in."""
    return {eef_name: cfg.subtask_configs[eef_name] for eef_name in env.eef_names}


def _signals(configs: list[SubTaskConfig]) -> list[str]:
    return [config.subtask_term_signal for config in configs if config.subtask_term_signal is not None]


def _yaml(cfg: GenerateCfg) -> str:
    return OmegaConf.to_yaml(OmegaConf.create(asdict(cfg)))


def _run(cfg: GenerateCfg, session: RunSession, env: MimicEnv, pool: SourcePool) -> GenerationReport:
    folder = session.folder
    folder.write(folder.config, _yaml(cfg))
    log.info("Loaded %d source demos from dataset %s", pool.num_demos, cfg.input_file)
    generator = build_generator(cfg, env, pool, session)
    if generator.ledger.num_ended:
        log.info("Going on with %d trials, %d successful", generator.ledger.num_ended, generator.ledger.num_ended_successes)
    log.info("Starting generation with %d parallel environments...", cfg.num_envs)
    with StopRequest() as stop:
        report = _generate(cfg, generator, stop)
    by_rule = write_stats(cfg, folder, report, env.env_args().get("engine"))
    _say(report, by_rule)
    if stop.requested:
        stop.raise_interrupted(_interrupted(folder, report))
    if cfg.video and not cfg.task.is_registered:
        draw_run(folder, load_task(cfg.task.name), cfg.num_video_demos)
    note_reported(folder)
    log.info("Saved %d demos to %s", report.num_demos, folder.demos)
    log.info("What became of the trials, and why: python scripts/report.py output_dir=%s", folder.path)
    if not report.target_reached:
        raise BudgetExhausted(
            f"{report.reason}; {report.num_demos} demos are in {folder.demos}; go on with a larger budget and resume=true"
        )
    return report


def _interrupted(folder: RunFolder, report: GenerationReport) -> str:
    if report.is_written:
        return f"interrupted; {report.num_demos} finished demos are in {folder.demos}; go on with resume=true"
    reason = f"writing them all to {folder.demos.name} would have taken more than {SECONDS_TO_WRITE:.0f} s"
    return f"interrupted; {report.num_successes} finished demos are in {folder.store} ({reason}); go on with resume=true"


def _generate(cfg: GenerateCfg, generator: Generator, stop: StopRequest) -> GenerationReport:
    def should_stop() -> bool:
        progress = generator.progress()
        bar.update(progress.num_done, progress.num_target, lambda: generation_figures(progress))
        return stop.requested

    with ProgressBar("generating", cfg.progress) as bar:
        try:
            generator.run(should_stop)
        except BaseException:
            # Finished demos are kept, whatever happened; the writer may be what failed.
            with suppress(RecorderError):
                close_recorder(generator)
            raise
        return close_recorder(generator)


def close_recorder(generator: Generator) -> GenerationReport:
    """Wait until everything is written; the report of the run.

    Raises:
        RecorderError: the writer failed.
    """
    report, verdict = generator.report(), generator.ledger.verdict
    attributes = {
        "num_attempts": report.num_attempts,
        "num_successes": report.num_successes,
        "stop_reason": report.reason,
        "complete": report.target_reached,
    }
    closing = Closing(
        committed=verdict.num_attempts if verdict else None,
        attributes=attributes,
        facts=closing_facts(report, generator.config.generation_num_trials),
        is_final=report.target_reached,
        seconds=None if verdict else SECONDS_TO_WRITE,
    )
    summary = generator.recorder.close(closing)
    report.lengths, report.is_written, report.elapsed = summary.lengths, summary.is_written, generator.clock.elapsed()
    return report


def _say(report: GenerationReport, by_rule: Mapping[str, int]) -> None:
    log.info(
        "Generated %d successful demos out of %d trials (%.1f%% success rate) in %.1f s: %s demos/h",
        report.num_successes,
        report.num_attempts,
        100 * report.success_rate,
        report.elapsed,
        f"{report.demos_per_hour:,.0f}",
    )
    for reason, count in report.failures.items():
        log.info("  %d failed: %s", count, reason)
    if len(set(by_rule.values())) > 1:
        counts = ", ".join(f"{count} by success_rule={rule}" for rule, count in by_rule.items())
        log.info("  what counts as success matters here: %s", counts)

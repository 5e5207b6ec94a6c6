"""Generate a dataset: check the output folder, run the trials, close the files, write statistics and videos."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext, suppress
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from isaaclab_mimic_ext.command_lines import as_comment, command_line
from isaaclab_mimic_ext.config import GenerateCfg, MimicEnvCfg, RecorderCfg, SimCfg, TaskRef
from isaaclab_mimic_ext.config.generation import GenerationCfg
from isaaclab_mimic_ext.config.hydra import DATASETS_DIR, dated_dir
from isaaclab_mimic_ext.config.next_step import evaluate_command, next_command
from isaaclab_mimic_ext.config.rules import validate
from isaaclab_mimic_ext.demos.pool import SourcePool
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.factory import config_of, env_task
from isaaclab_mimic_ext.errors import ConfigError, RecorderError, SimulationError
from isaaclab_mimic_ext.files.folder import log_file
from isaaclab_mimic_ext.files.writing import write_text
from isaaclab_mimic_ext.run.block import check_same_run, limits_of, run_folder, run_rules
from isaaclab_mimic_ext.run.build import (
    SourceDemos,
    build_generator,
    build_source_pool,
    config_yaml,
    first_reset,
    load_pool,
    task_of,
)
from isaaclab_mimic_ext.run.fitting import check_envs_fit, start_fitting_env
from isaaclab_mimic_ext.run.generator import Generator
from isaaclab_mimic_ext.run.ledger import TrialLedger
from isaaclab_mimic_ext.run.live_poses import LivePoses
from isaaclab_mimic_ext.run.owner import Owner, Workers
from isaaclab_mimic_ext.run.progress_file import ProgressFile
from isaaclab_mimic_ext.run.result import Progress, RunResult
from isaaclab_mimic_ext.run.session import (
    WATCH_HINT,
    RunFolder,
    RunSession,
    check_free,
    finished_run,
    identity_of,
    open_run,
    run_facts,
)
from isaaclab_mimic_ext.run.stats_and_videos import draw_run, mark_reported, write_missing_reports, write_stats
from isaaclab_mimic_ext.task.definition import Task, load_task
from isaaclab_mimic_ext.texts import counted

log = logging.getLogger(__name__)

ShouldStop = Callable[[Progress], bool]
"""Called after every step with the current progress; returning True stops the run, which can be resumed."""
Monitor = Callable[[], AbstractContextManager[ShouldStop]]
"""Returns a context that is active while the trials run, such as a progress bar or signal handlers."""


def generate(
    env: MimicEnv,
    demos: SourceDemos,
    config: GenerationCfg | None = None,
    output_dir: str | Path | None = None,
    *,
    resume: bool = False,
    overwrite: bool = False,
    recorder: RecorderCfg | None = None,
    video: bool = False,
    progress: bool = False,
    should_stop: ShouldStop | None = None,
) -> RunResult:
    """Generate demos from source demos, and write them to `<output_dir>/demo.hdf5`.

    Args:
        env: environment of `make_env`; its task defines the subtasks and the randomization.
        demos: source demos of `load_demos`.
        config: changes of the task's generation settings; None: no changes.
        output_dir: folder of the run; None: a dated folder below `datasets/<task>/`.
        resume: resume the run in `output_dir`. The result of a finished run is returned; in an empty folder, a run starts.
        overwrite: replace the run in `output_dir`.
        recorder: file options; None: uncompressed, quaternions as xyzw.
        video: render `playback.mp4` and `scene.png` (only for tasks of this package).
        progress: show a progress bar; without a terminal, a line in the log every 10 s.
        should_stop: called after every step with the current progress; returning True stops the run, which can be resumed.

    Returns:
        The result. `target_reached` is False if a budget or `should_stop` ended the run; `stop_reason` states which.

    Raises:
        UsageError: an argument is wrong, or the folder contains a different run; no file was written.
        RecorderError: writing failed; finished trials are kept.
    """
    _check_arguments(demos, config, output_dir)
    path = Path(dated_dir(DATASETS_DIR / env_task(env).name) if output_dir is None else output_dir)
    cfg = run_config(env, demos, config or GenerationCfg(), path)
    cfg = replace(cfg, resume=resume, overwrite=overwrite, recorder=recorder or RecorderCfg(), video=video)
    validate(cfg, getattr(env, "task", None))
    result = generate_run(cfg, lambda: progress_bar(progress, should_stop or (lambda progress: False)), env, demos)
    log_next_commands(cfg.task.name, result)
    return result


@contextmanager
def progress_bar(is_shown: bool, should_stop: ShouldStop) -> Iterator[ShouldStop]:
    """Monitor of a run that shows a progress bar, and otherwise calls `should_stop`."""
    from isaaclab_mimic_ext.progress import ProgressBar

    with ProgressBar("generating", is_shown) as bar:

        def show(progress: Progress) -> bool:
            bar.update(progress.num_done, progress.num_target, progress.figures, progress.share)
            return should_stop(progress)

        yield show


def _check_arguments(demos: Any, config: Any, output_dir: Any) -> None:
    if not isinstance(demos, SourceDemos):
        raise ConfigError(f"demos: must be SourceDemos (got {demos!r}); use load_demos(<file>, env)")
    if not isinstance(config, GenerationCfg | None):
        raise ConfigError(f"config: must be a GenerationCfg (got {config!r}); use GenerationCfg(num_trials=1000)")
    if not isinstance(output_dir, str | Path | None) or output_dir == "":
        raise ConfigError(f"output_dir: must be the path of a folder, e.g. datasets/my_run (got {output_dir!r})")


def run_config(env: MimicEnv, demos: SourceDemos, config: GenerationCfg, output_dir: Path) -> GenerateCfg:
    """Build the configuration of a run in an existing environment, as `mimic generate` composes it from its command line.

    Raises:
        ConfigError: the environment's task has no configuration, or a setting is unknown or wrong.
    """
    task: MimicEnvCfg = config_of(env)
    return GenerateCfg(
        datagen_config=config.applied_to(task.datagen_config),
        subtask_configs=task.subtask_configs,
        task_constraint_configs=task.task_constraint_configs,
        events=task.events,
        task=TaskRef(env_task(env).name, preset=env_task(env).preset),
        robot=env_task(env).robot,
        objects=dict(env_task(env).object_cfgs),
        sim=SimCfg(engine=str(env.env_args().get("engine"))),
        device=str(env.device),
        num_envs=env.num_envs,
        input_file=str(demos.path),
        output_dir=str(output_dir),
        progress=False,
    )


def generate_run(
    cfg: GenerateCfg,
    monitor: Monitor = lambda: nullcontext(lambda progress: False),
    env: MimicEnv | None = None,
    demos: SourceDemos | None = None,
) -> RunResult:
    """Run the trials that are missing in the output folder, and write dataset, statistics and videos.

    Args:
        monitor: returns a context that is active while the trials run.
        env: environment of the configuration; None: it is created here, and closed at the end.
        demos: source demos for `env`; None: they are read from `input_file`.

    Raises:
        UsageError: the configuration is wrong, or the folder is in use or contains a different run; no file was written.
        RecorderError: writing failed; finished trials are kept.
    """
    if (finished := _finished_run(cfg)) is not None:
        return finished
    if (cfg.num_workers > 1 or cfg.ray_address is not None) and env is None:
        return _generate_with_workers(cfg, monitor)
    with ExitStack() as stack:
        stack.enter_context(_single_torch_thread())
        if env is None:
            env, pool = start_fitting_env(cfg)
            stack.enter_context(closing(env))
            cfg = replace(cfg, num_envs=env.num_envs)
        else:
            first_reset(env, cfg.datagen_config)
            pool = load_pool(cfg, env) if demos is None else build_source_pool(cfg, env, demos)
            check_envs_fit(cfg, env, pool)
        folder = run_folder(cfg)
        session = stack.enter_context(_session(cfg, folder))
        if session.finished is not None:  # Another process has finished the run in the meantime.
            return _log_finished(cfg, session.finished)
        stack.enter_context(log_file(folder.log))
        generator = _start_generator(cfg, env, pool, session)
        with monitor() as should_stop, ProgressFile(folder.progress, session.elapsed) as file:
            with _closed_after_failure(generator):
                with LivePoses(folder.socket, env, generator.lanes) as poses:
                    generator.run(_watched(generator, file, poses, should_stop))
                result = generator.close()
            file.end(result)
        _finish(cfg, env.env_args().get("engine"), lambda: task_of(env, cfg), folder, result)
        return result


def _generate_with_workers(cfg: GenerateCfg, monitor: Monitor) -> RunResult:
    """Run the trials in worker processes, each with its own envs; arguments and errors as `generate_run`."""
    with closing(Workers(cfg)) as workers, ExitStack() as stack:
        ready = workers.wait_until_ready()
        cfg = replace(cfg, num_envs=ready.num_envs)
        folder = run_folder(cfg)
        session = stack.enter_context(_session(cfg, folder))
        if session.finished is not None:
            return _log_finished(cfg, session.finished)
        stack.enter_context(log_file(folder.log))
        write_text(folder.config, as_comment("generate") + config_yaml(cfg))
        owner = Owner(cfg, workers, ready, session)
        _log_start(owner.ledger, f"{counted(ready.num_envs, 'parallel environment')} in each of {cfg.num_workers} processes")
        with monitor() as should_stop, ProgressFile(folder.progress, session.elapsed) as file:

            def stop() -> bool:
                progress = owner.progress()
                file.update(progress)
                return should_stop(progress)

            with _closed_after_failure(owner):
                owner.run(stop)
                result = owner.close()
            file.end(result)
        _finish(
            cfg,
            ready.contents.episodes.env_args.get("engine"),
            lambda: load_task(cfg.task.name, cfg.robot, cfg.objects),
            folder,
            result,
        )
        return result


def _finished_run(cfg: GenerateCfg) -> RunResult | None:
    """Check the output folder. Return the result of its run if the run has reached its target, else None.

    Statistics and videos that a killed session did not write are written here.

    Raises:
        OutputError: another process works in the folder, or the folder contains a different run.
    """
    folder = run_folder(cfg)
    check_free(folder)
    folder.check(cfg.overwrite, cfg.resume)
    if not cfg.resume:
        return None
    finished = finished_run(folder, asdict(cfg), Path(cfg.input_file), run_rules(cfg).generation_num_trials)
    if finished is None:
        return None
    write_missing_reports(cfg, folder, finished)
    if cfg.block is not None:
        run_facts(folder, limits=limits_of(cfg.datagen_config))  # They may be larger now, for `collect`.
    return _log_finished(cfg, finished)


def _log_finished(cfg: GenerateCfg, result: RunResult) -> RunResult:
    log.info("The run in %s is already finished (%s)", result.dataset.parent, counted(result.num_demos, "demo"))
    return result


def _session(cfg: GenerateCfg, folder: RunFolder) -> AbstractContextManager[RunSession]:
    identity = identity_of(asdict(cfg), Path(cfg.input_file))
    check_same_run(cfg, identity)
    return open_run(folder, identity, cfg.resume, cfg.overwrite, run_rules(cfg).generation_num_trials)


def _start_generator(cfg: GenerateCfg, env: MimicEnv, pool: SourcePool, session: RunSession) -> Generator:
    write_text(session.folder.config, as_comment("generate") + config_yaml(cfg))
    log.info("Loaded %s from dataset %s", counted(pool.num_demos, "source demo"), cfg.input_file)
    generator = build_generator(cfg, env, pool, session)
    _log_start(generator.ledger, counted(env.num_envs, "parallel environment"))
    log.info(f"{WATCH_HINT}: %s", command_line("watch", input_dir=session.folder.path))
    return generator


def _log_start(ledger: TrialLedger, envs: str) -> None:
    if ledger.num_ended:
        ended, successful = ledger.num_ended, ledger.num_ended_successes
        log.info("Resuming with %s (%d successful)", counted(ended, "finished trial"), successful)
    log.info("Starting generation with %s...", envs)


def _watched(generator: Generator, file: ProgressFile, poses: LivePoses, should_stop: ShouldStop) -> Callable[[], bool]:
    """Function that is called after each step, writes the progress, sends poses and returns whether to stop."""

    def stop() -> bool:
        progress = generator.progress()
        file.update(progress)
        poses.update()
        return should_stop(progress)

    return stop


@contextmanager
def _closed_after_failure(generator: Generator | Owner) -> Iterator[None]:
    """Close the writer if the block raises, so that finished trials are kept."""
    try:
        yield
    except BaseException:
        with suppress(RecorderError, SimulationError):  # The writer or the physics may be the cause of the failure.
            generator.close()
        raise


def _finish(cfg: GenerateCfg, engine: Any, task: Callable[[], Task], folder: RunFolder, result: RunResult) -> None:
    """Write statistics and videos of a run whose dataset is closed."""
    by_rule = write_stats(cfg, folder, result, engine)
    _log_result(result, by_rule)
    if result.is_interrupted:
        return
    if cfg.video and not cfg.task.is_registered:
        draw_run(folder, task(), cfg.num_video_demos)
    mark_reported(folder)
    log.info("Saved %s to %s", counted(result.num_demos, "demo"), folder.demos)


def log_next_commands(task_name: str, result: RunResult) -> None:
    """Log the commands that follow a run that ended: its report, and those to an evaluated policy."""
    if result.is_interrupted:
        return
    folder = RunFolder(result.dataset.parent)
    log_report_command(folder)
    if result.num_demos < 2:
        return
    policy = folder.path / "policy"
    log.info("Next, split the demos for training: %s", command_line("split", input_file=folder.demos))
    if find_spec("robomimic") is None:
        log.info("Then install robomimic, in the folder of this package: make train-env")
    log.info("Then train a policy: %s", next_command("train", input_file=folder.demos, output_dir=policy))
    log.info("Then evaluate the policy: %s", evaluate_command(task_name, policy, folder.demos))


def log_report_command(folder: RunFolder) -> None:
    """Log the command that writes the report of a run."""
    log.info("To see success by subtask and reasons of failure: %s", command_line("report", input_dir=folder.path))


def _log_result(result: RunResult, by_rule: Mapping[str, int]) -> None:
    log.info(
        "Generated %s out of %s (%.1f%% success rate) in %.1f s: %s demos/h",
        counted(result.num_successes, "successful demo"),
        counted(result.num_attempts, "trial"),
        100 * result.success_rate,
        result.elapsed,
        f"{result.demos_per_hour:,.0f}",
    )
    for reason, count in result.failures.items():
        log.info("  %d failed: %s", count, reason)
    if len(set(by_rule.values())) > 1:
        counts = ", ".join(f"{count} by success_rule={rule}" for rule, count in by_rule.items())
        log.info("  The number of successes depends on the success rule: %s", counts)


@contextmanager
def _single_torch_thread() -> Iterator[None]:
    """Run torch on one thread: its operations are small, and physics and the writer need the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)

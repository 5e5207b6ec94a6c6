"""`mimic generate`: generate demos from annotated source demos."""

import logging
import re
from dataclasses import replace
from pathlib import Path

from isaaclab_mimic_ext.command_lines import command_line, same_command_line
from isaaclab_mimic_ext.commands.cluster import run_on_cluster
from isaaclab_mimic_ext.commands.signals import StopRequest
from isaaclab_mimic_ext.config import GenerateCfg
from isaaclab_mimic_ext.errors import BudgetExhausted, OutputError
from isaaclab_mimic_ext.files.writing import check_output, link_file
from isaaclab_mimic_ext.run.block import run_folder, with_block
from isaaclab_mimic_ext.run.debug import debug_folder, debug_path, path_without_debug
from isaaclab_mimic_ext.run.episodes import SECONDS_TO_WRITE
from isaaclab_mimic_ext.run.generate import generate_run, log_next_commands, log_report_command, progress_bar
from isaaclab_mimic_ext.run.result import RunResult
from isaaclab_mimic_ext.run.session import RunFolder
from isaaclab_mimic_ext.texts import counted

log = logging.getLogger(__name__)

DEBUG_TRIALS = 4
"""Largest number of trials, and of environments, of a debug run."""


def main(cfg: GenerateCfg) -> RunResult:
    """Generate a dataset.

    Raises:
        UsageError: the configuration is not valid; no file was written.
        BudgetExhausted: a budget ended the run; the demos are in the output folder.
        Interrupted: a signal ended the run; the demos are in the output folder, in an unfinished file.
        MimicError: the run failed.
    """
    if cfg.cluster.scheduler is not None:
        return run_on_cluster(cfg)
    cfg = large = with_block(cfg)
    if cfg.debug:
        cfg = _debug_run(cfg)
    if cfg.output_file is not None:
        check_output(Path(cfg.output_file), cfg.overwrite or cfg.resume)
    stop = StopRequest()
    result = generate_run(cfg, lambda: stop.during(progress_bar(cfg.progress, lambda progress: stop.requested)))
    folder = run_folder(cfg)
    if cfg.output_file is not None and folder.demos.exists():
        link_file(folder.demos, Path(cfg.output_file), "output_file")
        log.info("Saved to %s, a second name of %s", cfg.output_file, folder.demos)
    if result.is_interrupted:
        stop.raise_interrupted(_interrupted(cfg, folder, result))
    if cfg.block is not None:
        log.info("To collect the blocks of the run: %s", command_line("collect", output_dir=Path(cfg.output_dir)))
    elif cfg.debug:
        log_report_command(folder)
        log.info("Next, run all trials: %s", _command_of_all_trials(large))
    else:
        log_next_commands(cfg.task.name, result)
    if not result.target_reached:
        raise BudgetExhausted(
            f"{result.stop_reason}; {_demos_are(result.num_demos)} in {folder.demos}; to continue, "
            f"give a larger budget to: {_same_run(cfg)}"
        )
    return result


def _debug_run(cfg: GenerateCfg) -> GenerateCfg:
    """Configuration of a small run with the settings of a large one.

    Raises:
        OutputError: the folder of the small run contains anything but a debug run.
    """
    folder = debug_folder(cfg)
    if not cfg.resume and folder.present() and not _is_debug_run(folder):
        raise OutputError(
            f"output_dir: debug=true replaces only a debug run, which {folder.path} does not contain; move the folder, or "
            "use another output_dir"
        )
    trials = min(cfg.datagen_config.generation_num_trials, DEBUG_TRIALS)
    datagen = replace(
        cfg.datagen_config, generation_num_trials=trials, generation_guarantee=False, generation_keep_failed=True
    )
    file = None if cfg.output_file is None else str(debug_path(Path(cfg.output_file)))
    small = replace(
        cfg, datagen_config=datagen, num_envs=min(cfg.batch_size(), DEBUG_TRIALS),
        output_dir=str(folder.path), output_file=file, overwrite=not cfg.resume,
    )  # fmt: skip
    log.info("Debug run: %s in %s, in %s", counted(trials, "trial"), counted(small.batch_size(), "env"), small.output_dir)
    return small


def _is_debug_run(folder: RunFolder) -> bool:
    """Return whether the folder contains a run whose configuration contains `debug: true`."""
    if not (folder.store.is_file() and folder.config.is_file()):
        return False
    return re.search("^debug: true$", folder.config.read_text(encoding="utf-8", errors="replace"), re.MULTILINE) is not None


def _command_of_all_trials(cfg: GenerateCfg) -> str:
    file = None if cfg.output_file is None else path_without_debug(Path(cfg.output_file))
    return same_command_line(
        "generate",
        debug=None,
        overwrite=None,
        resume=None,
        output_dir=path_without_debug(Path(cfg.output_dir)),
        output_file=file,
    )


def _interrupted(cfg: GenerateCfg, folder: RunFolder, result: RunResult) -> str:
    if result.is_written:
        remedy = f"to write {folder.demos.name}, continue with: {_same_run(cfg)}"
        return f"{_demos_are(result.num_demos)} in {result.dataset}, which other commands can read; {remedy}"
    reason = f"writing {folder.demos.name} would have taken more than {SECONDS_TO_WRITE:.0f} s"
    return f"{_demos_are(result.num_successes)} in {folder.store} ({reason}); continue with: {_same_run(cfg)}"


def _same_run(cfg: GenerateCfg) -> str:
    output_dir = Path(cfg.output_dir)
    if cfg.block is None:
        return same_command_line("generate", output_dir=output_dir, overwrite=None, resume=True)
    return same_command_line("generate", output_dir=output_dir, block=cfg.block, overwrite=None, resume=None)


def _demos_are(number: int) -> str:
    return counted(number, "demo is", "demos are")

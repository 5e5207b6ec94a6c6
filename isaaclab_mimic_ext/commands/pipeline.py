"""`mimic pipeline`: record, annotate, generate, split, train and evaluate, then write a page with the results."""

import logging
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain, count, takewhile
from pathlib import Path
from typing import IO

from isaaclab_mimic_ext import errors
from isaaclab_mimic_ext.commands.main import VERBS
from isaaclab_mimic_ext.commands.messages import explain, is_config_error
from isaaclab_mimic_ext.commands.overrides import translate
from isaaclab_mimic_ext.commands.pipeline_settings import changed_settings, settings_line
from isaaclab_mimic_ext.commands.pipeline_steps import Record, Step, build_steps, default_algo, task_of
from isaaclab_mimic_ext.commands.signals import StopRequest
from isaaclab_mimic_ext.config import SCRIPT_SCHEMAS, PipelineCfg, TrainCfg
from isaaclab_mimic_ext.config.compose import load_config
from isaaclab_mimic_ext.errors import BudgetExhausted, ConfigError, FolderInUse, MimicError, OutputError, UsageError
from isaaclab_mimic_ext.files.writing import write_errors, write_text
from isaaclab_mimic_ext.learn.train import load_settings
from isaaclab_mimic_ext.progress import Update, phase
from isaaclab_mimic_ext.report.pipeline_page import PipelineFolder, render_pipeline_page
from isaaclab_mimic_ext.report.report import report_run
from isaaclab_mimic_ext.task.folders import task_dirs

log = logging.getLogger(__name__)

_ERROR_NAMES = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, MimicError)}
_AFTER_ERROR = ("Exception ignored", "Traceback")
"""Starts of lines that Python prints after the error, when the interpreter exits."""
_POLL = 0.2
"""Time between two checks for a signal and for progress [s]."""
_TAIL_BYTES = 2000
"""Size of the end of a log that contains its last line of progress [bytes]."""
_PROGRESS = re.compile(r"^\[[\d:]+\] [\w. ]+: (\d+)/(\d+) \w+(?:, (\d+)%)?(?:, (.*))?$", re.MULTILINE)
"""Line of progress in a log: finished and all items, percentage of the work, and figures."""


def main(cfg: PipelineCfg) -> None:
    """Run the steps that are not up to date, and write the page.

    Raises:
        UsageError: the configuration, or the command line of a step, is wrong.
        BudgetExhausted: a step used up its failure budget.
        Interrupted: a signal ended the pipeline; the same command resumes it.
        MimicError: a step failed.
    """
    cfg = replace(cfg, algo=cfg.algo or default_algo(task_of(cfg.task_name)))
    folder = PipelineFolder(Path(cfg.output_dir))
    folder.check(overwrite=True)  # The record decides which steps are up to date.
    steps = build_steps(cfg, folder)
    record = Record(folder.record)
    # The last step may start hours from now: refuse wrong command lines first.
    check_steps([step for step in steps if not record.is_up_to_date(step)])
    settings = changed_settings(cfg, steps)
    if settings:
        log.info(settings_line(settings, cfg.task_name, folder.page))
    with write_errors(folder.path, "output_dir", "use another output_dir", OutputError):
        folder.logs.mkdir(parents=True, exist_ok=True)
    with folder.lock.hold() as lock:
        record = Record(folder.record)  # A pipeline in this folder may have finished in the meantime.
        keep_changed(steps, record)
        with StopRequest() as stop:
            for step in steps:
                if record.is_up_to_date(step):
                    log.info("%s: up to date", step.name)
                else:
                    _run(step, record, folder.log(step.name), stop, lock)
                if stop.requested:
                    stop.raise_interrupted(f"step '{step.name}' was running; run the same command again to resume")
        _write_generation_page(folder)
        rows = [(", ".join(each.steps), each.field, each.default, each.value, each.reason) for each in settings]
        page = render_pipeline_page(cfg, folder, {step.name: record.seconds(step) for step in steps}, rows)
        write_text(folder.page, page, kind=OutputError)
    log.info("All steps are up to date; saved the results to %s", folder.page)


def _write_generation_page(folder: PipelineFolder) -> None:
    """Write the page of the generation, which the page of the pipeline links to if it exists."""
    if not folder.demos.is_file():
        return
    try:
        report_run(folder.generation, num_failures=1, clips=False)
    except MimicError as error:
        log.warning("The page of the generation was not written: %s", error)


def check_steps(steps: Sequence[Step]) -> None:
    """Make sure that the command of each step accepts its command line, and that the agent can be trained.

    Raises:
        UsageError: a command line is wrong; the message names the step.
        DependencyMissing: robomimic is not installed.
    """
    for step in steps:
        command = VERBS[step.verb].config
        try:
            overrides = translate(list(step.arguments), SCRIPT_SCHEMAS[command])
            cfg = load_config(command, overrides, config_dirs=task_dirs()[1:])
            if isinstance(cfg, TrainCfg):
                load_settings(cfg, observations={})
        except UsageError as error:
            raise type(error)(f"step '{step.name}': {error}") from error
        except Exception as error:
            if not is_config_error(error):
                raise
            raise ConfigError(f"step '{step.name}': {explain(error, command)}") from error


def keep_changed(steps: Sequence[Step], record: Record) -> None:
    """Rename outputs that were changed after their steps: the steps run again, and must not replace the changes.

    Raises:
        OutputError: a file cannot be renamed.
    """
    changed = {step.output: step for step in reversed(steps) if record.is_changed(step)}  # Steps may share an output.
    for output, step in changed.items():
        kept = _free_name(output)
        with write_errors(output, "output_dir", "use another output_dir", OutputError):
            output.replace(kept)
        log.warning("%s: %s was changed after the step, which runs again; the changed file is %s", step.name, output, kept)


def _free_name(output: Path) -> Path:
    """First of the names `<output>.changed`, `<output>.changed2`, ... that does not exist."""
    names = chain(("changed",), (f"changed{number}" for number in count(2)))
    paths = (output.with_name(f"{output.name}.{name}") for name in names)
    return next(path for path in paths if not path.exists())


def _run(step: Step, record: Record, log_path: Path, stop: StopRequest, lock: int) -> None:
    """Run a step, or resume it.

    Raises:
        MimicError: the step failed, unless a signal ended it.
    """
    arguments = step.command_line(resume=record.is_interrupted(step))
    record.start(step)
    log.info("%s: mimic %s", step.name, shlex.join(arguments))
    start = time.perf_counter()
    with write_errors(log_path, kind=OutputError):
        output = log_path.open("w", encoding="utf-8")
    with output:
        update = phase(step.name)
        exit_code = _run_command(arguments, output, stop, lock, lambda: _show_progress(log_path, update))
    if not exit_code:
        seconds = time.perf_counter() - start
        record.finish(step, seconds)
        log.info("%s: finished in %.0f s", step.name, seconds)
    elif not stop.requested:
        reason = error_text(log_path.read_text(encoding="utf-8", errors="replace"))
        kinds = {kind.exit_code: kind for kind in (UsageError, BudgetExhausted, FolderInUse)}
        raise kinds.get(exit_code, MimicError)(f"step '{step.name}' failed: {reason} (complete log: {log_path})")


def _show_progress(log_path: Path, update: Update) -> None:
    """Show the last line of progress in the log of a step."""
    with log_path.open("rb") as file:
        file.seek(max(log_path.stat().st_size - _TAIL_BYTES, 0))
        found = _PROGRESS.findall(file.read().decode(errors="replace"))
    if found:
        done, total, percent, figures = found[-1]
        share = int(percent) / 100 if percent else None
        update(int(done), int(total), lambda: re.sub(r",? ?[^,]* remaining$", "", figures), share)


def _run_command(
    arguments: Sequence[str], output: IO[str], stop: StopRequest, lock: int, on_poll: Callable[[], None] = lambda: None
) -> int:
    """Run `mimic` in a new process and return its exit code.

    A signal is forwarded to the process. The process inherits the lock, so that the folder stays locked if the process
    outlives the pipeline.
    """
    verb, *overrides = arguments
    own_tasks = [argument for folder in task_dirs()[1:] for argument in ("--config-dir", str(folder))]
    # -P: modules of the working directory must not shadow installed ones.
    command = [sys.executable, "-P", "-m", "isaaclab_mimic_ext", verb, *own_tasks, *overrides]
    # A separate session: otherwise Ctrl-C would reach the process twice, from the terminal and from us.
    process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True, pass_fds=(lock,))
    is_signaled = False
    while True:
        try:
            return process.wait(timeout=_POLL)
        except subprocess.TimeoutExpired:
            on_poll()
            if stop.requested and not is_signaled:
                process.send_signal(signal.SIGTERM)
                is_signaled = True


def error_text(output: str) -> str:
    """Error message in the output of a command, as one line; the last line if the output has no error message."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    starts = [index for index, line in enumerate(lines) if line.partition(":")[0] in _ERROR_NAMES]
    if not starts:
        return lines[-1] if lines else "the command printed nothing"
    # HDF5 reports a full disk in several lines, and again when the interpreter exits.
    return " ".join(takewhile(lambda line: not line.startswith(_AFTER_ERROR), lines[starts[-1] :]))

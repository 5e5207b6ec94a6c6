"""`mimic pipeline`: record, annotate, generate, split, train, evaluate, and a page about the results."""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import IO

from isaaclab_mimic_ext import errors
from isaaclab_mimic_ext.cli.arguments import translate
from isaaclab_mimic_ext.cli.messages import explain, is_config_error
from isaaclab_mimic_ext.commands.main import VERBS
from isaaclab_mimic_ext.commands.signals import StopRequest
from isaaclab_mimic_ext.config import SCRIPT_SCHEMAS, PipelineCfg, TrainCfg
from isaaclab_mimic_ext.config.compose import load_config
from isaaclab_mimic_ext.errors import BudgetExhausted, ConfigError, MimicError, OutputError, UsageError
from isaaclab_mimic_ext.files.writing import write_errors, write_text
from isaaclab_mimic_ext.learn.train import checked_settings
from isaaclab_mimic_ext.pipeline.stamps import Stamps, signatures
from isaaclab_mimic_ext.pipeline.steps import PipelineFolder, Step, build_steps
from isaaclab_mimic_ext.report.pipeline_page import render_pipeline_page
from isaaclab_mimic_ext.task import task_dirs

log = logging.getLogger(__name__)

_USAGE, _BUDGET = 2, 3
_OWN_ERRORS = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, MimicError)}
_NO_MORE = ("Exception ignored", "Traceback")
_POLL = 0.2


def main(cfg: PipelineCfg) -> None:
    """Run the steps that are not up to date, and write the page.

    Raises:
        UsageError: something asked for is wrong.
        BudgetExhausted: a step ran out of its budget.
        Interrupted: a signal ended it; it goes on where it stopped.
        MimicError: a step failed.
    """
    folder = PipelineFolder(Path(cfg.output_dir))
    steps = build_steps(cfg, folder)
    stamps, signed = Stamps(folder.stamps), signatures(steps)
    # Hours may lie between here and the last step; what it will not take is said now.
    check_steps([step for step in steps if not stamps.is_done(step, signed[step.name])])
    with write_errors(folder.path, "output_dir", "give another output_dir", OutputError):
        (folder.path / "logs").mkdir(parents=True, exist_ok=True)
    with folder.lock.hold() as lock:
        stamps = Stamps(folder.stamps)
        _run_all(steps, stamps, folder, lock)
        _write_page(cfg, folder, {step.name: stamps.seconds(step) for step in steps})


def _run_all(steps: list[Step], stamps: Stamps, folder: PipelineFolder, lock: int) -> None:
    signed = signatures(steps)
    with StopRequest() as stop:
        for step in steps:
            _run(step, signed[step.name], stamps, folder, stop, lock)
            if stop.requested:
                stop.raise_interrupted(f"interrupted in step '{step.name}'; the same command goes on")


def _write_page(cfg: PipelineCfg, folder: PipelineFolder, seconds: dict[str, float | None]) -> None:
    page = render_pipeline_page(cfg, folder, seconds)
    write_text(folder.page, page, kind=OutputError)
    log.info("Everything is up to date; the page is %s", folder.page)


def _run(step: Step, signature: str, stamps: Stamps, folder: PipelineFolder, stop: StopRequest, lock: int) -> None:
    """Do a step, or go on with it, unless it is up to date."""
    if stamps.is_done(step, signature):
        log.info("%s: up to date", step.name)
        return
    goes_on = step.can_go_on and stamps.was_begun(step, signature)
    arguments = (*step.arguments, *(step.resumed if goes_on else step.fresh))
    stamps.begin(step, signature)
    log.info("%s: %s %s", step.name, "going on with" if goes_on else "running", " ".join((step.script, *arguments)))
    start = time.perf_counter()
    log_path = folder.log(step.name.replace(" ", "_"))
    with write_errors(log_path, kind=OutputError):
        output = log_path.open("w")
    with output:
        exit_code = _script(step.script, arguments, output, stop, lock)
    if stop.requested:
        return
    if exit_code:
        raise _failure(step, exit_code, log_path)
    stamps.finish(step, signature, time.perf_counter() - start)
    log.info("%s: done in %.0f s", step.name, time.perf_counter() - start)


def _script(name: str, arguments: tuple[str, ...], output: IO[str], stop: StopRequest, lock: int) -> int:
    """Run a script to its end, holding the lock too; a signal that ends us ends it first. Its exit code."""
    own_tasks = [word for folder in task_dirs()[1:] for word in ("--config-dir", str(folder))]
    verb = next(verb for verb, entry in VERBS.items() if entry.config == name and not entry.defaults)
    command = [sys.executable, "-P", "-m", "isaaclab_mimic_ext", verb, *own_tasks, *arguments]
    # In a session of its own, Ctrl-C reaches it through us, once.
    process = subprocess.Popen(
        command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True, env=os.environ, pass_fds=(lock,)
    )
    forwarded = False
    while True:
        try:
            return process.wait(timeout=_POLL)
        except subprocess.TimeoutExpired:
            if stop.requested and not forwarded:
                process.send_signal(signal.SIGTERM)
                forwarded = True


def _failure(step: Step, exit_code: int, log_path: Path) -> MimicError:
    message = f"step '{step.name}' failed: {last_words(log_path.read_text(errors='replace'))} (its whole log: {log_path})"
    return {_USAGE: UsageError, _BUDGET: BudgetExhausted}.get(exit_code, MimicError)(message)


def last_words(said: str) -> str:
    """The error that a script ended with, in one line."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    own = [index for index, line in enumerate(lines) if line.partition(":")[0] in _OWN_ERRORS]
    if not own:
        return lines[-1] if lines else "it said nothing"
    # What HDF5 says of a full disk has several lines, and it goes on when the interpreter ends.
    return " ".join(takewhile(lambda line: not line.startswith(_NO_MORE), lines[own[-1] :]))


def check_steps(steps: Sequence[Step]) -> None:
    """Make sure that every step's script takes its command line, and that the agent can be trained.

    Raises:
        UsageError: one does not; names the step.
        DependencyMissing: robomimic is not installed.
    """
    for step in steps:
        try:
            overrides = translate(list(step.arguments), SCRIPT_SCHEMAS[step.script])
            cfg = load_config(step.script, overrides, config_dirs=task_dirs()[1:])
            if isinstance(cfg, TrainCfg):
                checked_settings(cfg)
        except UsageError as error:
            raise type(error)(f"step '{step.name}': {error}") from error
        except Exception as error:
            if not is_config_error(error):
                raise
            raise ConfigError(f"step '{step.name}': {explain(error, step.script)}") from error

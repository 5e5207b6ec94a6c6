"""Run a command: compose its configuration from the command line, call its function, exit with its exit code."""

import gc
import logging
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from isaaclab_mimic_ext import __version__, command_lines
from isaaclab_mimic_ext.command_lines import in_quotes
from isaaclab_mimic_ext.commands.inputs import check_inputs
from isaaclab_mimic_ext.commands.launch import prepare_sweep, registered_fields, start_engine
from isaaclab_mimic_ext.commands.messages import explain, is_config_error
from isaaclab_mimic_ext.commands.overrides import is_multirun, translate
from isaaclab_mimic_ext.commands.recorded import find_config_dirs, task_of_files, words_of_recording
from isaaclab_mimic_ext.commands.resumed import words_of_resumed
from isaaclab_mimic_ext.commands.signals import Terminated, end_by_sigterm, raising_terminated
from isaaclab_mimic_ext.commands.sweep_outputs import SweepOutputs
from isaaclab_mimic_ext.commands.sweeps import register_sweeps
from isaaclab_mimic_ext.config import SCRIPT_SCHEMAS, SCRIPT_VERBS, TaskRef, validate
from isaaclab_mimic_ext.config.compose import to_typed
from isaaclab_mimic_ext.config.hydra import conf_dir, is_sweep_job, register
from isaaclab_mimic_ext.errors import Interrupted, MimicError, TaskCodeError
from isaaclab_mimic_ext.files.writing import HDF5_ERRORS, remove_folders
from isaaclab_mimic_ext.progress import shown

_SCENE = re.compile(r"\+{0,2}(task|sim|robot|robot@robot|objects|device|headless)(\.[\w.]+)?=.*", re.DOTALL)
"""Overrides that select the task, the robot, the meshes of objects, and the engine."""
log = logging.getLogger(__name__)

USAGE_ERROR = 2
INTERRUPTED = 130
DEBUG = "MIMIC_DEBUG"
"""Environment variable that `--debug` sets: show tracebacks of all errors."""
_DEBUG_FLAG = "--debug"
_LAUNCH = "isaaclab_mimic_ext.envs.isaaclab.launch"


_failed_writes: list[MimicError] = []
"""Errors of files that could not be written. HDF5 may crash the process when the objects of such a file are freed. The
errors keep their frames alive, and the process ends without freeing them."""


class _Stop(BaseException):
    """End of the program from within a Hydra job. It is not an Exception, because Hydra catches and rewords those."""

    def __init__(self, exit_code: int):
        self.exit_code = exit_code


Main = Callable[[Any], None]
"""Function of a command; its argument is the typed configuration."""


def run_command(name: str, main: Main, program: Sequence[str]) -> NoReturn:
    """Run a command with `conf/<name>.yaml` and the command line, then exit.

    Args:
        name: name of the schema and of the configuration file.
        main: function of the command.
        program: first words of a command line that runs the same command in a new process, for the jobs of a sweep.

    The exit code is 0, the code of the raised MimicError, 2 for a configuration that is not valid, 130 after Ctrl-C, or 1
    with a traceback for an unexpected error. A failing job does not end a sweep; the exit code of the sweep is that of its
    first failure.
    """
    try:
        with raising_terminated():
            exit_code = _exit_code_of(name, main, program)
    except Terminated:
        print("Interrupted.", file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
        end_by_sigterm()
    _flush_stdout()
    if (launched := sys.modules.get(_LAUNCH)) is not None:
        launched.end_process(exit_code)
    if _failed_writes:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(exit_code)
    gc.freeze()  # Otherwise, Python searches all objects of torch for unreachable ones when it exits, for 1 s and more.
    sys.exit(exit_code)


def _exit_code_of(name: str, main: Main, program: Sequence[str]) -> int:
    try:
        return _run(name, _Job(name, main, program))
    except _Stop as stop:
        return stop.exit_code
    except SystemExit as ended:  # Raised by Hydra after its own flags.
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except Terminated:
        raise
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return INTERRUPTED
    except MimicError as error:
        return _report(error)
    except BrokenPipeError:
        _discard_stdout()
        return 1
    except Exception as error:
        if is_config_error(error):
            print(f"ConfigError: {explain(error, name)}", file=sys.stderr)
        elif isinstance(error, OSError):
            # _Job.run handles the errors of the command. Here, Hydra failed to create the folder of the job.
            print(f"OutputError: hydra.run.dir: cannot be written: {error}; use another folder", file=sys.stderr)
        elif "can be specified" in str(error):  # Hydra's check of its own flags.
            print(f"ConfigError: {error}", file=sys.stderr)
        else:
            traceback.print_exc()
            return 1
        return USAGE_ERROR


def _run(name: str, job: "_Job") -> int:
    schema = SCRIPT_SCHEMAS[name]
    if "--version" in sys.argv:
        print(__version__)
        return 0
    if _DEBUG_FLAG in sys.argv:
        sys.argv = [word for word in sys.argv if word != _DEBUG_FLAG]
        os.environ[DEBUG] = "1"  # Also in the processes of a sweep.
    sys.argv[1:] = translate(sys.argv[1:], schema)
    if not is_multirun(sys.argv[1:]):
        sys.argv += words_of_resumed(sys.argv[1:], schema)
        sys.argv += words_of_recording(sys.argv[1:], schema)
    task, job.task_file = task_of_files(sys.argv[1:], schema)
    sys.argv += task
    config_dirs = [conf_dir(), *_use_config_dirs()]
    register(name, config_dirs)
    if registered := registered_fields(name, schema, sys.argv[1:], config_dirs):
        register(name, config_dirs, registered)
    register_sweeps()
    if is_multirun(sys.argv[1:]):
        prepare_sweep(sys.argv)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises errors, instead of printing them and exiting.
    hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=name)(job.run)()
    return job.exit_code


class _Job:
    """Job that Hydra calls: once in a run, once per combination of values in a sweep."""

    def __init__(self, script: str, main: Main, program: Sequence[str]):
        self.script, self.main, self.program = script, main, program
        self.outputs = SweepOutputs(script)
        self.can_resume = any(field.name == "resume" for field in fields(SCRIPT_SCHEMAS[script]))
        self.exit_code = 0
        self.task_file = ""
        """File that the task was taken from; empty if none."""

    def run(self, composed: DictConfig) -> None:
        # Not resolved: an override may contain an interpolation that fails, which the composition reports.
        overrides: Any = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
        words = [word for word in overrides if not word.startswith("+sweep=")]
        command_lines.program.verb = SCRIPT_VERBS[self.script]
        command_lines.program.arguments = tuple(words)
        command_lines.program.scene = tuple(word for word in words if _SCENE.fullmatch(word))
        try:
            cfg = to_typed(composed, self.script)
            if isinstance(task := getattr(cfg, "task", None), TaskRef):
                task.preset = HydraConfig.get().runtime.choices.get("task")
                if self.task_file:
                    log.info("Using task '%s', as recorded in %s", task.preset, self.task_file)
            validate(cfg)
            check_inputs(cfg)
            start_engine(cfg)
            with shown(getattr(cfg, "progress", True)):
                self.main(cfg)
        except MimicError as error:
            self._fail(_report(error), isinstance(error, Interrupted))
        except BrokenPipeError:
            _discard_stdout()
            raise _Stop(1) from None
        except Exception as error:
            if not is_config_error(error):
                traceback.print_exc()
                self._fail(1, True)
            print(f"ConfigError: {explain(error, self.script)}", file=sys.stderr)
            self._fail(USAGE_ERROR, False)
        finally:
            if is_sweep_job():
                # Hydra has created the folder; it is empty if the job writes to another folder, or has failed.
                remove_folders([Path(HydraConfig.get().runtime.output_dir)])

    def _fail(self, exit_code: int, ends_sweep: bool) -> None:
        if ends_sweep or HydraConfig.get().mode == RunMode.RUN:
            raise _Stop(exit_code)
        self.note_failure(exit_code)

    def note_failure(self, exit_code: int) -> None:
        """Keep the exit code of the first failure as that of the sweep."""
        self.exit_code = self.exit_code or exit_code


def _use_config_dirs() -> list[Path]:
    """Return the folders with the user's own tasks: those of `--config-dir`, and those that the command's files record.

    Hydra accepts one `--config-dir`; all other folders are added to its search path.

    Raises:
        SourceDataError: a recorded folder no longer has the task.
    """
    sys.argv[1:], given = _without_config_dirs(sys.argv[1:])
    command_lines.program.config_dirs = tuple(folder.absolute() for folder in given)
    folders = [*given, *find_config_dirs(sys.argv, [conf_dir(), *given])]
    if folders:
        sys.argv[1:1] = ["--config-dir", str(folders[0])]
    if len(folders) > 1 and not any(word.startswith("hydra.searchpath=") for word in sys.argv):
        others = ",".join(in_quotes(f"file://{folder.absolute()}") for folder in folders[1:])
        sys.argv.append(f"hydra.searchpath=[{others}]")
    return folders


def _without_config_dirs(words: Sequence[str]) -> tuple[tuple[str, ...], list[Path]]:
    """Return the words of a command line without `--config-dir`, and the folders of `--config-dir`."""
    kept, folders, rest = [], [], iter(words)
    for word in rest:
        flag, has_value, value = word.partition("=")
        if flag not in ("--config-dir", "-cd"):
            kept.append(word)
        elif folder := value if has_value else next(rest, ""):
            folders.append(Path(folder))
    return tuple(kept), folders


def _flush_stdout() -> None:
    """Write the rest of stdout now: the interpreter prints an error at its end if the reader (`| head`) has ended."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_stdout()


def _discard_stdout() -> None:
    """Prevent a second error when the interpreter flushes stdout, whose reader (`| head`) has ended."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _report(error: MimicError) -> int:
    if isinstance(error.__cause__, HDF5_ERRORS):
        _failed_writes.append(error)
    if os.environ.get(DEBUG):
        traceback.print_exception(error)
        return error.exit_code
    hint = f"; {_DEBUG_FLAG} shows the traceback" if isinstance(error, TaskCodeError) and error.__cause__ else ""
    print(f"{type(error).__name__}: {error}{hint}", file=sys.stderr)
    return error.exit_code

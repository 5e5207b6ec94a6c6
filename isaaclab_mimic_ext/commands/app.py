"""Run a command: compose its configuration from the command line, call it, end the process with its exit code."""

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from isaaclab_mimic_ext.commands.launch import is_multirun, prepare_sweep, registered_fields, start_engine
from isaaclab_mimic_ext.commands.messages import explain, is_config_error
from isaaclab_mimic_ext.commands.overrides import translate
from isaaclab_mimic_ext.config import SCRIPT_SCHEMAS, validate
from isaaclab_mimic_ext.config.compose import to_typed
from isaaclab_mimic_ext.config.hydra import conf_dir, register
from isaaclab_mimic_ext.errors import Interrupted, MimicError, OutputError

USAGE_ERROR = 2
INTERRUPTED = 130
_LAUNCH = "isaaclab_mimic_ext.envs.isaaclab.launch"


class _Stop(BaseException):
    """Ends the program from within a Hydra job; Hydra catches and rewords every Exception."""

    def __init__(self, exit_code: int):
        self.exit_code = exit_code


Main = Callable[[Any], None]
"""A command: takes the typed configuration of its schema."""


def run_command(name: str, main: Main, program: Sequence[str]) -> NoReturn:
    """Run a command with `conf/<name>.yaml` and the command line.

    Args:
        name: of the schema and the configuration file.
        program: the start of a command line that runs the same command in a new process, for the jobs of a sweep.

    The process ends with 0, with the exit code of the MimicError that was raised, with 2 for a wrong configuration, with 130
    after Ctrl-C, or with 1 and a traceback for anything unexpected. In a sweep a job that fails does not keep the others
    from running; the exit code is then the first failure's.
    """
    exit_code = _exit_code_of(name, main, program)
    if (launched := sys.modules.get(_LAUNCH)) is not None:
        launched.end_process(exit_code)
    sys.exit(exit_code)


def _exit_code_of(name: str, main: Main, program: Sequence[str]) -> int:
    try:
        return _run(name, _Job(name, main, program))
    except _Stop as stop:
        return stop.exit_code
    except SystemExit as ended:  # Hydra's, after its own flags.
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return INTERRUPTED
    except MimicError as error:
        return _report(error)
    except Exception as error:
        if is_config_error(error):
            print(f"ConfigError: {explain(error, name)}", file=sys.stderr)
        elif isinstance(error, OSError):
            # The job's own errors end in _Job.run; what is left is Hydra making the job's folder.
            print(f"OutputError: the job's folder cannot be written ({error}); set hydra.run.dir", file=sys.stderr)
        else:
            traceback.print_exc()
            return 1
        return USAGE_ERROR


def _run(name: str, job: "_Job") -> int:
    schema = SCRIPT_SCHEMAS[name]
    sys.argv[1:] = translate(sys.argv[1:], schema)
    config_dirs = [conf_dir(), *_config_dirs(sys.argv)]
    register(name, config_dirs)
    if fields_of_task := registered_fields(name, schema, sys.argv[1:], config_dirs):
        register(name, config_dirs, fields_of_task)
    if is_multirun(sys.argv[1:]) or "hydra/launcher=process" in sys.argv:
        prepare_sweep(sys.argv)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises instead of printing its own rendering and exiting.
    hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=name)(job.run)()
    return job.exit_code


class _Job:
    """The function that Hydra calls: once in a run, once per combination in a sweep."""

    def __init__(self, script: str, main: Main, program: Sequence[str]):
        self.script, self.main, self.program = script, main, program
        self.exit_code = 0
        self.outputs: set[str] = set()

    def run(self, composed: DictConfig) -> None:
        try:
            cfg = to_typed(composed, self.script)
            validate(cfg)
            for field in ("output_file", "output_dir"):
                if (output := getattr(cfg, field, None)) is not None:
                    self.claim(field, output)
            start_engine(cfg)
            self.main(cfg)
        except MimicError as error:
            self._fail(_report(error), isinstance(error, Interrupted))
        except BrokenPipeError:
            # Whoever read our output (`| head`) has gone; the interpreter must not fail once more at its own flush.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise _Stop(1) from None
        except Exception as error:
            if not is_config_error(error):
                traceback.print_exc()
                self._fail(1, True)
            print(f"ConfigError: {explain(error, self.script)}", file=sys.stderr)
            self._fail(USAGE_ERROR, False)

    def claim(self, field: str, output: str) -> None:
        """Refuse, by an OutputError, what is an earlier job's output."""
        if output in self.outputs:
            raise OutputError(
                f"{field}: '{output}' belongs to an earlier job of this sweep; leave {field} out (each job then writes to "
                "its own folder) or sweep it too"
            )
        self.outputs.add(output)

    def _fail(self, exit_code: int, ends_sweep: bool) -> None:
        if ends_sweep or HydraConfig.get().mode == RunMode.RUN:
            raise _Stop(exit_code)
        self.note_failure(exit_code)

    def note_failure(self, exit_code: int) -> None:
        """The first failure's code is the sweep's."""
        self.exit_code = self.exit_code or exit_code


def _config_dirs(argv: list[str]) -> list[Path]:
    """The folders given by `--config-dir`."""
    pairs = zip(argv, [*argv[1:], ""], strict=True)
    separate = [value for word, value in pairs if word in ("--config-dir", "-cd")]
    joined = [word.partition("=")[2] for word in argv if word.startswith("--config-dir=")]
    return [Path(folder) for folder in separate + joined if folder]


def _report(error: MimicError) -> int:
    print(f"{type(error).__name__}: {error}", file=sys.stderr)
    return error.exit_code

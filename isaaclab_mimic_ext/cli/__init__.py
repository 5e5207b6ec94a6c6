"""From a command line to a typed configuration, a call, and an exit code."""

import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from isaaclab_mimic_ext.cli.arguments import translate
from isaaclab_mimic_ext.cli.messages import explain, is_config_error
from isaaclab_mimic_ext.cli.simulator import is_multirun, prepare_sweep, registered_fields, start_engine
from isaaclab_mimic_ext.config import SCRIPT_SCHEMAS, validate
from isaaclab_mimic_ext.config.store import conf_dir, register
from isaaclab_mimic_ext.errors import ConfigError, Interrupted, MimicError, OutputError, choices

USAGE_ERROR = 2
INTERRUPTED = 130
_LAUNCH = "isaaclab_mimic_ext.envs.isaaclab.launch"


class _Stop(BaseException):
    """Ends the program from within a Hydra job; Hydra catches and rewords every Exception."""

    def __init__(self, exit_code: int):
        self.exit_code = exit_code


def run_app(name: str) -> NoReturn:
    """Run the script `name`: `main(cfg)` of `isaaclab_mimic_ext.apps.<name>`, with `conf/<name>.yaml` and the command line.

    The process ends with 0, with the exit code of the MimicError that was raised, with 2 for a wrong configuration, with 130
    after Ctrl-C, or with 1 and a traceback for anything unexpected. In a sweep a job that fails does not keep the others
    from running; the exit code is then the first failure's.
    """
    exit_code = _exit_code_of(name)
    if (launched := sys.modules.get(_LAUNCH)) is not None:
        launched.end_process(exit_code)
    sys.exit(exit_code)


def _exit_code_of(name: str) -> int:
    try:
        return _run(name)
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
            print(f"ConfigError: {explain(error)}", file=sys.stderr)
        elif isinstance(error, OSError):
            # The job's own errors end in _Job.run; what is left is Hydra making the job's folder.
            print(f"OutputError: the job's folder cannot be written ({error}); set hydra.run.dir", file=sys.stderr)
        else:
            traceback.print_exc()
            return 1
        return USAGE_ERROR


def _run(name: str) -> int:
    schema = SCRIPT_SCHEMAS[name]
    sys.argv[1:] = translate(sys.argv[1:], schema)
    config_dirs = [conf_dir(), *_config_dirs(sys.argv)]
    register(config_dirs)
    if fields_of_task := registered_fields(name, schema, sys.argv[1:], config_dirs):
        register(config_dirs, fields_of_task)
    if is_multirun(sys.argv[1:]) or "hydra/launcher=process" in sys.argv:
        prepare_sweep(sys.argv)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises instead of printing its own rendering and exiting.
    job = _Job(lambda cfg: import_module(f"isaaclab_mimic_ext.apps.{name}").main(cfg))
    hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=name)(job.run)()
    return job.exit_code


class _Job:
    """What Hydra calls: once in a run, once a combination in a sweep."""

    def __init__(self, main: Callable[[Any], None]):
        self.main = main
        self.exit_code = 0
        self.outputs: set[str] = set()

    def run(self, composed: DictConfig) -> None:
        try:
            cfg = to_typed(composed)
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
            print(f"ConfigError: {explain(error)}", file=sys.stderr)
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


def to_typed(composed: DictConfig) -> Any:
    """The dataclass object of a composed configuration."""
    if "subtask_configs" in composed:
        # The schema holds an empty list for end effectors of other tasks.
        composed = composed.copy()
        OmegaConf.set_struct(composed.subtask_configs, False)
        for eef_name in [name for name, subtasks in composed.subtask_configs.items() if not subtasks]:
            del composed.subtask_configs[eef_name]
        _give_all_subtasks(composed)
    cfg = OmegaConf.to_object(composed)
    _reject_unknown(cfg, "")
    return cfg


def _give_all_subtasks(composed: DictConfig) -> None:
    """Put what `all_subtasks` holds into each subtask, where its name and type are checked."""
    for subtasks in composed.subtask_configs.values():
        for subtask in subtasks:
            for name, value in composed.all_subtasks.items():
                subtask[name] = value
    composed.all_subtasks = {}


def _reject_unknown(node: Any, place: str) -> None:
    """`+field=value` adds a field past the schema; nothing would ever read it."""
    if isinstance(node, dict | list):
        for key, child in node.items() if isinstance(node, dict) else enumerate(node):
            _reject_unknown(child, f"{place}{key}.")
    if is_dataclass(node):
        names = [field.name for field in fields(node)]
        for key, child in vars(node).items():
            if key not in names:
                raise ConfigError(f"{place}{key}: there is no field '{key}'; {choices(key, names)}")
            _reject_unknown(child, f"{place}{key}.")


def _config_dirs(argv: list[str]) -> list[Path]:
    """The folders given by `--config-dir`."""
    pairs = zip(argv, [*argv[1:], ""], strict=True)
    separate = [value for word, value in pairs if word in ("--config-dir", "-cd")]
    joined = [word.partition("=")[2] for word in argv if word.startswith("--config-dir=")]
    return [Path(folder) for folder in separate + joined if folder]


def _report(error: MimicError) -> int:
    print(f"{type(error).__name__}: {error}", file=sys.stderr)
    return error.exit_code

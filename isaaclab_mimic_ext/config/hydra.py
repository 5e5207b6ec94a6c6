"""Registration of schemas and resolvers with Hydra, and reading of task files with the schema of a command."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import is_dataclass
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf

from isaaclab_mimic_ext.config.commands import SCRIPT_SCHEMAS, subtask_type
from isaaclab_mimic_ext.config.deprecated import drop_deprecated, rename_fields
from isaaclab_mimic_ext.config.help_text import help_text
from isaaclab_mimic_ext.config.task import MimicEnvCfg
from isaaclab_mimic_ext.errors import ConfigError
from isaaclab_mimic_ext.task.user_code import shown_path

DATASETS_DIR = Path("datasets")
LOGS_DIR = Path("logs")
REGISTERED_GROUP = "registered"
"""Hydra group with the fields of a task registered with Isaac Lab; in the defaults of `conf/task/isaaclab.yaml`."""


def conf_dir() -> Path:
    """Return the folder of the configuration files, in a checkout or an installed package."""
    return _package_dir("isaaclab_mimic_ext.conf")


def register(script: str, config_dirs: Iterable[Path], registered: Mapping[str, Any] | None = None) -> None:
    """Register schemas and resolvers with Hydra, to compose the configuration of `script`.

    Args:
        script: name of the script and of its file in `conf/`.
        config_dirs: folders with task files and user tasks.
        registered: fields of a task that is registered with Isaac Lab, for `task=isaaclab`.
    """
    config_dirs = list(config_dirs)
    for folder in config_dirs:
        if folder != conf_dir():
            find_tasks_in(folder)
    OmegaConf.register_new_resolver("task_data", _task_data, replace=True)
    OmegaConf.register_new_resolver("task_label", _task_label, replace=True)
    OmegaConf.register_new_resolver("output", _output, replace=True)
    OmegaConf.register_new_resolver("fixed_dir", _fixed_dir, replace=True)
    OmegaConf.register_new_resolver("run_dir", _run_dir, replace=True, use_cache=True)
    OmegaConf.register_new_resolver("log_dir", _log_dir, replace=True, use_cache=True)
    OmegaConf.register_new_resolver("help", lambda *, _root_: help_text(script, _root_, config_dirs), replace=True)
    of_task = OmegaConf.create(dict(registered or {}))
    drop_unread(of_task, SCRIPT_SCHEMAS[script], MimicEnvCfg)
    eef_names = sorted(
        {name for folder in config_dirs for name in _eef_names(folder)} | {*_keys(of_task, "subtask_configs")}
    )
    store = ConfigStore.instance()
    store.store(group=REGISTERED_GROUP, name="isaaclab", package="_global_", node=of_task)
    node: Any = SCRIPT_SCHEMAS[script]
    if subtask_type(node) is not None:
        # OmegaConf converts items of a list in a dict to their class only if the list exists before a file is merged.
        node = node(subtask_configs={eef_name: [] for eef_name in eef_names})
    store.store(name=f"{script}_schema", node=node)
    _read_files_for(script)


def _read_files_for(script: str) -> None:
    """Let Hydra rename fields with old names, and drop the fields of task files that the schema of `script` does not have.

    A task file serves all commands, and each command reads a part of it. Fields that are not in the schema of a task
    are kept, and refused later. Values from other places are not filtered: unread fields on the command line are refused.
    """
    Plugins.instance()  # Imports Hydra's sources again: import them below, not above.
    from hydra._internal.core_plugins.file_config_source import FileConfigSource
    from hydra._internal.sources_registry import SourcesRegistry

    class CommandFileSource(FileConfigSource):
        def load_config(self, config_path: str) -> Any:
            with utf8_errors(Path(self.path) / self._normalize_file_name(config_path)):
                result = super().load_config(config_path)
            rename_fields(result.config, script)
            if config_path.startswith("task/"):
                _check_task_file(Path(self.path) / self._normalize_file_name(config_path), result)
                drop_deprecated(result.config)
                drop_unread(result.config, SCRIPT_SCHEMAS[script], MimicEnvCfg)
            return result

    SourcesRegistry.instance().types["file"] = CommandFileSource


@contextmanager
def utf8_errors(path: Path) -> Iterator[None]:
    """Convert the error of a file that is not UTF-8, within the block, to an error that names the file.

    Raises:
        ConfigError: the file is not UTF-8.
    """
    try:
        yield
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError(f"{shown_path(path)}:{line}: must be UTF-8 ({error.reason}); save the file as UTF-8") from error


def _check_task_file(path: Path, result: Any) -> None:
    """Check the package and the task of a task file.

    Raises:
        ConfigError: the file lacks the line with its package, or the name of its task.
    """
    place = shown_path(path)
    if result.header.get("package") != "_global_":
        raise ConfigError(f"{place}: the first line must be '# @package _global_', because a task sets fields of all groups")
    has_base = isinstance(result.config, DictConfig) and "defaults" in result.config
    if not has_base and not OmegaConf.select(result.config, "task.name"):
        raise ConfigError(f"{place}: task.name must be set; add the line 'task: {{name: <folder of the task>}}'")


def drop_unread(config: Any, schema: Any, of_task: Any) -> None:
    """Remove, in place, the fields of `config` that are in the type `of_task` but not in the type `schema`."""
    if isinstance(config, DictConfig) and is_dataclass(of_task) and is_dataclass(schema):
        read, known = get_type_hints(schema), get_type_hints(of_task)
        for name in [name for name in config if name in known]:
            if name not in read:
                del config[name]
            elif name == "all_subtasks":
                drop_unread(config._get_node(name), subtask_type(schema), subtask_type(of_task))
            else:
                drop_unread(config._get_node(name), read[name], known[name])
    elif isinstance(config, DictConfig) and get_origin(of_task) is dict:
        for key in config:
            drop_unread(config._get_node(key), get_args(schema)[1], get_args(of_task)[1])
    elif isinstance(config, ListConfig) and get_origin(of_task) is list:
        for index in range(len(config)):
            drop_unread(config._get_node(index), get_args(schema)[0], get_args(of_task)[0])


def _keys(config: DictConfig, name: str) -> list[str]:
    return [str(key) for key in config.get(name) or ()]


def find_tasks_in(config_dir: Path) -> None:
    """Make the tasks in `config_dir` (`<config_dir>/<task>/task.py`) importable in the same way as those in `tasks/`."""
    import isaaclab_mimic_ext.tasks as package

    folder = str(config_dir.resolve())
    if folder not in package.__path__:
        package.__path__.append(folder)


def _eef_names(config_dir: Path) -> set[str]:
    """Return the names of end effectors in the task files of a folder. Hydra reports broken files later."""
    names: set[str] = set()
    for path in sorted((config_dir / "task").glob("*.yaml")):
        try:
            names.update(OmegaConf.select(OmegaConf.load(path), "subtask_configs", default={}))
        except Exception:
            continue
    return names


def _task_data(task_name: str, file_name: str) -> str:
    """`${task_data:<task>,<file>}`: path of a data file of a task; empty if the task is registered with Isaac Lab."""
    if task_name == "isaaclab":
        return ""
    import isaaclab_mimic_ext.tasks as package

    folders = [Path(folder) / task_name for folder in package.__path__]
    folder = next((folder for folder in folders if (folder / "task.py").is_file()), folders[0])
    return str(folder / "data" / file_name)


def _task_label(choice: str, task_id: str | None) -> str:
    """`${task_label:<choice in group task>,${task.id}}`: name of a task in file names; its gym id if it is registered."""
    return task_id.rpartition(":")[2] if choice == "isaaclab" and task_id else choice


def _output(file_name: str) -> str:
    """`${output:<file>}`: path in `datasets/`; in a sweep, in the folder of the job, so that jobs do not overwrite files."""
    if is_sweep_job():
        return str(Path(HydraConfig.get().runtime.output_dir) / file_name)
    return str(DATASETS_DIR / file_name)


def _fixed_dir(path: str) -> str:
    """`${fixed_dir:<path>}`: a folder with the same name in each run; in a sweep, the folder of the job."""
    return str(HydraConfig.get().runtime.output_dir) if is_sweep_job() else path


def _run_dir(name: str, output_file: str | None = None) -> str:
    """`${run_dir:<name>,<file>}`: folder next to `<file>` with its name, or else a dated folder in `datasets/<name>/`.

    Without `<file>`, it is in a sweep the folder of the job.
    """
    return str(Path(output_file).with_suffix("")) if output_file else dated_dir(DATASETS_DIR / name)


def _log_dir(name: str) -> str:
    """`${log_dir:<name>}`: dated folder in `logs/<name>/`; in a sweep, the folder of the job."""
    return dated_dir(LOGS_DIR / name)


def dated_dir(folder: Path) -> str:
    """Return the path of a folder in `folder`, named after the current time; in a sweep, the folder of the job."""
    if is_sweep_job():
        return str(HydraConfig.get().runtime.output_dir)
    # Milliseconds: runs that a shell starts together have different folders.
    return str(folder / datetime.now().strftime("%Y-%m-%d_%H-%M-%S-%f")[:-3])


def is_sweep_job() -> bool:
    """Return whether the configuration of a sweep's job is composed. A job in a separate process is a run with a number."""
    if not HydraConfig.initialized():
        return False
    config = HydraConfig.get()
    return config.mode == RunMode.MULTIRUN or not OmegaConf.is_missing(config.job, "num")


def _package_dir(name: str) -> Path:
    spec = find_spec(name)
    assert spec is not None and spec.origin is not None, name
    return Path(spec.origin).parent

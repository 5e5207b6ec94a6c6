"""Puts the schemas where Hydra finds them, and the resolvers that `conf/` uses."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf

from isaaclab_mimic_ext.config.scripts import SCRIPT_SCHEMAS
from isaaclab_mimic_ext.config.task import MimicEnvCfg

DATASETS_DIR = Path("datasets")
LOGS_DIR = Path("logs")
REGISTERED_GROUP = "registered"
"""Hydra's group of what `conf/task/isaaclab.yaml` has in its defaults."""


def conf_dir() -> Path:
    """The folder of the configuration files, in a checkout or installed."""
    return _package_dir("isaaclab_mimic_ext.conf")


def register(config_dirs: Iterable[Path], registered: Mapping[str, Any] | None = None) -> None:
    """Make schemas and resolvers known to Hydra.

    Args:
        config_dirs: where the task files are looked for, and tasks of the user's own.
        registered: what `task=isaaclab` starts from: the fields of a task that is registered with Isaac Lab.
    """
    config_dirs = list(config_dirs)
    for folder in config_dirs:
        if folder != conf_dir():
            _find_tasks_in(folder)
    OmegaConf.register_new_resolver("task_data", _task_data, replace=True)
    OmegaConf.register_new_resolver("task_label", _task_label, replace=True)
    OmegaConf.register_new_resolver("output", _output, replace=True)
    OmegaConf.register_new_resolver("run_dir", _run_dir, replace=True, use_cache=True)
    OmegaConf.register_new_resolver("log_dir", _log_dir, replace=True, use_cache=True)
    fields = dict(registered or {})
    eef_names = sorted(
        {name for folder in config_dirs for name in _eef_names(folder)} | fields.get("subtask_configs", {}).keys()
    )
    store = ConfigStore.instance()
    store.store(group=REGISTERED_GROUP, name="isaaclab", package="_global_", node=fields)
    for script, schema in SCRIPT_SCHEMAS.items():
        node: Any = schema
        if issubclass(schema, MimicEnvCfg):
            # OmegaConf types the items of a list in a dict only where that list is there before the file is merged.
            node = schema(subtask_configs={name: [] for name in eef_names})
        store.store(name=f"{script}_schema", node=node)


def _find_tasks_in(config_dir: Path) -> None:
    """Let the folders of `config_dir` be tasks as those of `tasks/` are: `<config_dir>/<task>/task.py`."""
    import isaaclab_mimic_ext.tasks as package

    folder = str(config_dir.resolve())
    if folder not in package.__path__:
        package.__path__.append(folder)


def _eef_names(config_dir: Path) -> set[str]:
    """The end effectors that the task files of a folder speak of; broken files are left to Hydra to complain about."""
    names: set[str] = set()
    for path in sorted((config_dir / "task").glob("*.yaml")):
        try:
            names.update(OmegaConf.select(OmegaConf.load(path), "subtask_configs", default={}))
        except Exception:
            continue
    return names


def _task_data(task_name: str, file_name: str) -> str:
    """`${task_data:<task>,<file>}`: a data file that comes with a task; empty: the task is registered with Isaac Lab."""
    if task_name == "isaaclab":
        return ""
    import isaaclab_mimic_ext.tasks as package

    folders = [Path(folder) / task_name for folder in package.__path__]
    folder = next((folder for folder in folders if (folder / "task.py").is_file()), folders[0])
    return str(folder / "data" / file_name)


def _task_label(choice: str, task_id: str | None) -> str:
    """`${task_label:<choice in group task>,${task.id}}`: what a task's files are called; if it is registered, by gym id."""
    return task_id.rpartition(":")[2] if choice == "isaaclab" and task_id else choice


def _output(file_name: str) -> str:
    """`${output:<file>}`: below `datasets/`; in a sweep in the job's own folder, so that no job writes over another's."""
    if is_sweep_job():
        return str(Path(HydraConfig.get().runtime.output_dir) / file_name)
    return str(DATASETS_DIR / file_name)


def _run_dir(name: str) -> str:
    """`${run_dir:<name>}`: a dated folder below `datasets/`; in a sweep the job's own folder."""
    return dated_dir(DATASETS_DIR / name)


def _log_dir(name: str) -> str:
    """`${log_dir:<name>}`: likewise below `logs/`."""
    return dated_dir(LOGS_DIR / name)


def dated_dir(folder: Path) -> str:
    """A folder below `folder` named after the present time; in a sweep the job's own folder."""
    if is_sweep_job():
        return str(HydraConfig.get().runtime.output_dir)
    return str(folder / datetime.now().strftime("%Y-%m-%d_%H-%M-%S"))


def is_sweep_job() -> bool:
    """Whether a job of a sweep is composed; one that is a process of its own runs alone, and has a number."""
    if not HydraConfig.initialized():
        return False
    config = HydraConfig.get()
    return config.mode == RunMode.MULTIRUN or not OmegaConf.is_missing(config.job, "num")


def _package_dir(name: str) -> Path:
    spec = find_spec(name)
    assert spec is not None and spec.origin is not None, name
    return Path(spec.origin).parent

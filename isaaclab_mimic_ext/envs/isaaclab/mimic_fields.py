"""From a file of `conf/task/` to the fields of Isaac Lab's `MimicEnvCfg`, so that subtasks are written once."""

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from isaaclab_mimic_ext.config import EventCfg
from isaaclab_mimic_ext.config.hydra import conf_dir


def task_yaml(name: str) -> dict[str, Any]:
    """What the file `task/<name>.yaml` says, ours or of a `--config-dir`, as plain containers; it has no `defaults` list."""
    import isaaclab_mimic_ext.tasks as tasks

    folders = [*(Path(folder) for folder in tasks.__path__), conf_dir()]
    paths = [folder / "task" / f"{name}.yaml" for folder in folders]
    loaded = OmegaConf.load(next((path for path in paths if path.is_file()), paths[-1]))
    container: Any = OmegaConf.to_container(loaded, resolve=True)
    return container


def trial_events(name: str) -> dict[str, EventCfg]:
    """The randomization of a task file."""
    return {event: EventCfg(**values) for event, values in task_yaml(name).get("events", {}).items()}


def fill_mimic_cfg(env_cfg: Any, name: str) -> None:
    """Fill an Isaac Lab `MimicEnvCfg` from a task file; what only the batched generator knows is left out."""
    from isaaclab.envs.mimic_env_cfg import SubTaskConfig

    values = task_yaml(name)
    env_cfg.datagen_config.name = name
    for key, value in _known(env_cfg.datagen_config, values["datagen_config"]).items():
        setattr(env_cfg.datagen_config, key, value)
    env_cfg.subtask_configs = {
        eef: [SubTaskConfig(**_known(SubTaskConfig, subtask)) for subtask in subtasks]
        for eef, subtasks in values["subtask_configs"].items()
    }


def _known(cfg: Any, values: dict[str, Any]) -> dict[str, Any]:
    """Those of the values that Isaac Lab's class has, sequences as the tuples that it wants."""
    assert is_dataclass(cfg)
    names = {field.name for field in fields(cfg)}
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items() if key in names}

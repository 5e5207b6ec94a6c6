"""Groups of configuration files that a command has: `task=stack_cube`, `sim=kinematic`, `+sweep=settling`."""

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from isaaclab_mimic_ext.config.commands import SCRIPT_SCHEMAS
from isaaclab_mimic_ext.config.help import has_field

ADDED = ("sweep", "cluster")
"""Groups that no command has by default: `+sweep=<option>` adds one."""


def groups_of(script: str, folders: Sequence[Path]) -> dict[str, list[str]]:
    """Return the groups of a command: name -> options. An option of an added group sets only fields of the command.

    Args:
        script: name of the script and of its file.
        folders: folder of the configuration files, then those of `--config-dir`.
    """
    groups = {group: _options(group, folders) for group in _default_groups(folders[0] / f"{script}.yaml")}
    for group in ADDED:
        paths = {option: _path(group, option, folders) for option in _options(group, folders)}
        if fitting := [option for option, path in paths.items() if _fits(script, path, [*groups])]:
            groups[group] = fitting
    return groups


def all_groups(folders: Sequence[Path]) -> list[str]:
    """Return the names of the groups of all commands."""
    defaults = {group for script in SCRIPT_SCHEMAS for group in _default_groups(folders[0] / f"{script}.yaml")}
    return sorted(defaults | {*ADDED})


@cache
def _default_groups(path: Path) -> list[str]:
    items: Any = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    entries = (next(iter(item)) for item in items["defaults"] if isinstance(item, dict))
    return [str(entry) for entry in entries if not str(entry).startswith("override ")]


def _options(group: str, folders: Sequence[Path]) -> list[str]:
    return sorted({path.stem for folder in folders for path in (folder / group).glob("*.yaml")})


def _path(group: str, option: str, folders: Sequence[Path]) -> Path:
    paths = (folder / group / f"{option}.yaml" for folder in reversed(folders))
    return next(path for path in paths if path.is_file())


def _fits(script: str, path: Path, groups: Sequence[str]) -> bool:
    return all(name in groups or has_field(SCRIPT_SCHEMAS[script], name) for name in _fields_in(OmegaConf.load(path)))


def _fields_in(content: Any) -> Iterator[str]:
    """Yield the names of the fields that a file of a group sets, without those of Hydra, and those that it sweeps."""
    yield from (str(name) for name in content if name != "hydra")
    swept = OmegaConf.select(content, "hydra.sweeper.params")
    if isinstance(swept, DictConfig):
        yield from (str(name).lstrip("+") for name in swept)

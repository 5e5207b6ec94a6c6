"""The settings of a run or training that is resumed, from its folder: then `resume=true output_dir=...` is sufficient."""

from collections.abc import Sequence, Set
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from isaaclab_mimic_ext.command_lines import quoted, unquoted, words_in_comment
from isaaclab_mimic_ext.config import SCRIPT_SCHEMAS, SCRIPT_VERBS
from isaaclab_mimic_ext.config.bounds import bounds_of
from isaaclab_mimic_ext.config.commands import BLOCKS
from isaaclab_mimic_ext.config.task import BUDGETS
from isaaclab_mimic_ext.errors import ConfigError, OutputError

_FILES = ("config.yaml", "train.yaml", "cluster.yaml")
"""Configuration that `generate`, `train` and `generate +cluster` write to their folders."""
_OF_ONE_SESSION = {"output_dir", "overwrite", "resume", "progress", "block"} | {f"datagen_config.{name}" for name in BUDGETS}
"""Fields that a resumed run does not take from its folder: the folder itself, and limits of one session."""
_CONFIG_DIR = "--config-dir"


def words_of_resumed(words: Sequence[str], schema: type) -> list[str]:
    """Return the flags and overrides with which the run in `output_dir` was started, except for fields that the words set.

    Empty if the words do not resume a run, or if the folder contains no run.

    Args:
        words: translated words of the command line.
        schema: schema of the command.

    Raises:
        ConfigError: the words do not name the folder of the run.
        OutputError: the run is one of another command, or has a different task than the words.
    """
    given = {_key(word): word.partition("=")[2] for word in words if "=" in word}
    names = {field.name for field in fields(schema)}
    if given.get("resume") != "true" or not {"resume", "output_dir"} <= names:
        return []
    if "output_dir" not in given:
        if "hydra.job.num" not in given:  # The folder of a sweep's job does not contain the date of the job.
            _check_folder_is_fixed(given.keys(), schema)
        return []
    folder = Path(unquoted(given["output_dir"]))
    files = (path for name in _FILES for path in _places(folder, name, "block" in given) if path.is_file())
    text = next((path.read_text(encoding="utf-8", errors="surrogateescape") for path in files), "")
    verb, started = words_in_comment(text)
    if verb and verb != (wanted := _verb_of(schema)):
        raise OutputError(
            f"output_dir: {folder} was started by `mimic {verb}`, not `mimic {wanted}`; use another output_dir, or resume "
            f"with `mimic {verb} resume=true output_dir={folder}`"
        )
    started = started or _task_and_file(text)
    task = next((word.partition("=")[2] for word in started if _key(word) == "task"), None)
    if None not in (task, given.get("task")) and task != given["task"]:
        raise OutputError(
            f"output_dir: {folder} was started with task '{task}', not '{given['task']}'; leave out task=, or use another "
            "output_dir"
        )
    return _without(started, given.keys() | _OF_ONE_SESSION, any(_key(word) == _CONFIG_DIR for word in words))


def _places(folder: Path, name: str, is_block: bool) -> list[Path]:
    """Files of a run and of its blocks, which have the same settings; a collected run lacks some of them."""
    of_blocks = sorted((folder / BLOCKS).glob(f"*/{name}"))
    return [*of_blocks, folder / name] if is_block else [folder / name, *of_blocks]


def _check_folder_is_fixed(given: Set[str], schema: type) -> None:
    """Refuse to resume in the default folder if its name contains the date: each command has a new one."""
    bounds = bounds_of(next(field for field in fields(schema) if field.name == "output_dir"))
    default = "" if bounds is None else bounds.computed
    if "<date>" in default and "output_file" not in given:
        raise ConfigError(f"output_dir: must be set with resume=true, to the folder of the run (the default is {default})")


def _verb_of(schema: type) -> str:
    return next(SCRIPT_VERBS[script] for script, own in SCRIPT_SCHEMAS.items() if own is schema)


def _without(started: Sequence[str], fields: Set[str], has_config_dir: bool) -> list[str]:
    """Return the words that do not set these fields, and without folders of tasks if the command line has its own."""
    kept, words = [], iter(started)
    for word in words:
        if word == _CONFIG_DIR:
            folder = next(words)
            kept += [] if has_config_dir else [word, folder]
        elif _key(word) not in fields:
            kept.append(word)
    return kept


def _key(word: str) -> str:
    return word.lstrip("+~").partition("=")[0]


def _task_and_file(text: str) -> list[str]:
    """Overrides of the task and the source file in a configuration that Python code has written."""
    try:
        content: Any = yaml.safe_load(text) or {}
    except yaml.YAMLError:
        content = {}  # The comparison with the settings in the store reports what is missing.
    task, path = content.get("task", {}).get("preset"), content.get("input_file")
    return [f"{name}={quoted(value)}" for name, value in (("task", task), ("input_file", path)) if value]

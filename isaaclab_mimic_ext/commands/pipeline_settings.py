"""Settings in which the steps of a pipeline differ from the defaults of their commands, with their reasons."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from yaml import YAMLError, safe_load  # type: ignore[import-untyped]

from isaaclab_mimic_ext.command_lines import program
from isaaclab_mimic_ext.commands.main import VERBS
from isaaclab_mimic_ext.commands.overrides import translate
from isaaclab_mimic_ext.commands.pipeline_steps import Step, task_of, task_reasons
from isaaclab_mimic_ext.config import SCRIPT_SCHEMAS, PipelineCfg
from isaaclab_mimic_ext.config.compose import load_config
from isaaclab_mimic_ext.task.folders import task_dirs
from isaaclab_mimic_ext.texts import counted

_PLACES = ("task", "input_file", "output_file", "output_dir", "checkpoint")
"""Fields that connect the steps."""
_SIZES = {
    ("record", "num_demos"): "num_sources",
    ("generate", "datagen_config.generation_num_trials"): "num_demos",
    ("train", "epochs"): "epochs",
}
"""Verb and field of a step -> field of the pipeline that sets it, and that a preset sets."""
_PASSED_ON = _SIZES | {
    ("train", "algo"): "algo",
    ("generate", "num_envs"): "num_envs",
    ("evaluate", "num_envs"): "num_envs",
    ("evaluate", "num_episodes"): "num_episodes",
}
"""Verb and field of a step -> field of the pipeline that sets it."""
_OF_SEED = "seed"
_UNKNOWN = object()


@dataclass(frozen=True)
class Setting:
    """A field whose value differs from its default.

    Attributes:
        steps: verbs of the steps with this value.
        default: default value for the task, as text; empty if it depends on something else.
        reason: reason of the value; empty if none is recorded.
    """

    steps: tuple[str, ...]
    field: str
    default: str
    value: str
    reason: str


def changed_settings(cfg: PipelineCfg, steps: Sequence[Step]) -> list[Setting]:
    """Fields of the steps that differ from the defaults of their commands for the task, in the order of the steps."""
    reasons = task_reasons(task_of(cfg.task_name))
    found: dict[tuple[str, str, str, str], list[str]] = {}
    for verb in dict.fromkeys(step.verb for step in steps):
        # All trainings have the same settings, except their seeds.
        step = next(step for step in steps if step.verb == verb)
        for field, default, value in _changes(step):
            found.setdefault((field, default, value, _reason(cfg, verb, field, reasons)), []).append(verb)
    return [Setting(tuple(verbs), *values) for values, verbs in found.items()]


def _changes(step: Step) -> Iterator[tuple[str, str, str]]:
    """Field, default and value of each changed field of a step."""
    command = VERBS[step.verb].config
    schema = SCRIPT_SCHEMAS[command]
    overrides = translate(list(step.arguments), schema)
    places = [override for override in overrides if _field(override) in _PLACES]
    defaults = load_config(command, places, config_dirs=task_dirs()[1:])
    for override in overrides:
        field, _, text = override.partition("=")
        field = field.lstrip("+~")
        default = _value(defaults, field)
        if field not in (*_PLACES, _OF_SEED) and (default is _UNKNOWN or _plain(default) != _parsed(text)):
            yield field, "" if default is _UNKNOWN or default is None else _text(_plain(default)), text


def _reason(cfg: PipelineCfg, verb: str, field: str, reasons: Mapping[str, str]) -> str:
    given = {_field(override) for override in translate(list(getattr(cfg, verb)), SCRIPT_SCHEMAS[VERBS[verb].config])}
    given_to_pipeline = {_field(override) for override in program.arguments}
    if field in given or _PASSED_ON.get((verb, field)) in given_to_pipeline:
        return "given on the command line"
    if (verb, field) in _SIZES:
        return cfg.size_reason
    if (verb, field) == ("train", "algo"):
        return "the other settings of this pipeline are made for this algorithm"
    return next((reason for pattern, reason in reasons.items() if fnmatchcase(field, pattern)), "")


def _value(cfg: Any, field: str) -> Any:
    """Value of a field by its dotted name; the common values of all subtasks for `all_subtasks.<field>`."""
    head, _, rest = field.partition(".")
    if head == "all_subtasks":
        values = [_value(subtask, rest) for subtasks in cfg.subtask_configs.values() for subtask in subtasks]
        return values[0] if all(_plain(value) == _plain(values[0]) for value in values) else _UNKNOWN
    if isinstance(cfg, list):
        child = cfg[int(head)] if head.isdigit() and int(head) < len(cfg) else _UNKNOWN
    else:
        child = (vars(cfg) if is_dataclass(cfg) else dict(cfg)).get(head, _UNKNOWN)
    return _value(child, rest) if rest and child is not _UNKNOWN else child


def _plain(value: Any) -> Any:
    """Value with lists instead of tuples, to compare it with a parsed override."""
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return {key: _plain(each) for key, each in value.items()} if isinstance(value, Mapping) else value


def _parsed(text: str) -> Any:
    try:
        return safe_load(text.replace(":", ": ")) if text.startswith("{") else safe_load(text)
    except YAMLError:
        return text


def _text(value: Any) -> str:
    """Value in Hydra's grammar."""
    if isinstance(value, list):
        return f"[{','.join(map(_text, value))}]"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_text(each)}" for key, each in value.items()) + "}"
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)


def _field(override: str) -> str:
    return override.partition("=")[0].lstrip("+~")


def settings_line(settings: Sequence[Setting], task: str, page: Path) -> str:
    """Sentence about the settings for the terminal."""
    steps = list(dict.fromkeys(verb for setting in settings for verb in setting.steps))
    verb = "differs" if len(settings) == 1 else "differ"
    return (
        f"{counted(len(settings), 'setting')} of {', '.join(steps)} {verb} from the defaults of these commands for "
        f"task={task}; {page} lists them with their reasons"
    )

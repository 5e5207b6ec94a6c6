"""Markdown of the reference of a command: every field of its schema, with type, default, valid values and description."""

import inspect
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import hydra
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from isaaclab_mimic_ext.config.bounds import Bounds, bounds_of
from isaaclab_mimic_ext.config.commands import SCRIPT_SCHEMAS, SCRIPT_VERBS, subtask_type
from isaaclab_mimic_ext.config.groups import ADDED, groups_of
from isaaclab_mimic_ext.config.help import DATAGEN, FIRST_FIELDS, field_docs
from isaaclab_mimic_ext.config.help_text import Leaf, leaves_of, shown_value, summary_of
from isaaclab_mimic_ext.config.hydra import conf_dir, register

EMPTY = "''"
"""Empty text, as a user writes it."""
SCRIPTS = {verb: script for script, verb in SCRIPT_VERBS.items()}
"""Verb -> name of its script."""
_ITEM_PATHS = {
    "subtask_configs": "<eef>.<index>",
    "task_constraint_configs": "<index>",
    "events": "<event>",
}
"""Field that contains items -> place of an item in it."""
_TITLES = {
    "task": "Task",
    "robot": "Robot",
    "sim": "Engine",
    DATAGEN: "Settings of trials and runs",
    "recorder": "Written dataset",
    "cameras": "Pictures",
    "cluster": "Job array",
    "rename": "New names",
    "subtask_configs": "Subtasks",
    "task_constraint_configs": "Constraints between end effectors",
    "events": "Randomization",
}


def command_page(verb: str) -> str:
    """Return the Markdown of the reference of a verb, without its title."""
    script = SCRIPTS[verb]
    schema = SCRIPT_SCHEMAS[script]
    composed = _composed(script)
    lines = [inspect.cleandoc(schema.__doc__ or ""), "", "```bash", f"mimic {verb} --help", "```", ""]
    own = [leaf for leaf in leaves_of(schema) if "." not in leaf.name or leaf.name in FIRST_FIELDS]
    lines += ["## Fields", "", *_entries(verb, sorted(own, key=_rank), schema, composed)]
    for group, kind in get_type_hints(schema).items():
        leaves = [leaf for leaf in leaves_of(schema) if leaf.name.startswith(f"{group}.") and leaf.name not in FIRST_FIELDS]
        if leaves:
            lines += [f"## {_TITLES[group]}", "", f"`{group}.<field>`: {summary_of(kind)}{_short_names(group)}", ""]
            lines += _entries(verb, leaves, schema, composed)
    for name, path in _ITEM_PATHS.items():
        if name in get_type_hints(schema):
            item = subtask_type(schema) if name == "subtask_configs" else get_args(get_type_hints(schema)[name])[-1]
            lines += [f"## {_TITLES[name]}", "", f"`{name}.{path}.<field>`: {field_docs(schema)[name]}", ""]
            lines += _entries(verb, list(leaves_of(item)), item, None, f"{name}.")
    return "\n".join([*lines, *_groups(script, composed)])


def _rank(leaf: Leaf) -> int:
    return FIRST_FIELDS.index(leaf.name) if leaf.name in FIRST_FIELDS else len(FIRST_FIELDS)


def _short_names(group: str) -> str:
    if group != DATAGEN:
        return ""
    return f" The fields may be set with and without `{DATAGEN}.`, and without `generation_`: `num_trials=1000`."


def _entries(verb: str, leaves: list[Leaf], schema: type, composed: DictConfig | None, place: str = "") -> Iterator[str]:
    """Yield one directive per field: `{field} <verb> <name>: <type> = <default>`."""
    for leaf in leaves:
        value = shown_value(leaf, composed) if leaf.name != "task.name" else "desktop_organizer"
        shown = "task" if leaf.name == "task.name" else leaf.shown
        bounds = bounds_of(leaf.field)
        kind = type_text(_type_of(schema, leaf.name))
        yield from (f":::{{field}} {verb} {place}{shown}: {kind} = {value or EMPTY}", leaf.text)
        if leaf.name.startswith(f"{DATAGEN}.generation_"):
            yield from ("", f"Short name: `{leaf.field.name.removeprefix('generation_')}`.")
        if limits := _limits(bounds, leaf.text):
            yield from ("", f"Valid values: {limits}.")
        if bounds is not None and bounds.example and value == "(required)":
            yield from ("", f"Example: `{shown}={bounds.example}`")
        yield from (":::", "")


def _limits(bounds: Bounds | None, text: str) -> str:
    if bounds is None or not str(bounds):
        return ""
    if bounds.choices:
        is_listed = all(f"`{choice}`" in text for choice in bounds.choices)
        return "" if is_listed else ", ".join(f"`{choice}`" for choice in bounds.choices)
    unit = f" {bounds.unit}" if bounds.unit and not str(bounds).endswith(bounds.unit) else ""
    return str(bounds) + unit


def _type_of(schema: type, dotted: str) -> Any:
    kind: Any = schema
    for name in dotted.split("."):
        kind = get_type_hints(kind)[name]
    return kind


def type_text(kind: Any) -> str:
    """Name of a type as users write its values: `int`, `text or null`, `list of text`."""
    if get_origin(kind) in (Union, UnionType):
        return " or ".join("null" if each is NoneType else type_text(each) for each in get_args(kind))
    if get_origin(kind) is list:
        return f"list of {type_text(get_args(kind)[0])}"
    if get_origin(kind) is tuple:
        return f"[{', '.join(map(type_text, get_args(kind)))}]"
    if get_origin(kind) is dict:
        key, value = get_args(kind)
        return "values by name" if value is Any else f"{type_text(key)} -> {type_text(value)}"
    names = {str: "text", Any: "any", bool: "true or false", int: "integer", float: "number"}
    return names.get(kind, getattr(kind, "__name__", str(kind)))


def _groups(script: str, composed: DictConfig) -> list[str]:
    groups = groups_of(script, [conf_dir()])
    if not groups:
        return []
    lines = ["## Groups", "", "An option of a group sets several fields together: `group=option`.", ""]
    for group, options in groups.items():
        prefix = f"`+{group}=<option>`" if group in ADDED else f"`{group}=<option>`"
        lines += [prefix, f": {', '.join(f'`{option}`' for option in options)}", ""]
    return lines


def command_list() -> str:
    """Return the Markdown of a table of all verbs."""
    rows = [f"| [`{verb}`]({verb}.md) | {summary_of(SCRIPT_SCHEMAS[script])} |" for verb, script in SCRIPTS.items()]
    return "\n".join(["| verb | purpose |", "|---|---|", *rows])


@cache
def _composed(script: str) -> DictConfig:
    """Configuration of a command without arguments, as in its help."""
    register(script, [conf_dir()])
    shared = GlobalHydra.instance()
    shared.clear()
    with hydra.initialize_config_dir(str(Path(conf_dir())), version_base="1.3"):
        return hydra.compose(script, return_hydra_config=True)

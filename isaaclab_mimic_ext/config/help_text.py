"""The text of `mimic <verb> --help`: one line per field, with its value, description, unit and valid values."""

import inspect
import shutil
import sys
import textwrap
from collections.abc import Collection, Iterator, Sequence
from dataclasses import MISSING as NO_DEFAULT
from dataclasses import Field, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

from omegaconf import MISSING, DictConfig, OmegaConf

from isaaclab_mimic_ext.command_lines import command_line
from isaaclab_mimic_ext.config.bounds import bounds_of
from isaaclab_mimic_ext.config.commands import SCRIPT_SCHEMAS, SCRIPT_VERBS, subtask_type
from isaaclab_mimic_ext.config.flags import flag_lines
from isaaclab_mimic_ext.config.groups import ADDED, groups_of
from isaaclab_mimic_ext.config.help import DATAGEN, FIRST_FIELDS, field_docs, has_field

_WIDTH_OF_NAMES = 38
"""Width of the column with names and values [characters]."""
ITEMS = ("subtask_configs", "task_constraint_configs", "events")
"""Fields that contain items with fields of their own."""
_REQUIRED = "(required)"


def help_text(script: str, composed: DictConfig, folders: Sequence[Path]) -> str:
    """Return the help of a command. On a terminal, lines are wrapped; elsewhere, each field has one line.

    Args:
        script: name of the script of the command.
        composed: its configuration, composed from the arguments next to `--help`.
        folders: folder of the configuration files, then those of `--config-dir`.
    """
    schema, verb = SCRIPT_SCHEMAS[script], SCRIPT_VERBS[script]
    sections = [
        *([" ".join(part.split("\n"))] for part in inspect.cleandoc(schema.__doc__ or "").split("\n\n")),
        [f"usage: mimic {verb} [field=value ...]"],
        ["Fields, with their values:", *_own_lines(schema, composed)],
        *_group_sections(schema, composed),
        *_item_sections(schema, composed),
        _groups_section(script, folders, composed),
        ["Flags, in addition to one for each field (`--num_envs 8` is `num_envs=8`):", *flag_lines()],
        [f"All values as YAML: {command_line(verb, '--cfg', 'job', '--resolve')}"],
    ]
    return "\n\n".join("\n".join(map(_wrapped, section)) for section in sections if section).replace("$", "$$")


@dataclass(frozen=True)
class Leaf:
    """A field with a value: its full name, the name that the user sees, and its description."""

    name: str
    shown: str
    field: "Field[Any]"
    text: str


def _own_lines(schema: type, composed: DictConfig) -> list[str]:
    """Lines of the fields at the top level, and of those that users set most."""
    own = [leaf for leaf in leaves_of(schema) if "." not in leaf.name or leaf.name in FIRST_FIELDS]
    return [_task_line(composed) if leaf.name == "task.name" else _line(leaf, composed) for leaf in sorted(own, key=_rank)]


def _task_line(composed: DictConfig) -> str:
    """Line of the task, which a group sets."""
    name = OmegaConf.select(composed, "hydra.runtime.choices.task")
    return _columns(f"task = {name}", "Task: a name of the group `task` below, or the gym id of a Mimic task of Isaac Lab")


def _rank(leaf: Leaf) -> int:
    return FIRST_FIELDS.index(leaf.name) if leaf.name in FIRST_FIELDS else len(FIRST_FIELDS)


def _group_sections(schema: type, composed: DictConfig) -> Iterator[list[str]]:
    for group, kind in get_type_hints(schema).items():
        if not is_dataclass(kind):
            continue
        leaves = [leaf for leaf in leaves_of(schema) if leaf.name.startswith(f"{group}.") and leaf.name not in FIRST_FIELDS]
        heading = f"{group}: {summary_of(kind)}"
        if group == DATAGEN:
            heading += f" The fields may be set with and without `{group}.`"
            heading += " and `generation_`: `num_trials=1000`." if has_field(kind, "generation_num_trials") else "."
        if leaves:
            yield [heading, *(_line(leaf, composed) for leaf in leaves)]


def _item_sections(schema: type, composed: DictConfig) -> Iterator[list[str]]:
    hints, docs = get_type_hints(schema), field_docs(schema)
    paths = {
        "subtask_configs": "<end effector>.<index>",
        "task_constraint_configs": "<index>",
        "events": "<event>",
    }
    for name, path in paths.items():
        if name in hints:
            item = subtask_type(schema) if name == "subtask_configs" else get_args(hints[name])[-1]
            values = [*_item_values(name, OmegaConf.select(composed, name), item)]
            follow = " The values below are defaults; those of the task follow." if values else ""
            heading = f"{name}.{path}.<field>: {docs[name]}{follow}"
            yield [heading, *(_line(leaf, None) for leaf in leaves_of(item)), *values]


def _item_values(place: str, node: Any, item: type) -> Iterator[str]:
    """Yield a line for each item, with the fields that differ from their defaults."""
    content: Any = OmegaConf.to_container(node, resolve=True)
    defaults = {field.name: _text(_default(field)) for field in fields(item)}
    for key, value in content.items() if isinstance(content, dict) else enumerate(content):
        entries = {f"{place}.{key}.{index}": entry for index, entry in enumerate(value)} if isinstance(value, list) else {}
        for path, entry in (entries or ({} if isinstance(value, list) else {f"{place}.{key}": value})).items():
            shown = (f"{name}={_text(each)}" for name, each in entry.items() if _text(each) != defaults[name])
            yield f"  {path}: {' '.join(shown)}"


def _groups_section(script: str, folders: Sequence[Path], composed: DictConfig) -> list[str]:
    chosen = OmegaConf.select(composed, "hydra.runtime.choices", default={})
    lines = [
        _columns(f"+{group}=<option>" if group in ADDED else f"{group} = {chosen.get(group)}", " | ".join(options))
        for group, options in groups_of(script, folders).items()
    ]
    return ["Groups, which set several fields together (group=option):", *lines] if lines else []


def leaves_of(schema: type, prefix: str = "", outer: Collection[str] = ()) -> Iterator[Leaf]:
    """Yield all fields with values: neither groups, nor fields that contain items.

    Args:
        prefix: groups that contain the schema.
        outer: names of the fields of the command, which a field of `datagen_config` must not share to be set without it.
    """
    hints, docs = get_type_hints(schema), field_docs(schema)
    for field in fields(schema):
        kind = hints[field.name]
        if is_dataclass(kind) and isinstance(kind, type):
            yield from leaves_of(kind, f"{prefix}{field.name}.", hints)
        elif field.name not in ITEMS:
            name = f"{prefix}{field.name}"
            is_short = prefix == f"{DATAGEN}." and field.name not in outer
            yield Leaf(name, field.name if is_short else name, field, docs[field.name])


def _line(leaf: Leaf, composed: DictConfig | None) -> str:
    """One line: name, value, description, valid values."""
    bounds, text, value = bounds_of(leaf.field), leaf.text.rstrip("."), shown_value(leaf, composed)
    if bounds is not None:
        is_listed = all(f"`{choice}`" in text for choice in bounds.choices)
        text += f" ({bounds})" if str(bounds) and not (bounds.choices and is_listed) else ""
        text += f", e.g. {leaf.shown}={bounds.example}" if bounds.example and value == _REQUIRED else ""
    return _columns(f"{leaf.shown} = {value}", text)


def shown_value(leaf: Leaf, composed: DictConfig | None) -> str:
    """Value with these arguments; the description of a computed value unless an argument sets it."""
    bounds = bounds_of(leaf.field)
    given = [] if composed is None else OmegaConf.select(composed, "hydra.overrides.task", default=[])
    is_given = any(word.lstrip("+").partition("=")[0] == leaf.name for word in given)
    if bounds is not None and bounds.computed and not is_given:
        return bounds.computed
    found = _default(leaf.field) if composed is None else OmegaConf.select(composed, leaf.name, throw_on_missing=False)
    is_missing = found == MISSING if composed is None else OmegaConf.is_missing(*_parent(composed, leaf.name))
    return _REQUIRED if is_missing else _text(found)


def _parent(composed: DictConfig, name: str) -> tuple[Any, str]:
    place, _, key = name.rpartition(".")
    return (OmegaConf.select(composed, place) if place else composed), key


def _default(field: "Field[Any]") -> Any:
    if field.default_factory is not NO_DEFAULT:
        return field.default_factory()
    return MISSING if field.default is NO_DEFAULT else field.default


def _text(value: Any) -> str:
    """Value as in an override: `null`, `true`, `[0,8]`, `{nn_k:3}`."""
    if OmegaConf.is_config(value):
        value = OmegaConf.to_container(value, resolve=True)
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_text(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_text, value))}]"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def summary_of(kind: Any) -> str:
    return inspect.cleandoc(kind.__doc__ or "").split("\n")[0]


def _columns(left: str, right: str) -> str:
    return f"  {left:<{_WIDTH_OF_NAMES}}  {right}"


def _wrapped(line: str) -> str:
    if not sys.stdout.isatty():
        return line
    indent = " " * (_WIDTH_OF_NAMES + 4 if line.startswith("  ") else 0)
    width = shutil.get_terminal_size().columns
    return textwrap.fill(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)

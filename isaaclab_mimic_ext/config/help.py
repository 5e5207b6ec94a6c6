"""Names and descriptions of fields, and messages about unknown fields: the nearest field, the commands that have it."""

import ast
import inspect
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import Field, fields, is_dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from isaaclab_mimic_ext.command_lines import quoted
from isaaclab_mimic_ext.config.bounds import bounds_of, names_like
from isaaclab_mimic_ext.config.commands import SCRIPT_SCHEMAS, SCRIPT_VERBS, subtask_type
from isaaclab_mimic_ext.config.generation import SETTINGS

DATAGEN = "datagen_config"
"""Group whose fields may be set without the name of the group: `seed=3`."""

FIRST_FIELDS = (
    *("task.name", "task_name", "format", "checkpoint", "input_file", "input_dir", "output_file", "output_dir", "num_envs"),
    *("num_demos", "num_episodes", f"{DATAGEN}.generation_num_trials", "epochs", "seed", f"{DATAGEN}.seed"),
)
"""Fields that help shows first, in this order."""


def has_field(schema: Any, name: str) -> bool:
    """Return whether a schema has a field, by a dotted name such as `subtask_configs.franka.0.action_noise` or `seed`."""
    path = name.split(".")
    setting = SETTINGS.get(name.removeprefix(f"{DATAGEN}."), "")
    return _has(schema, path) or any(_has(schema, [DATAGEN, *rest]) for rest in (path, [setting]))


def _has(kind: Any, path: list[str]) -> bool:
    if not path:
        return True
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        if path[0] == "all_subtasks" and "all_subtasks" in hints:
            return _has(subtask_type(kind), path[1:])
        return path[0] in hints and _has(hints[path[0]], path[1:])
    if get_origin(kind) in (dict, list):
        return _has(get_args(kind)[-1], path[1:])
    return kind is Any


def nearest_field(script: str, name: str) -> str | None:
    """Return the field of a command with the name nearest to an unknown name, both without groups; None if none is near."""
    known = dict(_leaves(SCRIPT_SCHEMAS[script]))
    meant = [field.name for field in known.values() if {name, SETTINGS.get(name, name)} & {*names_like(field)}]
    names = {dotted.rpartition(".")[2] for dotted in known}
    short = [*names, *(setting for setting, name in SETTINGS.items() if name in names)]
    return next(iter(meant or get_close_matches(name, short, n=1)), None)


def example_of(script: str, name: str) -> str:
    """Return a valid value of a field of a command, by its dotted name; `<value>` if the schema has no example."""
    field = dict(_leaves(SCRIPT_SCHEMAS[script])).get(name)
    bounds = None if field is None else bounds_of(field)
    return (bounds.example if bounds is not None else "") or "<value>"


def field_of_path(script: str, path: str) -> str | None:
    """Return the override that an existing path without a field may mean, `input_file=run/demo.hdf5`, or None."""
    hints = get_type_hints(SCRIPT_SCHEMAS[script])
    if path.startswith("-") or not Path(path).exists():
        return None
    of_files = ["checkpoint"] if path.endswith(".pth") else ["input_file"]
    names = ["input_dir", "checkpoint", "output_dir"] if Path(path).is_dir() else of_files
    name = next((name for name in names if name in hints), None)
    return name and (f"{name}=[{quoted(path)}]" if get_origin(hints[name]) is list else f"{name}={quoted(path)}")


def unknown_field(script: str, place: str, siblings: list[str], full_name: str = "") -> str:
    """Return an error message about a field that a command does not have: the nearest field, and the commands that have it.

    Args:
        script: name of the script of the command.
        place: dotted name, up to and including the first unknown part.
        siblings: names of the fields in the same group.
        full_name: complete dotted name; empty: same as `place`.
    """
    full_name = full_name or place
    name = place.rpartition(".")[2]
    near = next(iter(get_close_matches(name, siblings, n=1)), None)
    if near is None and full_name == place:  # The name of a field, not of a group.
        near = nearest_field(script, name)
    hint = f" (did you mean '{near}'?)" if near else f"; fields: {', '.join(siblings) or 'none'}"
    return f"{full_name}: {SCRIPT_VERBS[script]} has no such field{hint}{owners_text(full_name, script)}"


def owners_text(name: str, script: str) -> str:
    """Return the end of a message about a field that a command does not have: `; generate and check have it`, or empty."""
    owners = [SCRIPT_VERBS[other] for other, schema in SCRIPT_SCHEMAS.items() if other != script and has_field(schema, name)]
    return f"; {owners_have_it(owners)}" if owners else ""


def owners_have_it(owners: Sequence[str]) -> str:
    """Return `generate has it`, or `record, check and generate have it`."""
    listed = " and ".join(filter(None, (", ".join(owners[:-1]), owners[-1])))
    return f"{listed} {'has' if len(owners) == 1 else 'have'} it"


def _leaves(schema: type, prefix: str = "") -> Iterator[tuple[str, "Field[Any]"]]:
    """Yield (dotted name, field) for all fields of a schema except those of subtasks, constraints and events."""
    hints = get_type_hints(schema)
    for field in fields(schema):
        kind = hints[field.name]
        if is_dataclass(kind) and isinstance(kind, type):
            yield from _leaves(kind, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}", field


@cache
def field_docs(schema: type) -> dict[str, str]:
    """Return the docstrings below the fields of a dataclass and its bases: name of a field -> text."""
    docs: dict[str, str] = {}
    for kind in reversed(schema.__mro__[:-1]):
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
        assert isinstance(definition, ast.ClassDef)
        for statement, following in zip(definition.body, definition.body[1:], strict=False):
            is_field = isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
            if is_field and isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
                docs[statement.target.id] = " ".join(str(following.value.value).split())  # type: ignore[attr-defined]
    return docs

"""Values of text fields on the command line: the text as it is written, in quotes where Hydra's grammar requires them."""

import re
from collections.abc import Iterator
from dataclasses import is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from isaaclab_mimic_ext.command_lines import in_quotes, quoted
from isaaclab_mimic_ext.config.commands import subtask_type
from isaaclab_mimic_ext.config.task import MimicEnvCfg

_PATHS = ("checkpoint",)
"""Fields of type `Any` whose value is a text or a list of texts."""
_GROUPS = ("task", "sim", "preset", "generation", "recorder")
"""Groups: their value is the name of a file."""
_SWEEP = re.compile(r"(choice|range|interval|glob|shuffle|sort|tag)\(.*\)", re.DOTALL)
"""Function of Hydra's grammar that yields the values of a sweep."""
_INTERPOLATED = re.compile(r"(?:[A-Za-z0-9_./:-]|\$\{[\w.:,/-]+\})*\$\{[\w.:,/-]+\}(?:[A-Za-z0-9_./:-]|\$\{[\w.:,/-]+\})*")
"""Value that contains the value of another field, and no character that requires quotes."""
QUOTES = ("'", '"')
_QUOTED_TEXT = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""
_QUOTED = re.compile(_QUOTED_TEXT, re.DOTALL)
_PART = re.compile(rf"(?<!\w)(?:{_QUOTED_TEXT})|\$\{{[^{{}}]*\}}|.", re.DOTALL)
"""Quoted text, interpolation, or letter."""

_AS_WRITTEN = re.compile(r"\[.*|null|\$\{.*|\w+\(.*\)", re.DOTALL)
"""List, the value of another field, or a function of Hydra's grammar."""
_WORD = re.compile(r"(?:\$\{[^{}]*\}|[^\s,\[\]{}])(?:\$\{[^{}]*\}|[^,\[\]{}])*")
"""Item of a list or of a sweep, without quotes."""
_NOT_WORDS = re.compile(r"['\"()]|(?<!\$)\{")
"""Character of a value that contains quotes, functions or mappings of Hydra's grammar."""


def text_value(key: str, value: str, schema: type, is_sweep: bool) -> str:
    """Return the value of a field in Hydra's grammar: unchanged for a number, a mapping or a group of fields.

    `num_envs=auto` is null, where null chooses the number.

    Args:
        key: full name of the field.
        value: value as the user has written it.
        schema: schema of the command.
        is_sweep: whether the command line starts a sweep, in which commas separate the values of the jobs.
    """
    kind = str if key in _GROUPS else _field_type(schema, key.split("."))
    if value == "auto" and key == "num_envs" and type(None) in _alternatives(kind):
        return "null"
    is_list, is_text = _is_list_of_texts(kind), _is_text(kind)
    if key in _PATHS and kind is Any:
        is_list, is_text = value.startswith("["), not value.startswith("[")
    if not (is_list or is_text) or (is_sweep and _SWEEP.fullmatch(value)):
        return value
    items = split_items(value) if is_sweep else [value]
    return ",".join(_list_value(item) if is_list else _one_text(item) for item in items)


def split_items(text: str) -> list[str]:
    """Split a text at its commas outside of quotes, brackets and interpolations."""
    items, depth = [""], 0
    for part in _PART.findall(text):
        depth += (part in "[{(") - (part in ")}]")
        if part == "," and depth <= 0:
            items.append("")
        else:
            items[-1] += part
    return items


def _one_text(value: str) -> str:
    if value == "null" or _QUOTED.fullmatch(value.strip()) or _INTERPOLATED.fullmatch(value):
        return value
    # The shell does not replace `~` after `field=`.
    return quoted(str(Path(value).expanduser()) if value.startswith("~/") else value)


def _list_value(value: str) -> str:
    if not (value.startswith("[") and value.endswith("]")):
        return value
    items = (item.strip() for item in split_items(value[1:-1]))
    return f"[{','.join(_one_text(item) for item in items if item)}]"


def _is_text(kind: Any) -> bool:
    return str in _alternatives(kind)


def _is_list_of_texts(kind: Any) -> bool:
    return any(get_origin(each) is list and get_args(each) == (str,) for each in _alternatives(kind))


def _alternatives(kind: Any) -> Iterator[Any]:
    yield from get_args(kind) if get_origin(kind) in (UnionType, Union) else (kind,)


def _field_type(kind: Any, path: list[str]) -> Any:
    """Type of a field by the parts of its dotted name; None if the type has no such field, or does not restrict it."""
    if not path:
        return kind
    kind = next((each for each in _alternatives(kind) if each is not type(None)), kind)
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        if path[0] == "all_subtasks" and path[0] in hints:
            return _field_type(subtask_type(kind) or subtask_type(MimicEnvCfg), path[1:])
        return _field_type(hints.get(path[0]), path[1:])
    return _field_type(get_args(kind)[-1], path[1:]) if get_origin(kind) in (dict, list) else None


def in_brackets(value: str, is_sweep: bool) -> str:
    """Write items as a list; in a sweep, commas separate values of a list with one item each."""
    items = split_items(value) if is_sweep else [value]
    return ",".join(item if _AS_WRITTEN.fullmatch(item) else f"[{item}]" for item in items)


def with_letters_in_quotes(value: str) -> str:
    """Put the words that contain letters such as 'é' in quotes: Hydra's grammar knows only those of ASCII without quotes."""
    if value.isascii() or _NOT_WORDS.search(value):
        return value
    return _WORD.sub(lambda word: word[0] if word[0].isascii() else in_quotes(word[0]), value)

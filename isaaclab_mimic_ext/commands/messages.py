"""One-line messages for errors of Hydra and OmegaConf: the field, the error, and the remedy or choices."""

import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigIndexError,
    ConfigKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
    ValidationError,
)
from yaml import YAMLError  # type: ignore[import-untyped]

from isaaclab_mimic_ext.config import SCRIPT_SCHEMAS
from isaaclab_mimic_ext.config.help import example_of, field_of_path, unknown_field
from isaaclab_mimic_ext.config.value_types import type_fault
from isaaclab_mimic_ext.errors import choices
from isaaclab_mimic_ext.task.folders import own_task_hint
from isaaclab_mimic_ext.task.user_code import shown_path


def explain(error: Exception, script: str) -> str:
    """Return a one-line message for an error of Hydra or OmegaConf in the composition of the configuration of `script`."""
    cause = _omegaconf_cause(error)
    if isinstance(error, YAMLError):
        return _explain_yaml(error)
    if isinstance(error, MissingConfigException):
        return _explain_missing_config(error)
    if isinstance(error, OverrideParseException):
        if (meant := field_of_path(script, error.override)) is not None:
            return f"'{error.override}' is not an override; did you mean {meant}?"
        if _is_path(error.override):
            return f"{error.override}: not found; check the path"
        remedy = "use field=value, with special characters in quotes inside those of the shell: \"field='a value (1)'\""
        return f"'{error.override}' is not an override; {remedy}"
    if unknown := re.search(r"delete from config\. '([^']+)' does not exist|override '([^']+)'\. No match", str(error)):
        return unknown_field(script, unknown[1] or unknown[2], [field.name for field in fields(SCRIPT_SCHEMAS[script])])
    if cause is None:
        return "; ".join(_lines(str(error)))
    # Hydra's message contains the complete name; OmegaConf's name ends at the first unknown part.
    override = re.search(r"Could not override '([^']+)'", str(error))
    return _explain_field(cause, script, override[1] if override else "")


def _is_path(word: str) -> bool:
    """Return whether a word of a command line that does not exist as a file is a path nonetheless."""
    return "=" not in word and (word.endswith(".hdf5") or "/" in word) and not Path(word).exists()


def is_config_error(error: Exception) -> bool:
    """Return whether Hydra or OmegaConf raised an error, or a file is not valid YAML."""
    return isinstance(error, HydraException | OmegaConfBaseException | YAMLError)


def _omegaconf_cause(error: BaseException) -> OmegaConfBaseException | None:
    """Return the innermost OmegaConf error in the chain of causes."""
    found: OmegaConfBaseException | None = None
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, OmegaConfBaseException):
            found = link
        link = link.__cause__
    return found


def _explain_yaml(error: YAMLError) -> str:
    """Return a message with the file and line of an error in YAML."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None) or str(error)
    place = f"{shown_path(mark.name)}:{mark.line + 1}: " if mark is not None else ""
    return f"{place}is not valid YAML: {'; '.join(_lines(problem))}; check colons, quotes and indentation"


def _explain_missing_config(error: MissingConfigException) -> str:
    name = error.missing_cfg_file or ""
    group, _, option = name.rpartition("/")
    if group and error.options is not None:
        hint = own_task_hint() if group == "task" else ""
        return f"{group}: '{option}' not found; {choices(option, error.options)}{hint}"
    return "; ".join(_lines(str(error)))


def _explain_field(error: OmegaConfBaseException, script: str, override: str) -> str:
    place = _dotted(error.full_key) or str(error.key)
    reason = (_lines(error.msg or str(error)) or ["wrong configuration"])[0]
    if isinstance(error, ConfigAttributeError | ConfigKeyError):
        return _explain_unknown(error, script, place, override)
    # Hydra's value is an empty mapping if an index is past the end of a list.
    past_the_end = OmegaConf.is_list(error.parent_node) and error.value == {}
    if isinstance(error, ConfigIndexError) or past_the_end:
        return f"{place}: not found; {choices(str(error.key), _keys(error))}"
    if isinstance(error, MissingMandatoryValue):
        return f"{place}: must be set, e.g. {place}={example_of(script, place)}"
    if isinstance(error, ValidationError) and (remedy := _container_remedy(error, place)):
        return f"{place}: {remedy}"
    if isinstance(error, ValidationError):
        return f"{place}: {type_fault(error) or f'{reason}{_expected(error)}'}"
    return f"{place}: {reason}"


def _explain_unknown(error: OmegaConfBaseException, script: str, place: str, override: str) -> str:
    """Return a message about a field that is not in a schema, or a key that is not in a mapping."""
    parent, key, valid = error.parent_node, str(error.key), _keys(error)
    is_mapping = parent is not None and parent._get_parent() is not None and not is_dataclass(OmegaConf.get_type(parent))
    if is_mapping or parent is None:
        return f"{place}: '{key}' not found" + (f"; {choices(key, valid)}" if valid else "")
    return unknown_field(script, place, valid, override if override.startswith(f"{place}.") else place)


def _container_remedy(error: ValidationError, place: str) -> str | None:
    """Return the fault and remedy if null or a single value is in the place of a list, a mapping or a group, else None."""
    message = error.msg or ""
    if "is not Optional" in message:
        return "must not be null; leave it out to keep its default"
    if "Invalid type assigned" in message:
        return f"{error.value!r} is not a group of fields; set its fields: {place}.<field>=<value>"
    wanted = re.search(r" is not a ListConfig| to (Dict)\[", message)
    if wanted is None:
        return None
    if not wanted[1]:
        return f"{error.value!r} is not a list; use {place}=[<value>,<value>]"
    keys = [str(key) for key in error.child_node] if OmegaConf.is_dict(error.child_node) else []
    return f"{error.value!r} is not a mapping; set its entries: {place}.<name>=<value>" + (
        f"; names: {', '.join(keys)}" if keys else ""
    )


def _keys(error: OmegaConfBaseException) -> list[str]:
    """Return the names of the fields, keys or indices in the same place as the wrong one."""
    node: Any = error.parent_node
    if node is None or node._is_none() or node._is_missing():
        return []
    if OmegaConf.is_list(node):
        return [str(index) for index in range(len(node))]
    return [str(key) for key in node if key != "hydra"]


def _expected(error: ValidationError) -> str:
    """Return the end of a message with the expected type of a field, or empty."""
    metadata = getattr(getattr(error, "child_node", None), "_metadata", None)
    kind = metadata.ref_type if metadata is not None else error.ref_type
    return f"; expected: {kind.__name__}" if isinstance(kind, type) else ""


def _dotted(full_key: str | None) -> str:
    """Convert OmegaConf's `subtask_configs.franka[0].x` to the name in overrides, `subtask_configs.franka.0.x`."""
    return re.sub(r"\[(\w+)\]", r".\1", full_key or "")


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]

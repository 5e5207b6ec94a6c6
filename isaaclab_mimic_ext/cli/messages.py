"""Hydra's and OmegaConf's errors in one clear line: the field, what is wrong with it, what would be right."""

import re
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

from isaaclab_mimic_ext.errors import choices


def explain(error: Exception) -> str:
    """One line for an error of Hydra or OmegaConf."""
    cause = _omegaconf_cause(error)
    if isinstance(error, MissingConfigException):
        return _explain_missing_config(error)
    if isinstance(error, OverrideParseException):
        remedy = "write field=value; special characters need quotes of their own within the shell's: \"field='a value (1)'\""
        return f"'{error.override}' is no override; {remedy}"
    if cause is None:
        return "; ".join(_lines(str(error)))
    return _explain_field(cause)


def is_config_error(error: Exception) -> bool:
    """Whether Hydra or OmegaConf raised it."""
    return isinstance(error, HydraException | OmegaConfBaseException)


def _omegaconf_cause(error: BaseException) -> OmegaConfBaseException | None:
    """The innermost OmegaConf error of a chain."""
    found: OmegaConfBaseException | None = None
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, OmegaConfBaseException):
            found = link
        link = link.__cause__
    return found


def _explain_missing_config(error: MissingConfigException) -> str:
    name = error.missing_cfg_file or ""
    group, _, option = name.rpartition("/")
    if group and error.options is not None:
        return f"{group}: there is no '{option}'; {choices(option, error.options)}"
    return "; ".join(_lines(str(error)))


def _explain_field(error: OmegaConfBaseException) -> str:
    place = _dotted(error.full_key) or str(error.key)
    reason = (_lines(error.msg or str(error)) or ["wrong configuration"])[0]
    if isinstance(error, ConfigAttributeError | ConfigKeyError):
        key = str(error.key)
        valid = _keys(error)
        return f"{place}: there is no field '{key}'" + (f"; {choices(key, valid)}" if valid else "")
    # Hydra puts an empty mapping where a path leads past the end of a list.
    past_the_end = OmegaConf.is_list(error.parent_node) and error.value == {}
    if isinstance(error, ConfigIndexError) or past_the_end:
        return f"{place}: there is no such item; {choices(str(error.key), _keys(error))}"
    if isinstance(error, MissingMandatoryValue):
        return f"{place}: no value; give one, {place}=<value>"
    if isinstance(error, ValidationError) and (remedy := _container_remedy(error, place)):
        return f"{place}: {remedy}"
    if isinstance(error, ValidationError):
        return f"{place}: {reason}{_expected(error)}"
    return f"{place}: {reason}"


def _container_remedy(error: ValidationError, place: str) -> str | None:
    """What to write where one value stands for a list or a mapping."""
    wanted = re.search(r" is not a ListConfig| to (Dict)\[", error.msg or "")
    if wanted is None:
        return None
    if not wanted[1]:
        return f"{error.value!r} is no list; write {place}=[<value>,<value>]"
    keys = [str(key) for key in error.child_node] if OmegaConf.is_dict(error.child_node) else []
    return f"{error.value!r} is no mapping; set its entries, {place}.<name>=<value>" + (
        f"; names: {', '.join(keys)}" if keys else ""
    )


def _keys(error: OmegaConfBaseException) -> list[str]:
    """The fields that stand beside the one that is wrong."""
    node: Any = error.parent_node
    if node is None or node._is_none() or node._is_missing():
        return []
    if OmegaConf.is_list(node):
        return [str(index) for index in range(len(node))]
    return [str(key) for key in node if key != "hydra"]


def _expected(error: ValidationError) -> str:
    """The tail that names the type of the field, where it is one that a user would write."""
    metadata = getattr(getattr(error, "child_node", None), "_metadata", None)
    kind = metadata.ref_type if metadata is not None else error.ref_type
    return f"; expected: {kind.__name__}" if isinstance(kind, type) else ""


def _dotted(full_key: str | None) -> str:
    """`subtask_configs.franka[0].x` as one writes it in an override."""
    return re.sub(r"\[(\w+)\]", r".\1", full_key or "")


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


__all__ = ["explain", "is_config_error"]

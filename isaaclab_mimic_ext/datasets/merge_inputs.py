"""Inputs of a merge: which files and demos can be merged."""

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from isaaclab_mimic_ext.config.task import GYM_ID
from isaaclab_mimic_ext.errors import ConfigError, OutputError, SourceDataError, choices
from isaaclab_mimic_ext.files.attributes import attribute
from isaaclab_mimic_ext.files.dataset_file import DIGEST
from isaaclab_mimic_ext.files.faults import DAMAGE
from isaaclab_mimic_ext.files.hdf5 import datasets_below, each_demo, open_hdf5, text_of
from isaaclab_mimic_ext.files.quaternions import ENTRY
from isaaclab_mimic_ext.files.selection import LEAVE_OUT, Chosen, usable_demos
from isaaclab_mimic_ext.files.stream import FileFacts, read_facts
from isaaclab_mimic_ext.task.folders import available_tasks
from isaaclab_mimic_ext.task.meshes import MESHES
from isaaclab_mimic_ext.texts import counted

log = logging.getLogger(__name__)

_EQUAL_ENV_ARGS = ("env_name", "type", "action", "eef_names", "object_names", "robot", MESHES)
"""Entries of env_args that must be equal in all inputs."""
_FILE_FIELDS = ("mesh", "mjcf", "hand")
"""Fields of robots and objects with the path of a file."""


@dataclass(frozen=True)
class Input:
    """A file to merge.

    Attributes:
        names: names of its demos in natural order.
        schema: path of each dataset of the first demo -> dtype and shape of a row.
        first_source: offset that is added to the indices in `source_demos` of its demos.
    """

    facts: FileFacts
    names: list[str]
    schema: dict[str, str]
    first_source: int = 0


def check_files(paths: Sequence[Path], output: Path) -> None:
    """Check the files of a merge.

    Raises:
        ConfigError: there are none, or one is listed twice.
        SourceDataError: a file is not found.
        OutputError: the output is one of the files.
    """
    if not paths:
        raise too_few(0)
    for index, path in enumerate(paths):
        if not path.exists():
            raise SourceDataError(f"{path}: not found; check input_file")
        if any(path.samefile(other) for other in paths[:index]):
            raise ConfigError(f"input_file: {path} is listed twice, which would duplicate its demos; list it once")
        if output.exists() and output.samefile(path):
            raise OutputError(f"output_file: {output} is one of the inputs; use another output_file")


def too_few(number: int) -> ConfigError:
    """Build the error for a merge of fewer files than it requires."""
    rule = f"must be two or more files (got {number})"
    return ConfigError(f"input_file: {rule}; use input_file=[a.hdf5,b.hdf5], or choose demos of one file with demos=")


def check_number(inputs: Sequence[Input], demos: Chosen) -> None:
    """Check that a merge changes something: a single file must be in shards, or only some of its demos are chosen.

    Raises:
        ConfigError: there is a single file in one piece.
    """
    if len(inputs) == 1 and not demos and not inputs[0].facts.shards:
        raise too_few(1)


def read_input(path: str | Path, demos: Chosen) -> Input:
    """Read a file without its demos.

    Raises:
        ConfigError: a chosen demo is not in the file.
        SourceDataError: the file cannot be read, or has no usable demo.
    """
    facts = read_facts(path, demos)
    with open_hdf5(path) as file:
        names = usable_demos(file, demos)
        datasets = datasets_below(file["data"][names[0]])
        schema = {path: f"{dataset.dtype} {dataset.shape[1:]}" for path, dataset in datasets}
    return Input(facts, names, schema)


def with_env_name(inputs: Sequence[Input], env_name: str | None) -> list[Input]:
    """Inputs with the name of the environment in the output, if a file has an empty one, or `env_name` replaces its name."""
    found = [each.facts.env_args.get("env_name") for each in inputs]
    known = next((name for name in found if name), None)
    return [
        each if name == (wanted := env_name or name or known) else _renamed(each, name, wanted)
        for each, name in zip(inputs, found, strict=True)
    ]


def _renamed(source: Input, name: Any, wanted: Any) -> Input:
    shown = "no env_name" if not name else f"env_name '{name}'"
    log.info("%s has %s; merged as '%s'", source.facts.path, shown, wanted)
    return replace(source, facts=replace(source.facts, env_args={**source.facts.env_args, "env_name": wanted}))


def warn_if_unknown(env_name: str) -> None:
    """Warn about a name whose environment other commands cannot load."""
    if env_name not in available_tasks() and not GYM_ID.fullmatch(env_name):
        log.warning(
            "env_name: '%s' is neither a task nor a gym id, so other commands cannot load its environment; %s",
            env_name,
            choices(env_name, available_tasks()),
        )


def check_copies(inputs: Sequence[Input]) -> None:
    """Refuse demos with the same digest. Demos without a digest, from other programs, are not compared.

    Raises:
        SourceDataError: a demo is a copy of another one.
    """
    places: dict[str, str] = {}
    copies = []
    for each in inputs:
        for name, demo in each_demo(each.facts.path, each.names):
            place, digest = f"{each.facts.path}: {name}", None
            with suppress(*DAMAGE):  # Copying the demo reports its damage.
                digest = attribute(demo, DIGEST)
            if digest is not None and (other := places.setdefault(text_of(digest), place)) != place:
                copies.append(f"{place}: is a copy of {other}")
    if copies:
        number = f" ({counted(len(copies), 'copy', 'copies')} in all)" if len(copies) > 1 else ""
        raise SourceDataError(
            f"{copies[0]}{number}, which training would count twice; {LEAVE_OUT}, or set allow_copies=true"
        )


def check_compatible(first: Input, other: Input) -> None:
    """Check that a file has the format, environment and datasets of the first file.

    Raises:
        SourceDataError: the files differ.
    """
    _check_equal(first, other, "format_version", _format(first.facts), _format(other.facts))
    for key in _EQUAL_ENV_ARGS if first.facts.is_xyzw else (*_EQUAL_ENV_ARGS, ENTRY):
        expected, found = (_without_paths(each.facts.env_args.get(key, "missing")) for each in (first, other))
        _check_equal(first, other, f"env_args: {key}", expected, found)
    _check_cameras(first, other)
    for path in sorted({*first.schema, *other.schema}):
        expected, found = (each.schema.get(path, "missing") for each in (first, other))
        _check_equal(first, other, f"dataset '{path}'", expected, found)


def _without_paths(entry: Any, has_digest: bool = False) -> Any:
    """Entry of env_args without the paths of files whose digest it has: they differ between machines."""
    if not isinstance(entry, dict):
        return entry
    has_digest = has_digest or "digest" in entry
    return {
        key: _without_paths(value, has_digest) for key, value in entry.items() if not (has_digest and key in _FILE_FIELDS)
    }


def _check_cameras(first: Input, other: Input) -> None:
    """Check that the cameras of both files have the same calibration: the output has only one."""
    expected, found = (_calibrations(each.facts) for each in (first, other))
    for name in sorted(expected.keys() & found.keys()):
        if expected[name] != found[name]:
            raise SourceDataError(
                f"{other.facts.path}: camera '{name}' differs in pose, field of view or size from {first.facts.path}; "
                "draw the pictures of both again with `mimic render` and the same cameras"
            )


def _calibrations(facts: FileFacts) -> dict[str, Any]:
    cameras = facts.env_args.get("cameras")
    return cameras.get("calibration", {}) if isinstance(cameras, dict) else {}


def _format(facts: FileFacts) -> int:
    return int(facts.attributes.get("format_version", 0))


def _check_equal(first: Input, other: Input, name: str, expected: Any, found: Any) -> None:
    if found != expected:
        remedy = ", or give the name of both with env_name=<name>" if name.endswith("env_name") else ""
        raise SourceDataError(
            f"{other.facts.path}: {name} is {_shown(found)}, but {_shown(expected)} in {first.facts.path}; "
            f"merge only files of the same task, format and observations{remedy}"
        )


def _shown(value: Any) -> str:
    return "empty" if value == "" else str(value)

"""Import MimicGen's source files (robomimic's layout with `datagen_info`) to Isaac Lab's annotated layout."""

# T steps of one demo

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from isaaclab_mimic_ext.config.deprecated import renamed_arguments
from isaaclab_mimic_ext.datasets.convert.mimicgen_info import (
    ANNOTATE_FIRST,
    GRIPPER,
    INFO,
    OBJECTS,
    POSES,
    SIGNALS,
    check_info,
    columns_of_grippers,
    eef_names,
    grippers_by_eef,
    poses_by_eef,
)
from isaaclab_mimic_ext.demos.source import RequiredData, source_demo
from isaaclab_mimic_ext.errors import ConfigError, SourceDataError, choices
from isaaclab_mimic_ext.files.demo import Demo
from isaaclab_mimic_ext.files.grippers import as_entry, change_grippers
from isaaclab_mimic_ext.files.quaternions import ENTRY
from isaaclab_mimic_ext.files.selection import Chosen
from isaaclab_mimic_ext.files.stream import FileFacts, new_dataset, read_facts, stream_converted

GRIPPER_SIGNS = ("auto", "keep", "flip")
SOURCE_STATES = "source_states"
"""Dataset of the source simulator's states. Only the environment of `source_env_args` can read them."""

_KEPT_ENV_ARGS = ("sim_args", "action", ENTRY)
"""Entries of env_args that are kept. Only files that were exported from Isaac Lab's layout have them."""
_ROBOSUITE = 1
"""robomimic's number of robosuite's environment type."""
_TARGET = f"obs/{INFO}"


@dataclass(frozen=True)
class ImportOptions:
    """Options of the import: names in the written file, and the sign of gripper actions.

    Attributes:
        eef_name: name of the only end effector.
        objects, signals: name in the file -> name in the task; other names are kept.
        gripper_sign: `keep`, `flip`, or `auto` (flip gripper actions recorded by robosuite).
        eef_names: names of several end effectors, in the order of the file's arrays.
    """

    eef_name: str = "franka"
    objects: Mapping[str, str] = field(default_factory=dict)
    signals: Mapping[str, str] = field(default_factory=dict)
    gripper_sign: str = "auto"
    eef_names: Sequence[str] = ()


@dataclass(frozen=True)
class Imported:
    """Result of an import: counts, names, and whether the sign of gripper actions was flipped."""

    num_demos: int
    num_steps: int
    eef_names: tuple[str, ...]
    object_names: tuple[str, ...]
    signal_names: tuple[str, ...]
    gripper_flipped: bool


@renamed_arguments(path="input_file", output="output_file")
def import_mimicgen(
    input_file: str | Path,
    output_file: str | Path,
    options: ImportOptions,
    compress: bool = False,
    overwrite: bool = False,
    demos: Chosen = None,
) -> Imported:
    """Convert a file demo by demo. Each demo is checked as generation checks it; one with faults is left out.

    Args:
        demos: demos to import: names of demos and masks, with `-` in front to exclude them; None: all.

    Raises:
        ConfigError: a name or the sign of gripper actions is wrong.
        SourceDataError: the file is missing or damaged, or none of its demos has all required data in MimicGen's layout.
        OutputError: the output exists or cannot be written.
    """
    _check_options(options)
    facts = read_facts(input_file, demos)
    flips = _flips_gripper(facts, options.gripper_sign)
    with new_dataset(facts, output_file, compress, overwrite) as sink:
        for demo, converted in stream_converted(facts, lambda demo: _convert(demo, options, flips)):
            leaves, names, columns = converted
            sink.add_demo(demo.name, leaves, _attributes(demo))
        # All demos have the same datasets, and a file without a usable demo is an error.
        sink.describe(_file_attributes(facts), _data_attributes(facts, names, columns), facts.masks)
    return Imported(sink.num_demos, sink.num_steps, names.eefs, names.objects, names.signals, flips)


def _check_options(options: ImportOptions) -> None:
    if options.gripper_sign not in GRIPPER_SIGNS:
        raise ConfigError(
            f"gripper_sign: '{options.gripper_sign}' is not a valid sign; {choices(options.gripper_sign, GRIPPER_SIGNS)}"
        )
    for place, names in (
        ("eef_name", [options.eef_name]),
        ("eef_names", options.eef_names),
        ("rename.objects", options.objects.values()),
        ("rename.signals", options.signals.values()),
    ):
        for name in names:
            if not name or "/" in name or name.strip(".") == "":
                raise ConfigError(f"{place}: must be a name without '/' that is not empty (got '{name}')")


def _flips_gripper(facts: FileFacts, gripper_sign: str) -> bool:
    return gripper_sign == "flip" or (gripper_sign == "auto" and _is_robosuite(facts))


def _is_robosuite(facts: FileFacts) -> bool:
    return facts.env_args.get("type") == _ROBOSUITE


def _convert(
    demo: Demo, options: ImportOptions, flips: bool
) -> tuple[dict[str, np.ndarray], "_Names", dict[str, tuple[int, ...]]]:
    """Datasets of the converted demo, its names, and the columns of its grippers in the actions."""
    check_info(demo)
    names = _names(demo, options)
    grippers = grippers_by_eef(demo, names.eefs)
    columns = columns_of_grippers(demo, grippers)
    leaves = _leaves(demo, options, names.eefs, grippers)
    # Opening and closing are exchanged in every copy of the commands.
    leaves = change_grippers(leaves, columns, np.negative) if flips else leaves
    needed = RequiredData(names.eefs, names.objects, names.signals, leaves["actions"].shape[1])
    try:
        source_demo(replace(demo, leaves=leaves), needed)
    except SourceDataError as error:
        fault = str(error).removeprefix(f"{demo.place}: ")
        raise SourceDataError(f"{demo.place}: the converted demo is not valid: {fault}", error.step) from error
    return leaves, names, columns


@dataclass(frozen=True)
class _Names:
    """Names in the written file."""

    eefs: tuple[str, ...]
    objects: tuple[str, ...]
    signals: tuple[str, ...]


def _names(demo: Demo, options: ImportOptions) -> _Names:
    objects, signals = (sorted(demo.below(f"{INFO}/{part}")) for part in (OBJECTS, SIGNALS[0]))
    return _Names(
        eef_names(demo, options.eef_names or (options.eef_name,)),
        tuple(_renamed(objects, options.objects, "objects")),
        tuple(_renamed(signals, options.signals, "signals")),
    )


def _renamed(names: list[str], mapping: Mapping[str, str], kind: str) -> list[str]:
    """New names, in the order of `names`."""
    for name in mapping:
        if name not in names:
            raise ConfigError(f"rename.{kind}: '{name}' not found in the file; {choices(name, names)}")
    renamed = [mapping.get(name, name) for name in names]
    duplicates = {name for name in renamed if renamed.count(name) > 1}
    if duplicates:
        raise ConfigError(f"rename.{kind}: two {kind} would both be called '{min(duplicates)}'; use different names")
    return renamed


def _leaves(
    demo: Demo, options: ImportOptions, eefs: Sequence[str], grippers: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Datasets of the demo in Isaac Lab's layout, path -> (T, ...)."""
    leaves = {path: _to_float32(leaf) for path, leaf in demo.leaves.items() if _is_kept(demo, path)}
    leaves |= {_states_path(path): leaf for path, leaf in demo.leaves.items() if path.split("/")[0] == "states"}
    for part, new_part in POSES.items():
        poses = poses_by_eef(demo, part, eefs)
        leaves |= {f"{_TARGET}/{new_part}/{name}": _to_float32(pose) for name, pose in poses.items()}
    leaves |= {f"{_TARGET}/{GRIPPER}/{name}": _to_float32(values) for name, values in grippers.items()}
    converted = (*POSES, GRIPPER, OBJECTS, *SIGNALS)
    for path, leaf in demo.below(INFO).items():
        part, _, name = path.partition("/")
        if part == OBJECTS:
            leaves[f"{_TARGET}/object_pose/{options.objects.get(name, name)}"] = _to_float32(leaf)
        elif part in SIGNALS:
            leaves[f"{_TARGET}/{part}/{options.signals.get(name, name)}"] = _to_bool(demo, path, leaf)
        elif part not in converted:
            leaves[f"{_TARGET}/{path}"] = _to_float32(leaf)
    if "dones" in leaves:
        leaves["dones"] = leaves["dones"] != 0
    return leaves


def _is_kept(demo: Demo, path: str) -> bool:
    """Return whether a dataset keeps its path. A dataset without one row per step is written as an attribute instead."""
    return path.split("/")[0] not in (INFO, "states") and demo.leaves[path].shape[:1] == (demo.num_steps,)


def _states_path(path: str) -> str:
    return SOURCE_STATES + path.removeprefix("states")


def _to_float32(leaf: np.ndarray) -> np.ndarray:
    """Convert floats of any size to float32; other types are unchanged."""
    with np.errstate(over="ignore"):
        return leaf.astype(np.float32) if leaf.dtype.kind == "f" else leaf


def _to_bool(demo: Demo, name: str, signal: np.ndarray) -> np.ndarray:
    if signal.size != demo.num_steps or signal.dtype.kind not in "biuf" or not np.isin(signal, (0, 1)).all():
        demo.refuse(f"{INFO}/{name}: must have shape (T,) and values 0 and 1; {ANNOTATE_FIRST}")
    return signal.reshape(demo.num_steps).astype(np.bool_)


def _attributes(demo: Demo) -> dict[str, Any]:
    """Attributes of the demo, its datasets without one row per step, and `success` if the rewards are 0 and 1."""
    moved = [path for path in demo.leaves if "/" not in path and path != "states" and not _is_kept(demo, path)]
    attributes: dict[str, Any] = {path: demo.leaves[path] for path in moved}
    rewards = demo.leaves.get("rewards")
    if rewards is not None and set(np.unique(rewards)) in ({0.0, 1.0}, {1.0}):
        attributes["success"] = True
    return attributes | demo.attributes


def _file_attributes(facts: FileFacts) -> dict[str, Any]:
    """Attributes of the file. robosuite's observations have quaternions in xyzw order (format version 1)."""
    return {**facts.attributes, **({"format_version": 1} if _is_robosuite(facts) else {})}


def _data_attributes(facts: FileFacts, names: _Names, columns: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    env_args: dict[str, Any] = {"env_name": facts.env_args.get("env_name", facts.path.stem), "type": 2}
    kwargs = facts.env_args.get("env_kwargs")
    rate = kwargs.get("control_freq") if isinstance(kwargs, dict) else None
    if isinstance(rate, int | float) and rate > 0:
        env_args["sim_args"] = {"dt": 1.0 / rate, "decimation": 1, "render_interval": 1, "num_envs": 1}
    env_args |= {name: facts.env_args[name] for name in _KEPT_ENV_ARGS if name in facts.env_args}
    env_args |= {"eef_names": list(names.eefs), "object_names": list(names.objects)}
    env_args |= as_entry(columns) if len(columns) > 1 else {}
    return {
        **{name: value for name, value in facts.data_attributes.items() if name != "env_args"},
        "env_args": json.dumps(env_args),
        "source_env_args": json.dumps(facts.env_args),
        "imported_from": facts.path.name,
    }

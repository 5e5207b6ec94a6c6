"""Import MimicGen's source files (robomimic's layout with `datagen_info`) to Isaac Lab's annotated layout."""

# T steps of one demo, A action entries, G gripper action entries

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from isaaclab_mimic_ext.config.deprecated import renamed_arguments
from isaaclab_mimic_ext.demos.source import load_source_demos
from isaaclab_mimic_ext.errors import ConfigError, SourceDataError, choices
from isaaclab_mimic_ext.files.demo import Demo
from isaaclab_mimic_ext.files.quaternions import ENTRY
from isaaclab_mimic_ext.files.stream import FileFacts, new_dataset, read_facts, stream_demos

GRIPPER_SIGNS = ("auto", "keep", "flip")
SOURCE_STATES = "source_states"
"""Dataset of the source simulator's states. Only the environment of `source_env_args` can read them."""

_INFO = "datagen_info"
_POSES = {"eef_pose": "eef_pose", "target_pose": "target_eef_pose"}
"""MimicGen's name -> Isaac Lab's group, which contains one dataset per end effector."""
_KEPT_ENV_ARGS = ("sim_args", "action", ENTRY)
"""Entries of env_args that are kept. Only files that were exported from Isaac Lab's layout have them."""
_ROBOSUITE = 1
"""robomimic's number of robosuite's environment type."""
_ANNOTATE_FIRST = "annotate it first: MimicGen's scripts/prepare_src_dataset.py adds datagen_info in the demos' simulator"


@dataclass(frozen=True)
class ImportOptions:
    """Options of the import: names in the written file, and the sign of gripper actions.

    Attributes:
        eef_name: name of the end effector.
        objects, signals: name in the file -> name in the task; other names are kept.
        gripper_sign: `keep`, `flip`, or `auto` (flip gripper actions recorded by robosuite).
    """

    eef_name: str = "franka"
    objects: Mapping[str, str] = field(default_factory=dict)
    signals: Mapping[str, str] = field(default_factory=dict)
    gripper_sign: str = "auto"


@dataclass(frozen=True)
class Imported:
    """Result of an import: counts, names, and whether the sign of gripper actions was flipped."""

    num_demos: int
    num_steps: int
    object_names: tuple[str, ...]
    signal_names: tuple[str, ...]
    gripper_flipped: bool


@renamed_arguments(path="input_file", output="output_file")
def import_mimicgen(
    input_file: str | Path, output_file: str | Path, options: ImportOptions, compress: bool = False, overwrite: bool = False
) -> Imported:
    """Convert a file demo by demo. `load_source_demos` checks the result before it gets its name.

    Raises:
        ConfigError: a name or the sign of gripper actions is wrong.
        SourceDataError: the file is missing or damaged, is not in MimicGen's layout, or lacks required data.
        OutputError: the output exists or cannot be written.
    """
    _check_options(options)
    facts = read_facts(input_file)
    flips = _flips_gripper(facts, options.gripper_sign)
    objects: tuple[str, ...] = ()
    signals: tuple[str, ...] = ()
    action_dim = 0

    def check(part: Path) -> None:
        try:
            load_source_demos(part, [options.eef_name], objects, signals, action_dim)
        except SourceDataError as error:
            fault = str(error).removeprefix(f"{part}: ")
            raise SourceDataError(f"{input_file}: the converted file is not valid: {fault}") from error

    with new_dataset(facts, output_file, compress, overwrite, check) as sink:
        for demo in stream_demos(input_file):
            names = _info_names(demo)
            if not sink.num_demos:
                objects = tuple(_renamed(names["object_poses"], options.objects, "objects"))
                signals = tuple(_renamed(names["subtask_term_signals"], options.signals, "signals"))
                action_dim = demo.leaves["actions"].shape[1]
            sink.add_demo(demo.name, _leaves(demo, options, flips), _attributes(demo))
        sink.describe(_file_attributes(facts), _data_attributes(facts, options, objects), facts.masks)
    return Imported(sink.num_demos, sink.num_steps, objects, signals, flips)


def _check_options(options: ImportOptions) -> None:
    if options.gripper_sign not in GRIPPER_SIGNS:
        raise ConfigError(
            f"gripper_sign: '{options.gripper_sign}' is not a valid sign; {choices(options.gripper_sign, GRIPPER_SIGNS)}"
        )
    for place, names in (
        ("eef_name", [options.eef_name]),
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


def _info_names(demo: Demo) -> dict[str, list[str]]:
    """Check that the demo has all required data, and return the names of its objects and signals."""
    if demo.below("obs/datagen_info"):
        demo.refuse("obs/datagen_info: the file is already in Isaac Lab's layout; use it without an import")
    if not demo.below(_INFO):
        demo.refuse(f"{_INFO}: not found; the file is a plain robomimic file without poses and signals; {_ANNOTATE_FIRST}")
    for name in (*_POSES, "gripper_action"):
        if demo.below(f"{_INFO}/{name}"):
            demo.refuse(f"{_INFO}/{name}: must be a dataset (got a group); files of several end effectors are not supported")
        if f"{_INFO}/{name}" not in demo.leaves:
            demo.refuse(f"{_INFO}/{name}: missing, the demo is not fully annotated; {_ANNOTATE_FIRST}")
    names = {}
    for name in ("object_poses", "subtask_term_signals"):
        names[name] = sorted(demo.below(f"{_INFO}/{name}"))
        if not names[name]:
            demo.refuse(f"{_INFO}/{name}: missing or empty, the demo is not fully annotated; {_ANNOTATE_FIRST}")
    return names


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


def _leaves(demo: Demo, options: ImportOptions, flips: bool) -> dict[str, np.ndarray]:
    """Datasets of the demo in Isaac Lab's layout, path -> (T, ...)."""
    info = demo.below(_INFO)
    target = f"obs/{_INFO}"
    leaves = {path: _to_float32(leaf) for path, leaf in demo.leaves.items() if _is_kept(demo, path)}
    leaves |= {_states_path(path): leaf for path, leaf in demo.leaves.items() if path.split("/")[0] == "states"}
    for name, new_name in _POSES.items():
        leaves[f"{target}/{new_name}/{options.eef_name}"] = _to_float32(info[name])
    for name, pose in demo.below(f"{_INFO}/object_poses").items():
        leaves[f"{target}/object_pose/{options.objects.get(name, name)}"] = _to_float32(pose)
    for name, signal in demo.below(f"{_INFO}/subtask_term_signals").items():
        leaves[f"{target}/subtask_term_signals/{options.signals.get(name, name)}"] = _to_bool(demo, name, signal)
    if "dones" in leaves:
        leaves["dones"] = leaves["dones"] != 0
    actions, gripper = _actions(demo, info["gripper_action"], flips)
    return leaves | {"actions": actions, f"{target}/gripper_action/{options.eef_name}": gripper}


def _is_kept(demo: Demo, path: str) -> bool:
    """Return whether a dataset keeps its path. A dataset without one row per step is written as an attribute instead."""
    return path.split("/")[0] not in (_INFO, "states") and demo.leaves[path].shape[:1] == (demo.num_steps,)


def _states_path(path: str) -> str:
    return SOURCE_STATES + path.removeprefix("states")


def _to_float32(leaf: np.ndarray) -> np.ndarray:
    """Convert floats of any size to float32; other types are unchanged."""
    with np.errstate(over="ignore"):
        return leaf.astype(np.float32) if leaf.dtype.kind == "f" else leaf


def _to_bool(demo: Demo, name: str, signal: np.ndarray) -> np.ndarray:
    if signal.size != demo.num_steps or signal.dtype.kind not in "biuf" or not np.isin(signal, (0, 1)).all():
        demo.refuse(f"{_INFO}/subtask_term_signals/{name}: must have shape (T,) and values 0 and 1; {_ANNOTATE_FIRST}")
    return signal.reshape(demo.num_steps).astype(np.bool_)


def _actions(demo: Demo, gripper: np.ndarray, flips: bool) -> tuple[np.ndarray, np.ndarray]:
    """Actions, shape (T, A), and gripper actions, shape (T, G), float32.

    Isaac Lab's layout has no separate gripper actions: they must be the last G entries of the actions.
    """
    actions = _to_float32(demo.leaves["actions"])
    gripper = _to_float32(gripper.reshape(demo.num_steps, -1))
    num_entries = gripper.shape[1]
    if num_entries > actions.shape[1] or not np.allclose(actions[:, -num_entries:], gripper):
        demo.refuse(
            f"{_INFO}/gripper_action: differs from the last {num_entries} entries of the actions, which generation reads; "
            "use demos whose actions end with the gripper actions"
        )
    if flips:
        actions = np.concatenate((actions[:, :-num_entries], -actions[:, -num_entries:]), axis=1)
        gripper = -gripper
    return actions, gripper


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


def _data_attributes(facts: FileFacts, options: ImportOptions, object_names: tuple[str, ...]) -> dict[str, Any]:
    env_args: dict[str, Any] = {"env_name": facts.env_args.get("env_name", facts.path.stem), "type": 2}
    kwargs = facts.env_args.get("env_kwargs")
    rate = kwargs.get("control_freq") if isinstance(kwargs, dict) else None
    if isinstance(rate, int | float) and rate > 0:
        env_args["sim_args"] = {"dt": 1.0 / rate, "decimation": 1, "render_interval": 1, "num_envs": 1}
    env_args |= {name: facts.env_args[name] for name in _KEPT_ENV_ARGS if name in facts.env_args}
    env_args |= {"eef_names": [options.eef_name], "object_names": list(object_names)}
    return {
        **{name: value for name, value in facts.data_attributes.items() if name != "env_args"},
        "env_args": json.dumps(env_args),
        "source_env_args": json.dumps(facts.env_args),
        "imported_from": facts.path.name,
    }

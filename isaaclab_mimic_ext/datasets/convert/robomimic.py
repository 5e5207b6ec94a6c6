"""Export a dataset to robomimic's layout; annotated demos get MimicGen's `datagen_info`."""

# T steps of one demo, S columns of its states

import json
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from isaaclab_mimic_ext.config.deprecated import renamed_arguments
from isaaclab_mimic_ext.config.recorded_task import recorded_dirs, recorded_preset
from isaaclab_mimic_ext.datasets.convert.mimicgen import SOURCE_STATES
from isaaclab_mimic_ext.datasets.convert.targets import absolute_actions
from isaaclab_mimic_ext.errors import ConfigError, choices
from isaaclab_mimic_ext.files.demo import Demo
from isaaclab_mimic_ext.files.grippers import gripper_columns
from isaaclab_mimic_ext.files.quaternions import ENTRY as QUATERNIONS
from isaaclab_mimic_ext.files.selection import Chosen
from isaaclab_mimic_ext.files.stream import FileFacts, new_dataset, read_facts, stream_converted

_INFO = "datagen_info"
_INITIAL, _STATES = "initial_state", "states"
_CREATED_BY_NAME = 2
"""robomimic's number of the environment type that is created by name."""
_INFO_NAMES = {"object_pose": "object_poses"}
"""Isaac Lab's name of a group of `datagen_info` -> MimicGen's name; other groups have the same name in both."""
_OF_ONE_EEF = {"eef_pose": "eef_pose", "target_eef_pose": "target_pose", "gripper_action": "gripper_action"}
"""Isaac Lab's group with one dataset per end effector -> MimicGen's dataset."""


@dataclass(frozen=True)
class Exported:
    """Result of an export.

    Attributes:
        has_info: whether the demos have `datagen_info`.
        left_out: datasets and groups of the input that the output does not contain in any form.
        num_unknown: number of demos without `rewards`, because their success is not known.
    """

    num_demos: int
    num_steps: int
    has_info: bool
    left_out: tuple[str, ...] = ()
    num_unknown: int = 0


@dataclass(frozen=True)
class _Part:
    """Part of an exported demo.

    Attributes:
        leaves: its datasets, path -> (T, ...).
        used: paths of the datasets of the input that they contain.
    """

    leaves: dict[str, np.ndarray]
    used: Set[str] = field(default_factory=frozenset)


@renamed_arguments(path="input_file", output="output_file")
def export_robomimic(
    input_file: str | Path,
    output_file: str | Path,
    next_obs: bool = False,
    eef_name: str | None = None,
    compress: bool = False,
    overwrite: bool = False,
    demos: Chosen = None,
) -> Exported:
    """Convert a dataset demo by demo. Names of demos and masks are kept, and all data that need no conversion.

    Args:
        next_obs: write `next_obs`, too. Its last row repeats the last row of `obs`: no later observation is recorded.
        eef_name: end effector whose poses are written to `datagen_info`, which can store one; None: the only one.

        demos: demos to export: names of demos and masks, with `-` in front to exclude them; None: all.

    Raises:
        ConfigError: `eef_name` is not in the file, or is required because the file has several end effectors.
        SourceDataError: the file is missing or damaged, or no demo can be exported.
        OutputError: the output exists or cannot be written.
    """
    facts = read_facts(input_file, demos)
    columns: dict[str, int] = {}
    left_out: set[str] = set()
    has_info, num_unknown = False, 0
    with new_dataset(facts, output_file, compress, overwrite) as sink:
        for demo, converted in stream_converted(facts, lambda demo: _convert(demo, next_obs, eef_name, facts)):
            leaves, parts, columns = converted
            sink.add_demo(demo.name, leaves, demo.attributes)
            left_out |= {_group_of(path) for path in demo.leaves.keys() - set().union(*(part.used for part in parts))}
            num_unknown += "rewards" not in leaves
            if any(path.startswith(f"{_INFO}/") for path in leaves):
                has_info = True
                sink.set_group_attributes(f"{demo.name}/{_INFO}", _interface(demo, facts))
        sink.describe(facts.attributes, _data_attributes(facts, columns), facts.masks)
    return Exported(sink.num_demos, sink.num_steps, has_info, tuple(sorted(left_out)), num_unknown)


def _convert(
    demo: Demo, next_obs: bool, eef_name: str | None, facts: FileFacts
) -> tuple[dict[str, np.ndarray], tuple[_Part, ...], dict[str, int]]:
    """Datasets of the exported demo, its parts, and the columns of its states."""
    states, columns = _states(demo)
    parts = (
        _absolute_actions(demo, facts), _kept(demo), _observations(demo, next_obs), states,
        _datagen_info(demo, eef_name, facts),
    )  # fmt: skip
    return _with_ends(demo, {path: leaf for part in parts for path, leaf in part.leaves.items()}), parts, columns


def _group_of(path: str) -> str:
    """Name of left out data for the report: states by their group, other data by their path."""
    group = path.partition("/")[0]
    return group if group in (_INITIAL, _STATES, SOURCE_STATES) else path


def _interface(demo: Demo, facts: FileFacts) -> dict[str, Any]:
    """Attributes of `datagen_info`: those that it has, if the file is in MimicGen's layout."""
    if demo.below(_INFO):
        return {name: value for name, value in demo.attributes.items() if name.startswith("env_interface_")}
    return {"env_interface_name": str(facts.env_args.get("env_name", "")), "env_interface_type": "isaaclab"}


def _kept(demo: Demo) -> _Part:
    """Datasets that need no conversion. A group `states` is converted, a dataset `states` is robomimic's own."""
    converted = ("obs", "next_obs", _INITIAL, SOURCE_STATES)
    leaves = {
        path: leaf
        for path, leaf in demo.leaves.items()
        if path.split("/")[0] not in converted and not path.startswith(f"{_STATES}/")
    }
    return _Part(leaves, leaves.keys())


def _absolute_actions(demo: Demo, facts: FileFacts) -> _Part:
    """Absolute targets, `actions_abs`, if the actions are relative and the poses of the hands are observed."""
    actions = absolute_actions(demo, facts.env_args, facts.is_xyzw)
    return _Part({} if actions is None else {"actions_abs": actions})


def _with_ends(demo: Demo, leaves: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Add missing `rewards` and `dones`. A successful demo has reward 1 in its last step; unknown success stays unknown."""
    is_last = np.arange(1, demo.num_steps + 1) == demo.num_steps
    if demo.success is not None:
        leaves.setdefault("rewards", (is_last & demo.success).astype(np.float32))
    leaves["dones"] = leaves.get("dones", is_last).astype(np.int64)
    return leaves


def _observations(demo: Demo, next_obs: bool) -> _Part:
    """Observations, and those after each step, as flat groups: robomimic does not read groups of observations."""
    flat = {group: _flat_observations(demo, group) for group in ("obs", "next_obs")}
    used = {f"{group}/{path}" for group in flat for path in demo.below(group) if not path.startswith(f"{_INFO}/")}
    if next_obs and not flat["next_obs"]:
        flat["next_obs"] = {name: np.concatenate((leaf[1:], leaf[-1:])) for name, leaf in flat["obs"].items()}
    return _Part({f"{group}/{name}": leaf for group, leaves in flat.items() for name, leaf in leaves.items()}, used)


def _flat_observations(demo: Demo, group: str) -> dict[str, np.ndarray]:
    """Observations, name -> (T, ...); `a/b` is renamed to `a_b`."""
    observations: dict[str, np.ndarray] = {}
    for path, leaf in demo.below(group).items():
        name = flat_observation_name(path)
        if path.startswith(f"{_INFO}/"):
            continue
        if name in observations:
            demo.refuse(f"{group}/{path}: would be renamed to '{name}', which already exists; rename one of the two")
        observations[name] = leaf
    return observations


def flat_observation_name(path: str) -> str:
    """Name of an observation in robomimic's layout, from its path below `obs`: `a/b` is `a_b`. Groups are not read there."""
    return path.replace("/", "_")


def _states(demo: Demo) -> tuple[_Part, dict[str, int]]:
    """States before each action, as in robomimic's layout, `states` (T, S) float32, and the width of each state by path."""
    source = {path: leaf for path, leaf in demo.leaves.items() if path.split("/")[0] == SOURCE_STATES}
    if source:
        return _Part({_STATES + path.removeprefix(SOURCE_STATES): leaf for path, leaf in source.items()}, source.keys()), {}
    first, after = demo.below(_INITIAL), demo.below(_STATES)
    if not after or set(first) != set(after):
        return _Part({}), {}
    for path, leaf in first.items():
        if leaf.shape != (1, *after[path].shape[1:]):
            expected = (1, *after[path].shape[1:])
            demo.refuse(f"{_INITIAL}/{path}: must have shape {expected} (got {leaf.shape}); create the demo again")
    # In Isaac Lab's layout, states[t] is the state after step t.
    before = {path: np.concatenate((first[path], after[path][:-1])).reshape(demo.num_steps, -1) for path in sorted(after)}
    widths = {path: leaf.shape[1] for path, leaf in before.items()}
    used = {f"{group}/{path}" for group in (_INITIAL, _STATES) for path in after}
    return _Part({_STATES: np.concatenate(list(before.values()), axis=1).astype(np.float32)}, used), widths


def _datagen_info(demo: Demo, eef_name: str | None, facts: FileFacts) -> _Part:
    """MimicGen's `datagen_info`, path -> (T, ...); empty if the demo is not annotated."""
    info = demo.below(f"obs/{_INFO}")
    targets = demo.below(f"obs/{_INFO}/target_eef_pose")
    if not targets:
        return _Part({})
    name = _eef(demo, targets, eef_name)
    if f"eef_pose/{name}" not in info:
        demo.refuse(f"obs/{_INFO}/eef_pose: end effector '{name}' not found; annotate the file again")
    leaves = {"gripper_action": _gripper_action(demo, name, facts)} if f"gripper_action/{name}" not in info else {}
    used = set()
    for path, leaf in info.items():
        part, _, rest = path.partition("/")
        if part in _OF_ONE_EEF and rest != name:
            continue
        # MimicGen subtracts rows of signals, which numpy does not allow for booleans.
        values = leaf.astype(np.int64) if part.startswith("subtask_") else leaf
        leaves[_OF_ONE_EEF[part] if part in _OF_ONE_EEF else f"{_INFO_NAMES.get(part, part)}/{rest}".rstrip("/")] = values
        used.add(f"obs/{_INFO}/{path}")
    return _Part({f"{_INFO}/{path}": leaf for path, leaf in leaves.items()}, used)


def _gripper_action(demo: Demo, eef_name: str, facts: FileFacts) -> np.ndarray:
    """Entries of the actions that command the gripper of an end effector, (T, G)."""
    actions = demo.leaves["actions"]
    columns = gripper_columns(facts.path, facts.env_args, actions.shape[1])
    found = columns.get(eef_name) or columns.get("")
    if found is None and len(demo.below(f"obs/{_INFO}/target_eef_pose")) == 1:
        found = (actions.shape[1] - 1,)
    if found is None:
        demo.refuse(
            f"actions: the entries of the gripper of '{eef_name}' are not known; add `{_INFO}/gripper_action/{eef_name}` to "
            f"obs, or 'gripper_columns' to env_args"
        )
    return actions[:, list(found)]


def _eef(demo: Demo, poses: Mapping[str, np.ndarray], eef_name: str | None) -> str:
    if eef_name is None and len(poses) > 1:
        rule = f"must be set, {demo.place} has several end effectors and datagen_info can store one"
        raise ConfigError(f"eef_name: {rule}; {choices('', poses)}")
    name = next(iter(poses)) if eef_name is None else eef_name
    if name not in poses:
        raise ConfigError(f"eef_name: '{name}' is not an end effector of {demo.place}; {choices(name, poses)}")
    return name


def _data_attributes(facts: FileFacts, columns: Mapping[str, int]) -> dict[str, Any]:
    """Attributes of `data`. A file in robomimic's layout keeps its type of environment."""
    env_args = {"type": _CREATED_BY_NAME, **robomimic_env(facts.env_args), **facts.env_args}
    if quaternions := facts.env_args.get(QUATERNIONS):
        env_args[QUATERNIONS] = {flat_observation_name(path): first for path, first in quaternions.items()}
    attributes = {**facts.data_attributes, "env_args": json.dumps(env_args)}
    return attributes | ({"states_columns": json.dumps(columns)} if columns else {})


def robomimic_env(env_args: Mapping[str, Any]) -> dict[str, Any]:
    """Entries of `env_args` with which robomimic creates the env of a task of this package (`learn/robomimic_env.py`)."""
    preset = recorded_preset(env_args)
    if preset is None:
        return {"env_kwargs": {}}
    kwargs = {"preset": preset, "engine": env_args["engine"], "task_dirs": [str(path) for path in recorded_dirs(env_args)]}
    return {"env_version": version("isaaclab-mimic-ext"), "env_kwargs": kwargs}

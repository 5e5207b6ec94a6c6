"""Export a dataset to robomimic's layout; annotated demos get MimicGen's `datagen_info`."""

# T steps of one demo, S columns of its states

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from isaaclab_mimic_ext.config.deprecated import renamed_arguments
from isaaclab_mimic_ext.datasets.convert.mimicgen import SOURCE_STATES
from isaaclab_mimic_ext.errors import ConfigError, choices
from isaaclab_mimic_ext.files.demo import Demo
from isaaclab_mimic_ext.files.stream import FileFacts, new_dataset, read_facts, stream_demos

_INFO = "datagen_info"
_INITIAL = "initial_state"
_ENV_TYPE = 2
"""robomimic's number of the environment type that is created by name."""


@dataclass(frozen=True)
class Exported:
    """Result of an export: counts, and whether the demos have `datagen_info`."""

    num_demos: int
    num_steps: int
    has_info: bool


@renamed_arguments(path="input_file", output="output_file")
def export_robomimic(
    input_file: str | Path,
    output_file: str | Path,
    next_obs: bool = False,
    eef_name: str | None = None,
    compress: bool = False,
    overwrite: bool = False,
) -> Exported:
    """Convert a dataset demo by demo. Names of demos and masks are kept.

    Args:
        next_obs: write `next_obs`, too. Its last row repeats the last row of `obs`: no later observation is recorded.
        eef_name: end effector whose poses are written to `datagen_info`, which can store one; None: the only one.

    Raises:
        ConfigError: `eef_name` is not in the file, or is required because the file has several end effectors.
        SourceDataError: the file is missing or damaged, or two observations would get the same name.
        OutputError: the output exists or cannot be written.
    """
    facts = read_facts(input_file)
    interface = {"env_interface_name": str(facts.env_args.get("env_name", "")), "env_interface_type": "isaaclab"}
    columns: dict[str, int] = {}
    has_info = False
    with new_dataset(facts, output_file, compress, overwrite) as sink:
        for demo in stream_demos(input_file):
            info = _datagen_info(demo, eef_name)
            states, columns = _states(demo)
            leaves = _leaves(demo, next_obs) | states | info
            sink.add_demo(demo.name, leaves, demo.attributes)
            if info:
                has_info = True
                sink.set_group_attributes(f"{demo.name}/{_INFO}", interface)
        sink.describe(facts.attributes, _data_attributes(facts, columns), facts.masks)
    return Exported(sink.num_demos, sink.num_steps, has_info)


def _leaves(demo: Demo, next_obs: bool) -> dict[str, np.ndarray]:
    """Actions, rewards, dones and flat observations."""
    observations = _flat_observations(demo)
    leaves = {path: leaf for path, leaf in demo.leaves.items() if "/" not in path and path != SOURCE_STATES}
    leaves |= {f"obs/{name}": leaf for name, leaf in observations.items()}
    leaves |= {path: leaf for path, leaf in demo.leaves.items() if path.startswith("next_obs/")}
    if next_obs and not demo.below("next_obs"):
        leaves |= {f"next_obs/{name}": np.concatenate((leaf[1:], leaf[-1:])) for name, leaf in observations.items()}
    is_last = np.arange(1, demo.num_steps + 1) == demo.num_steps
    # Files written by Isaac Lab have neither rewards nor dones. A successful demo has reward 1 in its last step.
    leaves.setdefault("rewards", (is_last & bool(demo.success)).astype(np.float32))
    leaves.setdefault("dones", is_last)
    leaves["dones"] = leaves["dones"].astype(np.int64)
    return leaves


def _flat_observations(demo: Demo) -> dict[str, np.ndarray]:
    """Observations, name -> (T, ...). robomimic does not read groups of observations: `a/b` is renamed to `a_b`."""
    observations: dict[str, np.ndarray] = {}
    for path, leaf in demo.below("obs").items():
        name = path.replace("/", "_")
        if path.startswith(f"{_INFO}/"):
            continue
        if name in observations:
            demo.refuse(f"obs/{path}: would be renamed to '{name}', which already exists; rename one of the two")
        observations[name] = leaf
    return observations


def _states(demo: Demo) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """States before each action, as in robomimic's layout, `states` (T, S) float32, and the width of each state by path."""
    source = {path: leaf for path, leaf in demo.leaves.items() if path.split("/")[0] == SOURCE_STATES}
    if source:
        return {"states" + path.removeprefix(SOURCE_STATES): leaf for path, leaf in source.items()}, {}
    first, after = demo.below(_INITIAL), demo.below("states")
    if not after or set(first) != set(after):
        return {}, {}
    for path, leaf in first.items():
        if leaf.shape != (1, *after[path].shape[1:]):
            expected = (1, *after[path].shape[1:])
            demo.refuse(f"{_INITIAL}/{path}: must have shape {expected} (got {leaf.shape}); create the demo again")
    # In Isaac Lab's layout, states[t] is the state after step t.
    before = {path: np.concatenate((first[path], after[path][:-1])).reshape(demo.num_steps, -1) for path in sorted(after)}
    widths = {path: leaf.shape[1] for path, leaf in before.items()}
    return {"states": np.concatenate(list(before.values()), axis=1).astype(np.float32)}, widths


def _datagen_info(demo: Demo, eef_name: str | None) -> dict[str, np.ndarray]:
    """MimicGen's `datagen_info`, path -> (T, ...); empty if the demo is not annotated."""
    targets = demo.below(f"obs/{_INFO}/target_eef_pose")
    if not targets:
        return {}
    name = _eef(demo, targets, eef_name)
    poses = demo.below(f"obs/{_INFO}/eef_pose")
    if name not in poses:
        demo.refuse(f"obs/{_INFO}/eef_pose: end effector '{name}' not found; annotate the file again")
    gripper = demo.below(f"obs/{_INFO}/gripper_action").get(name, demo.leaves["actions"][:, -1:])
    info = {"eef_pose": poses[name], "target_pose": targets[name], "gripper_action": gripper}
    info |= {f"object_poses/{key}": leaf for key, leaf in demo.below(f"obs/{_INFO}/object_pose").items()}
    # MimicGen subtracts rows of signals, which numpy does not allow for booleans.
    signals = demo.below(f"obs/{_INFO}/subtask_term_signals")
    info |= {f"subtask_term_signals/{key}": leaf.astype(np.int64) for key, leaf in signals.items()}
    return {f"{_INFO}/{key}": leaf for key, leaf in info.items()}


def _eef(demo: Demo, poses: Mapping[str, np.ndarray], eef_name: str | None) -> str:
    if eef_name is None and len(poses) > 1:
        rule = f"must be set, {demo.place} has several end effectors and datagen_info can store one"
        raise ConfigError(f"eef_name: {rule}; {choices('', poses)}")
    name = next(iter(poses)) if eef_name is None else eef_name
    if name not in poses:
        raise ConfigError(f"eef_name: '{name}' is not an end effector of {demo.place}; {choices(name, poses)}")
    return name


def _data_attributes(facts: FileFacts, columns: Mapping[str, int]) -> dict[str, Any]:
    env_args = {"env_kwargs": {}, **facts.env_args, "type": _ENV_TYPE}
    attributes = {**facts.data_attributes, "env_args": json.dumps(env_args)}
    return attributes | ({"states_columns": json.dumps(columns)} if columns else {})

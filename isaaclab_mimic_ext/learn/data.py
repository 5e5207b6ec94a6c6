"""Training and validation demos of a dataset, held in memory and drawn as batches of sequences."""

# R rows (steps of all demos, concatenated), B sequences per batch, T steps per sequence, A action entries

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor

from isaaclab_mimic_ext.command_lines import command_line
from isaaclab_mimic_ext.config.recorded_task import different_task, recorded_preset, recorded_task
from isaaclab_mimic_ext.errors import ConfigError, SourceDataError, choices
from isaaclab_mimic_ext.files.attributes import attribute
from isaaclab_mimic_ext.files.demo import read_demo
from isaaclab_mimic_ext.files.digest import dataset_digest
from isaaclab_mimic_ext.files.hdf5 import damage_errors, demo_names, each_demo, open_hdf5, plain_value, text_of
from isaaclab_mimic_ext.learn.checkpoint import Affine

MASKS = ("train", "valid")
CLEAN_ACTIONS = "actions_clean"
"""Dataset of a generated demo: the actions before noise was added. `actions` are the executed ones."""


@dataclass(frozen=True)
class DatasetFacts:
    """Metadata of a dataset.

    Attributes:
        masks: `train` and `valid` -> names of demos.
        obs_shapes: name of each observation in the file -> shape of one step.
        action_dim: number of action entries A.
        env_args: metadata of the env that recorded the dataset (task, engine, ...).
    """

    path: Path
    masks: dict[str, list[str]]
    obs_shapes: dict[str, tuple[int, ...]]
    action_dim: int
    env_args: dict[str, Any]


@dataclass(frozen=True)
class Demos:
    """Concatenated demos.

    Attributes:
        obs: key -> (R, ...) float32.
        actions: (R, A) float32.
        first, last: first and last row of the demo that each row belongs to, (R,) int64.
    """

    obs: dict[str, Tensor]
    actions: Tensor
    first: Tensor
    last: Tensor

    def __len__(self) -> int:
        return len(self.actions)

    def normalized(self, obs_scales: Mapping[str, Affine], action_scale: Affine, device: torch.device) -> "Demos":
        """Return the demos with normalized observations and actions, on `device`."""
        scaled = {key: obs_scales[key].normalize(rows) if key in obs_scales else rows for key, rows in self.obs.items()}
        return Demos(
            {key: rows.to(device) for key, rows in scaled.items()},
            action_scale.normalize(self.actions).to(device),
            self.first.to(device),
            self.last.to(device),
        )


def read_facts(path: str | Path) -> DatasetFacts:
    """Read the metadata of a dataset.

    Raises:
        SourceDataError: the file is missing or damaged, or a mask is missing, empty, or names an unknown demo.
    """
    with open_hdf5(path) as file:
        names = demo_names(file)
        masks = {name: _mask(file, name, set(names)) for name in MASKS}
        demo = file["data"][names[0]]
        shapes = _shapes(demo)
        env_args = plain_value(attribute(file["data"], "env_args", "{}"))
        return DatasetFacts(
            Path(path), masks, shapes, demo["actions"].shape[1], env_args if isinstance(env_args, dict) else {}
        )


def read_shapes(path: str | Path) -> dict[str, tuple[int, ...]]:
    """Read the name of each observation -> shape of one step, from the first demo of a dataset, split or not.

    Raises:
        SourceDataError: the file is missing or damaged.
    """
    with open_hdf5(path) as file:
        return _shapes(file["data"][demo_names(file)[0]])


def _shapes(demo: h5py.Group) -> dict[str, tuple[int, ...]]:
    if "obs" not in demo or "actions" not in demo:
        place = f"{demo.file.filename}: {demo.name.removeprefix('/data/')}"
        raise SourceDataError(f"{place}: 'obs' or 'actions' not found; generate the dataset again")
    return {key: tuple(leaf.shape[1:]) for key, leaf in demo["obs"].items() if isinstance(leaf, h5py.Dataset)}


def has_split(path: str | Path) -> bool:
    """Return whether a dataset is split: has masks of demos for training and validation.

    Raises:
        SourceDataError: the file is missing or damaged.
    """
    with open_hdf5(path) as file:
        return all(f"mask/{name}" in file for name in MASKS)


def _mask(file: h5py.File, name: str, demos: set[str]) -> list[str]:
    remedy = f"split the dataset with `{command_line('split', input_file=Path(file.filename))}`"
    if f"mask/{name}" not in file:
        raise SourceDataError(f"{file.filename}: mask/{name} not found; {remedy}")
    found = [text_of(item) for item in np.atleast_1d(file["mask"][name][()])]
    missing = [item for item in found if item not in demos]
    if missing or not found:
        fault = f"names '{missing[0]}', which is not in the dataset" if missing else "is empty"
        raise SourceDataError(f"{file.filename}: mask/{name} {fault}; {remedy}")
    return found


def check_task(facts: DatasetFacts, task_name: str) -> None:
    """Check that a dataset was recorded for a task.

    Raises:
        SourceDataError: the dataset names a different task.
    """
    if recorded_task(facts.env_args) not in (None, task_name):
        raise SourceDataError(different_task(facts.path, str(recorded_preset(facts.env_args)), task_name))


def check_keys(facts: DatasetFacts, keys: Sequence[str], place: str) -> None:
    """Check that a dataset has the observations that an agent uses.

    Raises:
        ConfigError: observations are missing, or the agent uses none, or the last action; the message lists those of the
            agent and of the dataset.
    """
    missing = [key for key in keys if key not in facts.obs_shapes]
    if missing or not keys:
        raise ConfigError(
            f"{place}: observations {', '.join(missing) or '(none given)'} are not in {facts.path}; the agent uses: "
            f"{', '.join(keys)}; the dataset has: {', '.join(sorted(facts.obs_shapes))}"
        )
    if "actions" in keys:
        raise ConfigError(
            f"{place}: observations must not contain 'actions' (the last action), which a policy learns to repeat; remove it"
        )


def choose_action_key(path: Path, wanted: str | None, prefers_clean: bool) -> str:
    """Name of the dataset of a demo that a policy learns to predict: `wanted`, or the default if that is None.

    Args:
        prefers_clean: the default is `actions_clean` if the demos have it, not `actions`.

    Raises:
        ConfigError: the demos do not have the dataset `wanted`.
    """
    with open_hdf5(path) as file:
        demo = file["data"][demo_names(file)[0]]
        names = [name for name in ("actions", CLEAN_ACTIONS) if name in demo]
    if wanted is None:
        return CLEAN_ACTIONS if prefers_clean and CLEAN_ACTIONS in names else "actions"
    if wanted not in names:
        raise ConfigError(f"action_key: '{wanted}' not found in {path}; {choices(wanted, names)}")
    return wanted


def read_demos(path: Path, names: Sequence[str], keys: Sequence[str], action_key: str = "actions") -> Demos:
    """Read the actions in `action_key` and the observations `keys` of the demos `names`; quaternions are converted to xyzw.

    Raises:
        SourceDataError: the file is damaged, a value is not finite, or the datasets of demos differ.
    """
    obs: dict[str, list[np.ndarray]] = {key: [] for key in keys}
    actions: list[np.ndarray] = []
    wanted = ["actions", action_key, *(f"obs/{key}" for key in keys)]
    for name, group in each_demo(path, names):
        # The digest covers all datasets of a demo; only some are read here, so it is not verified.
        with damage_errors(path):
            demo = read_demo(group.file, name, wanted, as_xyzw=True, verify=False)
        missing = [each for each in wanted if each not in demo.leaves]
        if missing:
            demo.refuse(f"dataset '{missing[0]}' not found, other demos have it; generate the dataset again")
        demo.check_lengths()
        texts = [each for each in wanted if demo.leaves[each].dtype.kind not in "biuf"]
        if texts:
            demo.refuse(f"dataset '{texts[0]}' must contain numbers; generate the dataset again")
        for key in keys:
            obs[key].append(demo.leaves[f"obs/{key}"].astype(np.float32))
        actions.append(demo.leaves[action_key].astype(np.float32))
        for term, parts in {**obs, action_key: actions}.items():
            _check_values(f"{demo.place}: '{term}'", parts)
    lengths = torch.tensor([len(each) for each in actions])
    last = lengths.cumsum(0) - 1
    return Demos(
        {key: torch.from_numpy(np.concatenate(parts)) for key, parts in obs.items()},
        torch.from_numpy(np.concatenate(actions)),
        (last - lengths + 1).repeat_interleave(lengths),
        last.repeat_interleave(lengths),
    )


def _check_values(place: str, parts: Sequence[np.ndarray]) -> None:
    """Check that the last array has the row shape of the first one and is finite; a single NaN makes all parameters NaN.

    Args:
        parts: (T, ...) of each demo read until here.
    """
    first, found = parts[0].shape[1:], parts[-1].shape[1:]
    if found != first:
        raise SourceDataError(
            f"{place}: rows must have shape {first} as in other demos (got {found}); generate the dataset again"
        )
    if not np.isfinite(parts[-1]).all():
        row = int(np.argwhere(~np.isfinite(parts[-1]))[0][0])
        raise SourceDataError(
            f"{place}: must be finite (step {row} is not); remove the demo from the masks, or generate it again"
        )


@dataclass(frozen=True)
class Batches:
    """Draws batches of sequences from demos.

    Attributes:
        batch_size: sequences per batch, B.
        seq_length: number of steps from the drawn row on; the last row of a demo is repeated after its end.
        frame_stack: number of steps up to the drawn row, which is included; the first row of a demo is repeated before its
            start. A sequence has T = frame_stack - 1 + seq_length steps.
    """

    demos: Demos
    batch_size: int
    seq_length: int = 1
    frame_stack: int = 1

    @property
    def num_per_pass(self) -> int:
        """Number of batches in one pass over all rows."""
        return max(1, len(self.demos) // self.batch_size)

    def draw(self, num_batches: int, seed: int) -> Iterator[dict[str, Any]]:
        """Draw batches in an order that depends only on `seed`; every row is drawn once before any row is drawn again."""
        generator = torch.Generator().manual_seed(seed)
        rows = torch.empty(0, dtype=torch.int64)
        for _ in range(num_batches):
            while len(rows) < self.batch_size:
                rows = torch.cat((rows, torch.randperm(len(self.demos), generator=generator)))
            yield self._gather(rows[: self.batch_size].to(self.demos.actions.device))
            rows = rows[self.batch_size :]

    def _gather(self, rows: Tensor) -> dict[str, Any]:
        offsets = torch.arange(1 - self.frame_stack, self.seq_length, device=rows.device)
        index = (rows[:, None] + offsets).clamp(self.demos.first[rows, None], self.demos.last[rows, None])
        return {"obs": {key: values[index] for key, values in self.demos.obs.items()}, "actions": self.demos.actions[index]}


def content_digest(path: Path) -> str:
    """SHA-256 of the digests of all demos and of the masks; of the data itself if a demo has no digest."""
    with open_hdf5(path) as file:
        digests = [file["data"][name].attrs.get("digest") for name in demo_names(file)]
        masks = [text_of(item) for name in MASKS for item in np.atleast_1d(file["mask"][name][()])]
    if None in digests:
        return dataset_digest(path)
    return hashlib.sha256(json.dumps([[text_of(each) for each in digests], masks]).encode()).hexdigest()

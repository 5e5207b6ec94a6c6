"""A dataset's training and validation demos, whole in memory, as batches of sequences."""

# R rows (steps of all demos, one after the other), B sequences of a batch, T steps of a sequence, A action entries

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

from isaaclab_mimic_ext.errors import ConfigError, SourceDataError
from isaaclab_mimic_ext.files.demo import read_demo
from isaaclab_mimic_ext.files.digest import dataset_digest
from isaaclab_mimic_ext.files.hdf5 import demo_names, each_demo, open_hdf5, plain_value, text_of
from isaaclab_mimic_ext.learn.checkpoint import Affine

MASKS = ("train", "valid")


@dataclass(frozen=True)
class DatasetFacts:
    """What is known of a dataset before its data is read.

    Attributes:
        masks: `train` and `valid` -> names of demos.
        obs_shapes: every observation of the file -> its shape.
        env_args: of the env that made it.
    """

    path: Path
    masks: dict[str, list[str]]
    obs_shapes: dict[str, tuple[int, ...]]
    action_dim: int
    env_args: dict[str, Any]


@dataclass(frozen=True)
class Demos:
    """Demos laid end to end.

    Attributes:
        obs: key -> (R, ...) float32.
        actions: (R, A) float32.
        first, last: (R,) int64, first and last row of the demo that a row belongs to.
    """

    obs: dict[str, Tensor]
    actions: Tensor
    first: Tensor
    last: Tensor

    def __len__(self) -> int:
        return len(self.actions)

    def normalized(self, obs_scales: Mapping[str, Affine], action_scale: Affine, device: torch.device) -> "Demos":
        """The same in the network's units, on the device that trains."""
        scaled = {key: obs_scales[key].normalize(rows) if key in obs_scales else rows for key, rows in self.obs.items()}
        return Demos(
            {key: rows.to(device) for key, rows in scaled.items()},
            action_scale.normalize(self.actions).to(device),
            self.first.to(device),
            self.last.to(device),
        )


def read_facts(path: str | Path) -> DatasetFacts:
    """What a dataset says of itself.

    Raises:
        SourceDataError: the file is missing, damaged, has no masks, or its masks name no demos.
    """
    with open_hdf5(path) as file:
        names = demo_names(file)
        masks = {name: _mask(file, name, set(names)) for name in MASKS}
        demo = file["data"][names[0]]
        if "obs" not in demo or "actions" not in demo:
            raise SourceDataError(f"{path}: {names[0]} has no 'obs' or no 'actions'; generate the dataset again")
        shapes = {key: tuple(leaf.shape[1:]) for key, leaf in demo["obs"].items() if isinstance(leaf, h5py.Dataset)}
        env_args = plain_value(file["data"].attrs.get("env_args", "{}"))
        return DatasetFacts(
            Path(path), masks, shapes, demo["actions"].shape[1], env_args if isinstance(env_args, dict) else {}
        )


def has_split(path: str | Path) -> bool:
    """Whether a dataset says which demos to train on, and which to validate on.

    Raises:
        SourceDataError: the file is missing or damaged.
    """
    with open_hdf5(path) as file:
        return all(f"mask/{name}" in file for name in MASKS)


def _mask(file: h5py.File, name: str, demos: set[str]) -> list[str]:
    remedy = f"split it: python scripts/split_dataset.py input_file={file.filename}"
    if f"mask/{name}" not in file:
        raise SourceDataError(f"{file.filename}: no mask/{name}, which says what to train on; {remedy}")
    found = [text_of(item) for item in np.atleast_1d(file["mask"][name][()])]
    missing = [item for item in found if item not in demos]
    if missing or not found:
        what = f"names '{missing[0]}', which is no demo of it" if missing else "is empty"
        raise SourceDataError(f"{file.filename}: mask/{name} {what}; {remedy}")
    return found


def check_task(facts: DatasetFacts, task_name: str) -> None:
    """Make sure that a dataset is of a task.

    Raises:
        SourceDataError: it says that it is of another one.
    """
    made_for = facts.env_args.get("task", facts.env_args.get("env_name", task_name))
    # Files of Isaac Lab name a gym id; those say nothing about our names.
    if made_for != task_name and "engine" in facts.env_args:
        raise SourceDataError(
            f"{facts.path}: is of task '{made_for}', not of '{task_name}'; use task={made_for}, or its dataset"
        )


def check_keys(facts: DatasetFacts, keys: Sequence[str], place: str) -> None:
    """Make sure that a dataset has the observations that an agent wants.

    Raises:
        ConfigError: some are missing, or there are none to learn from; names both lists.
    """
    missing = [key for key in keys if key not in facts.obs_shapes]
    if missing or not keys:
        raise ConfigError(
            f"{place}: observation keys {', '.join(missing) or '(none given)'} are not in {facts.path}; the agent wants: "
            f"{', '.join(keys)}; the dataset has: {', '.join(sorted(facts.obs_shapes))}"
        )
    if "actions" in keys:
        raise ConfigError(
            f"{place}: 'actions' among the observations: the last action; a policy learns to repeat it; leave it out"
        )


def read_demos(path: Path, names: Sequence[str], keys: Sequence[str]) -> Demos:
    """Demos with some of their observations.

    Raises:
        SourceDataError: the file is damaged, or demos differ in what they have.
    """
    obs: dict[str, list[np.ndarray]] = {key: [] for key in keys}
    actions: list[np.ndarray] = []
    wanted = ["actions", *(f"obs/{key}" for key in keys)]
    for name, group in each_demo(path, names):
        # Unverified: the digest is of everything, and much of it is not read here.
        demo = read_demo(group.file, name, wanted, as_xyzw=True, verify=False)
        missing = [each for each in wanted if each not in demo.leaves]
        if missing:
            demo.refuse(f"has no dataset '{missing[0]}', other demos have; generate the dataset again")
        demo.check_lengths()
        for key in keys:
            obs[key].append(demo.leaves[f"obs/{key}"].astype(np.float32))
        actions.append(demo.leaves["actions"].astype(np.float32))
        for term, parts in {**obs, "actions": actions}.items():
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
    """The last of a term's parts must be of the first one's shape, and finite: one NaN makes every parameter one."""
    first, found = parts[0].shape[1:], parts[-1].shape[1:]
    if found != first:
        raise SourceDataError(f"{place} has rows of shape {found}, other demos have {first}; generate the dataset again")
    if not np.isfinite(parts[-1]).all():
        row = int(np.argwhere(~np.isfinite(parts[-1]))[0][0])
        raise SourceDataError(f"{place} is not finite in step {row}; leave this demo out of the masks, or generate it again")


@dataclass(frozen=True)
class Batches:
    """Draws batches of sequences from demos.

    Attributes:
        seq_length: steps from the drawn row on; after a demo's end its last row is repeated.
        frame_stack: of them, how many lie before and at the drawn row; before a demo's start its first row is repeated.
    """

    demos: Demos
    batch_size: int
    seq_length: int = 1
    frame_stack: int = 1

    @property
    def num_in_pass(self) -> int:
        """Batches in one pass over all rows."""
        return max(1, len(self.demos) // self.batch_size)

    def draw(self, num_batches: int, seed: int) -> Iterator[dict[str, Any]]:
        """Batches in random order, each row once before any comes again. The same seed gives the same."""
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
    """SHA-256 over the digests that the writer left in the demos, and the masks; over the data where it left none."""
    with open_hdf5(path) as file:
        digests = [file["data"][name].attrs.get("digest") for name in demo_names(file)]
        masks = [text_of(item) for name in MASKS for item in np.atleast_1d(file["mask"][name][()])]
    if None in digests:
        return dataset_digest(path)
    return hashlib.sha256(json.dumps([[text_of(each) for each in digests], masks]).encode()).hexdigest()

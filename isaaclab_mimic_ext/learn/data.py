"""Training and validation demos of a dataset, held in memory and drawn as batches of sequences."""

# R rows (steps of all demos, concatenated), B sequences per batch, T steps per sequence, A action entries

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import partial
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
from isaaclab_mimic_ext.files.demo import Demo, check_limits, read_demo
from isaaclab_mimic_ext.files.digest import dataset_digest
from isaaclab_mimic_ext.files.hdf5 import (
    damage_errors,
    demo_names,
    each_opening,
    natural_key,
    open_hdf5,
    plain_value,
    text_of,
)
from isaaclab_mimic_ext.files.selection import LEAVE_OUT, Chosen, LeftOut, usable_demos
from isaaclab_mimic_ext.learn.agents import is_picture
from isaaclab_mimic_ext.learn.checkpoint import Affine
from isaaclab_mimic_ext.learn.picture_rows import PictureRows, check_pictures

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
        obs: key -> (R, ...) float32; pictures (R, H, W, 3) are uint8.
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


def read_facts(path: str | Path, demos: Chosen = None) -> DatasetFacts:
    """Read the metadata of a dataset.

    Args:
        demos: demos of the masks to use, see `choose_demos`; None: all.

    Raises:
        ConfigError: a chosen demo is not in the file.
        SourceDataError: the file is missing or damaged; a mask is missing, empty, names an unknown demo or a demo twice; or
            both masks name the same demo.
    """
    with open_hdf5(path) as file:
        every = demo_names(file)
        chosen = {*usable_demos(file, demos)}
        masks = {name: _mask(file, name, every, chosen) for name in MASKS}
        _check_disjoint(file, masks)
        demo = file["data"][masks[MASKS[0]][0]]
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
        return _shapes(file["data"][usable_demos(file, is_quiet=True)[0]])


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


def _mask(file: h5py.File, name: str, every: Sequence[str], chosen: Set[str]) -> list[str]:
    remedy = f"split the dataset with `{command_line('split', input_file=Path(file.filename))}`"
    if f"mask/{name}" not in file:
        raise SourceDataError(f"{file.filename}: mask/{name} not found; {remedy}")
    found = [text_of(item) for item in np.atleast_1d(file["mask"][name][()])]
    missing = [item for item in found if item not in every]
    doubled = next((item for item in found if found.count(item) > 1), None)
    if missing or doubled or not found:
        fault = f"names '{missing[0]}', which is not in the dataset" if missing else "is empty"
        fault = f"names '{doubled}' twice" if doubled else fault
        raise SourceDataError(f"{file.filename}: mask/{name} {fault}; {remedy}")
    if not chosen & {*found}:
        raise SourceDataError(f"{file.filename}: mask/{name} contains no demo that is chosen and can be used; {remedy}")
    return [item for item in found if item in chosen]


def _check_disjoint(file: h5py.File, masks: Mapping[str, Sequence[str]]) -> None:
    both = sorted({*masks["train"]} & {*masks["valid"]}, key=natural_key)
    if both:
        remedy = f"split the dataset again with `{command_line('split', input_file=Path(file.filename))}`"
        rule = f"'{both[0]}' is in mask/train and in mask/valid, so its validation loss is that of training data"
        raise SourceDataError(f"{file.filename}: {rule}; {remedy}")


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
        demo = file["data"][usable_demos(file, is_quiet=True)[0]]
        names = [name for name in ("actions", CLEAN_ACTIONS) if name in demo]
    if wanted is None:
        return CLEAN_ACTIONS if prefers_clean and CLEAN_ACTIONS in names else "actions"
    if wanted not in names:
        raise ConfigError(f"action_key: '{wanted}' not found in {path}; {choices(wanted, names)}")
    return wanted


def read_demos(
    path: Path,
    names: Sequence[str],
    keys: Sequence[str],
    action_key: str = "actions",
    has_limits: bool = False,
    pictures: Sequence[str] = (),
) -> Demos:
    """Read the actions in `action_key` and the observations `keys` of the demos `names`; quaternions are converted to xyzw.

    A demo is left out with a warning if it lacks data, if a value is not finite, if its rows have a different shape than
    those of the other demos, or if its actions are beyond their limits.

    Args:
        has_limits: the actions of the env are within [-1, 1].
        pictures: further observations, which are pictures (T, H, W, 3) uint8. They stay bytes.

    Raises:
        SourceDataError: the file is damaged, or no demo can be used.
    """
    obs: dict[str, list[np.ndarray]] = {key: [] for key in keys}
    actions: list[np.ndarray] = []
    drawn = {key: PictureRows(path, names, key) for key in pictures}
    wanted = ["actions", action_key, *(f"obs/{key}" for key in (*keys, *pictures))]

    def read(file: h5py.File, name: str) -> dict[str, np.ndarray]:
        # The digest covers all datasets of a demo; only some are read here, so it is not verified.
        demo = read_demo(file, name, wanted, as_xyzw=True, verify=False)
        _check_demo(demo, wanted)
        for key, each in drawn.items():
            check_pictures(f"{demo.place}: 'obs/{key}'", demo.leaves[f"obs/{key}"], each.shape)
        pixels = {f"obs/{key}": demo.leaves.pop(f"obs/{key}") for key in drawn}
        rows = {path: leaf.astype(np.float32) for path, leaf in demo.leaves.items()}
        for path, parts in (*((f"obs/{key}", obs[key]) for key in keys), (action_key, actions)):
            _check_rows(f"{demo.place}: '{path.removeprefix('obs/')}'", rows[path], parts)
        if has_limits:
            check_limits(demo.place, rows["actions"])
        return rows | pixels

    left_out = LeftOut(str(path))
    for file, part in each_opening(path, names):
        with damage_errors(path):
            for _, rows in left_out.usable(part, partial(read, file), is_last=part[-1] == names[-1]):
                for key in keys:
                    obs[key].append(rows[f"obs/{key}"])
                for key, each in drawn.items():
                    each.append(rows[f"obs/{key}"])
                actions.append(rows[action_key])
    lengths = torch.tensor([len(each) for each in actions])
    last = lengths.cumsum(0) - 1
    return Demos(
        {key: torch.from_numpy(np.concatenate(parts)) for key, parts in obs.items()}
        | {key: torch.from_numpy(each.rows) for key, each in drawn.items()},
        torch.from_numpy(np.concatenate(actions)),
        (last - lengths + 1).repeat_interleave(lengths),
        last.repeat_interleave(lengths),
    )


def _check_demo(demo: Demo, wanted: Sequence[str]) -> None:
    """Check that a demo has the datasets `wanted`, with numbers and one row per step."""
    missing = [each for each in wanted if each not in demo.leaves]
    if missing:
        demo.refuse(f"dataset '{missing[0]}' not found, other demos have it; generate the dataset again")
    demo.check_lengths()
    texts = [each for each in wanted if demo.leaves[each].dtype.kind not in "biuf"]
    if texts:
        demo.refuse(f"dataset '{texts[0]}' must contain numbers; generate the dataset again")


def _check_rows(place: str, rows: np.ndarray, others: Sequence[np.ndarray]) -> None:
    """Check that rows (T, ...) have the shape of those of other demos and are finite; one NaN makes all parameters NaN."""
    if others and rows.shape[1:] != others[0].shape[1:]:
        first, found = others[0].shape[1:], rows.shape[1:]
        raise SourceDataError(
            f"{place}: rows must have shape {first} as in other demos (got {found}); generate the dataset again"
        )
    if not np.isfinite(rows).all():
        row = int(np.argwhere(~np.isfinite(rows))[0][0])
        raise SourceDataError(f"{place}: must be finite (step {row} is not); generate it again, or {LEAVE_OUT}")


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
    observes_chunk: bool = True
    """Whether observations have all steps of a sequence; otherwise those up to the drawn row, and of pictures the last."""

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
        observed = {key: values[self._observed(index, values)] for key, values in self.demos.obs.items()}
        return {"obs": observed, "actions": self.demos.actions[index]}

    def _observed(self, index: Tensor, values: Tensor) -> Tensor:
        """Rows of a sequence, of `index` (B, T), that are gathered from observations."""
        if self.observes_chunk:
            return index
        return (
            index[:, self.frame_stack - 1 : self.frame_stack]
            if is_picture(values.shape[1:])
            else index[:, : self.frame_stack]
        )


def content_digest(path: Path) -> str:
    """SHA-256 of the digests of all demos and of the masks; of the data itself if a demo has no digest."""
    with open_hdf5(path) as file:
        digests = [file["data"][name].attrs.get("digest") for name in demo_names(file)]
        masks = [text_of(item) for name in MASKS for item in np.atleast_1d(file["mask"][name][()])]
    if None in digests:
        return dataset_digest(path)
    return hashlib.sha256(json.dumps([[text_of(each) for each in digests], masks]).encode()).hexdigest()

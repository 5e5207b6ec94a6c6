"""Prepare a dataset for the training of large models: returns-to-go, sparse rewards, fewer or smaller images."""

# T steps of one demo, H x W pixels

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from isaaclab_mimic_ext.config.deprecated import renamed_arguments
from isaaclab_mimic_ext.errors import ConfigError, choices
from isaaclab_mimic_ext.files.demo import Demo, is_image
from isaaclab_mimic_ext.files.grippers import CONVENTIONS, change_grippers, converter, gripper_columns
from isaaclab_mimic_ext.files.grippers import ENTRY as GRIPPERS
from isaaclab_mimic_ext.files.selection import LEAVE_OUT, Chosen
from isaaclab_mimic_ext.files.stream import FileFacts, new_dataset, read_facts, stream_converted

QUATERNION_ORDERS = ("keep", "xyzw", "wxyz")
FORMAT = "format_version"
_OBSERVATIONS = ("obs", "next_obs")
_INFO = "datagen_info/"


@dataclass(frozen=True)
class PrepareOptions:
    """Changes to a dataset.

    Attributes:
        add_rtgs: write `returns_to_go` (T,), the sum of the rewards from each step to the end, without discount.
        low_dim_keys: drop all images.
        sparse_reward: replace the rewards: 1 in the last step of a successful demo, 0 in all other steps.
        img_key: keep only this image observation; None: all.
        crop_dim: side of the centered square to which `img_key` is cropped [pixels]; None: no crop.
        gripper: convention of the gripper commands, one of `CONVENTIONS`, which are converted to -1 (close) and 1 (open).
        quaternions: order in which the file contains quaternions, `xyzw` or `wxyz`, if its `format_version` is wrong.
    """

    add_rtgs: bool = False
    low_dim_keys: bool = False
    sparse_reward: bool = False
    img_key: str | None = None
    crop_dim: int | None = None
    gripper: str = "keep"
    quaternions: str = "keep"


@dataclass(frozen=True)
class Prepared:
    """Result of a preparation; `obs_keys` are the observations of the first demo, in alphabetical order."""

    num_demos: int
    num_steps: int
    obs_keys: tuple[str, ...]


@renamed_arguments(path="input_file", output="output_file")
def prepare_dataset(
    input_file: str | Path,
    output_file: str | Path,
    options: PrepareOptions,
    compress: bool = False,
    overwrite: bool = False,
    demos: Chosen = None,
) -> Prepared:
    """Copy a dataset, demo by demo, with `options` applied.

    `data.attrs["obs_keys"]` lists the observations in alphabetical order, as JSON.

    Args:
        demos: demos to copy: names of demos and masks, with `-` in front to exclude them; None: all.

    Raises:
        ConfigError: the options contradict each other, or name an image or demo that is not in the dataset.
        SourceDataError: the file is missing or damaged, or all demos lack data that an option requires.
        OutputError: the output exists or cannot be written.
    """
    _check(options)
    facts = read_facts(input_file, demos)
    keys: tuple[str, ...] = ()
    with new_dataset(facts, output_file, compress, overwrite) as sink:
        for demo, leaves in stream_converted(facts, lambda demo: prepare_demo(demo, options, facts.env_args)):
            keys = keys or observation_keys(leaves)
            sink.add_demo(demo.name, leaves, demo.attributes)
        notes = {"obs_keys": json.dumps(keys), "prepared": json.dumps(asdict(options))}
        sink.describe(_file_attributes(facts, options), {**facts.data_attributes, **notes}, facts.masks)
    return Prepared(sink.num_demos, sink.num_steps, keys)


def prepare_demo(demo: Demo, options: PrepareOptions, env_args: Mapping[str, Any] | None = None) -> dict[str, np.ndarray]:
    """Datasets of one demo with `options` applied, path -> (T, ...).

    Args:
        env_args: env_args of the file, which determine the entries of the actions that command grippers.

    Raises:
        ConfigError: `img_key` is not an image of the demo, or is smaller than `crop_dim`.
        SourceDataError: the demo lacks rewards or its success, which an option requires.
    """
    leaves = {path: leaf for path, leaf in demo.leaves.items() if not _is_dropped(path, leaf, options)}
    if options.gripper != "keep":
        leaves = change_grippers(leaves, _gripper_columns(demo, env_args or {}), converter(options.gripper))
    if options.img_key is not None:
        _crop(demo, leaves, options)
    if options.sparse_reward:
        leaves["rewards"] = _sparse_reward(demo)
    # Returns-to-go that the demo has already are sums of the rewards that it had.
    if options.add_rtgs or (options.sparse_reward and "returns_to_go" in leaves):
        if "rewards" not in leaves:
            demo.refuse("add_rtgs requires a dataset 'rewards'; use sparse_reward=true to create it from the demo's success")
        leaves["returns_to_go"] = returns_to_go(leaves["rewards"])
    return leaves


def returns_to_go(rewards: np.ndarray) -> np.ndarray:
    """Sum of the rewards from each step to the end, shape (T,) float32."""
    return np.cumsum(rewards[::-1], axis=0, dtype=np.float64)[::-1].astype(np.float32)


def observation_keys(leaves: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    """Names of the observations in alphabetical order."""
    names = (path.removeprefix("obs/") for path in leaves if path.startswith("obs/"))
    return tuple(sorted(name for name in names if not name.startswith(_INFO)))


def _gripper_columns(demo: Demo, env_args: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    columns = gripper_columns(demo.file, env_args, demo.leaves["actions"].shape[1])
    if not columns:
        raise ConfigError(
            f"gripper: the entries of the actions of {demo.place} that command grippers are not known; add "
            f"'{GRIPPERS}: {{<end effector>: [<column>]}}' to the env_args of the file"
        )
    return columns


def _file_attributes(facts: FileFacts, options: PrepareOptions) -> dict[str, Any]:
    """Attributes of the file, with the format that states the order of quaternions."""
    attributes = {name: value for name, value in facts.attributes.items() if name != FORMAT}
    is_xyzw = facts.is_xyzw if options.quaternions == "keep" else options.quaternions == "xyzw"
    return attributes | ({FORMAT: 1} if is_xyzw else {})


def _check(options: PrepareOptions) -> None:
    for field, valid in (("gripper", CONVENTIONS), ("quaternions", QUATERNION_ORDERS)):
        if (value := getattr(options, field)) not in valid:
            raise ConfigError(f"{field}: '{value}' is not valid; {choices(value, valid)}")
    if options.low_dim_keys and options.img_key is not None:
        raise ConfigError(f"img_key: '{options.img_key}' is an image, but low_dim_keys=true drops all images; use only one")
    if options.crop_dim is not None and options.img_key is None:
        raise ConfigError(f"crop_dim: {options.crop_dim} requires img_key, the image to crop; set it")
    if options.crop_dim is not None and options.crop_dim < 1:
        raise ConfigError(f"crop_dim: must be >= 1 pixel (got {options.crop_dim})")


def _is_dropped(path: str, leaf: np.ndarray, options: PrepareOptions) -> bool:
    group, _, name = path.partition("/")
    if group not in _OBSERVATIONS or name.startswith(_INFO) or not is_image(leaf):
        return False
    return options.low_dim_keys or (options.img_key is not None and name != options.img_key)


def _crop(demo: Demo, leaves: dict[str, np.ndarray], options: PrepareOptions) -> None:
    key, size = options.img_key, options.crop_dim
    images = [
        name for name, leaf in demo.below("obs").items() if is_image(leaf) and leaf.ndim == 4 and not name.startswith(_INFO)
    ]
    if key not in images:
        raise ConfigError(f"img_key: '{key}' is not an image of {demo.place}; {choices(str(key), images)}")
    for group in _OBSERVATIONS:
        image = leaves.get(f"{group}/{key}")
        if size is None or image is None:
            continue
        axes = _pixel_axes(image)
        height, width = (image.shape[axis] for axis in axes)
        if size > min(height, width):
            rule = f"must be <= {min(height, width)} (got {size})"
            raise ConfigError(f"crop_dim: {rule}; '{key}' of {demo.place} has {height} x {width} pixels")
        leaves[f"{group}/{key}"] = _crop_center(image, size, axes)


def _sparse_reward(demo: Demo) -> np.ndarray:
    """Rewards with 1 in the last step of a successful demo and 0 in all other steps, shape (T,) float32."""
    rewards = demo.leaves.get("rewards")
    success = demo.success
    if success is None:
        if rewards is None:
            demo.refuse(f"sparse_reward requires attribute 'success' or dataset 'rewards'; {LEAVE_OUT}")
        # robosuite scales rewards (sparse or shaped) so that a solved task gives 1.
        success = bool(rewards.max() >= 1.0)
    sparse = np.zeros(demo.num_steps, np.float32)
    sparse[-1] = float(success)
    return sparse


def _pixel_axes(images: np.ndarray) -> tuple[int, int]:
    """Axes of the height and width of images (T, H, W, C) or (T, C, H, W)."""
    is_channels_first = images.shape[3] not in (1, 3, 4) and images.shape[1] in (1, 3, 4)
    return (2, 3) if is_channels_first else (1, 2)


def _crop_center(images: np.ndarray, size: int, axes: tuple[int, int]) -> np.ndarray:
    """Centers of images, `size` pixels along each of the axes. Of an odd margin, top and left get the smaller part."""
    chosen = [slice(None)] * images.ndim
    for axis in axes:
        start = (images.shape[axis] - size) // 2
        chosen[axis] = slice(start, start + size)
    return images[tuple(chosen)]

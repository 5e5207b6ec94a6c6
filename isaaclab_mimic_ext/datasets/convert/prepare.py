"""A dataset as training of large models wants it: returns-to-go, sparse rewards, fewer or smaller images."""

# T steps of one demo, H x W pixels

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from isaaclab_mimic_ext.errors import ConfigError, choices
from isaaclab_mimic_ext.files.demo import Demo, is_image
from isaaclab_mimic_ext.files.stream import new_dataset, read_facts, stream_demos

_OBSERVATIONS = ("obs", "next_obs")
_INFO = "datagen_info/"


@dataclass(frozen=True)
class PrepareOptions:
    """What is changed.

    Attributes:
        add_rtgs: write `returns_to_go` (T,), the sum of the rewards from each step on, without a discount.
        low_dim_keys: drop every image.
        sparse_reward: reward 1 in the last step of a successful demo, 0 everywhere else.
        img_key: keep this image and drop the others.
        crop_dim: side of the square that is cut out of the middle of `img_key` [pixels].
    """

    add_rtgs: bool = False
    low_dim_keys: bool = False
    sparse_reward: bool = False
    img_key: str | None = None
    crop_dim: int | None = None


@dataclass(frozen=True)
class Prepared:
    """What was written; `obs_keys` are the observations of the first demo, in alphabetical order."""

    num_demos: int
    num_steps: int
    obs_keys: tuple[str, ...]


def prepare_dataset(
    path: str | Path, output: str | Path, options: PrepareOptions, compress: bool = False, overwrite: bool = False
) -> Prepared:
    """Copy a dataset, demo by demo, with `options` applied. `data.attrs["obs_keys"]` lists the observations in order.

    Raises:
        ConfigError: the options contradict each other, or name an image that is not there.
        SourceDataError: the file is missing or damaged, or lacks what an option needs.
        OutputError: the output exists or cannot be written.
    """
    _check(options)
    facts = read_facts(path)
    keys: tuple[str, ...] = ()
    with new_dataset(facts, output, compress, overwrite) as sink:
        for demo in stream_demos(path):
            leaves = prepare_demo(demo, options)
            keys = keys or observation_keys(leaves)
            sink.add_demo(demo.name, leaves, demo.attributes)
        notes = {"obs_keys": json.dumps(keys), "prepared": json.dumps(asdict(options))}
        sink.describe(facts.attributes, {**facts.data_attributes, **notes}, facts.masks)
    return Prepared(sink.num_demos, sink.num_steps, keys)


def prepare_demo(demo: Demo, options: PrepareOptions) -> dict[str, np.ndarray]:
    """The leaves of one demo with `options` applied.

    Raises:
        ConfigError: `img_key` is no image of the demo, or smaller than `crop_dim`.
        SourceDataError: the demo has no rewards, or does not say whether it was successful.
    """
    leaves = {path: leaf for path, leaf in demo.leaves.items() if not _drops(path, leaf, options)}
    if options.img_key is not None:
        _crop(demo, leaves, options)
    if options.sparse_reward:
        leaves["rewards"] = _sparse_reward(demo)
    if options.add_rtgs:
        if "rewards" not in leaves:
            demo.refuse("no dataset 'rewards' to sum up; give sparse_reward=true to make them from the demo's success")
        leaves["returns_to_go"] = returns_to_go(leaves["rewards"])
    return leaves


def returns_to_go(rewards: np.ndarray) -> np.ndarray:
    """The sum of the rewards (T,) from each step to the end, (T,) float32."""
    return np.cumsum(rewards[::-1], axis=0, dtype=np.float64)[::-1].astype(np.float32)


def observation_keys(leaves: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    """The names of the observations in alphabetical order."""
    names = (path.removeprefix("obs/") for path in leaves if path.startswith("obs/"))
    return tuple(sorted(name for name in names if not name.startswith(_INFO)))


def _check(options: PrepareOptions) -> None:
    if options.low_dim_keys and options.img_key is not None:
        raise ConfigError(f"img_key: '{options.img_key}' is an image, and low_dim_keys=true drops them; give one of the two")
    if options.crop_dim is not None and options.img_key is None:
        raise ConfigError(f"crop_dim: {options.crop_dim} of which image? give img_key too")
    if options.crop_dim is not None and options.crop_dim < 1:
        raise ConfigError(f"crop_dim: {options.crop_dim} pixels are no image; give 1 or more")


def _drops(path: str, leaf: np.ndarray, options: PrepareOptions) -> bool:
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
        raise ConfigError(f"img_key: {demo.place} has no image '{key}'; {choices(str(key), images)}")
    for group in _OBSERVATIONS:
        image = leaves.get(f"{group}/{key}")
        if size is None or image is None:
            continue
        if size > min(image.shape[1:3]):
            raise ConfigError(f"crop_dim: {size} is more than {demo.place}: {key} has ({image.shape[1]} x {image.shape[2]})")
        leaves[f"{group}/{key}"] = _crop_center(image, size)


def _sparse_reward(demo: Demo) -> np.ndarray:
    """(T,) float32."""
    rewards = demo.leaves.get("rewards")
    success = demo.success
    if success is None:
        if rewards is None:
            demo.refuse("neither attribute 'success' nor dataset 'rewards', so that its success is unknown; leave it out")
        # robosuite scales its rewards so that a solved task gives 1, shaped or not.
        success = bool(rewards.max() >= 1.0)
    sparse = np.zeros(demo.num_steps, np.float32)
    sparse[-1] = float(success)
    return sparse


def _crop_center(images: np.ndarray, size: int) -> np.ndarray:
    """The middle of (T, H, W, ...), (T, size, size, ...). With an odd margin the smaller part is above and left."""
    top, left = ((side - size) // 2 for side in images.shape[1:3])
    return images[:, top : top + size, left : left + size]

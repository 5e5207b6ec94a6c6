"""Summarize a dataset as text or JSON."""

import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from isaaclab_mimic_ext.config.deprecated import renamed_arguments
from isaaclab_mimic_ext.files.attributes import attribute, attributes_of, indices, truth_value
from isaaclab_mimic_ext.files.digest import check_demo_digest, dataset_digest
from isaaclab_mimic_ext.files.hdf5 import datasets_below, open_hdf5, plain_value, texts_of
from isaaclab_mimic_ext.files.selection import Chosen, usable_demos
from isaaclab_mimic_ext.files.shards import shards_of, size_of
from isaaclab_mimic_ext.files.writing import store_path
from isaaclab_mimic_ext.progress import tracked
from isaaclab_mimic_ext.texts import counted

log = logging.getLogger(__name__)

Range = tuple[float, float]

_START_POSES = ("initial_state/rigid_object/{}/root_pose", "obs/datagen_info/object_pose/{}")
_MAX_ATTRIBUTE = 200


@dataclass(frozen=True)
class DatasetSummary:
    """Result of `inspect_dataset`.

    Attributes:
        digest: digest of all data (see `dataset_digest`); None if not requested.
        lengths: `min`, `mean` and `max` number of steps per demo.
        success: number of demos with attribute `success` `true`, `false`, or neither (`unknown`).
        masks: name -> number of demos.
        start_ranges: object -> axis -> lowest and highest position at the start of a demo [m].
        source_demos: name of a source demo -> number of segments taken from it.
        attributes: attributes of the file and of its group `data`.
        demo: name of the first demo, which `tree` and `demo_attributes` describe.
        tree: path of each dataset of this demo -> shape and dtype.
    """

    path: str
    size_bytes: int
    digest: str | None
    num_demos: int
    num_steps: int
    lengths: dict[str, float]
    success: dict[str, int]
    masks: dict[str, int]
    start_ranges: dict[str, dict[str, Range]]
    source_demos: dict[str, int]
    attributes: dict[str, Any]
    demo: str
    demo_attributes: dict[str, Any]
    tree: dict[str, str]


@renamed_arguments(path="input_file", with_digest="digest")
def inspect_dataset(input_file: str | Path, digest: bool = False, demos: Chosen = None) -> DatasetSummary:
    """Summarize a dataset.

    Args:
        digest: compute the digest, and compare the data of each demo with its own digest. This reads all data.
            Otherwise only attributes, shapes and the first pose of each object are read.
        demos: demos to describe: names of demos and masks, with `-` in front to exclude them; None: all.

    Raises:
        SourceDataError: the file is missing or damaged, has no demos, or data differ from the digest of a demo.
    """
    if (store := store_path(Path(input_file))).exists():
        log.warning("%s: its recording continues; demos recorded since are in %s until it ends", input_file, store)
    computed = dataset_digest(input_file) if digest else None
    with open_hdf5(input_file) as file:
        names = usable_demos(file, demos)
        groups = [file["data"][name] for name in names]
        for demo in tracked(groups, "comparing digests", len(groups)) if digest else ():
            check_demo_digest(demo)
        lengths = [len(demo["actions"]) for demo in groups]
        first = groups[0]
        return DatasetSummary(
            path=str(input_file),
            size_bytes=size_of(Path(input_file), shards_of(file)),
            digest=computed,
            num_demos=len(groups),
            num_steps=sum(lengths),
            lengths={"min": min(lengths), "mean": float(np.mean(lengths)), "max": max(lengths)},
            success=_count_success(groups),
            masks=_count_masks(file),
            start_ranges=_start_ranges(groups),
            source_demos=_count_source_demos(file["data"], groups),
            attributes=_plain_attributes(file) | _plain_attributes(file["data"]),
            demo=names[0],
            demo_attributes=_plain_attributes(first),
            tree={path: f"{dataset.shape} {dataset.dtype}" for path, dataset in datasets_below(first)},
        )


def summary_as_json(summary: DatasetSummary) -> str:
    """Summary as a JSON object; its keys are the attributes of `DatasetSummary`."""
    return json.dumps(asdict(summary), indent=2)


def summary_as_text(summary: DatasetSummary) -> str:
    """Summary as text."""
    return "\n".join(_lines(summary))


def _lines(summary: DatasetSummary) -> Iterator[str]:
    lengths, success = summary.lengths, summary.success
    size = summary.size_bytes / 1e6
    yield f"{summary.path}: {counted(summary.num_demos, 'demo')}, {counted(summary.num_steps, 'step')}, {size:.1f} MB"
    yield f"  lengths  min {lengths['min']:.0f}, mean {lengths['mean']:.1f}, max {lengths['max']:.0f} steps"
    yield "  success  " + ", ".join(f"{count} {name}" for name, count in success.items() if count)
    if summary.masks:
        yield "  masks    " + ", ".join(f"{name} {count}" for name, count in summary.masks.items())
    if summary.digest is not None:
        yield f"  digest   sha256:{summary.digest}"
    if summary.start_ranges:
        yield "positions at the start of a demo [m]"
        width = max(map(len, summary.start_ranges))
        for name, axes in summary.start_ranges.items():
            yield f"  {name:{width}}  " + "  ".join(
                f"{axis} {low:+.3f} .. {high:+.3f}" for axis, (low, high) in axes.items()
            )
    if summary.source_demos:
        yield "segments taken from source demos"
        yield "  " + ", ".join(f"{name} {count}" for name, count in summary.source_demos.items())
    yield "attributes"
    yield from _attribute_lines(summary.attributes)
    yield f"{summary.demo}"
    yield from _attribute_lines(summary.demo_attributes)
    yield from _tree_lines(summary.tree)


def _attribute_lines(attributes: Mapping[str, Any]) -> Iterator[str]:
    for name, value in attributes.items():
        text = " ".join(str(value).split())
        yield f"  @{name} = {text if len(text) <= _MAX_ATTRIBUTE else text[: _MAX_ATTRIBUTE - 3] + '...'}"


def _tree_lines(tree: Mapping[str, str]) -> Iterator[str]:
    """Lines of a tree: each group once, its datasets indented below it."""
    printed: list[str] = []
    for path, description in tree.items():
        *groups, leaf = path.split("/")
        shared = next((i for i, (a, b) in enumerate(zip(groups, printed, strict=False)) if a != b), len(printed))
        for depth in range(min(shared, len(groups)), len(groups)):
            yield f"{'  ' * (depth + 1)}{groups[depth]}/"
        printed = groups
        yield f"{'  ' * (len(groups) + 1) + leaf:32}  {description}"


def _count_success(demos: list[h5py.Group]) -> dict[str, int]:
    found = Counter(truth_value(demo.attrs.get("success")) for demo in demos)
    return {"true": found[True], "false": found[False], "unknown": found[None]}


def _count_masks(file: h5py.File) -> dict[str, int]:
    masks = file.get("mask")
    if not isinstance(masks, h5py.Group):
        return {}
    return {name: mask.size for name, mask in datasets_below(masks)}


def _start_ranges(demos: list[h5py.Group]) -> dict[str, dict[str, Range]]:
    """Range of the start position of each object of the first demo, over all demos that have the object."""
    ranges = {}
    for pattern in _START_POSES:
        parent, _, leaf = pattern.partition("{}")
        for name in demos[0].get(parent.rstrip("/"), ()):
            path = f"{parent}{name}{leaf}"
            if name in ranges or path not in demos[0]:
                continue
            pos = np.stack([_position(demo[path][0]) for demo in demos if path in demo])
            low, high = pos.min(0).tolist(), pos.max(0).tolist()
            ranges[name] = {axis: (low[index], high[index]) for index, axis in enumerate("xyz")}
    return ranges


def _position(pose: np.ndarray) -> np.ndarray:
    """Position, shape (3,), of a pose of shape (7,) or (4, 4)."""
    return pose[:3, 3] if pose.ndim == 2 else pose[:3]


def _count_source_demos(data: h5py.Group, demos: list[h5py.Group]) -> dict[str, int]:
    """Number of segments per source demo.

    Attribute `source_demos` of a demo contains indices, in an array of any shape, into `source_demo_names` of `data`.
    """
    names = texts_of(attribute(data, "source_demo_names", ()))
    chosen = [indices(demo.attrs["source_demos"]).ravel() for demo in demos if "source_demos" in demo.attrs]
    counts = Counter(np.concatenate(chosen).tolist() if chosen else [])
    return {name: counts[index] for index, name in enumerate(names) if chosen}


def _plain_attributes(item: h5py.Group) -> dict[str, Any]:
    """Attributes of a group as JSON types; values that contain JSON text are parsed."""
    return {name: plain_value(value) for name, value in attributes_of(item).items()}

"""Copy and convert datasets from file to file, with one demo in memory at a time."""

# T steps of one demo

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from isaaclab_mimic_ext.errors import OutputError, SourceDataError
from isaaclab_mimic_ext.files.attributes import set_attributes
from isaaclab_mimic_ext.files.dataset_file import DIGEST, fixed, leaves_digest
from isaaclab_mimic_ext.files.demo import Demo, checked_attributes, is_stepwise, read_demo
from isaaclab_mimic_ext.files.demo_datasets import METADATA_BLOCK_BYTES, create_datasets
from isaaclab_mimic_ext.files.hdf5 import datasets_below, demo_names, format_version, open_hdf5
from isaaclab_mimic_ext.files.opening import open_file
from isaaclab_mimic_ext.files.writing import HDF5_ERRORS, check_output, created_folder, replacing
from isaaclab_mimic_ext.progress import phase


@dataclass(frozen=True)
class FileFacts:
    """Contents of a dataset file without its demos.

    Attributes:
        path: path of the file.
        demo_names: names of the demos, in natural order.
        is_xyzw: whether quaternions are xyzw; False: wxyz.
        attributes, data_attributes: attributes of the file, and of its group `data`.
        env_args: parsed attribute `env_args` of `data`; empty if the file does not have it.
        masks: name of a mask -> names of its demos, as bytes.
    """

    path: Path
    demo_names: list[str]
    is_xyzw: bool
    attributes: dict[str, Any]
    data_attributes: dict[str, Any]
    env_args: dict[str, Any]
    masks: dict[str, np.ndarray]


def read_facts(path: str | Path) -> FileFacts:
    """Read a dataset file without its demos.

    Raises:
        SourceDataError: the file is missing, damaged or of a newer format, has no demos, or its env_args are not a
            JSON object.
    """
    with open_hdf5(path) as file:
        names = demo_names(file)
        version = format_version(file)
        data_attributes = checked_attributes(file["data"])
        masks = file.get("mask")
        found = dict(datasets_below(masks)) if isinstance(masks, h5py.Group) else {}
        env_args = _env_args(file.filename, data_attributes.get("env_args", "{}"))
        values = {name: dataset[()] for name, dataset in found.items()}
        return FileFacts(Path(path), names, version >= 1, checked_attributes(file), data_attributes, env_args, values)


def read_env_args(path: str | Path) -> dict[str, Any]:
    """Read the env_args of a dataset file; empty if the file cannot be read, which the reader of its demos reports."""
    try:
        return read_facts(path).env_args
    except SourceDataError:
        return {}


def stream_demos(path: str | Path) -> Iterator[Demo]:
    """Yield the demos of a file in natural order, each read completely.

    Raises:
        SourceDataError: the file is missing or damaged; a demo has no actions, datasets of different lengths or values
            that are not finite; or its datasets differ in path, shape or dtype from those of the first demo.
    """
    first: Demo | None = None
    with open_hdf5(path) as file:
        for name in demo_names(file):
            demo = read_demo(file, name)
            _check_values(demo)
            if first is None:
                first = replace(demo, leaves={leaf: values[:1] for leaf, values in demo.leaves.items()})
            _check_alike(demo, first)
            yield demo


class DatasetSink:
    """Dataset file that is being written. Demos keep their names, so masks stay valid."""

    def __init__(self, file: h5py.File, compression: str, num_expected: int):
        self.num_demos = self.num_steps = 0
        self._num_expected, self._update = num_expected, phase("writing")
        self._file, self._compression = file, compression
        self._data = file.create_group("data")

    def add_demo(self, name: str, leaves: Mapping[str, np.ndarray], attributes: Mapping[str, Any]) -> None:
        """Append a demo: its datasets (T, ...) by path below the demo, and its attributes."""
        demo = self._data.create_group(name)
        create_datasets(demo, {path: leaves[path] for path in sorted(leaves)}, self._compression)
        own: dict[str, Any] = {"num_samples": len(leaves["actions"])}
        if DIGEST in attributes:
            own[DIGEST] = fixed(leaves_digest(leaves))
        set_attributes(demo, {**attributes, **own})
        self.num_demos += 1
        self.num_steps += len(leaves["actions"])
        self._update(self.num_demos, self._num_expected)

    def set_group_attributes(self, path: str, attributes: Mapping[str, Any]) -> None:
        """Set attributes of an existing group, given by its path below `data`."""
        set_attributes(self._data[path], attributes)

    def describe(
        self, attributes: Mapping[str, Any], data_attributes: Mapping[str, Any], masks: Mapping[str, np.ndarray]
    ) -> None:
        """Write the attributes of the file and of `data`, the total number of steps, and the masks."""
        set_attributes(self._file, attributes)
        set_attributes(self._data, {**data_attributes, "total": self.num_steps})
        for name, demos in masks.items():
            self._file[f"mask/{name}"] = demos


@contextmanager
def new_dataset(
    facts: FileFacts, output: str | Path, compress: bool, overwrite: bool, check: Callable[[Path], None] | None = None
) -> Iterator[DatasetSink]:
    """Write a dataset as `<output>.part` within the block, and rename it to `output` at the end of the block.

    Args:
        facts: contents of the input file, which `output` must differ from.
        output: path of the dataset.
        compress: compress with gzip.
        overwrite: replace an existing file.
        check: called with the path of the finished file before the file is renamed.

    Raises:
        OutputError: `output` exists and `overwrite` is not set, is the input file, or cannot be written.
    """
    output = Path(output)
    check_output(output, overwrite)
    if output.exists() and output.samefile(facts.path):
        raise OutputError(f"output_file: must differ from input_file (got {output}); use another output_file")
    with (
        created_folder(output.parent, "output_file", kind=OutputError),
        replacing(output, "output_file", kind=OutputError, errors=HDF5_ERRORS) as part,
    ):
        with open_file(part, "w", meta_block_size=METADATA_BLOCK_BYTES) as file:
            yield DatasetSink(file, "gzip" if compress else "none", len(facts.demo_names))
        if check is not None:
            check(part)


def _env_args(filename: str, text: Any) -> dict[str, Any]:
    try:
        env_args = json.loads(text)
    except (ValueError, TypeError) as error:
        raise SourceDataError(f"{filename}: data.attrs['env_args']: is not JSON ({error}); write the file again") from error
    if not isinstance(env_args, dict):
        raise SourceDataError(f"{filename}: data.attrs['env_args']: must be a JSON object; write the file again")
    return env_args


def _check_values(demo: Demo) -> None:
    actions = demo.leaves.get("actions")
    if actions is None or actions.ndim != 2 or not actions.size or actions.dtype.kind != "f":
        demo.refuse("dataset 'actions' of floats, shape (T, A), not found; record the demo again, or leave it out")
    demo.check_lengths()
    for path, leaf in demo.leaves.items():
        if leaf.dtype.kind == "f" and not np.isfinite(leaf).all():
            step = int(np.argwhere(~np.isfinite(leaf))[0, 0])
            demo.refuse(f"{path}: must be finite (got NaN or infinity at step {step}); leave the demo out")


def _check_alike(demo: Demo, first: Demo) -> None:
    """Refuse a demo whose datasets differ from the first demo's: readers of the copy rely on equal shapes.

    `states` are not checked, because their content depends on the engine.
    """
    for path in sorted(demo.leaves.keys() | first.leaves.keys()):
        leaf, other = demo.leaves.get(path), first.leaves.get(path)
        if not is_stepwise(path) or path.startswith("states/"):
            continue
        if leaf is None or other is None:
            reason = f"not found, but {first.name} has this dataset" if leaf is None else f"not found in {first.name}"
            demo.refuse(f"{path}: {reason}; use only demos with the same datasets")
        if (leaf.shape[1:], leaf.dtype) != (other.shape[1:], other.dtype):
            found, expected = f"{leaf.shape[1:]} {leaf.dtype}", f"{other.shape[1:]} {other.dtype}"
            reason = f"must be {expected} per step as in {first.name} (got {found})"
            demo.refuse(f"{path}: {reason}; use only demos with the same datasets")

"""Copy and convert datasets from file to file, with one demo in memory at a time."""

# T steps of one demo

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np

from isaaclab_mimic_ext.errors import OutputError, SourceDataError
from isaaclab_mimic_ext.files.attributes import LONG, set_attributes
from isaaclab_mimic_ext.files.dataset_file import DIGEST, fixed, leaves_digest
from isaaclab_mimic_ext.files.demo import Demo, checked_attributes, is_stepwise, open_demo, read_demo
from isaaclab_mimic_ext.files.demo_datasets import METADATA_BLOCK_BYTES, create_demo
from isaaclab_mimic_ext.files.faults import DAMAGE, link_fault
from isaaclab_mimic_ext.files.hdf5 import datasets_below, demo_names, format_version, open_hdf5, text_of
from isaaclab_mimic_ext.files.opening import open_file
from isaaclab_mimic_ext.files.selection import LEAVE_OUT, Chosen, LeftOut, choose_demos, read_masks
from isaaclab_mimic_ext.files.shards import LINKED_FILES, NUM_SHARDS, shards_of
from isaaclab_mimic_ext.files.writing import HDF5_ERRORS, check_output, created_folder, replacing
from isaaclab_mimic_ext.progress import Update, phase

Converted = TypeVar("Converted")
_OWN_ITEMS = ("data", "mask", LONG)
_NUM_COMPARED = 3
"""Number of demos whose datasets decide what the demos of a file have in common."""


@dataclass(frozen=True)
class FileFacts:
    """Contents of a dataset file without its demos.

    Attributes:
        path: path of the file.
        demo_names: names of the chosen demos, in natural order.
        is_xyzw: whether quaternions are xyzw; False: wxyz.
        attributes, data_attributes: attributes of the file, and of its group `data` without the number of shards.
        env_args: parsed attribute `env_args` of `data`; empty if the file does not have it.
        masks: name of a mask -> names of its demos, as bytes.
        shards: files that contain the demos; empty if `path` does.
    """

    path: Path
    demo_names: list[str]
    is_xyzw: bool
    attributes: dict[str, Any]
    data_attributes: dict[str, Any]
    env_args: dict[str, Any]
    masks: dict[str, np.ndarray]
    shards: tuple[Path, ...] = ()


def read_facts(path: str | Path, demos: Chosen = None) -> FileFacts:
    """Read a dataset file without its demos.

    Args:
        demos: demos to use, see `choose_demos`; None: all.

    Raises:
        ConfigError: a chosen demo is not in the file.
        SourceDataError: the file is missing, damaged or of a newer format, has no demos, or its env_args are not a
            JSON object.
    """
    with open_hdf5(path) as file:
        masks = file.get("mask")
        names = choose_demos(str(path), demo_names(file), read_masks(file), demos)
        version = format_version(file)
        data_attributes = checked_attributes(file["data"])
        for name in (NUM_SHARDS, LINKED_FILES):
            data_attributes.pop(name, None)
        shards = tuple(shards_of(file))
        found = dict(datasets_below(masks)) if isinstance(masks, h5py.Group) else {}
        env_args = _env_args(file.filename, data_attributes.get("env_args", "{}"))
        values = {name: dataset[()] for name, dataset in found.items()}
        attributes = checked_attributes(file)
        return FileFacts(Path(path), names, version >= 1, attributes, data_attributes, env_args, values, shards)


def read_env_args(path: str | Path) -> dict[str, Any]:
    """Read the env_args of a dataset file; empty if the file cannot be read, which the reader of its demos reports."""
    try:
        return read_facts(path).env_args
    except SourceDataError:
        return {}


def stream_demos(path: str | Path, demos: Chosen = None, is_quiet: bool = False) -> Iterator[Demo]:
    """Yield the demos of a file that can be used, see `stream_converted`."""
    for _, demo in stream_converted(read_facts(path, demos), lambda demo: demo, is_quiet):
        yield demo


def stream_converted(
    facts: FileFacts, convert: Callable[[Demo], Converted], is_quiet: bool = False
) -> Iterator[tuple[Demo, Converted]]:
    """Yield the chosen demos of a file in natural order, each read completely, and the result of `convert` for each.

    A demo is left out with a warning if it has no actions, datasets of different lengths or values that are not finite; if
    its datasets differ in path, shape or dtype from those of the other demos; or if `convert` refuses it.

    Args:
        is_quiet: do not warn: the demos are read a second time.

    Raises:
        SourceDataError: the file is missing or damaged, or none of its demos can be used.
    """
    with open_hdf5(facts.path) as file:
        common = _common_schema(file, facts.demo_names)

        def read(name: str) -> tuple[Demo, Converted]:
            demo = read_demo(file, name)
            _check_values(demo)
            _check_alike(demo, common)
            return demo, convert(demo)

        for _, result in LeftOut(str(facts.path), is_quiet).usable(facts.demo_names, read):
            yield result


class DatasetSink:
    """Dataset file that is being written. Demos keep their names, so masks stay valid."""

    def __init__(self, file: h5py.File, compression: str, num_expected: int, source: Path, update: Update):
        self._source = source
        self.num_demos = self.num_steps = 0
        self._num_expected, self._update = num_expected, update
        self._file, self._compression = file, compression
        self._data = file.create_group("data")

    def add_demo(self, name: str, leaves: Mapping[str, np.ndarray], attributes: Mapping[str, Any]) -> None:
        """Append a demo: its datasets (T, ...) by path below the demo, and its attributes."""
        create_demo(self._data, name, {path: leaves[path] for path in sorted(leaves)}, {}, self._compression)
        own: dict[str, Any] = {"num_samples": len(leaves["actions"])}
        if DIGEST in attributes:
            own[DIGEST] = fixed(leaves_digest(leaves))
        set_attributes(self._data[name], {**attributes, **own})
        self.num_demos += 1
        self.num_steps += len(leaves["actions"])
        self._update(self.num_demos, self._num_expected)

    def set_group_attributes(self, path: str, attributes: Mapping[str, Any]) -> None:
        """Set attributes of an existing group, given by its path below `data`."""
        set_attributes(self._data[path], attributes)

    def describe(
        self, attributes: Mapping[str, Any], data_attributes: Mapping[str, Any], masks: Mapping[str, np.ndarray]
    ) -> None:
        """Write the attributes of the file and of `data`, the total number of steps, and the masks of the written demos."""
        set_attributes(self._file, attributes)
        set_attributes(self._data, {**data_attributes, "total": self.num_steps})
        for name, demos in masks.items():
            is_written = [text_of(demo) in self._data for demo in np.ravel(demos)]
            self._file[f"mask/{name}"] = demos if all(is_written) else np.ravel(demos)[is_written]
        self._copy_other_items()

    def _copy_other_items(self) -> None:
        """Copy the groups and datasets of the file next to `data`, which belong to other programs."""
        with open_hdf5(self._source) as source:
            for name in source:
                if name not in (*_OWN_ITEMS, *self._file) and link_fault(source, name) is None:
                    source.copy(name, self._file)


@contextmanager
def new_dataset(
    facts: FileFacts, output: str | Path, compress: bool, overwrite: bool, update: Update | None = None
) -> Iterator[DatasetSink]:
    """Write a dataset as `<output>.part` within the block, and rename it to `output` at the end of the block.

    Args:
        facts: contents of the input file, which `output` must differ from.
        output: path of the dataset.
        compress: compress with gzip.
        overwrite: replace an existing file.
        update: reports the number of written demos; None: as the phase "writing".

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
        open_file(part, "w", meta_block_size=METADATA_BLOCK_BYTES) as file,
    ):
        compression = "gzip" if compress else "none"
        yield DatasetSink(file, compression, len(facts.demo_names), facts.path, update or phase("writing"))


def _env_args(filename: str, text: Any) -> dict[str, Any]:
    try:
        env_args = json.loads(text)
    except (ValueError, TypeError) as error:
        raise SourceDataError(f"{filename}: data.attrs['env_args']: is not JSON ({error}); write the file again") from error
    if not isinstance(env_args, dict):
        raise SourceDataError(f"{filename}: data.attrs['env_args']: must be a JSON object; write the file again")
    return env_args


def check_actions(demo: Demo) -> None:
    """Check that a demo has actions.

    Raises:
        SourceDataError: dataset `actions` of floats, shape (T, A), is not found or empty.
    """
    actions = demo.leaves.get("actions")
    if actions is None or not actions.shape or len(actions.shape) != 2 or not actions.size or actions.dtype.kind != "f":
        demo.refuse(f"dataset 'actions' of floats, shape (T, A), not found; record the demo again, or {LEAVE_OUT}")


def _check_values(demo: Demo) -> None:
    check_actions(demo)
    demo.check_lengths()
    for path, step in demo.nonfinite():
        demo.refuse(f"{path}: must be finite (got NaN or infinity at step {step}); {LEAVE_OUT}")


@dataclass(frozen=True)
class _Schema:
    """Datasets that demos have in common: path -> shape and dtype of one step. `states` depend on the engine.

    Attributes:
        name: first demo that has them.
    """

    name: str
    rows: Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]]


def _schema(demo: Demo) -> _Schema:
    rows = {
        path: (tuple(leaf.shape[1:]), leaf.dtype)
        for path, leaf in demo.leaves.items()
        if is_stepwise(path) and not path.startswith("states/") and leaf.shape is not None
    }
    return _Schema(demo.name, rows)


def _common_schema(file: h5py.File, names: Sequence[str]) -> _Schema | None:
    """Schema that most of the first demos have, or the first of these demos; None if none can be read."""
    schemas: list[_Schema] = []
    for name in names:
        with suppress(SourceDataError, *DAMAGE):
            demo = open_demo(file, name, verify=False)
            check_actions(demo)
            schemas.append(_schema(demo))
        if len(schemas) == _NUM_COMPARED:
            break
    votes = [sum(each.rows == schema.rows for each in schemas) for schema in schemas]
    return schemas[votes.index(max(votes))] if schemas else None


def _check_alike(demo: Demo, common: _Schema | None) -> None:
    """Refuse a demo whose datasets differ from those of the others: readers of the copy rely on equal shapes."""
    if common is None:
        return
    rows = _schema(demo).rows
    for path in sorted(rows.keys() | common.rows.keys()):
        found, expected = rows.get(path), common.rows.get(path)
        if found is None or expected is None:
            reason = f"not found, but {common.name} has this dataset" if found is None else f"not found in {common.name}"
            demo.refuse(f"{path}: {reason}; use only demos with the same datasets")
        if found != expected:
            reason = f"must be {expected[0]} {expected[1]} per step as in {common.name} (got {found[0]} {found[1]})"
            demo.refuse(f"{path}: {reason}; use only demos with the same datasets")

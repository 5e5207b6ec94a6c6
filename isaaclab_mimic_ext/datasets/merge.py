"""Merge datasets with HDF5's own copy: stored bytes stay as they are, nothing is decompressed, memory is bounded."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from isaaclab_mimic_ext.datasets.replay import read_demos
from isaaclab_mimic_ext.errors import ConfigError, OutputError, SourceDataError
from isaaclab_mimic_ext.files.dataset_file import fixed
from isaaclab_mimic_ext.files.hdf5 import (
    DAMAGE,
    DEMOS_PER_OPENING,
    check_objects_below,
    datasets_below,
    limit_cache,
    open_hdf5,
    plain_value,
    text_of,
)
from isaaclab_mimic_ext.files.quaternions import ENTRY
from isaaclab_mimic_ext.files.stream import FileFacts, read_facts
from isaaclab_mimic_ext.files.writing import HDF5_ERRORS, check_output, replacing

OnProgress = Callable[[int, int], None]
"""Called with the number of demos copied, and of all."""

_SAME_ENV = ("env_name", "type", "action", "eef_names", "object_names")
"""Entries of env_args in which files that are merged must agree."""
_SUMMED = ("num_attempts", "num_successes")
_OWN = ("env_args", "total", "source_demo_names", "merged_from", *_SUMMED)
"""Attributes of `data` that the merge writes itself."""
_METADATA_BLOCK, _APPEND_CACHE = 64 * 2**10, 4 * 2**20
"""Allocation unit and cache of the output's metadata [bytes]; the cache must hold the names of all its demos."""


@dataclass(frozen=True)
class Merged:
    """What a merge wrote.

    Attributes:
        masks: name -> number of demos.
        dropped_masks: those that not every input has.
    """

    num_demos: int
    num_steps: int
    masks: dict[str, int]
    dropped_masks: tuple[str, ...]


@dataclass(frozen=True)
class _Input:
    """A file to merge.

    Attributes:
        names: of its demos, in natural order.
        schema: path of each dataset of the first demo -> dtype and shape of a row.
        first_demo: the number of its first demo in the output.
        first_source: what is added to the indices of its demos' `source_demos`.
    """

    facts: FileFacts
    names: list[str]
    schema: dict[str, str]
    first_demo: int = 0
    first_source: int = 0


def merge_datasets(
    paths: Sequence[str | Path], output: str | Path, overwrite: bool = False, on_progress: OnProgress = lambda *_: None
) -> Merged:
    """Copy the demos of several files into one, renumbered `demo_0` ... in the order given.

    Each demo gets the attribute `merged_from`, `data` the JSON list of the same name with the inputs' own attributes.
    That all demos of one file are alike is taken for granted (`validate_dataset` looks).

    Raises:
        ConfigError: there are fewer than two files, or one of them twice.
        SourceDataError: a file is unreadable, or differs from the first in format, environment or datasets.
        OutputError: `output` is one of them, exists and `overwrite` is not set, or cannot be written.
    """
    output = Path(output)
    _check_files([Path(path) for path in paths], output)
    check_output(output, overwrite)
    inputs, source_names = _numbered([_look_at(path) for path in paths])
    for other in inputs[1:]:
        _check_alike(inputs[0], other)
    num_demos = sum(len(each.names) for each in inputs)
    remedy = "free some space, or give another output_file"
    with replacing(output, "output_file", remedy, OutputError, HDF5_ERRORS) as part:
        _create(part, inputs[0].facts)
        num_steps = sum(_copy_demos(each, part, lambda done: on_progress(done, num_demos)) for each in inputs)
        masks, dropped = _joined_masks(inputs)
        _describe(part, inputs, {"total": num_steps}, source_names, masks)
    return Merged(num_demos, num_steps, {name: len(demos) for name, demos in masks.items()}, dropped)


def _check_files(paths: Sequence[Path], output: Path) -> None:
    if len(paths) < 2:
        raise ConfigError(f"input_file: {len(paths)} file(s), a merge takes two or more: input_file=[a.hdf5,b.hdf5]")
    for index, path in enumerate(paths):
        if not path.exists():
            raise SourceDataError(f"{path}: there is no such file; check input_file")
        if any(path.samefile(other) for other in paths[:index]):
            raise ConfigError(f"input_file: {path} is given twice; its demos would be doubled, give it once")
        if output.exists() and output.samefile(path):
            raise OutputError(f"output_file: {output} is one of the inputs; give another output_file")


def _look_at(path: str | Path) -> _Input:
    facts = read_facts(path)
    with open_hdf5(path) as file:
        datasets = datasets_below(file["data"][facts.demo_names[0]])
        schema = {path: f"{dataset.dtype} {dataset.shape[1:]}" for path, dataset in datasets}
    return _Input(facts, facts.demo_names, schema)


def _numbered(inputs: Sequence[_Input]) -> tuple[list[_Input], list[str]]:
    """The inputs with the numbers that their demos and source demos get, and the names of all source demos."""
    source_names, first_sources = _join_sources([each.facts for each in inputs])
    first_demos = np.cumsum([0, *(len(each.names) for each in inputs)]).tolist()[:-1]
    numbers = zip(inputs, first_demos, first_sources, strict=True)
    return [replace(each, first_demo=demo, first_source=source) for each, demo, source in numbers], source_names


def _check_alike(first: _Input, other: _Input) -> None:
    _refuse_differences(first, other, "format_version", _format(first.facts), _format(other.facts))
    for key in _SAME_ENV if first.facts.is_xyzw else (*_SAME_ENV, ENTRY):
        mine, theirs = (each.facts.env_args.get(key, "none") for each in (first, other))
        _refuse_differences(first, other, f"env_args: {key}", mine, theirs)
    for path in sorted({*first.schema, *other.schema}):
        mine, theirs = (each.schema.get(path, "missing") for each in (first, other))
        _refuse_differences(first, other, f"dataset '{path}'", mine, theirs)


def _format(facts: FileFacts) -> int:
    return int(facts.attributes.get("format_version", 0))


def _refuse_differences(first: _Input, other: _Input, what: str, mine: Any, theirs: Any) -> None:
    if mine != theirs:
        raise SourceDataError(
            f"{other.facts.path}: {what} is {theirs}, but in {first.facts.path} {mine}; merge only files made alike"
        )


def _join_sources(facts: Sequence[FileFacts]) -> tuple[list[str], list[int]]:
    """Names of all source demos, and where those of each file begin among them; files with the same sources share them."""
    sources: dict[tuple[str, tuple[str, ...]], int] = {}
    names: list[str] = []
    offsets = []
    for each in facts:
        file = text_of(each.data_attributes.get("source_file", ""))
        own = tuple(map(text_of, each.data_attributes.get("source_demo_names", ())))
        if (file, own) not in sources:
            sources[file, own] = len(names)
            names += own
        offsets.append(sources[file, own])
    if len({own for _, own in sources if own}) < len([own for _, own in sources if own]):
        names = [f"{_label(Path(file))}:{name}" for file, own in sources for name in own]
    return names, offsets


def _create(part: Path, first: FileFacts) -> None:
    # Nothing is ever taken out of the file: the list of free space that HDF5 would keep is of no use.
    with h5py.File(part, "w", fs_strategy="aggregate") as file:
        for name, value in first.attributes.items():
            file.attrs[name] = value
        file.create_group("data")


def _copy_demos(source: _Input, part: Path, on_progress: Callable[[int], None]) -> int:
    """Copy all demos of one file into `part` and return their number of steps."""
    names, num_steps, label = source.names, 0, _label(source.facts.path)
    for start in range(0, len(names), DEMOS_PER_OPENING):
        with h5py.File(source.facts.path, "r") as file, _open_to_append(part) as target:
            limit_cache(file)
            old, new = file["data"], target["data"]
            for index, name in enumerate(names[start : start + DEMOS_PER_OPENING], start):
                number = source.first_demo + index
                demo = _copy_demo(old, name, new, f"demo_{number}")
                num_steps += _describe_demo(demo, f"{label}: {name}", source.first_source)
                on_progress(number + 1)
            # HDF5 reports no errors for what it writes while it closes a file.
            target.flush()
    return num_steps


@contextmanager
def _open_to_append(path: Path) -> Iterator[h5py.File]:
    """Open a file for adding demos; metadata is allocated in large blocks."""
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_fclose_degree(h5py.h5f.CLOSE_STRONG)
    access.set_meta_block_size(_METADATA_BLOCK)
    with h5py.File(h5py.h5f.open(os.fsencode(path), h5py.h5f.ACC_RDWR, access)) as file:
        limit_cache(file, _APPEND_CACHE)
        yield file


def _copy_demo(source: h5py.Group, name: str, target: h5py.Group, new_name: str) -> h5py.Group:
    """Copy one demo between groups `data`.

    Raises:
        SourceDataError: the demo is damaged.
    """
    try:
        check_objects_below(source[name].id, f"{source.name}/{name}")  # HDF5's copy crashes on what this refuses.
        # `Group.copy` is the same call after several lookups, which cost as much as copying a small demo.
        h5py.h5o.copy(source.id, name.encode(), target.id, new_name.encode())
    except DAMAGE:
        # HDF5 does not report which file failed. Reading the demo alone raises if the source is damaged.
        read_demos(source.file.filename, [name])
        raise
    return target[new_name]


def _describe_demo(demo: h5py.Group, origin: str, first_source: int) -> int:
    """Note where a copied demo is from, renumber its source demos, and say how many steps it has."""
    if h5py.h5a.exists(demo.id, b"merged_from"):
        origin = f"{origin} < {text_of(demo.attrs['merged_from'])}"
        del demo.attrs["merged_from"]
    _add_text(demo, b"merged_from", origin)
    if first_source and "source_demos" in demo.attrs:
        demo.attrs["source_demos"] = demo.attrs["source_demos"] + first_source
    return _num_steps(demo, origin)


def _num_steps(demo: h5py.Group, origin: str) -> int:
    if not h5py.h5a.exists(demo.id, b"num_samples"):
        return len(demo["actions"])
    try:
        attribute, number = h5py.h5a.open(demo.id, b"num_samples"), np.zeros((), np.int64)
        attribute.read(number, mtype=h5py.h5t.NATIVE_INT64)
    except DAMAGE as error:
        raise SourceDataError(f"{origin}: attribute 'num_samples' is no number; leave the demo out") from error
    return int(number)


def _add_text(item: h5py.Group, name: bytes, text: str) -> None:
    """`item.attrs[name] = fixed(text)` for a new name, at a third of its time."""
    value = np.asarray(fixed(text))
    datatype = h5py.h5t.py_create(value.dtype, logical=True)
    attribute = h5py.h5a.create(item.id, name, datatype, h5py.h5s.create(h5py.h5s.SCALAR))
    attribute.write(value, mtype=datatype)


def _joined_masks(inputs: Sequence[_Input]) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """The masks that all inputs have, in the demos' new names, and the names of the others."""
    shared = set.intersection(*({*each.facts.masks} for each in inputs))
    masks = {}
    for mask in sorted(shared):
        demos = []
        for each in inputs:
            numbers = {name: each.first_demo + index for index, name in enumerate(each.names)}
            old = [text_of(name) for name in np.ravel(each.facts.masks[mask])]
            demos += [f"demo_{numbers[name]}" for name in old if name in numbers]
        masks[mask] = np.array(demos, dtype="S")
    return masks, tuple(sorted({name for each in inputs for name in each.facts.masks} - shared))


def _describe(
    part: Path, inputs: Sequence[_Input], own: dict[str, Any], source_names: list[str], masks: dict[str, np.ndarray]
) -> None:
    """Write what the file says beside its demos: what the inputs agree in, sums of counts, and each input's own words."""
    every = [each.facts.data_attributes for each in inputs]
    shared = {name: value for name, value in every[0].items() if name not in _OWN}
    shared = {
        name: value for name, value in shared.items() if all(name in a and np.array_equal(value, a[name]) for a in every)
    }
    for name in _SUMMED:
        if all(name in attributes for attributes in every):
            own[name] = sum(int(attributes[name]) for attributes in every)
    if source_names:
        own["source_demo_names"] = source_names
    own["merged_from"] = fixed(json.dumps([_provenance(each, shared) for each in inputs]))
    with h5py.File(part, "r+") as file:
        for name, value in {"env_args": every[0].get("env_args"), **shared, **own}.items():
            if value is not None:
                file["data"].attrs[name] = value
        for name, demos in masks.items():
            file[f"mask/{name}"] = demos
        file.flush()


def _provenance(source: _Input, shared: dict[str, Any]) -> dict[str, Any]:
    """What one input says of itself, without what all of them say."""
    words = {name: value for name, value in source.facts.data_attributes.items() if name not in shared}
    plain = {name: plain_value(value) for name, value in words.items()}
    return {"file": _label(source.facts.path), "num_demos": len(source.names), **plain}


def _label(path: Path) -> str:
    """A file's name with its folder's, without which those of runs are all the same."""
    return "/".join(path.absolute().parts[-2:])
